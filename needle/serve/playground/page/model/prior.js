// What the words of a request say where the student names a tool or writes a value: needle/student/leaning.py with a
// checkpoint's prior.json. A product of experts, at decoding only.

import { openValue } from "./open.js";
import { Places } from "./place.js";
import { isObject } from "./rendering.js";
import { Stated } from "./stated.js";
import { filled, searched, wordIndex } from "./words.js";

const FORMAT = 1;
const NOTHING = { sharpness: 1, said: 0, unit: 0, fresh: 0, asked: 0 };
const NO_LOOK = {  // what counts of a whole answer: needle/student/agreement.py
  sharpness: 1, none: 0, left: 0, left_share: 0, unsaid: 0, unsaid_truth: 0, shared: 0, shared_beside: 0, again: 0, unit: 0, listed: 0,
  beside: 0, disorder: 0, uneven: 0,
};
const OF_OLD = { numbers: NOTHING, texts: NOTHING, answers: NO_LOOK };  // what a file of before does not say
const ADDED = { names: { near: 0 }, answers: { beside: 0, disorder: 0, uneven: 0 } };  // nor these
const KINDS = {  // what is weighed in each kind of choice
  names: ["sharpness", "words", "near"], values: ["sharpness", "words"],
  numbers: Object.keys(NOTHING), texts: Object.keys(NOTHING), answers: Object.keys(NO_LOOK),
};
const LIKELIEST = 8;  // tokens of an open value that are weighed
const KEPT = 256;  // lists of names whose words are kept counted
const HALF = /\ufffd+$/;  // stands for a character of which some bytes are still to come
const LEAST = -30;  // worth of a token that leads to nothing that may be chosen

/** The texts that a parameter, or the items of its array, may take; empty where that is open. */
export function listedTexts(schema) {
  const listed = filled(schema?.enum) ?? (isObject(schema?.items) ? filled(schema.items.enum) : null) ?? [];
  return listed.filter((value) => typeof value === "string");
}

/** A prior at work for one tokenizer. */
export class Prior {
  /** `file`: the parsed prior.json. Throws where it is of another kind. */
  constructor(file, tokenizer) {
    const read = { ...OF_OLD, ...file };
    for (const [kind, added] of Object.entries(ADDED)) read[kind] = { ...added, ...read[kind] };
    const named = (kind) => Object.fromEntries(KINDS[kind].map((weight) => [weight, read[kind]?.[weight]]));
    this.weights = Object.fromEntries(Object.keys(KINDS).map((kind) => [kind, named(kind)]));
    const numbers = Object.values(this.weights).flatMap(Object.values);
    if (file.format !== FORMAT || !numbers.every(Number.isFinite)) {
      throw new Error("prior.json is none of this version; make it anew with `needle calibrate`");
    }
    this.tokenizer = tokenizer;
    this.lists = new Map();
  }

  /** Whether unsure answers are weighed against others. */
  get judges() { return !idle(this.weights.answers); }

  /** What the words of a request say of the choices in its answer; null without tools. `index`: `toolIndex(tools)`. */
  of(tools, index, { query, system, messages }) {
    return tools.length ? new Leaning(this, tools, index, searched(query, messages), system) : null;
  }

  /** Word statistics of `[name, description]`: the parameters of a tool, the listed values of a parameter. */
  indexOf(entries) {
    const key = JSON.stringify(entries);
    if (!this.lists.has(key)) {
      if (this.lists.size >= KEPT) this.lists.clear();
      this.lists.set(key, wordIndex(entries));
    }
    return this.lists.get(key);
  }

  /** Lexical score of each listed value for a request's text. */
  valueScores(values, text) {
    return this.indexOf(values.map((value) => [value, ""])).scores(text);
  }
}

/** Changes the logits while a tool's name or an argument's value is written. */
class Leaning {
  constructor(prior, tools, index, text, system) {
    this.prior = prior;
    this.tokenizer = prior.tokenizer;
    this.call = this.tokenizer.special.get("<call>");
    this.text = text;
    this.tools = new Map(tools.map((tool) => [tool.name, tool]));
    this.names = tools.map((tool) => `${tool.name}{`);
    this.words = index.scores(text);
    this.index = index;
    this.places = null;  // made where a tool is named
    this.stated = new Stated(text, system, (entries) => prior.indexOf(entries));
  }

