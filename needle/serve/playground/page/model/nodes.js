// Pieces of a grammar over bytes. A node takes a byte and gives the nodes that may follow; `then` is what comes after it.

import { complete, possible } from "./numbers.js";

const NONE = [];
const encoder = new TextEncoder();

/** A function without arguments that is computed once. */
export function once(make) {
  let found = null;
  return () => (found ??= make());
}

/** Nodes that read exactly this text, then go on. */
export const literal = (text, then) => (text ? [new Literal(encoder.encode(text), 0, then)] : then());

class Literal {
  constructor(bytes, at, then) { this.bytes = bytes; this.at = at; this.then = then; }
  step(byte) {
    if (this.bytes[this.at] !== byte) return NONE;
    return this.at + 1 === this.bytes.length ? this.then() : [new Literal(this.bytes, this.at + 1, this.then)];
  }
}

const ESCAPED = { 34: 34, 92: 92, 98: 8, 102: 12, 110: 10, 114: 13, 116: 9 };
const ESCAPES = Object.values(ESCAPED);
const HEX = /^[0-9a-fA-F]$/;

/** The inner of a JSON string and its closing quote. `rule`: `{least, most, pattern, unlike}`: lengths in characters, texts that it is not. */
export class Text {
  constructor(rule, then, count = 0, states = rule.pattern ? rule.pattern.start : null, part = null, said = "") {
    this.rule = rule; this.then = then; this.count = count; this.states = states; this.part = part; this.said = said;
  }

  /** Between characters, and with room for `more` of them without any rule but the length. */
  roomy(more) { return this.part === null && !this.rule.pattern && !this.rule.unlike?.size && this.count + more < this.rule.most; }

  /** Characters that may follow the next one. */
  get room() { return this.rule.most - this.count - 1; }

  with(part) { return [new Text(this.rule, this.then, this.count, this.states, part, this.said)]; }

  /** Inside a character of `low`..`high`, where the pattern takes one. */
  lead(left, code, low = 128, high = 191) {
    const first = (code << 6) | (low & 63), last = (code << 6) | (high & 63), bits = 6 * (left - 1);
    if (this.rule.pattern && !this.rule.pattern.some(this.states, first << bits, ((last + 1) << bits) - 1, this.room)) return NONE;
    return this.with({ left, code, low, high });
  }

  step(byte) {
    if (this.part) return this.inside(byte);
    if (byte === 34) return this.whole() ? this.then() : NONE;
    if (this.count >= this.rule.most || byte < 32 || byte === 127) return NONE;
    if (byte === 92) return ESCAPES.some((code) => this.takes(code)) ? this.with({ escape: true }) : NONE;
    if (byte < 128) return this.character(byte);
    if (byte >= 0xc2 && byte <= 0xdf) return this.lead(1, byte & 31);
    if (byte >= 0xe0 && byte <= 0xef) return this.lead(2, byte & 15, byte === 0xe0 ? 160 : 128, byte === 0xed ? 159 : 191);
    if (byte >= 0xf0 && byte <= 0xf4) return this.lead(3, byte & 7, byte === 0xf0 ? 144 : 128, byte === 0xf4 ? 143 : 191);
    return NONE;
  }

  inside(byte) {
    const part = this.part;
    if (part.escape) {
      if (byte in ESCAPED) return this.character(ESCAPED[byte]);
      return byte === 117 && this.controls() ? this.with({ hex: "" }) : NONE;
    }
    if (part.hex !== undefined) return this.hex(part.hex + String.fromCharCode(byte));
    if (byte < part.low || byte > part.high) return NONE;
    const code = (part.code << 6) | (byte & 63);
    return part.left === 1 ? this.character(code) : this.lead(part.left - 1, code);
  }

  /** `\uXXXX` of control characters only: anything else is written as itself, and half a surrogate pair is no text. */
  hex(digits) {
    if (!HEX.test(digits.at(-1)) || !"00".startsWith(digits.slice(0, 2)) || (digits.length > 2 && !"01".includes(digits[2]))) return NONE;
    return digits.length < 4 ? this.with({ hex: digits }) : this.character(parseInt(digits, 16));
  }

  takes(code) { return !this.rule.pattern || this.rule.pattern.some(this.states, code, code, this.room); }

  controls() { return !this.rule.pattern || this.rule.pattern.some(this.states, 0, 31, this.room); }

  whole() {
    const { least, pattern, unlike } = this.rule;
    return this.count >= least && (!pattern || pattern.accepts(this.states)) && !unlike?.has(this.said);
  }

  character(code) {
    const states = this.rule.pattern ? this.rule.pattern.step(this.states, code, this.room) : null;
    if (states?.length === 0) return NONE;
    return [new Text(this.rule, this.then, this.count + 1, states, null, this.rule.unlike ? this.said + String.fromCodePoint(code) : "")];
  }
}

/** A JSON number within limits; it ends where something else follows. */
export class Numeral {
  constructor(limits, then, text = "") { this.limits = limits; this.then = then; this.text = text; }
  step(byte) {
    const found = [];
    if ((byte >= 48 && byte <= 57) || byte === 45 || byte === 46) {
      const text = this.text + String.fromCharCode(byte);
      if (possible(text, this.limits)) found.push(new Numeral(this.limits, this.then, text));
    } else if (complete(this.text, this.limits)) for (const node of this.then()) found.push(...node.step(byte));
    return found;
  }
}

/** The end of a call's arguments: only special tokens follow. */
export const END = { step: () => NONE };

export function stepAll(nodes, byte) {
  if (nodes.length === 1) return nodes[0].step(byte);
  const found = [];
  for (const node of nodes) found.push(...node.step(byte));
  return found;
}

/** How many of some pieces (bytes, or null: what no grammar of bytes takes) may follow, one behind the other. */
export function fitting(nodes, pieces) {
  const wrong = pieces.findIndex((bytes) => !bytes || !(nodes = bytes.reduce((at, byte) => stepAll(at, byte), nodes)).length);
  return wrong < 0 ? pieces.length : wrong;
}
