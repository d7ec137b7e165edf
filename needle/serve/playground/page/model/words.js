// How well texts fit a request by their words: BM25 over fields, number for number as needle/tools/retrieval.py counts
// (folding, stems and stop words are those of needle/tools/grounding/said.py).

import { compactExact } from "./exact.js";
import { isObject, resolve } from "./rendering.js";

const NAME = 3, DESCRIPTION = 1, PARAMETER = 0.7, VALUE = 0.5;  // weight of a word by where it stands
const SATURATION = 1.2, LENGTH = 0.6, PIECE = 0.25;
const MOST_VALUES = 40, MOST_DEPTH = 3, MOST_STEPS = 8;
export const STOP = new Set("a an the of to in on at for and or my our your me i it is with by from as be this that".split(" "));
const ENDINGS = ["ation", "ing", "ies", "ied", "ers", "ed", "es", "er", "ly", "al", "ic", "s", "y", "e"];
const LIGATURES = new Map(Object.entries({
  "ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "ł": "l",
  "’": "'", "‘": "'", "“": '"', "”": '"', "–": "-", "—": "-", "−": "-", "×": "x",
}));
const JOINT = /(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Za-z])(?=\p{Nd})/gu;
export const WORD = /[\p{L}\p{N}]+/gu;  // what Python's \w takes but for the underscore
const LAST_MARK = "\u0345";  // of the highest combining class: every other mark of any class is sorted before it

// As Python's `casefold`: both cases of a letter become one (of Cherokee the small one, there the capital)
const caseless = (letter) => (letter === "ı" ? letter : letter.toUpperCase().toLowerCase());
export const casefold = (text) => Array.from(text, caseless).join("");
const sortedFirst = (mark) => mark === LAST_MARK || !(LAST_MARK + mark).normalize("NFD").startsWith(LAST_MARK);
const combines = (part) => /\p{M}/u.test(part) && sortedFirst(part);

/** Text in small letters without accents and typographic signs. */
export function fold(text) {
  if (/^[\0-\x7f]*$/.test(text)) return text.toLowerCase();
  const parts = [];
  for (const letter of text) {
    const plain = Array.from(caseless(letter), (one) => LIGATURES.get(one) ?? one).join("");
    for (const part of plain.normalize("NFKD")) if (!combines(part)) parts.push(part);
  }
  return parts.join("");
}

/** A word without its commonest English endings; at least three letters stay. */
export function stem(word) {
  const ending = ENDINGS.find((one) => word.endsWith(one) && [...word].length - one.length >= 3);
  return ending ? word.slice(0, -ending.length) : word;
}

/** Stems of the words that say something, weight 1, and their runs of four letters, which share `PIECE`; as a `Map`. */
export function terms(text) {
  const found = new Map();
  const add = (term, weight) => found.set(term, (found.get(term) ?? 0) + weight);
  for (const [word] of fold(text.replace(JOINT, " ")).matchAll(WORD)) {
    if (STOP.has(word)) continue;
    add(stem(word), 1);
    const letters = [...word], runs = letters.length > 4 ? letters.length - 3 : 0;
    for (let start = 0; start < runs; start++) add(`~${letters.slice(start, start + 4).join("")}`, PIECE / Math.sqrt(runs));
  }
  return found;
}

const total = (numbers) => numbers.reduce((sum, one) => sum + one, 0);

/** Word statistics of documents, each a list of `[weight, text]`; made once, asked often. */
export class WordIndex {
  constructor(documents) {
    this.size = documents.length;
    const counts = documents.map(weighted);
    const lengths = counts.map((held) => total([...held].map(([term, weight]) => (term[0] === "~" ? 0 : weight))));
    const mean = total(lengths) / Math.max(this.size, 1) || 1;
    this.norms = lengths.map((length) => SATURATION * (1 - LENGTH + (LENGTH * length) / mean));
    this.where = new Map();  // term to `[place, count]` of the documents that hold it
    counts.forEach((held, place) => {
      for (const [term, count] of held) {
        if (!this.where.has(term)) this.where.set(term, []);
        this.where.get(term).push([place, count]);
      }
    });
  }

