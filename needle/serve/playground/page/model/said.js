// Whether a text says a value: word for word, accents and case aside, by its words in other forms, by a code:
// needle/tools/grounding/said.py, by its tables.

import { hear } from "./hearing.js";
import { FIRST_LETTER, LAST_LETTER } from "./place.js";
import { legible, readable } from "./readings.js";
import { said as tables, SPACE } from "./tables.js";
import { casefold, fold, stem, STOP, WORD } from "./words.js";

const LETTER = /[\p{L}\p{N}]/gu, OTHERS = /[^\p{L}\p{N}]/gu, JOINT = /(?<=[a-z])(?=[A-Z])/;
const PIECES = new RegExp(`[\\p{L}\\p{N}_]+|[^\\p{L}\\p{N}_${SPACE}]`, "gu");
const WITHIN = /[\p{L}\p{N}_]$/u, GOES_ON = /^[\p{L}\p{N}_]/u;
const SYNTAX = /[\^$\\.*+?()[\]{}|/]/g;
const CODE = /^[A-Z]{3,5}$/, MOST_WORDS = 3;

const escaped = (text) => text.replace(SYNTAX, "\\$&");
const before = (text, at) => text.slice(Math.max(at - 2, 0), at);
const after = (text, at) => text.slice(at, at + 2);

/** Folded words of a text, `{word, start, end}`; joints of names (`camelCase`, `snake_case`) divide words. */
export function wordsOf(text) {
  const found = [];
  for (const match of text.matchAll(WORD)) {
    let start = match.index;
    for (const part of match[0].split(JOINT)) {
      found.push({ word: fold(part), start, end: start + part.length });
      start += part.length;
    }
  }
  return found;
}

/** Folded words that say something. */
export const wanted = (text) => wordsOf(text).map(({ word }) => word).filter((word) => !STOP.has(word));

/** Whether two folded words are forms of one. */
export function sameWord(one, other) {
  if (one === other) return true;
  const a = stem(one), b = stem(other);
  return a === b || (Math.min(a.length, b.length) >= 5 && (a.startsWith(b) || b.startsWith(a)));
}

/** A text in which values are looked for; what is found is a span, `[start, end]`, or null. What is heard is kept. */
export class Saying {
  /** `today`: what relative dates are counted from, a `Date` in UTC or null. */
  constructor(text, today = null) {
    this.text = text;
    this.today = today;
    this.folded = "";
    this.spans = [];  // of each unit of the folded text the letter of the text that it comes from
    let start = 0;
    for (const letter of text) {
      const part = fold(letter), span = [start, start += letter.length];
      this.folded += part;
      for (let unit = 0; unit < part.length; unit++) this.spans.push(span);
    }
    this.kept = {};
  }

  get words() { return this.kept.words ??= wordsOf(this.text); }

  /** The text for patterns, every place as it is. */
  get readable() { return this.kept.readable ??= readable(legible(this.text)); }

  /** What `hear` finds, with relative dates and without. */
  get heard() { return this.kept.heard ??= hear(this.text, this.today); }
  get undated() { return this.kept.undated ??= hear(this.text); }

  get numbers() { return this.kept.numbers ??= this.heard.filter((one) => one.kind === "number"); }

  /** The span of the text that a stretch of the folded text comes from; null for an empty one. */
  span(start, end) { return end > start ? [this.spans[start][0], this.spans[end - 1][1]] : null; }

  /** The first match of a pattern's source in the folded text; where it `begins` or `ends` a word, of the whole word. */
  find(source, begins, ends, flags = "g") {
    const pattern = new RegExp(source, flags), { folded } = this;
    for (let found; (found = pattern.exec(folded)); pattern.lastIndex = found.index + 1) {
      const end = found.index + found[0].length;
      if (begins && WITHIN.test(before(folded, found.index))) continue;
      if (!(ends && GOES_ON.test(after(folded, end)))) return this.span(found.index, end);
    }
    return null;
  }

  /** Same letters in any case, accents, spacing, quotation marks, dashes; whole words. */
  said(value) {
    const pieces = fold(value).match(PIECES);
    if (!pieces) return null;
    const begins = FIRST_LETTER.test(pieces[0]), ends = LAST_LETTER.test(pieces.at(-1));
    const spaced = (dash) => pieces.map((piece) => (piece === "-" ? dash : escaped(piece))).join(`[${SPACE}]*`);
    const loose = () => (pieces.includes("-") ? this.find(spaced("[^\\p{L}\\p{N}_]?"), begins, ends, "gu") : null);
    return this.find(spaced("-"), begins, ends) ?? loose() ?? this.squeezed(value);
  }

  /** Letters and digits one after the other, and where each stands. */
  get letters() {
    if (!this.kept.letters) {
      const found = [...this.folded.matchAll(LETTER)];
      const places = found.flatMap((match) => Array.from(match[0].split(""), (_, at) => match.index + at));
      this.kept.letters = { text: found.map(([letter]) => letter).join(""), places };
    }
    return this.kept.letters;
  }

  /** An id in other spacing: `AB-1234` said as "AB 1234". */
  squeezed(value) {
    const plain = fold(value).replace(OTHERS, ""), { text, places } = this.letters;
    const start = [...plain].length >= 3 ? text.indexOf(plain) : -1;
    if (start < 0) return null;
    const first = places[start], end = places[start + plain.length - 1] + 1;
    const whole = !LAST_LETTER.test(before(this.folded, first)) && !FIRST_LETTER.test(after(this.folded, end));
    return whole ? this.span(first, end) : null;  // "Ann" is not said by "Anna"
  }

  /** The words of a text in other forms or order: all of them up to three, else `share` of them. */
  byWords(value, share = 0.75) {
    const asked = wanted(value);
    const hits = asked.map((item) => this.words.find(({ word }) => sameWord(word, item))).filter(Boolean);
    const enough = asked.length <= MOST_WORDS ? hits.length === asked.length : hits.length >= share * asked.length;
    if (!asked.length || !enough) return null;
    return [Math.min(...hits.map(({ start }) => start)), Math.max(...hits.map(({ end }) => end))];
  }

  /** The word that a code stands for: a known one, or letters of a name in order (`AKL`: Auckland). */
  byCode(value) {
    const [code] = fold(value).split(",");
    for (const word of tables.CODES.get(code)?.split(" ") ?? []) {
      const letters = FIRST_LETTER.test(word), span = this.find(escaped(word), letters, letters);
      if (span) return span;
    }
    if (!CODE.test(value)) return null;
    for (const [first, { word, start }] of this.words.entries()) {
      if (word[0] !== code[0] || word.length <= 2) continue;
      for (let last = first; last < Math.min(first + MOST_WORDS, this.words.length); last++) {
        const letters = this.words.slice(first, last + 1).map((one) => one.word).join("");
        if (inOrder(code, letters)) return [start, this.words[last].end];
      }
    }
    return null;
  }

  /** A word of a text, or a stretch of its letters. */
  byPart(part) {
    return this.byWords(part) ?? this.find(escaped(casefold(part)), false, false);
  }
}

/** Whether letters stand in a text one behind the other. */
function inOrder(letters, text) {
  let at = 0;
  return [...letters].every((letter) => (at = text.indexOf(letter, at) + 1) > 0);
}
