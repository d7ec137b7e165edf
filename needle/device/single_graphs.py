"""The graphs of a single answer: few, large operators, and integers in place of the source's keys and values.

A step of one token is bound by what it reads and by the number of its operators. Here one ``GroupQueryAttention`` of ONNX Runtime is a whole
attention, tools and request are one run of keys, caches are written in place, keys and values of the source are 8-bit integers, and logits are a
graph of their own, since few tokens are allowed at most places of an answer.
"""

from __future__ import annotations

import numpy as np

from needle.device.graphs import VERSION, Layers
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
    graph = _Single(shape, weights, accuracy_level)
    ids, positions = (graph.input(name, "int64", (1, "tokens")) for name in ("ids", "positions"))
    last, layers = graph.input("last", "int64", ("places",)), range(shape.num_decoder_layers)
    for name in ("", "source_"):
        graph.input(f"{name}length", "int32", (1,))
        graph.input(f"{name}total", "int32", ())
    rotation, x = graph.rotation(), graph.embedded(ids)
    normed = graph.normed(x, graph.gain("decoder.0.attention.norm"))
    for layer in layers:
        name, cross = f"decoder.{layer}.attention", f"decoder.{layer}.cross"
        heads = graph.self_attention(normed, layer, rotation, positions)
        x, normed = graph.added(x, graph.close(heads, name), graph.gain(f"{cross}.norm"))
        x, y = graph.feed_forward(x, graph.close(graph.source_attention(normed, layer), cross), f"decoder.{layer}.ffn")
        x, normed = graph.added(x, y, graph.gain("decoder_norm" if layer == layers[-1] else f"decoder.{layer + 1}.attention.norm"))
    graph.node("Gather", normed, last, names=["states"], axis=1)
    graph.output("states", "float32", (1, "places", shape.hidden_size))
    return graph.model("needle decoder of one answer", {"needle_graph": VERSION})


def head_graph(shape: Shape, weights: WeightsFile, accuracy_level: int) -> bytes:
    """``states [1, places, D]`` to ``logits [1, places, V]``."""
    graph = Layers(shape, weights, accuracy_level)
    states = graph.input("states", "float32", (1, "places", shape.hidden_size))
    graph.linear(states, ["embedding"], shape.hidden_size, shape.vocab_size, result="logits")
    graph.output("logits", "float32", (1, "places", shape.vocab_size))
    return graph.model("needle logits", {"needle_graph": VERSION})


class _Single(Layers):
    """The two attentions of a decoder layer, each a single operator."""

    def _head_norm(self, x: str, name: str, part: str, heads: int, factor: float) -> str:
        """``x [1, tokens, heads * E]`` with normed heads, times ``factor``."""
        gain = self.node("Mul", self.gain(f"{name}.branch.{part}_norm"), self.constant(factor, "float32"))
        apart = self.normed(self.node("Reshape", x, self.constant([1, -1, self.size], "int64")), gain)
        return self.node("Reshape", apart, self.constant([1, -1, heads * self.size], "int64"))

    def _attention(self, inputs: list[str], caches: list[str], kind: str, room: str, **settings: object) -> str:
        """Heads ``[1, tokens, H * E]``; the caches are given out as ``new_...``."""
        names = [self._fresh("heads"), *(f"new_{cache}" for cache in caches)]
        sizes = {"num_heads": self.heads, "kv_num_heads": self.kinds, "scale": 1.0}
        self.node("GroupQueryAttention", *inputs, names=names, domain=MICROSOFT, **sizes, **settings)
        for name in names[1:]:
            self.output(name, kind, (1, self.kinds, room, self.size))
        return names[0]

    def self_attention(self, normed: str, layer: int, rotation: tuple[str, str], positions: str) -> str:
        """Attention to what was written, which grows by the new tokens."""
        name, (queries, keys) = f"decoder.{layer}.attention", (self.heads * self.size, self.kinds * self.size)
        every = self.linear(normed, [f"{name}.branch.{part}" for part in "qkv"], self.shape.hidden_size, queries + 2 * keys)
        query, key, value = self.node("Split", every, self.constant([queries, keys, keys], "int64"), outputs=3, axis=-1)
        query, key = self._head_norm(query, name, "q", self.heads, self.size**-0.5), self._head_norm(key, name, "k", self.kinds, 1.0)
        caches = [self.input(f"self_{part}_{layer}", "float32", (1, self.kinds, "room", self.size)) for part in PARTS]
        inputs = [query, key, value, *caches, "length", "total", *rotation, positions]
        return self._attention(inputs, caches, "float32", "room", do_rotary=1)

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
        return self._attention(inputs, caches, "int8", "source", causal=0, **kept)
