// Byte-level BPE as `tokenizers` does it (needle/student/tokenizer.py): text is split by one expression, bytes become
// letters, and pairs merge in the order of their ranks. Text never turns into special tokens.

/** Byte values as the printable characters that byte-level vocabularies are written in (GPT-2's table). */
function byteLetters() {
  const letters = new Array(256);
  let extra = 0;
  for (let byte = 0; byte < 256; byte++) {
    const printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    letters[byte] = String.fromCodePoint(printable ? byte : 256 + extra++);
  }
  return letters;
}

const LETTERS = byteLetters();
const BYTES = new Map(LETTERS.map((letter, byte) => [letter, byte]));
const LONE = /[\uD800-\uDBFF](?![\uDC00-\uDFFF])|(?<![\uD800-\uDBFF])[\uDC00-\uDFFF]/g;
const STRICT = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const KEPT = 20000;  // pieces whose tokens are remembered

export class Tokenizer {
  /** `file`: the parsed tokenizer.json. Throws where it is of another kind. */
  constructor(file) {
    const split = (file.pre_tokenizer?.pretokenizers ?? []).find((step) => step.type === "Split");
    if (file.model?.type !== "BPE" || !split || file.normalizer) throw new Error("tokenizer.json is not one of needle's");
    this.split = new RegExp(split.pattern.Regex, "gu");
    this.vocabulary = new Map(Object.entries(file.model.vocab));
    this.ranks = new Map(file.model.merges.map((pair, rank) => [(Array.isArray(pair) ? pair : pair.split(" ")).join("\0"), rank]));
    this.special = new Map(file.added_tokens.map((token) => [token.content, token.id]));
    const names = new Map(file.added_tokens.map((token) => [token.id, token.content]));
    this.size = 1 + Math.max(...this.vocabulary.values(), ...names.keys());
    /** Bytes of each token; null for special ones. */
    this.bytes = new Array(this.size).fill(null);
    for (const [text, id] of this.vocabulary) {
      if (!names.has(id)) this.bytes[id] = Uint8Array.from(text, (letter) => BYTES.get(letter));
    }
    this.names = names;
    this.encoder = new TextEncoder();
    this.pieces = new Map();
  }

  /** Whether a token is more than a single byte: such a one says where in a request it was copied from. */
  tells(id) { return this.bytes[id]?.length !== 1; }

  /** Token ids of plain text; half a surrogate pair becomes a question mark. */
  encode(text) {
    const ids = [];
    for (const [piece] of text.replace(LONE, "?").matchAll(this.split)) ids.push(...this.piece(piece));
    return ids;
  }

  /** Token ids of UTF-8 that may begin within a character; bytes of a character that does not end are left out. */
  encodeBytes(bytes) {
    let start = 0, end = bytes.length;
    while (start < end && (bytes[start] & 0xc0) === 0x80) start++;
    const head = bytes.slice(0, start).map((byte) => this.vocabulary.get(LETTERS[byte]));
    for (; ; end--) {
      try {
        return [...head, ...this.encode(STRICT.decode(Uint8Array.from(bytes.slice(start, end))))];
      } catch { /* the last character lacks a byte */ }
    }
  }

  piece(text) {
    let ids = this.pieces.get(text);
    if (!ids) {
      ids = this.merged(Array.from(this.encoder.encode(text), (byte) => LETTERS[byte])).map((part) => this.vocabulary.get(part));
      if (this.pieces.size >= KEPT) this.pieces.clear();
      this.pieces.set(text, ids);
    }
    return ids;
  }

  merged(parts) {
    while (parts.length > 1) {
      let best = Infinity, place = -1;
      for (let at = 0; at + 1 < parts.length; at++) {
        const rank = this.ranks.get(`${parts[at]}\0${parts[at + 1]}`);
        if (rank !== undefined && rank < best) [best, place] = [rank, at];
      }
      if (place < 0) break;
      parts.splice(place, 2, parts[place] + parts[place + 1]);
    }
    return parts;
  }

  /** Text of token ids, special tokens by their names. */
  decode(ids) {
    const texts = [];
    let bytes = [];
    const flush = () => { if (bytes.length) texts.push(new TextDecoder("utf-8", { ignoreBOM: true }).decode(Uint8Array.from(bytes))); bytes = []; };
    for (const id of ids) {
      if (this.bytes[id]) bytes.push(...this.bytes[id]);
      else { flush(); texts.push(this.names.get(id) ?? ""); }
    }
    flush();
    return texts.join("");
  }
}
