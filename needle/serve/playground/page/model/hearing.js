// What numbers, times and dates a request says: `hear` of needle/tools/grounding/hearing.py, by its patterns
// and tables.

import { clocks, months, ranges, relative } from "./moments.js";
import { legible, month, readable, readings, span, spans, two } from "./readings.js";
import { hearing, SPACE, wording } from "./tables.js";
import { matchAt, unitsAfter, unitsNamed } from "./units.js";
import { casefold } from "./words.js";

const { SMALL, FRACTIONS, POWERS, WORDS, FOREIGN_NUMBERS } = hearing, ALL = new Set(hearing.ALL);
const { ORDINALS, MOST_DIGITS } = wording;
const SHARE = [["share", 1]], UNSURE = { sure: false };
const BLANK = new RegExp(`[${SPACE}]*$`);

const amount = (said) => SMALL.get(said) ?? Number(said);
const counted = (said) => (said === "a" || said === "an" ? 1 : amount(said));

/**
 * Every value that a text may say: `{start, end, kind, value, units, sure}`. `today` (a `Date` in UTC, or null) settles
 * relative dates.
 */
export function hear(said, today = null) {
  const whole = legible(said), text = readable(whole), plain = readings(text);
  const [numbers, moments] = [true, false].map((yes) => plain.filter((one) => (one.kind === "number") === yes));
  numbers.push(...runs(text), ...points(text), ...fractions(text), ...powers(text), ...ordinals(text));
  const heard = [...numbers, ...foreign(whole), ...words(text)].map((one) => withUnit(one, text));
  heard.push(...spans(text, hearing.MONTH_ONLY, (match) => month(match.groups.mon), UNSURE));
  heard.push(...sums(heard, text));
  const days = ordinals(text).map((one) => ({ ...one, kind: "date", value: `--${two(one.value)}`, sure: false }));
  moments.push(...clocks(text), ...months(text), ...ranges(text), ...relative(text, today), ...days);
  return [...heard, ...moments].map((one) => ({ ...one, end: one.end - BLANK.exec(text.slice(one.start, one.end))[0].length }));
}

function withUnit(one, text) {
  let [units, end] = unitsAfter(text, one.end);
  const before = text[one.start - 1];
  if (!units.length && before && "€$£".includes(before)) {
    return { ...one, start: one.start - 1, units: unitsNamed(before) };
  }
  if (!units.length) {  // a word between: "30 US dollars", "4 full days"
    const match = matchAt(hearing.BETWEEN, text, one.end);
    if (match) [units, end] = unitsAfter(text, one.end + match[0].length - 1);
  }
  return units.length ? { ...one, end, units } : one;
}

/** "1 hour 20 minutes", "two kilos and a half", "a minute fifteen": neighbours in the larger's unit. */
function* sums(numbers, text) {
  const sure = numbers.filter((one) => one.sure);
  for (const first of numbers.filter((one) => one.units.length)) {
    for (const second of sure) {
      if (second.start < first.end || !matchAt(hearing.JOINED, text.slice(first.end, second.start), 0)) continue;
      for (const unit of first.units) {
        for (const more of parts(unit, second, text.slice(first.end, second.end))) {
          yield { ...first, end: second.end, value: first.value + more, units: [unit], sure: true };
        }
      }
    }
  }
}

/** What a second number may add to one of a unit. */
function parts([dimension, size], { value, units }, said) {
  const half = value > 0 && value < 1;
  if (units.length && !half) {
    const smaller = units.filter(([other, small]) => other === dimension && small < size);
    return smaller.map(([, small]) => (value * small) / size);
  }
  if (half && said.includes("and")) return [value];
  return ["time", "money"].includes(dimension) && value < 100 ? [value / (dimension === "money" ? 100 : 60)] : [];
}

