// Where in a request the next call begins, and how near behind that each tool's words stand: needle/student/place.py.

import { fold, WORD } from "./words.js";

const REACH = 25;  // characters behind the last call after which a word counts 1/e
export const FIRST_LETTER = /^[\p{L}\p{N}]/u, LAST_LETTER = /[\p{L}\p{N}]$/u;
const VALUE = /"((?:[^"\\]|\\[^\n])*)"(:?)|(-?\p{Nd}[\p{Nd}.]*)/gu;  // a text (a key, where a colon follows) or number in a call's text

/** The texts and numbers that are arguments in the text of a call, as they are written there. */
export function valuesIn(call) {
  const found = [...call.slice(Math.max(call.indexOf("{"), 0)).matchAll(VALUE)];
  return found.filter(([, text, key, number]) => !key && (text || number)).map(([, text, , number]) => text || number);
}

/**
 * The first place from `start` on at which a folded text has these letters from the start of a word on, and, where it
 * `ends`, to the end of one; -1 where it does not.
 */
export function standing(text, written, start, ends = true) {
  for (let at = text.indexOf(written, start); at >= 0; at = text.indexOf(written, at + 1)) {
    const before = text.slice(Math.max(at - 2, 0), at), after = text.slice(at + written.length).slice(0, 2);
    const begins = !LAST_LETTER.test(before) || !FIRST_LETTER.test(written);
    if (begins && !(ends && FIRST_LETTER.test(after) && LAST_LETTER.test(written))) return at;
  }
  return -1;
}

/** The words of one request, and what each says for each tool. */
export class Places {
  /** `names` of the tools of `index`. */
  constructor(index, names, text) {
    this.names = names;
    this.folded = fold(text);
    this.pairs = [0];  // characters of two units before each place: reach is counted in characters
    for (let at = 0; at < this.folded.length; at++) {
      this.pairs.push(this.pairs[at] + Number(this.folded.codePointAt(at) > 0xffff));
    }
    this.words = [...this.folded.matchAll(WORD)].map((found) => ({
      start: found.index, end: found.index + found[0].length, scores: index.scores(found[0]),
    }));
    this.kept = new Map();
  }

  /** The character behind what `calls` (their texts, `name{...}`) were made from; 0 where there are none. */
  begin(calls) {
    let at = 0;
    for (const call of calls) {
      const ends = valuesIn(call).map((value) => fold(value).trim()).filter(Boolean).map((value) => {
        const place = standing(this.folded, value, at);
        return place < 0 ? at : place + value.length;
      });
      at = Math.max(at, ...ends, this.meant(call.split("{", 1)[0], at));
    }
    return at;
  }

  /** The end of the word behind `at` that speaks most for a tool, and for no other more; `at` where there is none. */
  meant(name, at) {
    const tool = this.names.indexOf(name);
    let best = { score: 0, end: at };
    for (const { start, end, scores } of tool < 0 ? [] : this.words) {
      if (start >= at && scores[tool] > best.score && scores[tool] >= Math.max(...scores)) best = { score: scores[tool], end };
    }
    return best.end;
  }

  /** The lexical score of each tool for the next call, words counting less the farther behind `calls` they stand. */
  near(calls) {
    const key = JSON.stringify(calls);
    if (!this.kept.has(key)) {
      const at = this.begin(calls), sums = this.names.map(() => 0), count = (place) => place - this.pairs[place];
      for (const { start, scores } of this.words) {
        if (start >= at) scores.forEach((score, tool) => { sums[tool] += score * Math.exp((count(at) - count(start)) / REACH); });
      }
      this.kept.set(key, sums);
    }
    return this.kept.get(key);
  }
}
