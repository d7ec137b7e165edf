// How well a whole answer fits its request: words that nothing in it accounts for, values that nobody said, words that
// are used twice. needle/student/agreement.py, feature for feature.

import { canonical, compactExact } from "./exact.js";
import { findValue, inWords, slots } from "./ground.js";
import { todayIn } from "./moments.js";
import { listedTexts } from "./prior.js";
import { Saying } from "./said.js";
import { converted, unitsOfParameter } from "./units.js";
import { casefold, said, searched, STOP, terms, WORD } from "./words.js";

const NEAR = 12;  // characters between a value and a word of its parameter after which the word counts 1/e
const DESCRIBED = 0.5;  // what a word of a parameter's description counts beside one of its name

const touches = ({ start, end }, [from, to]) => start < to && from < end;

/**
 * Whether two values are made of the same words: the same value twice, or texts that overlap. (Amount and unit, or two
 * ends of a range, are not.)
 */
function shares(one, { start, end, value, literal }) {
  return touches(one, [start, end]) && (one.value === value || (one.literal && literal));
}

/** One request, asked how several answers fit it. What was looked up once is kept. */
export class Agreement {
  /** `index`: `toolIndex(tools)`; `prior`: for the scores of listed values. */
  constructor({ query, system, messages }, tools, index, prior) {
    this.tools = tools;
    this.names = tools.map((tool) => tool.name);
    this.prior = prior;
    this.text = searched(query, messages);
    this.request = new Saying(query, todayIn(system));
    const facts = [system, ...messages.map((turn) => said(turn.content || ""))].filter(Boolean).join(" ");
    this.facts = facts && new Saying(facts, this.request.today);
    const words = [...query.matchAll(WORD)].filter(([word]) => !STOP.has(word.toLowerCase()));
    const placed = ({ 0: word, index: start }) => ({ start, end: start + word.length, scores: index.scores(word) });
    this.words = words.map(placed);
    this.looked = new Map();
    this.stems = [...query.matchAll(WORD)].map(({ 0: word, index: start }) => ({ start, end: start + word.length, stems: stems(word) }));
    this.worths = new Map();
  }

  /** The numbers of an answer that a prior weighs, by their names. */
  features(calls) {
    const found = [], named = new Set(calls.map((call) => this.names.indexOf(call.name)));
    const counts = { unsaid: 0, unsaid_truth: 0, shared: 0, shared_beside: 0, unit: 0, listed: 0 };
    for (const slot of slots(calls, this.tools)) this.count(slot, calls, found, counts);
    const left = this.words.filter((word) => !this.accounted(word, found, named)).length;
    const texts = calls.map(canonical);
    const again = texts.filter((text, number) => texts.indexOf(text) < number).length;
    const values = found.filter(({ slot }) => typeof slot.value !== "boolean");
    const beside = values.reduce((sum, one) => sum + this.beside(one, found), 0);
    const share = left / Math.max(this.words.length, 1), order = { disorder: disorder(found), uneven: uneven(calls) };
    return { ...counts, none: Number(!calls.length), left, left_share: share, again, beside, ...order };
  }

  /** Add what one value says; where it comes from is put into `found`. */
  count(slot, calls, found, counts) {
    const { call, value } = slot, tool = calls[call].name;
    const [how, span] = this.look(slot);
    if (span) {
      const [start, end] = span, text = casefold(inWords(value));
      const mine = { start, end, call, tool, value: text, literal: how === "said", slot };
      if (found.some((one) => shares(mine, one))) [mine.start, mine.end] = this.elsewhere(slot, found) ?? span;
      const others = found.filter((one) => shares(mine, one));
      counts.shared += others.some((one) => one.call === call);
      counts.shared_beside += others.some((one) => one.call !== call && one.tool === tool);
      found.push(mine);
    }
    if (typeof value === "boolean") {
      counts.unsaid_truth += !span;
      return;
    }
    counts.unsaid += !how;
    if (typeof value === "string") counts.listed += this.listed(slot, tool);
    else if (span) counts.unit += this.hasUnit(slot, span);
  }

