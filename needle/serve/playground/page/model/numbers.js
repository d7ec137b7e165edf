// Whether the beginning of a JSON number can still become one that a schema allows. Exact: values are integers of millionths.

const DIGITS = 6;  // decimals that are written at most, as needle/student/grammar.py bounds them (SMALLEST_STEP)
const ONE = 10n ** BigInt(DIGITS);
const MOST = 10 ** 12;
const LONGEST = 13;  // digits before the point: no bound is larger than MOST, or twice a bound of the schema

const scaled = (value) => {
  const [whole, decimals = ""] = Number(value).toFixed(DIGITS).split(".");
  return BigInt(whole.replace("-", "") + decimals) * (Object.is(Math.sign(value), -1) ? -1n : 1n);
};

/** Bounds of a schema: `{low, high, step, whole}` in millionths, both ends included. */
export function bounds(schema, whole) {
  const unit = whole ? ONE : 1n;
  let step = unit;
  if (typeof schema.multipleOf === "number" && schema.multipleOf > 0) {
    const wanted = scaled(schema.multipleOf);
    if (wanted > 0n) step = wanted % unit === 0n ? wanted : wanted * unit;
  }
  const low = pick(schema.minimum, schema.exclusiveMinimum, 1n), high = pick(schema.maximum, schema.exclusiveMaximum, -1n);
  const widest = (bound) => Math.max(MOST, bound === null ? 0 : 2 * Math.abs(Number(bound / ONE)));
  return { low: low ?? scaled(-widest(high)), high: high ?? scaled(widest(low)), step, whole };
}

function pick(including, excluding, shift) {
  const found = [];
  if (typeof including === "number") found.push(scaled(including));
  if (typeof excluding === "number") found.push(scaled(excluding) + shift);
  return found.length === 0 ? null : found.reduce((a, b) => ((shift > 0n ? a > b : a < b) ? a : b));
}

/** Whether a multiple of `step` lies in `from`..`to` and within the bounds. */
function holds({ low, high, step }, from, to) {
  const least = from > low ? from : low, most = to < high ? to : high;
  if (least > most) return false;
  let multiple = (most / step) * step;
  if (multiple > most) multiple -= step;  // division rounds towards zero
  return multiple >= least;
}

/** Of the magnitudes `from`..`to` with a sign. */
const signed = (limits, negative, from, to) => (negative ? limits.low < 0n && holds(limits, -to, -from) : holds(limits, from, to));

const NUMBER = /^-?(0|[1-9]\d*)?(\.\d*)?$/;

/** Whether `text` is a whole number of JSON within the limits. */
export function complete(text, limits) {
  if (!/^-?(0|[1-9]\d*)(\.\d+)?$/.test(text)) return false;
  const [whole, decimals = ""] = text.replace("-", "").split(".");
  if (!limits.whole && text.startsWith("-0") && !/[1-9]$/.test(decimals)) return false;  // as llguidance: no -0 but among whole numbers, and -0.5 rather than -0.50
  const value = BigInt(whole + decimals.padEnd(DIGITS, "0"));
  return signed(limits, text.startsWith("-"), value, value);
}

/** Whether `text` is one already or can become one. */
export function possible(text, limits) {
  if (!NUMBER.test(text) || (limits.whole && text.includes("."))) return false;
  const negative = text.startsWith("-"), [whole, decimals] = text.replace("-", "").split(".");
  if (decimals !== undefined) {
    if (whole === "" || decimals.length > DIGITS) return false;
    const rest = 10n ** BigInt(DIGITS - decimals.length), from = BigInt(whole + decimals) * rest;
    if (negative && whole === "0" && decimals.length === DIGITS && decimals.endsWith("0")) return false;
    return signed(limits, negative, negative && from === 0n ? 1n : from, from + rest - 1n);
  }
  if (whole === "") return signed(limits, negative, 0n, 10n ** BigInt(LONGEST + DIGITS + 6));
  const value = BigInt(whole), tail = limits.whole ? 0n : ONE - 1n;
  if (whole === "0") return signed(limits, negative, negative && !limits.whole ? 1n : 0n, tail);
  for (let more = 0, grown = 1n; whole.length + more <= LONGEST + 6; more++, grown *= 10n) {
    if (signed(limits, negative, value * grown * ONE, (value * grown + grown - 1n) * ONE + tail)) return true;
  }
  return false;
}
