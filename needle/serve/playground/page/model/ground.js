// Where in a request a value comes from, or that it comes from nowhere: needle/tools/grounding/ground.py, by its
// patterns.

import { implied, numberHeard } from "./amounts.js";
import { isObject } from "./rendering.js";
import { sameWord, wanted } from "./said.js";
import { ground } from "./tables.js";
import { matchAt } from "./units.js";
import { plainSchema, STOP } from "./words.js";

const NO_SPAN = ["now", "today", "tomorrow", "tonight"], LONGEST = 40;
const whole = (pattern) => new RegExp(`^(?:${pattern.source})$`);
const MOMENT = whole(ground.MOMENT), MONTH = whole(ground.MONTH);
const overlap = (one, other) => one.start < other.end && other.start < one.end;
const spanOf = (found) => (found ? [found.start, found.end] : null);

/**
 * Every text, number and truth value among the arguments of calls, in order: `{call, key, name, value, schema}`, where
 * `key` is the parameter of the call, and `name` that of the innermost object.
 */
export function slots(calls, tools) {
  return calls.flatMap(({ name, arguments: given }, call) => {
    const root = tools.find((tool) => tool.name === name)?.parameters ?? {};
    return Array.from(under(given, root, root, "", null), (slot) => ({ ...slot, call }));
  });
}

function* under(value, given, root, name, key) {
  const schema = plainSchema(given, root);
  if (Array.isArray(value)) {
    for (const item of value) yield* under(item, schema.items, root, name, key);
  } else if (isObject(value) && !(value instanceof Number)) {
    const inner = schema.properties ?? {};
    for (const [own, item] of Object.entries(value)) {
      yield* under(item, Object.hasOwn(inner, own) ? inner[own] : {}, root, own, key ?? own);
    }
  } else if (value !== null) yield { key: key ?? name, name, value, schema };
}

/** How a `Saying` accounts for a value (empty: not at all), and the span that says it, where one does. */
export function findValue(slot, request) {
  const { value, schema } = slot, isText = typeof value === "string";
  if (typeof value === "boolean") return ["implied", booleanSpan(slot, request)];
  const span = isText ? request.said(value) : null;
  if (span) return ["said", span];
  if (named(value, schema)) return ["schema", memberSpan(value, schema, request)];
  if (isText) {
    const formed = textSpan(value, request);
    return [formed ? "normalised" : "", formed];
  }
  const heard = numberHeard(value, slot, request);
  if (heard) return ["normalised", spanOf(heard)];
  return [implied(value, schema, request) ? "implied" : "", null];
}

function named(value, schema) {
  const members = [...(schema.enum || []), schema.const, schema.default];
  return members.some((one) => one?.valueOf() === value.valueOf());
}

/** A value in Python's words. */
export function inWords(value) {
  if (!(value instanceof Number)) return String(value);
  return Number.isInteger(value.valueOf()) ? `${value}.0` : String(value);
}

/** Where a request says a member of an enum: by its words, by a code, or by the words that describe it. */
function memberSpan(value, schema, request) {
  const text = inWords(value);
  const found = request.said(text) ?? request.byWords(text.replace(ground.JOINTS, " "), 0.5) ?? request.byCode(text);
  if (found || [...text].length > LONGEST) return found;
  const own = wanted(text), told = [...described(text, String(schema.description || ""))];
  const near = request.words.find(({ word }) => !STOP.has(word) && own.some((item) => akin(word, item)));
  return spanOf(near ?? request.words.find(({ word }) => told.some((item) => sameWord(word, item))));
}

/** Words by which a description explains a member: "eco: saves energy, comfort: ...". */
function described(text, description) {
  if (!description.includes(text)) return [];
  const name = text.replace(/[\^$\\.*+?()[\]{}|/]/g, "\\$&"), word = "\\p{L}\\p{N}_";
  const about = new RegExp(`(?<![${word}])${name}(?![${word}])[^${word}]{0,4}([^,;.]+)`, "u").exec(description);
  return about ? wanted(about[1]).filter((one) => one.length > 2) : [];
}

/** Forms of one word, an abbreviation of a word, or a beginning shared by both. */
function akin(word, member) {
  if (sameWord(word, member)) return true;
  const [short, long] = word.length <= member.length ? [word, member] : [member, word];
  if (short.length < 3) return false;
  return long.startsWith(short) || (short.length >= 5 && long.slice(0, 4) === short.slice(0, 4));
}

