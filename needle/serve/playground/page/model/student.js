// The student in the browser: a request and tools in, calls out, by the grammar of the tools.

import { Agreement } from "./agreement.js";
import { alternatives } from "./alternatives.js";
import { confidence, features } from "./confidence.js";
import { Writer } from "./decoding.js";
import { asDescribed, withFormats } from "./described.js";
import { parseExact } from "./exact.js";
import { Grammar, Vocabulary } from "./grammar.js";
import { Prior } from "./prior.js";
import { parseAnswer, renderRequest, renderTools } from "./rendering.js";
import { best, candidates, doubtful } from "./reranking.js";
import { Tokenizer } from "./tokenizer.js";
import { toolIndex } from "./words.js";

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
    const kept = this.toolset(toolsText), asked = { query, system, messages };
    const { told, tools, grammar, toolset, read, index } = kept;
    const request = renderRequest(this.tokenizer, asked);
    this.check(toolset, request);
    const stepper = await this.engine.stepper(toolset, request);
    const leaning = this.prior?.of(read, index, asked), most = this.engine.config.max_target_tokens;
    const writer = new Writer(stepper, grammar, leaning, most, request);
    const { answer: row, share } = await this.chosen(await writer.likeliest(), writer, kept, asked), { ids } = row;
    const sure = confidence(features(row, this.tokenizer, share), this.calibration);
    const answer = { calls: [], error: null, evidence: [], confidence: sure };
    try {
      answer.calls = asDescribed(parseAnswer(this.tokenizer, ids, tools), told);
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
      const told = JSON.parse(text), tools = withFormats(told), read = withFormats(parseExact(text)), index = this.prior && toolIndex(read);
      this.kept = { text, told, tools, read, index, grammar: new Grammar(this.vocabulary, tools), toolset: renderTools(this.tokenizer, read) };
    }
    return this.kept;
  }

  check(toolset, request) {
    const { max_request_tokens: most, max_source_tokens: all } = this.engine.config;
    if (request.length > most) throw new Error(`the request takes ${request.length} tokens, the limit is ${most}; shorten it`);
    if (toolset.length + request.length > all) throw new Error(`the toolset with the request takes ${toolset.length + request.length} tokens, the limit is ${all}; offer fewer or shorter tools`);
  }

  /** The best of an unsure answer and others, with its share; a sure answer as it is (needle/student/reranking.py). */
  async chosen(first, writer, { tools, read, index }, asked) {
    if (!this.prior?.judges || !doubtful(first)) return { answer: first, share: null };
    const found = [first];
    for await (const other of alternatives(first, writer)) found.push(other);
    const agreement = new Agreement(asked, read, index, this.prior);
    const parse = (ids) => parseAnswer(this.tokenizer, ids, tools, parseExact);
    return best(candidates(found, parse), agreement, this.prior.weights.answers) ?? { answer: first, share: null };
  }
}
