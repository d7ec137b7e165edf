"""Graphs of few, large operators: the encoder, and the decoder step of a single answer. Newer runtimes have what they are made of.

A step of one token is bound by what it reads and by the number of its operators. Here one ``GroupQueryAttention`` of ONNX Runtime is a whole
attention, caches can be written in place, and in the decoder tools and request are one run of keys, their keys and values are 8-bit integers,
and logits are a graph of their own, since few tokens are allowed at most places of an answer.
"""

from __future__ import annotations

import numpy as np

from needle.device.graphs import VERSION, Layers, pair
from needle.device.onnx_file import MICROSOFT
from needle.device.weights import WeightsFile
from needle.student.shape import Shape

PARTS = ("key", "value")


def single_graph(shape: Shape, weights: WeightsFile, accuracy_level: int) -> bytes:
    """Append ``ids [1, tokens]`` to one answer. All keys and values are ``[1, K, room, E]``, given out where they came in.

    Inputs: ``ids``, ``positions``; ``last [places]``, whose states are given out; ``length`` and ``total``, answer tokens with the new ones (the
    first less one, as the operator wants it); ``source_length``, ``source_total``, the same for the source; ``self_{key,value}_LAYER``;
    ``source_{key,value}_LAYER`` in 8 bits with ``{key,value}_scale_LAYER``.
    Outputs: ``states [1, places, D]``; ``new_...`` of each cache.
    """
    graph = _Fused(shape, weights, accuracy_level)
    ids, positions = (graph.input(name, "int64", (1, "tokens")) for name in ("ids", "positions"))
    last, layers = graph.input("last", "int64", ("places",)), range(shape.num_decoder_layers)
    for name in ("", "source_"):
        graph.input(f"{name}length", "int32", (1,))
        graph.input(f"{name}total", "int32", ())
    rotation, x = graph.rotation(), graph.embedded(ids)
    normed = graph.normed(x, graph.gain("decoder.0.attention.norm"))
    for layer in layers:
        name, cross = f"decoder.{layer}.attention", f"decoder.{layer}.cross"
        caches = [graph.input(f"self_{part}_{layer}", "float32", (1, graph.kinds, "room", graph.size)) for part in PARTS]
        heads = graph.self_attention(normed, name, rotation, positions, caches, [f"new_{cache}" for cache in caches])
        x, normed = graph.added(x, graph.close(heads, name), graph.gain(f"{cross}.norm"))
        x, y = graph.feed_forward(x, graph.close(graph.source_attention(normed, layer), cross), f"decoder.{layer}.ffn")
        x, normed = graph.added(x, y, graph.gain("decoder_norm" if layer == layers[-1] else f"decoder.{layer + 1}.attention.norm"))
    graph.node("Gather", normed, last, names=["states"], axis=1)
    graph.output("states", "float32", (1, "places", shape.hidden_size))
    return graph.model("needle decoder of one answer", {"needle_graph": VERSION})


def fused_encoder_graph(shape: Shape, weights: WeightsFile, accuracy_level: int) -> bytes:
    """Encode ``ids [1, tokens]`` behind a ``past``, in 8-bit integers (``whole_int8``).

    Inputs: ``ids``; ``positions`` of the same shape; ``length`` and ``total`` as in ``single_graph``; ``past_{key,value}_LAYER`` ``[1, K, room, E]``.
    Outputs: ``own_{key,value}_LAYER``, the continued past; ``cross_{key,value}_LAYER`` of each decoder layer, ``[1, K, tokens, E]``.
    """
    graph = _Fused(shape, weights, accuracy_level)
    graph.whole_int8, layers = True, range(shape.num_encoder_layers)
    ids, positions = (graph.input(name, "int64", (1, "tokens")) for name in ("ids", "positions"))
    graph.input("length", "int32", (1,))
    graph.input("total", "int32", ())
    rotation, x = graph.rotation(), graph.embedded(ids)
    normed = graph.normed(x, graph.gain("encoder.0.attention.norm"))
    for layer in layers:
        name = f"encoder.{layer}.attention"
        past = [graph.input(one, "float32", (1, graph.kinds, "room", graph.size)) for one in pair("past", layer)]
        heads = graph.self_attention(normed, name, rotation, positions, past, list(pair("own", layer)), causal=0)
        x, y = graph.feed_forward(x, graph.close(heads, name), f"encoder.{layer}.ffn")
        x, normed = graph.added(x, y, graph.gain("encoder_norm" if layer == layers[-1] else f"encoder.{layer + 1}.attention.norm"))
    for layer in range(shape.num_decoder_layers):
        graph.cross_keys_values(normed, f"decoder.{layer}.cross", pair("cross", layer))
        for one in pair("cross", layer):
            graph.output(one, "float32", (1, graph.kinds, "tokens", graph.size))
    return graph.model("needle encoder, fused", {"needle_graph": VERSION})


