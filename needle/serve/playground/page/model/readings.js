// Every plain number, time and date of a text: `readings` of needle/tools/grounding/wording.py, by its
// patterns and tables.

import { hearing, wording } from "./tables.js";

const { UNITS, MONTHS, ORDINALS, LETTERS, MOST_IN_WORDS } = wording, { SMALL } = hearing;
const DIGIT = /\p{Nd}/u, DIGITS = /(?![0-9])\p{Nd}/gu;
const UNUSED = /(?![\0-\x7fµμ²³])[\p{L}\p{N}]/gu;  // letters and numbers that stand in no pattern

export const two = (number) => String(number).padStart(2, "0");
export const wrapped = (number, most) => ((number % most) + most) % most;
export const month = (name) => MONTHS.findIndex((one) => one.startsWith(name.toLowerCase().slice(0, 3))) + 1;
export const hourOf = (text) => (/^\d/.test(text) ? Number(text) : UNITS.indexOf(text.toLowerCase()));

/** A text as it is read: digits and letters of other scripts as those of English, endless numbers as letters. */
export function legible(text) {
  const plain = text.replace(DIGITS, digit).replace(/[ſıİ\u212a]/g, (letter) => LETTERS.get(letter));
  return plain.replace(wording.ENDLESS, (found) => "x".repeat(found.length));
}

/** A legible text for the patterns, every place as it was. */
export const readable = (text) => text.replace(UNUSED, (letter) => "ª".repeat(letter.length));

/** The ASCII digit of another script's: digits stand in runs, each from 0 to 9. */
function digit(letter) {
  const code = letter.codePointAt(0);
  let first = code;
  while (DIGIT.test(String.fromCodePoint(first - 1))) first--;
  return String((code - first) % 10);
}

/** What is said at a match: `{start, end, kind, value, units, sure}`. */
export function span(match, value, more = {}) {
  const start = match.index, end = start + match[0].length;
  return { start, end, kind: "number", value, units: [], sure: true, ...more };
}

/** What each match of a pattern says. */
export function spans(text, pattern, valueOf, more = {}) {
  return Array.from(text.matchAll(pattern), (match) => span(match, valueOf(match), more));
}

/** Every plain number, time and date of a readable text. */
export const readings = (text) => [...readDates(text), ...readTimes(text), ...readNumbers(text)];

function* readNumbers(text) {
  for (const match of text.matchAll(wording.DIGITS)) {
    const digits = match[0].replaceAll(",", "").toLowerCase();
    yield span(match, Number(digits.replace("k", "")) * (digits.endsWith("k") ? 1000 : 1));
  }
  for (const match of text.matchAll(wording.NUMBER_WORDS)) {
    let total = 0, current = 0;
    for (const word of match[0].toLowerCase().split(/[\s-]+/)) {
      if (SMALL.has(word)) current += SMALL.get(word);
      else if (word === "hundred") current = Math.max(current, 1) * 100;
      else if (word === "thousand") [total, current] = [total + Math.max(current, 1) * 1000, 0];
    }
    if (total + current < MOST_IN_WORDS) yield span(match, total + current);
  }
}

/** Hours of the day that an hour may mean. */
function hours(text, said) {
  const hour = hourOf(text);
  if (hour > 24 || (said && hour > 12)) return [];
  if (!said) return hour > 0 && hour <= 12 ? [hour % 24, (hour + 12) % 24] : [hour % 24];
  const part = said.toLowerCase().replaceAll(".", "");
  if ((part.startsWith("a") && part !== "at night") || part.endsWith("morning")) return [hour % 12];
  if (part === "at night" || part === "tonight") return [hour === 12 || hour < 5 ? hour % 12 : hour + 12];
  return [(hour % 12) + 12];
}

function readTimes(text) {
  const found = [], length = ({ start, end }) => end - start;
  const add = (match, hour, minute) => found.push(span(match, `${two(hour)}:${two(minute)}`, { kind: "time" }));
  for (const match of text.matchAll(wording.CLOCK)) {
    for (const hour of hours(match.groups.h, match.groups.part)) add(match, hour, Number(match.groups.m));
  }
  for (const match of text.matchAll(wording.HOUR_ONLY)) {
    for (const hour of hours(match.groups.h, match.groups.part || match.groups.part2)) add(match, hour, 0);
  }
  for (const match of text.matchAll(wording.PAST)) {
    const how = match.groups.how.toLowerCase();
    for (const hour of hours(match.groups.h, match.groups.part)) {
      if (how.endsWith("to")) add(match, wrapped(hour - 1, 24), 45);
      else add(match, hour, how.includes("quarter") ? 15 : 30);
    }
  }
  for (const match of text.matchAll(wording.NAMED)) add(match, match[0].toLowerCase() === "midnight" ? 0 : 12, 0);
  const holds = (one, other) => one.start <= other.start && other.end <= one.end && length(one) > length(other);
  return found.filter((one) => !found.some((other) => holds(other, one)));  // of a place the longest stretch counts
}

/** The dates of a readable text. */
export function* readDates(text) {
  const date = (match, m, d) => span(match, `${match.groups.y ?? ""}-${two(m)}-${two(d)}`, { kind: "date" });
  for (const match of text.matchAll(wording.ISO)) yield date(match, Number(match.groups.m), Number(match.groups.d));
  for (const match of text.matchAll(wording.NUMERIC_DATE)) {
    const day = Number(match.groups.d), month = Number(match.groups.m);
    if (month <= 12) yield date(match, month, day);
    if (day <= 12 && day !== month) yield date(match, day, month);
  }
  for (const pattern of [wording.DAY_MONTH, wording.MONTH_DAY]) {
    for (const match of text.matchAll(pattern)) {
      const day = match.groups.d.toLowerCase(), number = ORDINALS.indexOf(day) + 1 || Number(day.replace(/\D/g, ""));
      yield date(match, month(match.groups.mon), number);
    }
  }
}