/** Where a request tells a truth value: the words of its name, else a word of switching. */
function booleanSpan({ name, value }, request) {
  const own = wanted(name).filter((word) => word.length > 2);
  const found = request.words.find(({ word }) => own.some((item) => akin(word, item)));
  const [match] = found ? [] : request.readable.matchAll(value ? ground.YES : ground.NO);
  return match ? [match.index, match.index + match[0].length] : spanOf(found);
}

/** What a text is a normal form of: a time, a date, both, a code, other forms of the words. */
function textSpan(value, request) {
  const [, day, time] = MOMENT.exec(value) ?? [];
  if (day || time) {
    const spans = [day && date(day, request), time && clock(time, request)].filter((span) => span !== undefined);
    return spans.every(Boolean) ? spans[0] : null;
  }
  if (MONTH.test(value)) return month(value, request);
  if (NO_SPAN.includes(value)) return null;
  const code = request.byCode(value), digits = value.replace(/^0+/, "") || "0";
  if (code) return code;
  if (/^\p{Nd}+$/u.test(digits)) return spanOf(request.numbers.find((one) => one.value === Number(digits)));
  const comma = value.indexOf(","), slash = value.lastIndexOf("/");
  const short = comma >= 0 && value.slice(comma + 1).split(/\s+/).filter(Boolean).length <= 3;
  return request.byWords(value)
    ?? (short ? request.said(value.slice(0, comma)) : null)  // "Salem, MA" for "salem massachusetts"
    ?? (slash >= 0 ? request.byWords(value.slice(slash + 1).replaceAll("_", " ")) : null)  // Europe/Berlin
    ?? mixed(value, request);
}

/** A text whose words and numbers are all said: "500 g" for "five hundred grams", "v2.1". */
function mixed(value, request) {
  const parts = value.match(ground.PARTS) ?? [], spans = [];
  for (const part of parts.length > 1 ? parts : []) {
    if (/^\d/.test(part)) spans.push(spanOf(request.numbers.find((one) => one.value === Number(part))));
    else if ([...part].length > 1) spans.push(request.byPart(part));
  }
  if (!spans.length || !spans.every(Boolean) || !/\p{Nd}/u.test(value)) return null;
  return [Math.min(...spans.map(([start]) => start)), Math.max(...spans.map(([, end]) => end))];
}

/** Span of a date. */
function date(part, request) {
  const [year, month, day] = part.split("-"), dates = request.heard.filter((one) => one.kind === "date");
  const isFull = (one) => one.value.length === 10, full = dates.filter(isFull);
  const years = request.readable.match(ground.YEARS), otherYear = years && !years.map(Number).includes(Number(year));
  const loose = (one) => !isFull(one) && (otherYear || full.some((other) => overlap(one, other)));
  const found = dates.find((one) => !loose(one) && part.endsWith(one.value.replace(/^-+/, "")));
  const edges = day === "01" || Number(day) >= 28, turn = ["01-01", "12-31"].includes(`${month}-${day}`);
  const spanned = ({ kind, value }) => {  // "in March 2027", "in 2027": its first and its last day
    if (kind === "month") return [`${year}-${month}`, `-${month}`].includes(value);
    return turn && value === Number(year);
  };
  return spanOf(found ?? (edges ? request.heard.find(spanned) : null));
}

/** Span of a clock time, without the other half of the day where the request says which. */
function clock(part, request) {
  const items = request.heard.filter((one) => one.kind === "time"), marked = [];
  items.sort((a, b) => (a.start - a.end) - (b.start - b.end) || Number(!a.sure) - Number(!b.sure));
  for (const one of items) {
    const { start, end } = one, at = request.readable.slice(start, end), length = end - start;
    const inside = marked.some((other) => other.start <= start && end <= other.end && other.end - other.start > length);
    const full = matchAt(ground.FULL_DAY, at, 0) || request.text[start - 1] === "T";
    if (inside || (full && !one.value.startsWith(at.slice(0, 2)))) continue;
    if (at.search(ground.DAY_PART) >= 0) marked.push(one);
    if (one.value === part) return [start, end];
  }
  return null;
}

function month(value, request) {
  const forms = [value, value.slice(4), `${value}-01`];
  return spanOf(request.undated.find((one) => ["month", "date"].includes(one.kind) && forms.includes(one.value)));
}

