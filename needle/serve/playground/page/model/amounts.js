// What a number comes from, in the unit that its parameter wants: `number_heard` and below of
// needle/tools/grounding/ground.py.

import { ground, units as tables } from "./tables.js";
import { converted, matchAt, unitsOfParameter } from "./units.js";

const RANGE = new RegExp(`^(?:${ground.RANGE.source})$`, "i");
const WIDEST = 50;  // range of whole numbers of which one is meant
/** Sizes of the units that a parameter may want without saying so. */
const SIZES = { time: new Set(), share: new Set() };
for (const [dimension, size] of [...tables.BY_NAME.values()].flat()) SIZES[dimension]?.add(size);
const says = (pattern, text) => text.search(pattern) >= 0;

/** The number heard in a `Saying` that is a value of a parameter; sure ones first, of these the longest. */
export function numberHeard(given, { name, schema }, request) {
  const value = given.valueOf(), units = unitsOfParameter(name, schema), text = request.readable;
  const longest = [...request.numbers].sort((a, b) => (a.start - a.end) - (b.start - b.end));
  const less = (one) => says(ground.LESS, text.slice(0, one.start)) || matchAt(ground.LESS_AFTER, text, one.end);
  const is = (one, number) => means(one, number, units, schema);
  const fits = (one) => is(one, value) || (value < 0 && less(one) && is(one, -value));
  return longest.find((one) => one.sure && fits(one)) ?? longest.find((one) => !one.sure && fits(one)) ?? null;
}

/** Whether a heard number, in its unit, is a value of a parameter that wants some units. */
function means({ value: heard, units }, value, wanted, schema) {
  const is = (number) => close(number, value, schema);
  const pairs = units.flatMap((said) => wanted.filter(([other]) => other === said[0]).map((unit) => [said, unit]));
  if (pairs.length) return pairs.some(([said, unit]) => is(converted(heard, said, unit)));
  if (is(heard)) return true;
  const percent = units.some(([dimension, size]) => dimension === "share" && size === 0.01);
  if (percent && is(heard / 100)) return Math.abs(value) <= 1;
  if (units.length && !wanted.length) {
    const other = ([dimension, size]) => [...SIZES[dimension] ?? []].some((one) => is((heard * size) / one));
    return units.some(other) || ofRange(heard, units, value, schema);
  }
  for (const [dimension, size] of units.length ? [] : wanted) {
    if (dimension === "money" && is(heard / size)) return true;
    const shared = dimension === "share" && ((size === 1 && heard > 1) || (size < 1 && heard < 1));
    if (shared && is(heard / 100 / size)) return true;
  }
  return ofRange(heard, units, value, schema);
}

/** A share of a scale: "halfway" on 0 to 100, "a quarter" on 0 to 255. */
function ofRange(heard, units, value, schema) {
  const top = schema.maximum === undefined ? 100 : schema.maximum?.valueOf();
  const shares = units.filter(([dimension]) => dimension === "share").map(([, size]) => heard * size);
  return typeof top === "number" && shares.some((share) => close(share * top, value, schema));
}

function close(one, other, schema) {
  const slack = schema.type === "integer" && Math.abs(one) > 20 && !Number.isInteger(one) ? 0.51 : 0;
  const most = Math.max(slack, 1e-6 * Math.max(Math.abs(one), Math.abs(other)), 1e-12);
  return Math.abs(one - other) <= most || rounded(one) === other;
}

/** To two decimals; between two of them the even one. */
function rounded(value) {
  const fixed = value.toFixed(2), between = Math.abs(value * 8) % 2 === 1;
  return Number(between && /[13579]$/.test(fixed) ? value.toFixed(3).slice(0, -1) : fixed);
}

/** A bound of the schema with a word that means it, a number between two that span a range, one of all. */
export function implied(given, schema, request) {
  const value = given.valueOf(), text = request.readable, numbers = request.numbers.filter((one) => one.sure);
  const bounds = [schema.minimum?.valueOf(), schema.maximum?.valueOf(), 0, 100];
  if (bounds.includes(value) && says(ground.BOUNDS, text)) return true;
  if (given instanceof Number) return false;  // written with a point
  const spans = (low, high) => low.value < value && value < high.value && high.value <= low.value + WIDEST;
  const between = (low, high) => high.start >= low.end && RANGE.test(text.slice(low.end, high.start));
  if (numbers.some((low) => numbers.some((high) => spans(low, high) && between(low, high)))) return true;
  return says(ground.ALL, text) && value > 0 && value <= Math.max(0, ...numbers.map((one) => one.value));
}
