"""The student as two ONNX graphs: an encoder pass and a decoder step, both over the one weights file.

The encoder runs twice for a request: over the toolset alone (``past`` empty), whose keys and values are kept, and over the request, which
looks at that ``past`` and at itself. The decoder appends one or several tokens to each row of a batch; it looks at its own cache and at the
two parts of the source. Keys of the parts are never copied together, so a toolset serves any number of requests as it is.

Dimensions: ``batch`` rows, ``tokens`` new ones, ``past`` kept ones, ``tools`` and ``request`` source tokens. ``batch`` of a past or of ``tools``
is 1 (all rows share it) or that of the rows.
"""

from __future__ import annotations

import math

import numpy as np

from needle.device.onnx_file import MICROSOFT, GraphWriter, Stored
from needle.device.weights import GROUP, WeightsFile
from needle.student.decoding import aligned_heads
from needle.student.shape import WEIGHTS, Shape

VERSION = "2"
"""Of the graphs' inputs and outputs; files of another version are not run."""
ENCODER, DECODER = "encoder.onnx", "decoder.onnx"


class Layers(GraphWriter):
    """The parts that both graphs are made of. ``x`` is ``[batch, tokens, D]`` everywhere; heads are ``[batch, heads, tokens, E]``."""

    def __init__(self, shape: Shape, weights: WeightsFile, accuracy_level: int) -> None:
        super().__init__(WEIGHTS)
        self.shape, self.weights, self.accuracy_level, self.whole_int8 = shape, weights, accuracy_level, False
        self.heads, self.kinds, self.size = shape.num_attention_heads, shape.num_key_value_heads, shape.head_size

    def weight(self, name: str, form: tuple[int, ...] | None = None) -> str:
        """A stored tensor, read with another shape if one is given."""
        place = self.weights[name]
        if form is None:
            return self.stored(name, place)
        return self.stored(f"{name}.{'x'.join(map(str, form))}", Stored(place.kind, form, place.offset, place.length))

    def float32(self, name: str) -> str:
        """A stored tensor as fp32."""
        value = self.weight(name)
        return value if self.weights[name].kind == "float32" else self.node("Cast", value, to=1)

    def gain(self, norm: str) -> str:
        """``1 + gain`` of a norm."""
        return self.node("Add", self.float32(f"{norm}.gain"), self.constant(1, "float32"))

    def normed(self, x: str, gain: str, name: str = "") -> str:
        """RMS norm over the last axis; ``name`` of a value that is given out."""
        names = [name] if name else []
        return self.node("SimplifiedLayerNormalization", x, gain, names=names, axis=-1, epsilon=self.shape.norm_eps, stash_type=1)

    def added(self, x: str, y: str, gain: str) -> tuple[str, str]:
        """``x + y``, and its RMS norm, in one pass."""
        names = [self._fresh("normed"), "", "", self._fresh("sum")]
        self.node("SkipSimplifiedLayerNormalization", x, y, gain, names=names, domain=MICROSOFT, epsilon=self.shape.norm_eps)
        return names[3], names[0]

    def joined(self, values: list[str]) -> str:
        """Concatenation along the first axis."""
        return values[0] if len(values) == 1 else self.node("Concat", *values, axis=0)

    def linear(self, x: str, names: list[str], inputs: int, outputs: int, gate: str | None = None, result: str = "") -> str:
        """``x`` times one or several stored matrices side by side, ``outputs`` in all; ``gate``: the result times its sigmoid.

        ``result`` names a value that is given out.
        """
        own = [result] if result else []
        factor = self.node("Sigmoid", self.float32(gate)) if gate else None
        if self.weights.bits > 8:
            matrix = self.joined([self.float32(f"{name}.weight") for name in names])
            matrix = self.node("Mul", matrix, factor) if factor else matrix
            return self.node("MatMul", x, self.node("Transpose", matrix, perm=[1, 0]), names=own)
        if self.whole_int8:
            return self._int8_linear(x, names, inputs, outputs, factor)
        blob = GROUP * self.weights.bits // 8
        rows = {name: self.weights[f"{name}.weight.integers"].shape[0] for name in names}
        integers = self.joined([self.weight(f"{name}.weight.integers", (rows[name], inputs // GROUP, blob)) for name in names])
        scale = self.joined([self.float32(f"{name}.weight.scale") for name in names])
        scale = self.node("Mul", scale, factor) if factor else scale
        sizes = {"K": inputs, "N": outputs, "bits": self.weights.bits, "block_size": GROUP, "accuracy_level": self.accuracy_level}
        return self.node("MatMulNBits", x, integers, scale, names=own, domain=MICROSOFT, **sizes)

    def _int8_linear(self, x: str, names: list[str], inputs: int, outputs: int, factor: str | None) -> str:
        """``linear`` in 8-bit integers throughout; the program hands the matrix over when it loads the graph (``whole_int8``)."""
        stem = "+".join(names)
        integers = self.stored(f"{stem}.columns", Stored("int8", (inputs, outputs), 0, inputs * outputs), "handed over")
        scale = self.stored(f"{stem}.column_scale", Stored("float32", (outputs,), 0, 4 * outputs), "handed over")
        scale = self.node("Mul", scale, factor) if factor else scale
        return self.node("DynamicQuantizeMatMul", x, integers, scale, domain=MICROSOFT)

    def embedded(self, ids: str) -> str:
        """Scaled embeddings of token ids."""
        if self.weights.bits > 8:
            rows = self.node("Gather", self.weight("embedding.weight"), ids, axis=0)
            rows = rows if self.weights.bits == 32 else self.node("Cast", rows, to=1)
        else:
            table, scale = self.weight("embedding.weight.integers"), self.float32("embedding.weight.scale")
            how = {"bits": self.weights.bits, "block_size": GROUP, "gather_axis": 0, "quantize_axis": 1}
            rows = self.node("GatherBlockQuantized", table, ids, scale, domain=MICROSOFT, **how)
        return self.node("Mul", rows, self.constant(math.sqrt(self.shape.hidden_size), "float32"))

    def rotation(self) -> tuple[str, str]:
        """Cosines and sines ``[positions, E / 2]`` of all positions that can occur."""
        frequencies = self.shape.rope_theta ** (-np.arange(0, self.size, 2, dtype=np.float32) / self.size)
        longest = max(self.shape.max_source_tokens, 2 * self.shape.max_target_tokens)
        start, end, step = (self.constant(value, "int64") for value in (0, longest, 1))
        places = self.node("Cast", self.node("Range", start, end, step), to=1)
        places = self.node("Reshape", places, self.constant([-1, 1], "int64"))
        angles = self.node("Mul", places, self.constant(frequencies, "float32"))
        return self.node("Cos", angles), self.node("Sin", angles)

    def apart(self, x: str, heads: int) -> str:
        """``[batch, tokens, heads * E]`` as heads."""
        parts = self.node("Reshape", x, self.constant([0, 0, heads, self.size], "int64"))
        return self.node("Transpose", parts, perm=[0, 2, 1, 3])

    def together(self, heads: str) -> str:
        """Folded query heads as ``[batch, tokens, H * E]``."""
        heads = self.node("Reshape", heads, self.constant([0, self.heads, -1, self.size], "int64"))
        heads = self.node("Transpose", heads, perm=[0, 2, 1, 3])
        return self.node("Reshape", heads, self.constant([0, 0, self.heads * self.size], "int64"))

    def folded(self, query: str) -> str:
        """Query heads of a key head behind each other, ``[batch, K, H / K * tokens, E]``: keys are never repeated."""
        return self.node("Reshape", query, self.constant([0, self.kinds, -1, self.size], "int64"))

    def self_queries_keys_values(
        self, normed: str, name: str, rotation: tuple[str, str], positions: str, names: tuple[str, str] = ("", "")
    ) -> tuple[str, str, str]:
        """Folded queries, keys and values of a self-attention; ``names`` of keys and values that are given out."""
        width = (self.heads + 2 * self.kinds) * self.size
        every = self.linear(normed, [f"{name}.branch.{part}" for part in "qkv"], self.shape.hidden_size, width)
        parts = self.apart(every, self.heads + 2 * self.kinds)
        cut = self.constant([self.heads + self.kinds, self.kinds], "int64")
        both, value = self.node("Split", parts, cut, names=[self._fresh("Split"), names[1] or self._fresh("Split")], axis=1)
        both = self.node("Mul", self.normed(both, self.constant(np.ones(self.size), "float32")), self._head_gains(name))
        both = self.node("RotaryEmbedding", both, positions, *rotation, domain=MICROSOFT)
        cut = self.constant([self.heads, self.kinds], "int64")
        query, key = self.node("Split", both, cut, names=[self._fresh("Split"), names[0] or self._fresh("Split")], axis=1)
        return self.folded(query), key, value

    def _head_gains(self, name: str) -> str:
        """Gains ``[H + K, 1, E]`` of the norms of queries and keys, with the scale of the scores."""
        one = self.constant([1, self.size], "int64")
        parts = []
        for part, heads, factor in (("q", self.heads, self.size**-0.5), ("k", self.kinds, 1.0)):
            gain = self.node("Mul", self.gain(f"{name}.branch.{part}_norm"), self.constant(factor, "float32"))
            gain = self.node("Expand", self.node("Reshape", gain, one), self.constant([heads, 1, self.size], "int64"))
            parts.append(gain)
        return self.joined(parts)

    def attend(self, query: str, parts: list[tuple[str, str]], bias: str | None, sizes: str = "") -> tuple[str, str]:
        """Folded heads of attention over one or two parts of keys and values, and the probabilities; ``sizes`` of two parts."""
        scores = [self.node("FusedMatMul", query, key, domain=MICROSOFT, transB=1) for key, _ in parts]
        score = scores[0] if len(scores) == 1 else self.node("Concat", *scores, axis=-1)
        probabilities = self.node("Softmax", self.node("Add", score, bias) if bias else score, axis=-1)
        if len(parts) == 1:
            return self.node("MatMul", probabilities, parts[0][1]), probabilities
        own = self.node("Split", probabilities, sizes, outputs=2, axis=-1)
        heads = [self.node("MatMul", one, value) for one, (_, value) in zip(own, parts, strict=True)]
        return self.node("Add", *heads), probabilities

    def attend_alone(self, query: str, key: str, value: str) -> str:
        """Heads ``[batch, tokens, H * E]`` of attention over the same tokens, by the operator that keeps no scores for long texts."""
        query = self.node("Reshape", query, self.constant([0, self.heads, -1, self.size], "int64"))
        query = self.node("Reshape", self.node("Transpose", query, perm=[0, 2, 1, 3]), self.constant([0, 0, self.heads * self.size], "int64"))
        repeated = []
        for part in (key, value):
            part = self.node("Unsqueeze", part, self.constant([2], "int64"))
            part = self.node("Expand", part, self.constant([1, 1, self.heads // self.kinds, 1, 1], "int64"))
            repeated.append(self.node("Reshape", part, self.constant([0, self.heads, -1, self.size], "int64")))
        return self.node("MultiHeadAttention", query, *repeated, domain=MICROSOFT, num_heads=self.heads, scale=1.0)

    def close(self, heads: str, name: str) -> str:
        """The gated output of an attention ``[batch, tokens, H * E]``, to be added to ``x``."""
        return self.linear(heads, [f"{name}.branch.o"], self.heads * self.size, self.shape.hidden_size, f"{name}.gate")

    def feed_forward(self, x: str, y: str, name: str) -> tuple[str, str]:
        """The SwiGLU block of a layer, where the student has one, before the sum ``x + y`` is closed: new ``x`` and ``y``."""
        if not self.shape.ffn_size:
            return x, y
        x, normed = self.added(x, y, self.gain(f"{name}.norm"))
        both = self.linear(normed, [f"{name}.branch.up"], self.shape.hidden_size, 2 * self.shape.ffn_size)
        gate, up = self.node("Split", both, outputs=2, axis=-1, num_outputs=2)
        inner = self.node("Mul", self.node("Mul", gate, self.node("Sigmoid", gate)), up)
        return x, self.linear(inner, [f"{name}.branch.down"], self.shape.ffn_size, self.shape.hidden_size, f"{name}.gate")

    def cross_keys_values(self, memory: str, name: str, names: tuple[str, str]) -> None:
        """Give out the keys and values of a decoder layer for the encoded source."""
        width = 2 * self.kinds * self.size
        both = self.apart(self.linear(memory, [f"{name}.branch.k", f"{name}.branch.v"], self.shape.hidden_size, width), 2 * self.kinds)
        key, _ = self.node("Split", both, names=[self._fresh("Split"), names[1]], axis=1, num_outputs=2)
        self.normed(key, self.gain(f"{name}.branch.k_norm"), names[0])


def pair(stem: str, layer: int) -> tuple[str, str]:
    """Names of the keys and values of a layer, as graphs take and give them."""
    return f"{stem}_key_{layer}", f"{stem}_value_{layer}"


def _past(graph: Layers, stem: str, layer: int, batch: str, length: str) -> tuple[str, str]:
    key, value = (graph.input(name, "float32", (batch, graph.kinds, length, graph.size)) for name in pair(stem, layer))
    return key, value


def encoder_graph(shape: Shape, weights: WeightsFile, accuracy_level: int) -> bytes:
    """Encode ``ids [batch, tokens]`` beside a ``past``; no row is padded.

    Inputs: ``ids``; ``positions`` of the same shape; ``sizes`` = (past, tokens); ``past_{key,value}_LAYER`` of each encoder layer.
    Outputs: ``own_{key,value}_LAYER`` of each encoder layer, ``cross_{key,value}_LAYER`` of each decoder layer, ``[batch, K, tokens, E]``.
    """
    graph = Layers(shape, weights, accuracy_level)
    ids, positions = (graph.input(name, "int64", ("batch", "tokens")) for name in ("ids", "positions"))
    sizes = graph.input("sizes", "int64", (2,))
    rotation, x = graph.rotation(), graph.embedded(ids)
    form = ("batch", graph.kinds, "tokens", graph.size)
    alone = graph.node("Equal", graph.node("Gather", sizes, graph.constant(0, "int64")), graph.constant(0, "int64"))
    normed = graph.normed(x, graph.gain("encoder.0.attention.norm"))
    for layer in range(shape.num_encoder_layers):
        name, last = f"encoder.{layer}.attention", layer + 1 == shape.num_encoder_layers
        past = _past(graph, "past", layer, "past_batch", "past")
        query, key, value = graph.self_queries_keys_values(normed, name, rotation, positions, pair("own", layer))
        (heads,) = graph.either(
            alone,
            lambda query=query, own=(key, value): [graph.attend_alone(query, *own)],
            lambda query=query, past=past, own=(key, value): [graph.together(graph.attend(query, [past, own], None, sizes)[0])],
        )
        x, y = graph.feed_forward(x, graph.close(heads, name), f"encoder.{layer}.ffn")
        x, normed = graph.added(x, y, graph.gain("encoder_norm" if last else f"encoder.{layer + 1}.attention.norm"))
    for layer in range(shape.num_decoder_layers):
        graph.cross_keys_values(normed, f"decoder.{layer}.cross", pair("cross", layer))
    for name in [*(pair("own", n) for n in range(shape.num_encoder_layers)), *(pair("cross", n) for n in range(shape.num_decoder_layers))]:
        for one in name:
            graph.output(one, "float32", form)
    return graph.model("needle encoder", {"needle_graph": VERSION})


def decoder_graph(shape: Shape, weights: WeightsFile, accuracy_level: int) -> bytes:
    """Append ``ids [batch, tokens]`` to answers and predict what follows.

    Inputs: ``ids``, ``positions``; ``last [batch, 1]``, place of the last real token of each row among ``tokens`` (or ``[batch, places, 1]``,
    for logits ``[batch, places, V]``); ``bias``, broadcast over
    ``[batch, 1, H / K * tokens, past + tokens]``; ``source_bias`` over ``[batch, 1, H / K * tokens, tools + request]``; ``sizes`` = (tools, request);
    ``tools_{key,value}_LAYER``, ``request_{key,value}_LAYER``; ``past [batch, 2 * layers * K, past, E]``, keys and values of the layers in turn.
    Outputs: ``logits [batch, V]`` after the last token; ``alignment [batch, tokens, tools + request]``, mean cross-attention probability of
    the configured heads; ``present``, the ``past`` of the next step.
    """
    graph = Layers(shape, weights, accuracy_level)
    ids, positions = (graph.input(name, "int64", ("batch", "tokens")) for name in ("ids", "positions"))
    last, bias = graph.input("last", "int64", None), graph.input("bias", "float32", ("rows", 1, "queries", "keys"))
    source_bias, sizes = graph.input("source_bias", "float32", ("batch", 1, "source_queries", "source")), graph.input("sizes", "int64", (2,))
    layers, observed, grown = range(shape.num_decoder_layers), {}, []
    stacked = 2 * len(layers) * graph.kinds
    past = graph.input("past", "float32", ("batch", stacked, "past", graph.size))
    kept = graph.node("Split", past, outputs=2 * len(layers), axis=1, num_outputs=2 * len(layers))
    rotation, x = graph.rotation(), graph.embedded(ids)
    normed = graph.normed(x, graph.gain("decoder.0.attention.norm"))
    for layer in layers:
        name = f"decoder.{layer}.attention"
        query, *new = graph.self_queries_keys_values(normed, name, rotation, positions)
        present = [graph.node("Concat", old, more, axis=2) for old, more in zip(kept[2 * layer : 2 * layer + 2], new, strict=True)]
        grown += present
        heads, _ = graph.attend(query, [(present[0], present[1])], bias)
        cross = f"decoder.{layer}.cross"
        x, normed = graph.added(x, graph.close(graph.together(heads), name), graph.gain(f"{cross}.norm"))
        query = graph.apart(graph.linear(normed, [f"{cross}.branch.q"], shape.hidden_size, graph.heads * graph.size), graph.heads)
        gain = graph.node("Mul", graph.gain(f"{cross}.branch.q_norm"), graph.constant(graph.size**-0.5, "float32"))
        parts = [_past(graph, "tools", layer, "tools_batch", "tools"), _past(graph, "request", layer, "batch", "request")]
        heads, observed[layer] = graph.attend(graph.folded(graph.normed(query, gain)), parts, source_bias, sizes)
        x, y = graph.feed_forward(x, graph.close(graph.together(heads), cross), f"decoder.{layer}.ffn")
        x, normed = graph.added(x, y, graph.gain("decoder_norm" if layer == layers[-1] else f"decoder.{layer + 1}.attention.norm"))
    states = graph.node("GatherND", normed, last, batch_dims=1)
    graph.linear(states, ["embedding"], shape.hidden_size, shape.vocab_size, result="logits")
    graph.node("Concat", *grown, names=["present"], axis=1)
    _alignment(graph, observed)
    graph.output("logits", "float32", None)
    graph.output("present", "float32", ("batch", stacked, "present", graph.size))
    graph.output("alignment", "float32", ("batch", "tokens", "source"))
    return graph.model("needle decoder", {"needle_graph": VERSION})


def _alignment(graph: Layers, observed: dict[int, str]) -> None:
    """Give out mean probabilities ``[batch, tokens, source]`` of the configured heads."""
    chosen = []
    for layer, heads in aligned_heads(graph.shape).items():
        apart = graph.node("Shape", observed[layer])
        source = graph.node("Slice", apart, graph.constant([3], "int64"), graph.constant([4], "int64"))
        form = graph.node("Concat", graph.constant([0, graph.heads, -1], "int64"), source, axis=0)
        every = graph.node("Reshape", observed[layer], form)
        whole = heads == list(range(graph.heads))
        chosen.append(every if whole else graph.node("Gather", every, graph.constant(heads, "int64"), axis=1))
    stacked = chosen[0] if len(chosen) == 1 else graph.node("Concat", *chosen, axis=1)
    graph.node("ReduceMean", stacked, graph.constant([1], "int64"), names=["alignment"], keepdims=0)
