// How much common words count where the student names a tool or takes one of a parameter's listed values:
// needle/student/leaning.py with a checkpoint's prior.json. A product of experts, at decoding only. What the request states of
// numbers and open texts (its weights `numbers` and `texts`) is not weighed here.

import { Places } from "./place.js";
import { isObject } from "./rendering.js";
import { filled, searched, toolIndex, valueIndex } from "./words.js";

const FORMAT = 1;
const KEPT = 256;  // lists of values whose words are kept counted
const HALF = /\ufffd+$/;  // stands for a character of which some bytes are still to come
const LEAST = -30;  // worth of a token that leads to nothing that may be chosen
/** A text argument that is being written, alone or in an array: its key, and the text so far. */
const OPEN = /"((?:[^"\\]|\\[^\n])*)":(?:\[(?:"(?:[^"\\]|\\[^\n])*",)*)?"((?:[^"\\]|\\[^\n])*)$/;
const TEXT = /"(?:[^"\\]|\\[^\n])*"/g;

/** The texts that a parameter, or the items of its array, may take; empty where that is open. */
export function listedTexts(schema) {
  const listed = filled(schema?.enum) ?? (isObject(schema?.items) ? filled(schema.items.enum) : null) ?? [];
  return listed.filter((value) => typeof value === "string");
}

/** A prior at work for one tokenizer. */
export class Prior {
  /** `file`: the parsed prior.json. Throws where it is of another kind. */
  constructor(file, tokenizer) {
    const weights = ["names", "values"].flatMap((kind) => [file[kind]?.sharpness, file[kind]?.words]);
    if (file.format !== FORMAT || !weights.every(Number.isFinite)) {
      throw new Error("prior.json is none of this version; make it anew with `needle calibrate`");
    }
    this.weights = file;
    this.tokenizer = tokenizer;
    this.lists = new Map();
  }

  /** What the words of a request say of the choices in its answer; null without tools. `index`: `toolIndex(tools)`. */
  of(tools, index, { query, messages }) {
    return tools.length ? new Leaning(this, tools, index, searched(query, messages)) : null;
  }

  /** Lexical score of each listed value for a request's text. */
  valueScores(values, text) {
    const key = JSON.stringify(values);
    if (!this.lists.has(key)) {
      if (this.lists.size >= KEPT) this.lists.clear();
      this.lists.set(key, valueIndex(values));
    }
    return this.lists.get(key).scores(text);
  }
}

/** Changes the logits while a tool's name or a listed value is written. */
class Leaning {
  constructor(prior, tools, index, text) {
    this.prior = prior;
    this.tokenizer = prior.tokenizer;
    this.call = this.tokenizer.special.get("<call>");
    this.text = text;
    this.tools = new Map(tools.map((tool) => [tool.name, tool]));
    this.names = tools.map((tool) => `${tool.name}{`);
    this.words = index.scores(text);
    this.index = index;
    this.places = null;  // made where a tool is named
  }

  /** Logits with, for each allowed token, the worth of all that it leads to; as they are where nothing of the kind is chosen. */
  lean(ids, logits, allowed) {
    const start = ids.lastIndexOf(this.call);
    if (start < 0) return logits;
    const call = ids.slice(start + 1), written = this.tokenizer.decode(call);
    const choice = written.includes("{") ? this.value(written) : this.name(written, this.callsIn(ids.slice(0, start)));
    if (!choice || (choice.weights.sharpness === 1 && !choice.weights.words && !choice.weights.near)) return logits;
    const { begun, texts, worth, weights: { sharpness } } = choice, from = written.length - begun.length;
    const leant = Float64Array.from(logits);
    allowed.forEach((yes, id) => {
      if (!yes) return;
      const text = this.tokenizer.decode([...call, id]).slice(from);
      leant[id] = sharpness * logits[id] + worthOf(text, texts, worth);
    });
    return leant;
  }

  /** The texts of the whole calls of an answer. */
  callsIn(ids) {
    const starts = ids.flatMap((id, at) => (id === this.call ? [at] : []));
    return starts.map((start, number) => this.tokenizer.decode(ids.slice(start + 1, starts[number + 1]))).filter(Boolean);
  }

  /** The choice of a tool, of whose name `written` is there, behind `calls`. */
  name(written, calls) {
    const weights = this.prior.weights.names;
    if (weights.near) this.places ??= new Places(this.index, this.names.map((name) => name.slice(0, -1)), this.text);
    const near = this.places?.near(calls) ?? [];
    const worth = this.words.map((score, at) => weights.words * Math.log1p(score) + (weights.near ?? 0) * Math.log1p(near[at] ?? 0));
    return { begun: written, texts: this.names, worth, weights };
  }

  /** The choice of a listed value at the end of a call's text; null where there is none. */
  value(written) {
    const properties = this.tools.get(written.slice(0, written.indexOf("{")))?.parameters?.properties ?? {};
    const open = OPEN.exec(written);
    const own = open && depth(written.slice(0, open.index)) === 1;  // a key of a nested object is another parameter
    const values = own && Object.hasOwn(properties, open[1]) ? listedTexts(properties[open[1]]) : [];
    if (!values.length) return null;
    const weights = this.prior.weights.values, texts = values.map((value) => JSON.stringify(value).slice(1));
    return { begun: open[2], texts, worth: this.prior.valueScores(values, this.text).map((score) => weights.words * Math.log1p(score)), weights };
  }
}

/** Objects that are open at the end of a call's text. */
function depth(written) {
  const bare = written.replace(TEXT, "");
  return bare.split("{").length - bare.split("}").length;
}

/** Logarithm of the summed worth of all `texts` that begin with `text`, or that it has gone through. */
function worthOf(text, texts, worth) {
  const whole = text.replace(HALF, "");
  const fits = worth.filter((_, at) => texts[at].startsWith(whole) || whole.startsWith(texts[at]));
  if (!fits.length) return LEAST;
  const top = Math.max(...fits);
  return top + Math.log(fits.reduce((sum, one) => sum + Math.exp(one - top), 0));
}
