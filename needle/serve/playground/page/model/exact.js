// JSON whose numbers keep how they are written: `5.0` and `5` are told apart, as the model was trained on texts that do.

/** A number that remembers its spelling; `JSON.stringify` sees the plain number. */
class Spelled extends Number {
  constructor(text) { super(text); this.text = text; }
}

const TOKENS = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;
const MARK = "\u0000spelled:";

/** As `JSON.parse`; numbers with a point or an exponent become `Spelled`. */
export function parseExact(text) {
  const marked = text.replace(TOKENS, (token) => (token[0] !== '"' && /[.eE]/.test(token) ? JSON.stringify(MARK + token) : token));
  return JSON.parse(marked, (_, value) => (typeof value === "string" && value.startsWith(MARK) ? new Spelled(value.slice(MARK.length)) : value));
}

/** JSON without spaces, spelled numbers as they were written. */
export function compactExact(value) {
  if (value instanceof Spelled) return value.text;
  if (Array.isArray(value)) return `[${value.map(compactExact).join(",")}]`;
  if (value !== null && typeof value === "object") return `{${Object.entries(value).map(([key, item]) => `${JSON.stringify(key)}:${compactExact(item)}`).join(",")}}`;
  return JSON.stringify(value);
}

/** JSON by which equal values are the same text: keys in order, numbers by their value. */
export const canonical = (value) => JSON.stringify(value, (_, one) => {
  if (one === null || typeof one !== "object" || Array.isArray(one) || one instanceof Spelled) return one;
  return Object.fromEntries(Object.entries(one).sort(([a], [b]) => (a < b ? -1 : 1)));
});
