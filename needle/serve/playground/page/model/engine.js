// The exported graphs in ONNX Runtime Web: a toolset is encoded once, a request beside it, an answer token by token.
// Inputs and outputs are those of needle/device/graphs.py.

const VERSION = "2";  // of the graphs, as needle.json has it
const MOST_TOOLSETS = 4;  // encoded toolsets that are kept

const whole = (ort, numbers, shape) => new ort.Tensor("int64", BigInt64Array.from(numbers, BigInt), shape);
const real = (ort, numbers, shape) => new ort.Tensor("float32", numbers, shape);
const range = (start, length) => Array.from({ length }, (_, at) => start + at);
const pair = (stem, layer) => [`${stem}_key_${layer}`, `${stem}_value_${layer}`];

export class Engine {
  /** Load both graphs over one weights file. `files`: `{config, manifest, encoder, decoder, weights}`, bytes and parsed JSON. */
  static async load(ort, files) {
    if (files.manifest && String(files.manifest.graph) !== VERSION) throw new Error(`the graphs are of version ${files.manifest.graph}, this page runs ${VERSION}; export the model again`);
    const options = { executionProviders: ["wasm"], externalData: [{ path: "model.safetensors", data: files.weights }] };
    const engine = new Engine();
    Object.assign(engine, { ort, config: files.config, toolsets: new Map() });
    engine.encoder = await ort.InferenceSession.create(files.encoder, options);
    engine.decoder = await ort.InferenceSession.create(files.decoder, options);
    return engine;
  }

  get head() { return this.config.head_size ?? this.config.hidden_size / this.config.num_attention_heads; }

  /** Keys and values of tokens at `start`, which look at `past`: `[own, cross]` by the names that the next graph takes. */
  async encode(ids, start, past, own, cross) {
    const { ort, config } = this, shape = [1, ids.length];
    const names = [];
    if (own) for (const layer of range(0, config.num_encoder_layers)) names.push(...pair("own", layer));
    for (const layer of range(0, config.num_decoder_layers)) names.push(...pair("cross", layer));
    const feeds = { ...past, ids: whole(ort, ids, shape), positions: whole(ort, range(start, ids.length), shape), sizes: whole(ort, [start, ids.length], [2]) };
    const found = await this.encoder.run(feeds, names);
    const take = (from, to) => Object.fromEntries(Object.entries(found).filter(([name]) => name.startsWith(`${from}_`)).map(([name, value]) => [name.replace(from, to), value]));
    return [own ? take("own", own) : {}, take("cross", cross)];
  }

  /** The encoded toolset, from before where it was asked for already. */
  async prepare(ids) {
    const key = ids.join(",");
    let found = this.toolsets.get(key);
    if (!found) {
      const { ort, config } = this, empty = {};
      for (const layer of range(0, config.num_encoder_layers)) {
        for (const name of pair("past", layer)) empty[name] = real(ort, new Float32Array(0), [1, config.num_key_value_heads, 0, this.head]);
      }
      const [past, tools] = await this.encode(ids, 0, empty, "past", "tools");
      found = { length: ids.length, past, tools };
      if (this.toolsets.size >= MOST_TOOLSETS) this.toolsets.delete(this.toolsets.keys().next().value);
      this.toolsets.set(key, found);
    }
    return found;
  }

  /** A stepper for one answer. */
  async stepper(toolset, request) {
    const prepared = await this.prepare(toolset);
    const [, own] = await this.encode(request, prepared.length, prepared.past, "", "request");
    return new Stepper(this, { ...prepared.tools, ...own }, [prepared.length, request.length]);
  }
}

class Stepper {
  constructor(engine, fixed, sizes) {
    const { ort, config } = engine;
    this.engine = engine;
    this.length = 0;
    this.fixed = { ...fixed, sizes: whole(ort, sizes, [2]), source_bias: real(ort, new Float32Array(sizes[0] + sizes[1]), [1, 1, 1, sizes[0] + sizes[1]]) };
    this.past = real(ort, new Float32Array(0), [1, 2 * config.num_decoder_layers * config.num_key_value_heads, 0, engine.head]);
  }

  /** Append tokens; the logits after each of the `last` ones. */
  async step(tokens, last = 1) {
    const { ort, decoder } = this.engine, width = tokens.length;
    const feeds = {
      ...this.fixed, past: this.past,
      ids: whole(ort, tokens, [1, width]), positions: whole(ort, range(this.length, width), [1, width]), last: whole(ort, range(width - last, last), [1, last, 1]),
      bias: this.bias(width),
    };
    const { logits, present } = await decoder.run(feeds, ["logits", "present"]);
    this.past = present;
    this.length += width;
    const { data } = logits, size = data.length / last;
    return range(0, last).map((row) => data.subarray(row * size, (row + 1) * size));
  }

  /** Take back all but the first tokens. */
  backTo(length) {
    if (length === this.length) return;
    const { data, dims: [, heads, , size] } = this.past, kept = new Float32Array(heads * length * size);
    for (let head = 0; head < heads; head++) {
      const start = head * this.length * size;
      kept.set(data.subarray(start, start + length * size), head * length * size);
    }
    this.past = real(this.engine.ort, kept, [1, heads, length, size]);
    this.length = length;
  }

  /** What new tokens may look at: all kept ones, and each other up to themselves; queries as the graph folds them. */
  bias(width) {
    const { ort, config } = this.engine, total = this.length + width;
    if (width === 1) return real(ort, new Float32Array(total), [1, 1, 1, total]);
    const folds = config.num_attention_heads / config.num_key_value_heads, values = new Float32Array(folds * width * total);
    for (let query = 0; query < folds * width; query++) values.fill(-1e9, query * total + this.length + (query % width) + 1, (query + 1) * total);
    return real(ort, values, [1, 1, folds * width, total]);
  }
}
