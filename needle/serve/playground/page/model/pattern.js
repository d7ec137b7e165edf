// Regular expressions of schemas as automata over code points, so that a text can be checked while it is written.
// Read: literals, classes, groups, alternatives, quantifiers, ^ and $ at the ends. Anything else throws `Unsupported`.

export class Unsupported extends Error {}

const ANY = [[0, 0x10ffff]];
const CLASSES = { d: [[48, 57]], w: [[48, 57], [65, 90], [95, 95], [97, 122]], s: [[9, 13], [32, 32], [160, 160], [0x2028, 0x2029], [0xfeff, 0xfeff]] };
const ESCAPES = { n: 10, r: 13, t: 9, f: 12, v: 11, 0: 0 };
const MOST_STATES = 20000;

function inverted(ranges) {
  const sorted = [...ranges].sort((a, b) => a[0] - b[0]), result = [];
  let next = 0;
  for (const [low, high] of sorted) {
    if (low > next) result.push([next, low - 1]);
    next = Math.max(next, high + 1);
  }
  if (next <= 0x10ffff) result.push([next, 0x10ffff]);
  return result;
}

class Reader {
  constructor(source) { [this.text, this.at] = [Array.from(source), 0]; }
  peek() { return this.text[this.at]; }
  take() { return this.text[this.at++]; }
  fail(what) { throw new Unsupported(`the pattern ${this.text.join("")} has ${what}`); }

  alternatives() {
    const found = [this.sequence()];
    while (this.peek() === "|") { this.take(); found.push(this.sequence()); }
    return found.length === 1 ? found[0] : { kind: "any", parts: found };
  }

  sequence() {
    const parts = [];
    while (this.at < this.text.length && this.peek() !== "|" && this.peek() !== ")") parts.push(this.quantified(this.atom()));
    return { kind: "all", parts };
  }

  atom() {
    const character = this.take();
    if (character === "(") {
      if (this.peek() === "?") this.group();
      const inner = this.alternatives();
      if (this.take() !== ")") this.fail("an open group");
      return inner;
    }
    if (character === "[") return { kind: "set", ranges: this.class() };
    if (character === ".") return { kind: "set", ranges: inverted([[10, 10], [13, 13], [0x2028, 0x2029]]) };
    if (character === "^") return { kind: "start" };
    if (character === "$") return { kind: "end" };
    if (character === "\\") return { kind: "set", ranges: this.escape() };
    if ("*+?".includes(character)) this.fail(`a ${character} after nothing`);
    return { kind: "set", ranges: [[character.codePointAt(0), character.codePointAt(0)]] };
  }

  /** What stands between `(?` and the inner of a group. */
  group() {
    this.take();
    const named = this.peek() === "<" && /[\p{L}_]/u.test(this.text[this.at + 1] ?? "");
    if (!named && this.take() !== ":") this.fail("a look-around");
    if (named) this.at = this.text.indexOf(">", this.at) + 1;
  }

  escape() {
    const letter = this.take();
    if (letter === undefined) this.fail("a lonely backslash");
    if (letter.toLowerCase() in CLASSES) return letter in CLASSES ? CLASSES[letter] : inverted(CLASSES[letter.toLowerCase()]);
    if (letter === "u" || letter === "x") {
      const length = letter === "u" ? 4 : 2, code = parseInt(this.text.slice(this.at, this.at + length).join(""), 16);
      if (Number.isNaN(code)) this.fail("a broken escape");
      this.at += length;
      return [[code, code]];
    }
    if (letter in ESCAPES) return [[ESCAPES[letter], ESCAPES[letter]]];
    if (/[\p{L}\p{N}]/u.test(letter)) this.fail(`\\${letter}`);
    return [[letter.codePointAt(0), letter.codePointAt(0)]];
  }

  class() {
    const not = this.peek() === "^" && Boolean(this.take()), ranges = [];
    while (this.peek() !== "]" || !ranges.length) {
      if (this.at >= this.text.length) this.fail("an open class");
      const low = this.one();
      if (low.length === 1 && low[0][0] === low[0][1] && this.peek() === "-" && this.text[this.at + 1] !== "]") {
        this.take();
        const high = this.one();
        ranges.push([low[0][0], high[0][1]]);
      } else ranges.push(...low);
    }
    this.take();
    return not ? inverted(ranges) : ranges;
  }