  /** How the request or its facts say a value, and where the request does. */
  look(slot) {
    const key = JSON.stringify([slot.name, compactExact(slot.value), slot.schema]);
    if (!this.looked.has(key)) {
      let [how, span] = findValue(slot, this.request);
      if (!how && this.facts) [how] = findValue(slot, this.facts);
      this.looked.set(key, [how, span]);
    }
    return this.looked.get(key);
  }

  /** Where the request says a value beside the places of others ("2 rooms for 2 people"). */
  elsewhere(slot, found) {
    let { text, today } = this.request;
    for (const { start, end } of found) text = text.slice(0, start) + "\0".repeat(end - start) + text.slice(end);
    const [how, span] = findValue(slot, new Saying(text, today));
    return ["said", "normalised"].includes(how) ? span : null;
  }

  listed({ key, value }, tool) {
    const { properties = {} } = this.tools[this.names.indexOf(tool)].parameters;
    const values = Object.hasOwn(properties, key) ? listedTexts(properties[key]) : [];
    const place = values.length > 1 ? values.indexOf(value) : -1;
    return place >= 0 && this.prior.valueScores(values, this.text)[place] > 0;
  }

  hasUnit({ name, schema }, span) {
    const wanted = unitsOfParameter(name, schema), heard = this.request.numbers.filter((one) => touches(one, span));
    const fits = (value, unit) => wanted.some((want) => converted(value, unit, want) !== null);
    return heard.some(({ value, units }) => units.some((unit) => fits(value, unit)));
  }

  /** What the word of its parameter counts that stands nearest to a value; 0 where none is said. */
  beside(one, found) {
    const worth = this.worthOf(one);
    let best = 0;
    for (const { start, end, stems } of this.stems) {
      const mine = Math.max(0, ...stems.map((stem) => worth.get(stem) ?? 0));
      if (!mine || touches(one, [start, end])) continue;
      const [first, last] = end <= one.start ? [end, one.start] : [one.end, start];
      const between = found.filter((other) => other !== one && first <= other.start && other.end <= last).length;
      best = Math.max(best, mine * Math.exp((first - last) / NEAR) * 0.5 ** between);
    }
    return best;
  }

  /** What each stem of a value's parameter counts: less where other parameters of the tool have it too. */
  worthOf({ tool, slot: { name, schema } }) {
    const about = described(schema), key = JSON.stringify([tool, name, about]);
    if (!this.worths.has(key)) {
      const { properties = {} } = this.tools[this.names.indexOf(tool)].parameters, holders = new Map();
      for (const [own, inner] of Object.entries(properties)) {
        for (const stem of new Set([...stems(own), ...stems(described(inner))])) holders.set(stem, (holders.get(stem) ?? 0) + 1);
      }
      const worth = new Map(stems(about).map((stem) => [stem, DESCRIBED / (holders.get(stem) ?? 1)]));
      for (const stem of stems(name)) worth.set(stem, holders.has(stem) ? 1 / holders.get(stem) : DESCRIBED);
      this.worths.set(key, worth);
    }
    return this.worths.get(key);
  }

  /** Whether a value was made from a word, or a called tool has it. */
  accounted({ start, end, scores }, found, named) {
    return found.some((one) => touches(one, [start, end])) || [...named].some((place) => scores[place] > 0);
  }
}

const described = (schema) => said(schema?.description || "");
const stems = (text) => [...terms(text).keys()].filter((term) => !term.startsWith("~"));

/** Calls that begin, by where their values stand, before the one before them. */
function disorder(found) {
  const begins = new Map();
  for (const { call, start } of found) begins.set(call, Math.min(start, begins.get(call) ?? start));
  const inOrder = [...begins.keys()].sort((one, other) => one - other).map((call) => begins.get(call));
  return inOrder.filter((begin, number) => number && begin < inOrder[number - 1]).length;
}

/** Calls with other arguments than the first of their tool: what is asked for several things at once is mostly asked alike. */
function uneven(calls) {
  const first = new Map(), keys = (call) => JSON.stringify(Object.keys(call.arguments).sort());
  for (const call of calls) if (!first.has(call.name)) first.set(call.name, keys(call));
  return calls.filter((call) => first.get(call.name) !== keys(call)).length;
}
