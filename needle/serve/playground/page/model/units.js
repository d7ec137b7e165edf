// Units of measure: which one a number has, which one a parameter wants, and the number in it:
// needle/tools/grounding/units.py.

import { readable } from "./readings.js";
import { units } from "./tables.js";
import { casefold } from "./words.js";

const { BY_NAME } = units, SHORT = new Set(units.SHORT);
const sticky = new Map();

/** The match of a pattern that begins at a place; null where there is none. */
export function matchAt(pattern, text, at) {
  if (!sticky.has(pattern)) sticky.set(pattern, new RegExp(pattern.source, pattern.flags.replace("g", "y")));
  const found = sticky.get(pattern);
  found.lastIndex = at;
  return found.exec(text);
}

/** `[dimension, size]` of each unit that a word may be, its plural included. */
export function unitsNamed(said) {
  const word = casefold(said).replace(/^[ .-]+|[ .-]+$/g, "");
  const form = [/$/, /s$/, /es$/, /en$/].map((ending) => word.replace(ending, "")).find((one) => BY_NAME.has(one));
  return BY_NAME.get(form) ?? [];
}

/** Units said right after a number that ends at `end`, and where they end. */
export function unitsAfter(text, end) {
  const match = matchAt(units.AFTER, text, end);
  return match ? [unitsNamed(match[0]), end + match[0].length] : [[], end];
}

function namedIn(name, description) {
  let parts = (name.match(units.PARTS) ?? []).map(casefold);
  if (parts.includes("per")) {  // hours_per_day counts hours
    parts = parts.slice(0, parts.indexOf("per"));
    if (parts.length === 1 && unitsNamed(parts[0]).length) return unitsNamed(parts[0]);
  }
  const last = parts.slice(1).reverse().map(unitsNamed).find((found) => found.length);
  if (last) return last;  // a unit stands at the end: weight_kg, timeoutMs
  const whole = parts.length === 1 && (parts[0].length > 2 || SHORT.has(parts[0])) ? unitsNamed(parts[0]) : [];
  if (whole.length) return whole;
  const text = readable(description.toLowerCase());
  const said = [...text.matchAll(units.SAID_IN)].map((match) => match[1].replace(/^whole /, "").replace(/^full /, ""));
  const found = said.flatMap(unitsNamed);
  if (found.length) return found;
  const device = (word, [dimension]) => word === "meter" && dimension === "length";
  return (text.match(units.LONG_WORD) ?? []).flatMap((word) => unitsNamed(word).filter((unit) => !device(word, unit)));
}

/** Units that a parameter may want by its name and description; empty where it does not say. */
export function unitsOfParameter(name, schema) {
  const found = namedIn(name, String(schema.description || ""));
  const top = (schema.maximum === undefined ? schema.exclusiveMaximum : schema.maximum)?.valueOf();
  const share = schema.type === "number" && ["number", "boolean"].includes(typeof top) && top <= 1;
  return share ? [...found, ["share", 1]] : found;
}

/** A number in another unit of its dimension; null across dimensions. */
export function converted(value, [dimension, size], [wanted, other]) {
  if (dimension !== wanted) return null;
  if (dimension !== "degree") return (value * size) / other;
  const celsius = [value, (value - 32) / 1.8, value - 273.15][size - 1];
  return [celsius, celsius * 1.8 + 32, celsius + 273.15][other - 1];
}