  one() {
    const character = this.take();
    return character === "\\" ? this.escape() : [[character.codePointAt(0), character.codePointAt(0)]];
  }

  quantified(part) {
    for (;;) {
      const next = this.peek();
      let low, high;
      if (next === "*") [low, high] = [0, Infinity];
      else if (next === "+") [low, high] = [1, Infinity];
      else if (next === "?") [low, high] = [0, 1];
      else if (next === "{") {
        const found = /^\{(\d+)(,(\d*))?\}/.exec(this.text.slice(this.at, this.at + 24).join(""));
        if (!found) return part;
        [low, high] = [+found[1], found[2] === undefined ? +found[1] : found[3] === "" ? Infinity : +found[3]];
        this.at += found[0].length - 1;
      } else return part;
      this.take();
      if (this.peek() === "?") this.take();  // lazy or not: the same texts
      part = { kind: "repeat", part, low, high };
    }
  }
}

/** An automaton: `states[i]` is `{to, ranges, next}`; ranges null where the steps `next` need no character. */
export class Pattern {
  constructor(source) {
    const reader = new Reader(source);
    const tree = reader.alternatives();
    if (reader.at < reader.text.length) reader.fail("a bracket too many");
    this.states = [];
    this.final = this.add(null, []);
    const free = (next) => { const loop = this.add(null, []); this.states[loop].next = [next, this.add(ANY, [loop])]; return loop; };
    const branches = (tree.kind === "any" ? tree.parts : [tree]).map((branch) => {
      let parts = branch.kind === "all" ? [...branch.parts] : [branch];
      const first = parts[0]?.kind === "start", last = parts.at(-1)?.kind === "end";
      parts = parts.slice(first ? 1 : 0, last ? -1 : undefined);
      const body = this.build({ kind: "all", parts }, last ? this.final : free(this.final));
      return first ? body : free(body);
    });
    this.start = this.closed(branches);
    this.left = this.distances();
  }

  add(ranges, next) {
    if (this.states.length >= MOST_STATES) throw new Unsupported("a pattern is too large");
    return this.states.push({ ranges, next }) - 1;
  }

  /** State from which `tree` and then `next` is read. */
  build(tree, next) {
    if (tree.kind === "set") return this.add(tree.ranges, [next]);
    if (tree.kind === "all") return tree.parts.reduceRight((after, part) => this.build(part, after), next);
    if (tree.kind === "any") return this.add(null, tree.parts.map((part) => this.build(part, next)));
    if (tree.kind !== "repeat") throw new Unsupported("^ or $ stands in the middle of a pattern");
    let after = next;
    if (tree.high === Infinity) {
      after = this.add(null, []);
      this.states[after].next = [this.build(tree.part, after), next];
    } else for (let count = tree.low; count < tree.high; count++) after = this.add(null, [this.build(tree.part, after), next]);
    for (let count = 0; count < tree.low; count++) after = this.build(tree.part, after);
    return after;
  }

  closed(states) {
    const found = new Set(), waiting = [...states];
    while (waiting.length) {
      const state = waiting.pop();
      if (found.has(state)) continue;
      found.add(state);
      if (this.states[state].ranges === null) waiting.push(...this.states[state].next);
    }
    return [...found].filter((state) => this.states[state].ranges !== null || state === this.final);
  }

  /** Fewest characters from each state to the end. */
  distances() {
    const left = this.states.map(() => Infinity);
    left[this.final] = 0;
    for (let changed = true; changed;) {
      changed = false;
      this.states.forEach(({ ranges, next }, state) => {
        const found = Math.min(...next.map((to) => left[to]), Infinity) + (ranges === null ? 0 : 1);
        if (found < left[state]) [left[state], changed] = [found, true];
      });
    }
    return left;
  }

  /** States after a character from which `room` more reach the end; empty where none fits. */
  step(states, code, room = Infinity) {
    const next = [];
    for (const state of states) {
      const { ranges, next: to } = this.states[state];
      if (ranges?.some(([low, high]) => code >= low && code <= high)) next.push(...to);
    }
    return next.length ? this.closed(next).filter((state) => this.left[state] <= room) : [];
  }

  /** Whether some character of `low`..`high` fits. */
  some(states, low, high, room = Infinity) {
    return states.some((state) => this.left[state] - 1 <= room && this.states[state].ranges?.some(([from, to]) => from <= high && to >= low));
  }

  accepts(states) { return states.includes(this.final); }
}
