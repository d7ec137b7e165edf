// The student in the browser: a request and tools in, calls out, by the grammar of the tools, the likeliest token each time.

import { confidence, features } from "./confidence.js";
import { parseExact } from "./exact.js";
import { Grammar, Vocabulary } from "./grammar.js";
import { Prior } from "./prior.js";
import { parseAnswer, renderRequest, renderTools } from "./rendering.js";
import { Tokenizer } from "./tokenizer.js";
import { toolIndex } from "./words.js";

const WIND_DOWN = 256;  // answer tokens after which only what is open may be closed (needle/student/decoding.py)

export class Student {
  /** `calibration`, `prior`: the parsed calibration.json and prior.json, each null where the model has none. */
  constructor(engine, tokenizerFile, calibration = null, prior = null) {
    this.engine = engine;
    this.calibration = calibration;
    this.tokenizer = new Tokenizer(tokenizerFile);
    this.vocabulary = new Vocabulary(this.tokenizer);
    this.prior = prior && new Prior(prior, this.tokenizer);
    this.kept = null;  // grammar, ids and words of the last toolset
  }

  /** As the server answers: `{calls, confidence, evidence, seconds, usage, raw, error}`. `toolsText`: the tools as JSON text. */
  async call({ query, system = "", messages = [], toolsText }) {
    const began = performance.now();
    const { tools, grammar, toolset, read, index } = this.toolset(toolsText);
    const request = renderRequest(this.tokenizer, { query, system, messages });
    this.check(toolset, request);
    const stepper = await this.engine.stepper(toolset, request);
    const leaning = this.prior?.of(read, index, { query, system, messages });
    const { ids, choices } = await this.decode(stepper, grammar, leaning);
    const answer = { calls: [], error: null, evidence: [], confidence: confidence(features(ids, choices, this.tokenizer), this.calibration) };
    try {
      answer.calls = parseAnswer(this.tokenizer, ids, tools);
    } catch (error) {
      answer.error = error.message;
    }
    answer.raw = this.tokenizer.decode(ids.filter((id) => id !== this.vocabulary.eos));
    answer.ids = ids;
    answer.usage = { prompt_tokens: toolset.length + request.length, completion_tokens: ids.length };
    answer.seconds = (performance.now() - began) / 1000;
    return answer;
  }

  toolset(text) {
    if (this.kept?.text !== text) {
      const tools = JSON.parse(text), read = parseExact(text), index = this.prior && toolIndex(read);
      this.kept = { text, tools, read, index, grammar: new Grammar(this.vocabulary, tools), toolset: renderTools(this.tokenizer, read) };
    }
    return this.kept;
  }

  check(toolset, request) {
    const { max_request_tokens: most, max_source_tokens: all } = this.engine.config;
    if (request.length > most) throw new Error(`the request takes ${request.length} tokens, the limit is ${most}; shorten it`);
    if (toolset.length + request.length > all) throw new Error(`the toolset with the request takes ${toolset.length + request.length} tokens, the limit is ${all}; offer fewer or shorter tools`);
  }

  async decode(stepper, grammar, leaning) {
    const { vocabulary } = this, most = this.engine.config.max_target_tokens, limit = Math.min(WIND_DOWN, Math.floor(most / 2));
    const matcher = grammar.matcher(), ids = [];
    let pending = [this.tokenizer.special.get("<bos>")];
    const choices = [];
    while (ids.length < most) {
      const logits = await stepper.step(pending);
      const allowed = ids.length >= limit ? vocabulary.closing(matcher.allowed()) : matcher.allowed();
      const { token, chance } = best(leaning?.lean(ids, logits, allowed) ?? logits, allowed);
      choices.push({ place: ids.length, chance });
      ids.push(token);
      if (token === vocabulary.eos) break;
      matcher.consume(token);
      const forced = matcher.forced();
      ids.push(...forced);
      pending = [token, ...forced];
    }
    return { ids, choices };
  }
}

/** The likeliest allowed token, and its log-probability among the allowed ones. */
function best(logits, allowed) {
  let token = -1, top = -Infinity, sum = 0;
  for (let id = 0; id < allowed.length; id++) if (allowed[id] && logits[id] > top) [token, top] = [id, logits[id]];
  if (token < 0) throw new Error("the grammar allows no token here; run this request on the server");
  for (let id = 0; id < allowed.length; id++) if (allowed[id]) sum += Math.exp(logits[id] - top);
  return { token, chance: -Math.log(sum) };
}
