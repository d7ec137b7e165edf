// The value that is being written at the end of a call's text: `open_value` of needle/student/leaning.py.

import { isObject } from "./rendering.js";
import { fold, plainSchema } from "./words.js";

/** A text that is being written, alone or in an array: its key, and the text so far. */
const TEXT = /"((?:[^"\\]|\\[^\n])*)":(?:\[(?:"(?:[^"\\]|\\[^\n])*",)*)?"((?:[^"\\]|\\[^\n])*)$/;
/** A number, likewise. */
const NUMBER = /"((?:[^"\\]|\\[^\n])*)":(?:\[(?:-?[\d.]+,)*)?(-?[\d.]*)$/;
const TEXTS = /"(?:[^"\\]|\\[^\n])*"/g, PIECES = /[^",:{}[\]]+/g;

/**
 * The text or number of a parameter of `tool` at which a call's text stands, null elsewhere: whether it is a `number`,
 * its `key` and `schema`, what is `begun` of it, the pieces `used` before it in small letters, the `tool`, and whether
 * it is `listed` in an array. A key of a nested object is another parameter.
 */
export function openValue(written, tool) {
  const properties = tool?.parameters?.properties ?? {}, text = TEXT.exec(written);
  const found = text ?? NUMBER.exec(written);
  if (!found || !Object.hasOwn(properties, found[1]) || depth(written.slice(0, found.index)) !== 1) return null;
  const [, key, begun] = found, schema = properties[key];
  if (!text && !takesNumbers(schema, tool.parameters)) return null;
  const before = written.slice(0, written.length - begun.length), used = new Set(fold(before).match(PIECES));
  const listed = written[found.index + key.length + 3] === "[";  // behind "key":
  return { number: !text, key, schema: isObject(schema) ? schema : {}, begun, used, tool, listed };
}

function takesNumbers(given, root) {
  const schema = plainSchema(given, root), items = isObject(schema.items) ? schema.items.type : null;
  return schema.enum === undefined && [schema.type, items].some((one) => one === "integer" || one === "number");
}

/** Objects that are open at the end of a call's text. */
function depth(written) {
  const bare = written.replace(TEXTS, "");
  return bare.split("{").length - bare.split("}").length;
}
