// Answers token by token, the likeliest each time: needle/student/decoding.py, and the writer of
// needle/student/alternatives.py. What goes on copying the request is guessed, and tried in one step with what it follows:
// the logits say at each place whether the guess is what would have been written, so no answer changes.

import { Unsupported } from "./pattern.js";

const WIND_DOWN = 256;  // answer tokens after which only what is open may be closed
const DRAFT = 4;  // most tokens that are guessed at a time
const UNLIKELY = -9;  // log-probability below which a token is no alternative

/** Writes answers to one request with one stepper, which goes back to where an answer leaves the one before. */
export class Writer {
  /**
   * `leaning`: what changes the logits, where there is anything; `most`: tokens of an answer; `request`: its tokens,
   * nothing is guessed without them.
   */
  constructor(stepper, grammar, leaning, most, request = []) {
    Object.assign(this, { stepper, grammar, leaning, most, request, vocabulary: grammar.vocabulary });
    this.begin = this.vocabulary.tokenizer.special.get("<bos>");
    this.told = [];  // tokens that the stepper has read
  }

  /**
   * The likeliest answer: `{ids, choices}`, of each choice `{place, chance, others}`: where it stands, its
   * log-probability among the allowed tokens, and the tokens that were nearly as likely, `{token, chance}`.
   */
  likeliest() { return this.finished(this.grammar.matcher(), [], []); }

  /** The answer that takes a turn. */
  async behind({ answer, number, token, choice }) {
    const matcher = this.grammar.matcher(), ids = answer.ids.slice(0, choice.place);
    for (const id of ids) matcher.consume(id);
    ids.push(...this.advance(matcher, token));
    return this.finished(matcher, ids, [...answer.choices.slice(0, number), choice]);
  }

  async finished(matcher, ids, choices) {
    const { vocabulary, most } = this, limit = Math.min(WIND_DOWN, Math.floor(most / 2));
    const open = () => ids.at(-1) !== vocabulary.eos && ids.length < most;
    while (open()) {
      const guess = this.guess(ids, matcher), start = ids.length, rows = await this.logits(ids, guess);
      const guessed = () => ids.slice(start).every((id, at) => id === guess[at]);
      while (open() && guessed()) {
        const logits = rows[ids.length - start];
        const allowed = ids.length >= limit ? vocabulary.closing(matcher.allowed()) : matcher.allowed();
        const { token, ...choice } = best(this.leaning?.lean(ids, logits, allowed) ?? logits, allowed);
        choices.push({ place: ids.length, ...choice });
        ids.push(...this.advance(matcher, token));
      }
    }
    return { ids, choices };
  }

  /** What may follow if the answer goes on copying the request: the tokens behind its last words there, as far as they fit. */
  guess(ids, matcher) {
    const { request, vocabulary: { tokenizer } } = this;
    for (const width of [3, 2, 1]) {
      const tail = ids.slice(-width), last = request.length - width;
      if (tail.length < width || !tail.some((id) => tokenizer.tells(id))) continue;  // single characters stand anywhere
      const from = request.findIndex((_, at) => at < last && tail.every((id, next) => request[at + next] === id));
      if (from >= 0) return this.fitting(matcher, request.slice(from + width, from + width + DRAFT));
    }
    return [];
  }

  fitting(matcher, ids) {
    try {
      return ids.slice(0, matcher.fitting(ids));
    } catch (error) {
      if (!(error instanceof Unsupported)) throw error;
      return [];  // the answer need not go where the grammar here cannot
    }
  }

  /** Take a token and what the grammar forces after it; all of them. (After `<none>` only the end can come.) */
  advance(matcher, token) {
    const { none, eos } = this.vocabulary;
    if (token === eos) return [token];
    matcher.consume(token);
    return token === none ? [token, eos] : [token, ...matcher.forced()];
  }

  /** Logits behind an answer's first tokens and each guessed one, of which the stepper reads what it has not read yet. */
  logits(ids, guess) {
    const wanted = [this.begin, ...ids, ...guess], differs = this.told.findIndex((token, at) => token !== wanted[at]);
    const known = Math.min(differs < 0 ? this.told.length : differs, ids.length);
    this.stepper.backTo(known);
    this.told = wanted;
    return this.stepper.step(wanted.slice(known), 1 + guess.length);
  }
}

/** The likeliest allowed token, its log-probability among the allowed ones, and the others that are not unlikely. */
function best(logits, allowed) {
  let token = -1, top = -Infinity, sum = 0;
  for (let id = 0; id < allowed.length; id++) if (allowed[id] && logits[id] > top) [token, top] = [id, logits[id]];
  if (token < 0) throw new Unsupported("the grammar allows no token here; run this request on the server");
  for (let id = 0; id < allowed.length; id++) if (allowed[id]) sum += Math.exp(logits[id] - top);
  const whole = top + Math.log(sum), others = [];
  for (let id = 0; id < allowed.length; id++) {
    const chance = logits[id] - whole;
    if (allowed[id] && id !== token && chance > UNLIKELY) others.push({ token: id, chance });
  }
  return { token, chance: top - whole, others };
}