  /**
   * Logits with, for each allowed token, the worth of all that it leads to; as they are where nothing of the kind is
   * chosen.
   */
  lean(ids, logits, allowed) {
    const start = ids.lastIndexOf(this.call);
    if (start < 0) return logits;
    const call = ids.slice(start + 1), written = this.tokenizer.decode(call), { names, values } = this.prior.weights;
    if (!written.includes("{")) {
      if (idle(names)) return logits;
      const choice = { begun: written, texts: this.names, worth: this.named(this.callsIn(ids.slice(0, start))) };
      return this.among(call, choice, names.sharpness, logits, allowed);
    }
    const value = openValue(written, this.tools.get(written.slice(0, written.indexOf("{"))));
    if (!value) return logits;
    const listed = value.number ? [] : listedTexts(value.schema);
    if (!listed.length) return this.weighed(value, logits, allowed);
    if (idle(values)) return logits;
    const worth = this.prior.valueScores(listed, this.text).map((score) => values.words * Math.log1p(score));
    const choice = { begun: value.begun, texts: listed.map((one) => JSON.stringify(one).slice(1)), worth };
    return this.among(call, choice, values.sharpness, logits, allowed);
  }

  /** One of several `texts` is chosen, of which `begun` is there. */
  among(call, { begun, texts, worth }, sharpness, logits, allowed) {
    const from = this.tokenizer.decode(call).length - begun.length, leant = Float64Array.from(logits);
    allowed.forEach((yes, id) => {
      if (!yes) return;
      const text = this.tokenizer.decode([...call, id]).slice(from);
      leant[id] = sharpness * logits[id] + worthOf(text, texts, worth);
    });
    return leant;
  }

  /** A number or a text is written that may be anything. */
  weighed(value, logits, allowed) {
    const weights = value.number ? this.prior.weights.numbers : this.prior.weights.texts;
    const top = idle(weights) ? [] : likeliest(logits, allowed);
    if (top.length < 2) return logits;
    const { sharpness, said, unit, fresh, asked } = weights;
    const leant = Float64Array.from(logits, (one) => sharpness * one);
    const later = Math.max(0, ...this.stated.later(value).map(([, score]) => score));
    const most = Math.abs(said) + Math.abs(unit) + Math.abs(fresh) + Math.abs(asked) * later;
    if (leant[top[0]] - leant[top[1]] < most) {  // else nothing changes
      const features = this.stated.features(value, top.map((id) => this.tokenizer.decode([id])));
      features.forEach((has, at) => {
        leant[top[at]] += has[0] * said + has[1] * unit + has[2] * fresh + has[3] * asked;
      });
    }
    return leant;
  }

  /** The texts of the whole calls of an answer. */
  callsIn(ids) {
    const starts = ids.flatMap((id, at) => (id === this.call ? [at] : []));
    return starts.map((start, number) => this.tokenizer.decode(ids.slice(start + 1, starts[number + 1]))).filter(Boolean);
  }

  /** What each tool is worth behind `calls`. */
  named(calls) {
    const { words, near } = this.prior.weights.names;
    if (near) this.places ??= new Places(this.index, this.names.map((name) => name.slice(0, -1)), this.text);
    const nearby = this.places?.near(calls) ?? [];
    return this.words.map((score, at) => words * Math.log1p(score) + near * Math.log1p(nearby[at] ?? 0));
  }
}

/** Whether weights change nothing. */
const idle = ({ sharpness, ...others }) => sharpness === 1 && Object.values(others).every((weight) => weight === 0);

/** The likeliest tokens, best first. */
function likeliest(logits, allowed) {
  const top = [];
  allowed.forEach((yes, id) => {
    if (!yes) return;
    const place = top.findIndex((other) => logits[other] < logits[id]);
    top.splice(place < 0 ? top.length : place, 0, id);
    top.length = Math.min(top.length, LIKELIEST);
  });
  return top;
}

/** Logarithm of the summed worth of all `texts` that begin with `text`, or that it has gone through. */
function worthOf(text, texts, worth) {
  const whole = text.replace(HALF, "");
  const fits = worth.filter((_, at) => texts[at].startsWith(whole) || whole.startsWith(texts[at]));
  if (!fits.length) return LEAST;
  const top = Math.max(...fits);
  return top + Math.log(fits.reduce((sum, one) => sum + Math.exp(one - top), 0));
}
