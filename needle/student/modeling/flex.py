"""Attention for training on an accelerator: one ``flex_attention`` call over all tokens of a pass, with a mask of blocks.

A toolset's keys stand once, and every row of it looks at them where they are. Which blocks of 128 x 128 hold anything is known from how the
rows were packed; inside a block, numbers of toolset and row decide (FlexAttention: Dong et al., arXiv:2412.05496). Compiled once for each
shape, so passes should have few (``needle.train.batches`` fills them up).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, flex_attention

from needle.student.modeling.layers import KeyValue
from needle.student.modeling.segments import Rectangle

BLOCK = 128


@dataclass(frozen=True)
class FlexMask:
    """A ``Layout``: a query sees the keys of its toolset that belong to no row or to its own."""

    queries: Tensor
    """Numbers ``[N, 2]`` (int32) of toolset and row of each query; -1 for padding."""
    keys: Tensor
    """The same ``[M, 2]`` of each key, row 0 for tools; -2 for padding."""
    counts: Tensor
    """``[1, 1, N / 128]`` (int32): how many blocks of keys each block of queries looks at."""
    places: Tensor
    """``[1, 1, N / 128, M / 128]`` (int32): those blocks first, in order."""
    causal: bool
    """Keys after the query are hidden; for queries and keys that are the same tokens."""

    def attend(self, query_NHE: Tensor, keys_values: KeyValue) -> Tensor:
        """Heads ``[N, H * E]`` of flat queries ``[N, H, E]`` over flat keys and values ``[M, K, E]``; zeros for padding."""
        heads = (x.transpose(0, 1)[None] for x in (query_NHE, *keys_values))
        out = _kernel(query_NHE.device.type)(*heads, block_mask=self.block_mask, enable_gqa=True)
        return out[0].transpose(0, 1).flatten(1)

    @cached_property
    def block_mask(self) -> BlockMask:
        """As PyTorch wants it."""
        queries, keys, causal = self.queries, self.keys, self.causal

        def sees(_batch: Tensor, _head: Tensor, q: Tensor, k: Tensor) -> Tensor:
            seen = (queries[q, 0] == keys[k, 0]) & ((keys[k, 1] == 0) | (keys[k, 1] == queries[q, 1]))
            return seen & (k <= q) if causal else seen

        return BlockMask.from_kv_blocks(self.counts, self.places, BLOCK_SIZE=BLOCK, mask_mod=sees, seq_lengths=(len(queries), len(keys)))


def flex_mask(rectangles: Sequence[Rectangle], queries: np.ndarray, keys: np.ndarray, causal: bool = False) -> FlexMask:
    """The mask of ``rectangles``; ``queries`` and ``keys`` are the numbers ``[N, 2]`` and ``[M, 2]``. N and M are multiples of 128."""
    assert len(queries) % BLOCK == 0 == len(keys) % BLOCK, "flex attention needs passes filled up to multiples of 128 tokens"
    dense = np.zeros((len(queries) // BLOCK, len(keys) // BLOCK), dtype=bool)
    for rectangle in rectangles:
        first, last = rectangle.queries[0] // BLOCK, (rectangle.queries[1] - 1) // BLOCK
        for start, stop in rectangle.keys:
            dense[first : last + 1, start // BLOCK : (stop - 1) // BLOCK + 1] = True
    if causal:
        dense = np.tril(dense)
    order = np.argsort(~dense, axis=1, kind="stable").astype(np.int32)
    counts = dense.sum(1, dtype=np.int32)
    queries, keys, counts, order = (torch.from_numpy(np.ascontiguousarray(x)) for x in (queries, keys, counts, order))
    return FlexMask(queries.int(), keys.int(), counts[None, None], order[None, None], causal)


@cache
def _kernel(device: str) -> Callable[..., Any]:
    """Compiled on accelerators; as it is (dense, forward only) on a CPU, where it is for tests."""
    return flex_attention if device == "cpu" else torch.compile(flex_attention, dynamic=False)
