// What a request says of a number or text that is being written: needle/student/stated.py, feature for feature.

import { hear } from "./hearing.js";
import { todayIn } from "./moments.js";
import { standing } from "./place.js";
import { converted, unitsOfParameter } from "./units.js";
import { fold } from "./words.js";

const DIGITS = /^-?[\p{Nd}.]*/u;

/** A number as it is written in a call, six decimals at most; empty for one too large to be a number there. */
export function plainNumber(value) {
  if (!Number.isFinite(value)) return "";
  if (Number.isInteger(value)) return BigInt(value).toString();
  let fixed = value.toFixed(6);
  const between = Math.abs(value * 128) % 2 === 1;  // two numbers of six decimals: the even one counts
  if (between && /[13579]$/.test(fixed)) fixed = value.toFixed(7).slice(0, -1);
  const rounded = Number(fixed);
  if (Number.isInteger(rounded)) return BigInt(rounded).toString();
  return Math.abs(rounded) < 1e-4 ? rounded.toExponential().replace(/-(\d)$/, "-0$1") : String(rounded);
}

/** One request, asked about tokens of open values. */
export class Stated {
  /**
   * `text`: the request as tools are looked for with; `system`: its facts; `indexOf(entries)`: word statistics of
   * `[name, description]`.
   */
  constructor(text, system, indexOf) {
    this.text = `${text} `;
    this.folded = fold(this.text);
    this.system = system;
    this.indexOf = indexOf;
    this.kept = new Map();
    this.asked = new Map();
    this.found = this.texts = null;
  }

  /** What is heard, when it is first asked for. */
  get heard() { return this.found ??= hear(this.text, todayIn(this.system)); }

  /** Times, dates and numbers as texts. */
  get moments() {
    const said = ({ kind, value }) => (kind === "number" ? plainNumber(value) : value);
    return this.texts ??= this.heard.filter((one) => one.kind !== "month").map(said).filter(Boolean);
  }

  /** The numbers that a parameter may be meant to have, as they are written, and whether their unit is a wanted one. */
  numbers(key, schema) {
    const name = JSON.stringify([key, String(schema.description || "")]);
    if (!this.kept.has(name)) {
      const wanted = unitsOfParameter(key, schema), found = new Map();
      for (const { value, units } of this.heard.filter((one) => one.kind === "number")) {
        const all = units.flatMap((said) => wanted.map((unit) => converted(value, said, unit)));
        const fits = all.filter((one) => one !== null);
        for (const one of fits.length ? fits : [value]) {
          const text = plainNumber(Math.abs(one));
          if (text) found.set(text, found.get(text) || fits.length > 0);
        }
      }
      this.kept.set(name, found);
    }
    return this.kept.get(name);
  }

  /**
   * How much each parameter behind the one that is written is asked for: log(1 + lexical score) of its name and
   * description.
   */
  later({ key, tool }) {
    if (!this.asked.has(tool.name)) {
      const properties = Object.entries(tool.parameters.properties);
      const texts = properties.map(([name, schema]) => [name, String(schema?.description || "")]);
      const scores = this.indexOf(texts).scores(this.text);
      this.asked.set(tool.name, texts.map(([name], at) => [name, Math.log1p(scores[at])]));
    }
    const all = this.asked.get(tool.name);
    return all.slice(all.findIndex(([name]) => name === key) + 1);
  }

  /** `[said, unit, fresh, asked]` of the text of each token that may come next. */
  features(value, tokens) {
    const later = this.later(value);
    const judge = (token) => (value.number ? this.number(value, token) : this.word(value, token));
    return tokens.map((token) => [...judge(token), goesOn(value, token, later)]);
  }

  number({ key, schema, begun, used }, token) {
    const [body] = DIGITS.exec(token), written = (begun + body).replace(/^-+/, ""), known = this.numbers(key, schema);
    const hits = [...known.keys()].filter((text) => agrees(text, written, body.length < token.length));
    return [hits.length > 0, hits.some((text) => known.get(text)), hits.some((text) => !used.has(text))];
  }

  word({ begun, used }, token) {
    const [body] = token.split('"', 1), ends = body.length < token.length, written = fold(begun + body).trimStart();
    if (!written) return [!ends, false, false];
    const copied = standing(this.folded, written, 0, ends) >= 0;
    const said = copied || this.moments.some((text) => agrees(text, written, ends));
    return [said, false, said && ends && !used.has(written.trim())];
  }
}

const agrees = (text, written, ends) => (ends ? text === written : text.startsWith(written));

/** What is asked for most of the parameters to which a token goes on; 0 for one that stays, or ends the call. */
function goesOn({ number, listed }, token, later) {
  const quoted = token.indexOf('"');
  let rest = number ? token.slice(DIGITS.exec(token)[0].length) : quoted < 0 ? "" : token.slice(quoted + 1);
  if (listed) rest = rest.startsWith("]") ? rest.slice(1) : "";
  if (!rest.startsWith(",")) return 0;
  const begun = rest.slice(1).replace(/^"+/, "");
  return Math.max(0, ...later.filter(([key]) => key.startsWith(begun)).map(([, asked]) => asked));
}