function* runs(text) {
  for (const match of text.matchAll(hearing.RUN)) {
    const said = match[0].toLowerCase().split(/[ -]/), numbers = said.map((word) => SMALL.get(word)), joined = [];
    for (let at = 0; at < numbers.length; at++) {
      const pair = numbers[at] >= 20 && numbers[at + 1] > 0 && numbers[at + 1] < 10;
      joined.push(pair ? numbers[at] + numbers[++at] : numbers[at]);
    }
    for (const digits of joined.length > 1 ? [numbers.join(""), joined.join("")] : [numbers.join("")]) {
      if (digits.length <= MOST_DIGITS) yield span(match, Number(digits));
    }
    const [one, other] = joined;
    if (joined.length === 2 && other >= 10) yield* [span(match, one * 100 + other), span(match, one + other / 100)];
    let start = match.index;
    for (const [at, word] of said.entries()) {
      yield { ...span(match, numbers[at]), start, end: start + word.length };
      start += word.length + 1;
    }
  }
}

function points(text) {
  const digit = (word) => SMALL.get(word.toLowerCase()) ?? word, decimals = (said) => said.split(/\s+/).map(digit).join("");
  const plain = (match) => Number(match[0]);
  return [
    ...spans(text, hearing.POINT, ([, whole, rest]) => Number(`${digit(whole)}.${decimals(rest)}`)),
    ...spans(text, hearing.COMMA, ([, whole, rest]) => Number(`${whole}.${rest}`)),
    ...spans(text, hearing.EXPONENT, plain),
    ...spans(text, hearing.MINUS, (match) => -amount(match[1].toLowerCase())),
    ...spans(text, hearing.BEHIND_SIGN, plain, UNSURE),
    ...spans(text, hearing.BEFORE_LETTER, plain, UNSURE),
    ...spans(text, hearing.GROUPED, (match) => Number(match[0].replace(/\D/g, ""))),
  ];
}

function* fractions(text) {
  for (const match of text.matchAll(hearing.FRACTION)) {
    const { whole = "0", n = "1", f } = match.groups;
    const found = span(match, counted(whole.toLowerCase()) + counted(n.toLowerCase()) * FRACTIONS.get(f.toLowerCase()));
    const after = matchAt(hearing.OF_ONE, text, found.end);
    if (after) found.end += after[0].length - 1;
    yield { ...found, units: SHARE };
    if (after) yield found;
  }
  const ratios = spans(text, hearing.RATIO, (match) => match[1] / match[2], { units: SHARE });
  yield* ratios.filter((one) => Number.isFinite(one.value));
}

function* powers(text) {
  const count = ([, said, half, , more]) => counted(said.toLowerCase()) + (half || more ? 0.5 : 0);
  yield* spans(text, hearing.HALF_MORE, (match) => count(match) * POWERS.get(match[3].toLowerCase()));
  for (const match of text.matchAll(hearing.POWER)) {
    const said = match.groups.n.toLowerCase().replaceAll(",", "."), power = match.groups.p.toLowerCase();
    const times = said.startsWith("half") ? 0.5 : counted(said);
    yield span(match, times * POWERS.get(power), { sure: !["m", "k"].includes(power) });
  }
}

function ordinals(text) {
  const value = ([, digits, word]) => Number(digits) || ORDINALS.indexOf(word?.toLowerCase()) + 1;
  return Array.from(text.matchAll(hearing.ORDINAL), (match) => span(match, value(match), { sure: Boolean(match[1]) }));
}

function* foreign(text) {
  for (const match of text.matchAll(hearing.LETTERS)) {
    for (const value of FOREIGN_NUMBERS.get(casefold(match[0])) ?? []) yield span(match, value, UNSURE);
  }
}

function* words(text) {
  for (const match of text.matchAll(hearing.WORD)) {
    const word = match[0].toLowerCase();
    if (WORDS.has(word)) yield span(match, WORDS.get(word), UNSURE);
    if (ALL.has(word)) yield span(match, 1, UNSURE);
  }
}