  /** One score a document, 0 for one that shares nothing with the request. */
  scores(query) {
    const scores = new Array(this.size).fill(0);
    for (const [term, weight] of terms(query)) {
      const holders = this.where.get(term) ?? [];
      const rarity = Math.log(1 + (this.size - holders.length + 0.5) / (holders.length + 0.5));
      for (const [place, count] of holders) {
        scores[place] += (weight * rarity * count * (1 + SATURATION)) / (count + this.norms[place]);
      }
    }
    return scores;
  }
}

export const toolIndex = (tools) => new WordIndex(tools.map(fields));
/** Word statistics of names and what is said of them, `[name, description]` each. */
export const wordIndex = (entries) => new WordIndex(entries.map(([name, description]) => [[NAME, name], [DESCRIPTION, description]]));

/** The text that tools are looked for with: the request, behind the last earlier turn of the user. */
export function searched(query, messages = []) {
  const told = messages.filter((turn) => turn.role === "user").map((turn) => said(turn.content || ""));
  return [...told.slice(-1), query].join(" ");
}

function weighted(fields) {
  const counts = new Map();
  for (const [weight, text] of fields) {
    for (const [term, count] of terms(text)) counts.set(term, (counts.get(term) ?? 0) + weight * count);
  }
  return counts;
}

/** A value in the words that Python says it with. */
export const said = (value) => (typeof value === "string" ? value : value === null ? "None" : compactExact(value));

function fields(tool) {
  const found = [[NAME, tool.name], [DESCRIPTION, tool.description ?? ""]], parameters = tool.parameters ?? {};
  for (const path of leaves(parameters)) {
    const schema = schemaAt(parameters, path);
    found.push([PARAMETER, `${path} ${said(schema.description || "")}`]);
    const listed = filled(schema.enum) ?? filled(schema.items?.enum) ?? [];
    for (const value of listed.slice(0, MOST_VALUES)) found.push([VALUE, said(value)]);
  }
  return found;
}

export const filled = (list) => (Array.isArray(list) && list.length ? list : null);

/** Dotted paths of a tool's arguments; nested objects with properties are opened (needle/tools/arguments.py). */
function leaves(parameters, names = Object.keys(parameters.properties ?? {}), prefix = "", depth = 0) {
  return names.flatMap((name) => {
    const inner = Object.keys(schemaAt(parameters, prefix + name).properties ?? {});
    return inner.length && depth < MOST_DEPTH ? leaves(parameters, inner, `${prefix}${name}.`, depth + 1) : [prefix + name];
  });
}

function schemaAt(parameters, path) {
  return path.split(".").reduce((schema, part) => {
    const properties = schema.properties ?? {};
    return plainSchema(Object.hasOwn(properties, part) ? properties[part] : {}, parameters);
  }, parameters);
}

/** A schema as one plain object: references followed, `allOf` merged, of alternatives and types the first that is not null. */
export function plainSchema(given, root, depth = 0) {
  let schema = isObject(given) ? given : {};
  for (let step = 0; step < (depth < MOST_STEPS ? MOST_STEPS : 0); step++) {
    const { $ref, anyOf, oneOf, allOf, ...rest } = schema, branches = filled(anyOf) ?? filled(oneOf);
    if (typeof $ref === "string") {
      const target = resolve($ref, root);
      schema = isObject(target) ? target : {};
    } else if (branches) {
      const real = branches.find((branch) => isObject(branch) && branch.type !== "null");
      schema = { ...rest, ...(allOf === undefined ? {} : { allOf }), ...real };
    } else if (filled(allOf)) {
      schema = allOf.reduce((whole, part) => ({ ...whole, ...plainSchema(part, root, depth + 1) }), rest);
    } else break;
  }
  if (!Array.isArray(schema.type)) return schema;
  return { ...schema, type: schema.type.find((kind) => kind !== "null") ?? "string" };  // of several the first that is one
}