def head_graph(shape: Shape, weights: WeightsFile, accuracy_level: int) -> bytes:
    """``states [1, places, D]`` to ``logits [1, places, V]``."""
    graph = Layers(shape, weights, accuracy_level)
    states = graph.input("states", "float32", (1, "places", shape.hidden_size))
    graph.linear(states, ["embedding"], shape.hidden_size, shape.vocab_size, result="logits")
    graph.output("logits", "float32", (1, "places", shape.vocab_size))
    return graph.model("needle logits", {"needle_graph": VERSION})


class _Fused(Layers):
    """Attentions that are single operators."""

    def _head_norm(self, x: str, name: str, part: str, heads: int, factor: float) -> str:
        """``x [1, tokens, heads * E]`` with normed heads, times ``factor``."""
        gain = self.node("Mul", self.gain(f"{name}.branch.{part}_norm"), self.constant(factor, "float32"))
        apart = self.normed(self.node("Reshape", x, self.constant([1, -1, self.size], "int64")), gain)
        return self.node("Reshape", apart, self.constant([1, -1, heads * self.size], "int64"))

    def _attention(self, inputs: list[str], new: list[str], kind: str, room: str, **settings: object) -> str:
        """Heads ``[1, tokens, H * E]``; the continued caches are given out under the names ``new``."""
        heads = self._fresh("heads")
        sizes = {"num_heads": self.heads, "kv_num_heads": self.kinds, "scale": 1.0}
        self.node("GroupQueryAttention", *inputs, names=[heads, *new], domain=MICROSOFT, **sizes, **settings)
        for name in new:
            self.output(name, kind, (1, self.kinds, room, self.size))
        return heads

    def self_attention(
        self, normed: str, name: str, rotation: tuple[str, str], positions: str, caches: list[str], new: list[str], causal: int = 1
    ) -> str:
        """Attention to what came before, which grows by the new tokens; ``causal`` 0: these see each other as well."""
        queries, keys = self.heads * self.size, self.kinds * self.size
        every = self.linear(normed, [f"{name}.branch.{part}" for part in "qkv"], self.shape.hidden_size, queries + 2 * keys)
        query, key, value = self.node("Split", every, self.constant([queries, keys, keys], "int64"), outputs=3, axis=-1)
        query, key = self._head_norm(query, name, "q", self.heads, self.size**-0.5), self._head_norm(key, name, "k", self.kinds, 1.0)
        inputs = [query, key, value, *caches, "length", "total", *rotation, positions]
        return self._attention(inputs, new, "float32", "new_room", do_rotary=1, causal=causal)

    def source_attention(self, normed: str, layer: int) -> str:
        """Attention to tools and request, which stay as they are."""
        name = f"decoder.{layer}.cross"
        query = self.linear(normed, [f"{name}.branch.q"], self.shape.hidden_size, self.heads * self.size)
        query = self._head_norm(query, name, "q", self.heads, self.size**-0.5)
        nothing = self.constant(np.zeros((1, 0, self.kinds * self.size)), "float32")
        caches = [self.input(f"source_{part}_{layer}", "int8", (1, self.kinds, "source", self.size)) for part in PARTS]
        scales = [self.input(f"{part}_scale_{layer}", "float32", (1,)) for part in PARTS]
        inputs = [query, nothing, nothing, *caches, "source_length", "source_total", "", "", "", "", "", *scales]
        kept = {"k_quant_type": "PER_TENSOR", "v_quant_type": "PER_TENSOR", "kv_cache_bit_width": 8}
        return self._attention(inputs, [f"new_{cache}" for cache in caches], "int8", "source", causal=0, **kept)
