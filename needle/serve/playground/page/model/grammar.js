// What may be written next, in tokens: `<none>`, or one to eight times `<call> name {arguments}`. The counterpart of
// needle/student/grammar.py (there with llguidance); a test compares the two token by token.

import { END, Text, fitting, literal, once, stepAll } from "./nodes.js";
import { argumentsNodes } from "./values.js";

export const MOST_CALLS = 8;
const TEXT_ENDINGS = ['"', '"}', '"]'], STRUCTURE_ENDINGS = ["}", "]", ...TEXT_ENDINGS];
const LETTER = "z";  // allowed next only where free text is being written
const utf8 = new TextDecoder("utf-8", { fatal: true });

/** The tokens as a tree of their bytes; made once for a tokenizer. */
export class Vocabulary {
  constructor(tokenizer) {
    this.tokenizer = tokenizer;
    this.size = tokenizer.size;
    [this.call, this.none, this.eos] = ["<call>", "<none>", "<eos>"].map((name) => tokenizer.special.get(name));
    this.root = branch();
    this.rest = branch();  // tokens that do more in a string than to add whole characters
    this.plain = [];  // the others
    this.longest = 0;  // bytes
    tokenizer.bytes.forEach((bytes, id) => {
      if (!bytes) return;
      this.longest = Math.max(this.longest, bytes.length);
      plant(this.root, bytes, id);
      if (isPlain(bytes)) this.plain.push(id);
      else plant(this.rest, bytes, id);
    });
    const ids = (texts) => texts.map((text) => tokenizer.vocabulary.get(text)).filter((id) => id !== undefined);
    this.letter = tokenizer.vocabulary.get(LETTER);
    this.textEndings = ids(TEXT_ENDINGS);
    this.structureEndings = [this.eos, ...ids(STRUCTURE_ENDINGS)];
  }

  /** Of the allowed tokens those that close what is open; all of them where nothing can be closed. */
  closing(allowed) {
    const kept = new Uint8Array(this.size);
    let any = false;
    for (const id of allowed[this.letter] ? this.textEndings : this.structureEndings) if (allowed[id]) any = Boolean(kept[id] = 1);
    return any ? kept : allowed;
  }
}

const branch = () => ({ id: -1, next: new Map() });

function plant(root, bytes, id) {
  let at = root;
  for (const byte of bytes) {
    if (!at.next.has(byte)) at.next.set(byte, branch());
    at = at.next.get(byte);
  }
  at.id = id;
}

function isPlain(bytes) {
  if (bytes.some((byte) => byte < 32 || byte === 34 || byte === 92 || byte === 127)) return false;
  try { utf8.decode(bytes); return true; } catch { return false; }
}

/** The grammar of a toolset; throws `Unsupported` for schemas that it cannot hold. */
export class Grammar {
  constructor(vocabulary, tools) {
    this.vocabulary = vocabulary;
    this.calls = once(() => tools.flatMap((tool) => literal(tool.name, once(() => argumentsNodes(tool)))));
    this.tools = tools;
  }

  /** A matcher at the start of an answer. */
  matcher() { return new Matcher(this); }
}

class Matcher {
  constructor(grammar) {
    this.grammar = grammar;
    this.vocabulary = grammar.vocabulary;
    this.count = 0;
    this.nodes = null;  // null: before the first token
    this.over = false;
  }

  /** Which tokens may come next: a byte for each, 1 where it may. */
  allowed() {
    const { vocabulary } = this, found = new Uint8Array(vocabulary.size);
    if (this.over) { found[vocabulary.eos] = 1; return found; }
    if (this.nodes === null) {
      found[vocabulary.none] = 1;
      if (this.grammar.tools.length) found[vocabulary.call] = 1;
      return found;
    }
    if (this.ended) {
      found[vocabulary.eos] = 1;
      if (this.count < MOST_CALLS) found[vocabulary.call] = 1;
    }
    const [only] = this.nodes;
    if (this.nodes.length === 1 && only instanceof Text && only.roomy(vocabulary.longest)) {
      for (const id of vocabulary.plain) found[id] = 1;
      mark(vocabulary.rest, this.nodes, found);
    } else mark(vocabulary.root, this.nodes, found);
    return found;
  }

  get ended() { return this.nodes !== null && this.nodes.includes(END); }

  consume(id) {
    const { vocabulary } = this;
    if (id === vocabulary.none) this.over = true;
    else if (id === vocabulary.call) [this.nodes, this.count] = [this.grammar.calls(), this.count + 1];
    else if (id === vocabulary.eos) this.over = true;
    else for (const byte of vocabulary.tokenizer.bytes[id]) this.nodes = stepAll(this.nodes, byte);
    if (this.nodes !== null && this.nodes.length === 0) throw new Error("a token was taken that the grammar does not allow");
  }

  /** How many of some tokens may come now, one behind the other; marks like `<call>` are not asked for. */
  fitting(ids) { return fitting(this.nodes ?? [], ids.map((id) => this.vocabulary.tokenizer.bytes[id])); }

  /** Tokens that must come now, taken; none that a longer token could still replace. */
  forced() {
    if (this.over || this.nodes === null) return [];
    const bytes = [];
    let nodes = this.nodes;
    for (;;) {
      const only = onlyByte(nodes);
      if (only === null) break;
      bytes.push(only);
      nodes = stepAll(nodes, only);
    }
    if (!bytes.length) return [];
    const tokens = this.vocabulary.tokenizer.encodeBytes(bytes);
    const kept = this.chopped(tokens, bytes, nodes);
    for (const id of kept) this.consume(id);
    return kept;
  }

  /** Without the last tokens of which some longer token could take the place. */
  chopped(tokens, bytes, nodes) {
    const { root, longest, tokenizer } = this.vocabulary;
    let cut = 0;
    for (let length = 1; length <= Math.min(bytes.length, longest - 1); length++) {
      let at = root;
      for (const byte of bytes.slice(bytes.length - length)) { at = at?.next.get(byte); if (!at) break; }
      if (at && extends_(at, nodes)) cut = length;
    }
    const kept = [...tokens];
    for (let left = cut; left > 0;) left -= tokenizer.bytes[kept.pop()].length;
    return kept;
  }
}

/** Whether some token goes on from here in a way that the nodes allow. */
function extends_(tree, nodes) {
  for (const [byte, below] of tree.next) {
    const next = stepAll(nodes, byte);
    if (next.length && (below.id >= 0 || extends_(below, next))) return true;
  }
  return false;
}

function mark(tree, nodes, found) {
  for (const [byte, below] of tree.next) {
    const next = stepAll(nodes, byte);
    if (!next.length) continue;
    if (below.id >= 0) found[below.id] = 1;
    if (below.next.size) mark(below, next, found);
  }
}

/** The one byte that may follow, or null where there are several, or where special tokens may follow. */
function onlyByte(nodes) {
  if (nodes.includes(END) || nodes.some((node) => node instanceof Text && node.roomy(0))) return null;
  let only = null;
  for (let byte = 0; byte < 256; byte++) {
    if (!stepAll(nodes, byte).length) continue;
    if (only !== null) return null;
    only = byte;
  }
  return only;
}
