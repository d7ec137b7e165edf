"""From token lists to the flat tensors of the model, for decoding: which rows share a toolset, where padding would be, who sees whom."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from needle.student.modeling.layers import Blocks
from needle.student.modeling.model import Source, Target

MASKED = -1e9
Index = tuple[np.ndarray, np.ndarray]
"""``[rows, longest]`` flat indices (padding repeats the row's first token) and where they are real."""
Pair = tuple[Index, Index]
"""Queries and keys of one block."""


def _padded_index(starts: np.ndarray, lengths: np.ndarray) -> Index:
    steps = np.arange(int(lengths.max()))
    real = steps < lengths[:, None]
    return np.where(real, starts[:, None] + steps, starts[:, None]), real


def _starts(lengths: np.ndarray, offset: int = 0) -> np.ndarray:
    return np.concatenate(([0], np.cumsum(lengths)[:-1])) + offset


def _beside(first: Index, second: Index) -> Index:
    return np.concatenate((first[0], second[0]), axis=1), np.concatenate((first[1], second[1]), axis=1)


def _blocks(pairs: Sequence[Pair], causal: bool = False) -> Blocks:
    biases, shapes = [], []
    for queries, keys in pairs:
        seen = keys[1][:, None, None, :]
        if causal:
            seen = seen & np.tri(keys[1].shape[1], dtype=bool)
        biases.append(torch.from_numpy(np.where(seen, np.float32(0), np.float32(MASKED))))
        shapes.append((*queries[0].shape, keys[0].shape[1]))
    queries, keys = (torch.from_numpy(np.concatenate([pair[side][0].ravel() for pair in pairs])) for side in (0, 1))
    real = np.flatnonzero(np.concatenate([pair[0][1].ravel() for pair in pairs]))
    return Blocks(queries, keys, tuple(biases), tuple(shapes), torch.from_numpy(real))


def pack_source(toolsets: Sequence[Sequence[int]], requests: Sequence[Sequence[int]], toolset_of: Sequence[int]) -> Source:
    """Tensors for ``requests`` over ``toolsets``; request ``i`` belongs to toolset ``toolset_of[i]``. Every list holds at least one token."""
    group = np.asarray(toolset_of)
    tool_lengths, lengths = np.array([len(ids) for ids in toolsets]), np.array([len(ids) for ids in requests])
    ids = np.concatenate([np.asarray(ids, dtype=np.int64) for ids in (*toolsets, *requests)])
    offsets = tool_lengths[group]
    positions = [np.arange(n) for n in tool_lengths] + [np.arange(o, o + n) for o, n in zip(offsets, lengths, strict=True)]
    tool_starts, starts = _starts(tool_lengths), _starts(lengths, int(tool_lengths.sum()))
    tools, own = _padded_index(tool_starts, tool_lengths), _padded_index(starts, lengths)
    rows = own, _beside(_padded_index(tool_starts[group], tool_lengths[group]), own)
    one_each = len(toolsets) == len(requests) and bool((group == np.arange(len(group))).all())
    return Source(
        torch.from_numpy(ids),
        torch.from_numpy(np.concatenate(positions)),
        _blocks([(tools, tools), rows]),
        _blocks([(tools, rows[1]), rows]) if one_each else None,
        _blocks([rows]),
    )


def pack_target(answers: Sequence[Sequence[int]], source: Source) -> Target:
    """Tensors for decoder inputs ``answers`` (``<bos>`` first), row by row with the requests of ``source``."""
    lengths = np.array([len(ids) for ids in answers])
    ids = np.concatenate([np.asarray(ids, dtype=np.int64) for ids in answers])
    positions = np.concatenate([np.arange(n) for n in lengths])
    index = _padded_index(_starts(lengths), lengths)
    itself = _blocks([(index, index)], causal=True)
    [(rows, _, seen)] = source.rows.shapes
    cross = Blocks(itself.queries, source.rows.keys, source.rows.biases, ((rows, itself.shapes[0][1], seen),), itself.real_N)
    return Target(torch.from_numpy(ids), torch.from_numpy(positions), itself, cross)
