"""Attention for training: each run of queries with the keys that it may look at, as dense products of a few fixed shapes.

The requests of rows that share a toolset stand together, so that one product serves several of them and a toolset's keys are never copied to
its rows. What a query may not see in its segment is masked. Shapes are rounded up, because a CPU builds (and keeps a thousand of) one kernel
for each shape of bf16 product, which takes longer than most of the products here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from needle.student.modeling.layers import KeyValue

MASKED = -1e9
QUERY_STEP, KEY_STEP = 16, 64
"""Queries and keys of a segment are padded to multiples of these."""
SEGMENT_TOKENS = 128
"""Rows of one toolset join a segment while their requests, and their answers, are no longer than this together."""
Span = tuple[int, int]


@dataclass(frozen=True)
class Segment:
    """One product: queries of one span over keys of one or two."""

    queries: Span
    """First and one beyond last flat query."""
    keys: tuple[Span, ...]
    """Spans of flat keys, one after the other."""
    shape: tuple[int, int]
    """Queries and keys with padding."""
    bias: Tensor
    """``[T, last]`` in bf16, for the last keys (all others are seen): 0 where a query may look, a large negative number elsewhere."""


@dataclass(frozen=True)
class Segments:
    """A ``Layout``: every real query is in one segment; queries in none (padding) get zeros."""

    parts: tuple[Segment, ...]

    def attend(self, query_NHE: Tensor, keys_values: KeyValue) -> Tensor:
        """Heads ``[N, H * E]`` of flat queries ``[N, H, E]`` over flat keys and values ``[M, K, E]``."""
        return _Attend.apply(query_NHE, *keys_values, self.parts).flatten(1)


def _up(length: int, step: int) -> int:
    return -(-length // step) * step


@dataclass(frozen=True)
class Rectangle:
    """Queries that look at the same spans of keys, the last of which may belong to several rows."""

    queries: Span
    keys: tuple[Span, ...]
    rows: tuple[tuple[int, ...], tuple[int, ...]] | None = None
    """Lengths of the rows among the queries and in the last span: each looks at its own; None: a single row."""
    causal: bool = False
    """Queries and keys are the same tokens, and later ones are hidden."""

    def seen(self) -> np.ndarray | None:
        """``[queries, last keys]``: who looks at whom in the last span; None: everyone at everything."""
        if self.rows is None and not self.causal:
            return None
        lengths, others = self.rows or ((self.queries[1] - self.queries[0],),) * 2
        seen = np.repeat(np.arange(len(lengths)), lengths)[:, None] == np.repeat(np.arange(len(others)), others)
        return np.tril(seen) if self.causal else seen


def segments(rectangles: Sequence[Rectangle]) -> Segments:
    """The layout of ``rectangles``, in which every real query is in exactly one."""
    return Segments(tuple(map(_segment, rectangles)))


def _segment(rectangle: Rectangle) -> Segment:
    length, widths = rectangle.queries[1] - rectangle.queries[0], [stop - start for start, stop in rectangle.keys]
    shape, seen = (_up(length, QUERY_STEP), _up(sum(widths), KEY_STEP)), rectangle.seen()
    own = 0 if seen is None else widths[-1]
    bias = np.full((shape[0], shape[1] - sum(widths) + own), MASKED, np.float32)
    bias[:, :own] = 0
    if seen is not None:
        bias[:length, :own] = np.where(seen, 0, MASKED)
    return Segment(rectangle.queries, rectangle.keys, shape, torch.from_numpy(bias).bfloat16())


def runs(toolset_of: Sequence[int], *lengths: Sequence[int]) -> list[Span]:
    """Neighbouring rows of one toolset, together while no kind of ``lengths`` exceeds ``SEGMENT_TOKENS``."""
    cuts, sums = [0], [0] * len(lengths)
    for row, toolset in enumerate(toolset_of):
        mine = [kind[row] for kind in lengths]
        sums = [a + b for a, b in zip(sums, mine, strict=True)]
        if row > cuts[-1] and (toolset != toolset_of[row - 1] or max(sums) > SEGMENT_TOKENS):
            cuts.append(row)
            sums = mine
    return list(pairwise([*cuts, len(toolset_of)]))


class _Attend(torch.autograd.Function):
    """Softmax attention segment by segment, with its backward pass written out: no gradient of a slice ever fills a whole tensor.

    Query heads that share a key head are folded into the time axis, so that keys are never repeated.
    """

    @staticmethod
    def forward(ctx: Any, query_NHE: Tensor, key_MKE: Tensor, value_MKE: Tensor, parts: tuple[Segment, ...]) -> Tensor:
        heads = _Heads(query_NHE, key_MKE, value_MKE)
        out_NHE = torch.zeros_like(query_NHE)
        weights = []
        for part in parts:
            query, key, value = heads.queries(part), heads.keys(part), heads.values(part)
            scores = torch.bmm(query, key.transpose(1, 2))
            scores.view(len(key), part.shape[0], -1, part.shape[1])[..., part.shape[1] - part.bias.shape[1] :].add_(part.bias[:, None])
            weights.append(scores.softmax(-1))
            heads.write(out_NHE, part, torch.bmm(weights[-1], value))
        if any(ctx.needs_input_grad):
            ctx.save_for_backward(query_NHE, key_MKE, value_MKE, *weights)
            ctx.parts = parts
        return out_NHE

    @staticmethod
    def backward(ctx: Any, out_NHE: Tensor) -> tuple[Tensor | None, ...]:
        query_NHE, key_MKE, value_MKE, *weights = ctx.saved_tensors
        heads, outs = _Heads(query_NHE, key_MKE, value_MKE), _Heads(out_NHE, key_MKE, value_MKE, scale=1.0)
        queries = torch.zeros_like(query_NHE)
        keys, values = (torch.zeros(x.transpose(0, 1).shape, device=x.device) for x in (key_MKE, value_MKE))
        for part, weight in zip(ctx.parts, weights, strict=True):
            query, key, value, out = heads.queries(part), heads.keys(part), heads.values(part), outs.queries(part)
            scores = torch._softmax_backward_data(torch.bmm(out, value.transpose(1, 2)), weight, -1, weight.dtype)
            heads.write(queries, part, torch.bmm(scores, key).mul_(heads.scale))
            for total, mine in ((keys, torch.bmm(scores.transpose(1, 2), query)), (values, torch.bmm(weight.transpose(1, 2), out))):
                place = 0
                for start, stop in part.keys:
                    total[:, start:stop] += mine[:, place : place + stop - start]
                    place += stop - start
        return queries, keys.transpose(0, 1).to(key_MKE.dtype), values.transpose(0, 1).to(value_MKE.dtype), None


class _Heads:
    """Padded copies of a segment's queries, keys and values, key heads first."""

    def __init__(self, query_NHE: Tensor, key_MKE: Tensor, value_MKE: Tensor, scale: float | None = None) -> None:
        kinds, size = key_MKE.shape[1:]
        self.query = query_NHE.unflatten(1, (kinds, -1)).transpose(0, 1)
        self.key, self.value = key_MKE.transpose(0, 1), value_MKE.transpose(0, 1)
        self.scale = size**-0.5 if scale is None else scale

    def queries(self, part: Segment) -> Tensor:
        """``[K, T * G, E]``, scaled; zeros where padded."""
        kinds, _, groups, size = self.query.shape
        start, stop = part.queries
        padded = self.query.new_empty(kinds, part.shape[0], groups, size)
        torch.mul(self.query[:, start:stop], self.scale, out=padded[:, : stop - start])
        padded[:, stop - start :] = 0
        return padded.flatten(1, 2)

    def keys(self, part: Segment) -> Tensor:
        """``[K, S, E]``; zeros where padded."""
        return self._gathered(self.key, part)

    def values(self, part: Segment) -> Tensor:
        """``[K, S, E]``; zeros where padded."""
        return self._gathered(self.value, part)

    def write(self, flat_NHE: Tensor, part: Segment, heads: Tensor) -> None:
        """Put the real queries' heads ``[K, T * G, E]`` into their places."""
        start, stop = part.queries
        kinds, _, size = heads.shape
        flat_NHE.unflatten(1, (kinds, -1)).transpose(0, 1)[:, start:stop] = heads.view(kinds, part.shape[0], -1, size)[:, : stop - start]

    def _gathered(self, flat: Tensor, part: Segment) -> Tensor:
        padded = flat.new_empty(flat.shape[0], part.shape[1], flat.shape[2])
        place = 0
        for start, stop in part.keys:
            padded[:, place : place + stop - start] = flat[:, start:stop]
            place += stop - start
        padded[:, place:] = 0
        return padded
