"""From token lists to the flat tensors of the model: which rows share a toolset, where padding would be, who sees whom."""

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


def _blocks(pairs: Sequence[Pair], causal: bool = False, shared: np.ndarray | None = None) -> Blocks:
    biases, shapes = [], []
    for queries, keys in pairs:
        seen = keys[1][:, None, None, :]
        if causal:
            seen = seen & np.tri(keys[1].shape[1], dtype=bool)
        if shared is not None:
            seen = np.concatenate((np.ones((*seen.shape[:3], len(shared)), dtype=bool), seen), axis=-1)
        biases.append(torch.from_numpy(np.where(seen, np.float32(0), np.float32(MASKED))))
        shapes.append((*queries[0].shape, keys[0].shape[1]))
    queries, keys = (torch.from_numpy(np.concatenate([pair[side][0].ravel() for pair in pairs])) for side in (0, 1))
    real = np.flatnonzero(np.concatenate([pair[0][1].ravel() for pair in pairs]))
    common = None if shared is None else torch.from_numpy(shared)
    return Blocks(queries, keys, tuple(biases), tuple(shapes), torch.from_numpy(real), common)


def _chunks(rows: int, size: int | None) -> list[slice]:
    size = size or rows
    return [slice(start, min(start + size, rows)) for start in range(0, rows, size)]


def pack_source(
    toolsets: Sequence[Sequence[int]],
    requests: Sequence[Sequence[int]],
    toolset_of: Sequence[int],
    rows_per_block: int | None = None,
    share: bool = False,
) -> Source:
    """Tensors for ``requests`` over ``toolsets``; request ``i`` belongs to toolset ``toolset_of[i]``. Every list holds at least one token.

    ``rows_per_block`` splits attention into blocks of so many neighbouring rows, each padded by itself only: less waste for sorted rows.
    ``share`` lets the rows of a batch with a single toolset attend to it without copies (same result; no joint layers).
    """
    group = np.asarray(toolset_of)
    tool_lengths, lengths = np.array([len(ids) for ids in toolsets]), np.array([len(ids) for ids in requests])
    ids = np.concatenate([np.asarray(ids, dtype=np.int64) for ids in (*toolsets, *requests)])
    offsets = tool_lengths[group]
    positions = [np.arange(n) for n in tool_lengths] + [np.arange(o, o + n) for o, n in zip(offsets, lengths, strict=True)]
    tool_starts, starts = _starts(tool_lengths), _starts(lengths, int(tool_lengths.sum()))
    shared = np.arange(tool_lengths[0]) if share and len(toolsets) == 1 else None
    tools = [_padded_index(tool_starts[part], tool_lengths[part]) for part in _chunks(len(toolsets), rows_per_block)]
    rows: list[Pair] = []
    for part in _chunks(len(requests), rows_per_block):
        own = _padded_index(starts[part], lengths[part])
        before = _padded_index(tool_starts[group[part]], tool_lengths[group[part]])
        rows.append((own, own if shared is not None else _beside(before, own)))
    one_each = len(toolsets) == len(requests) and bool((group == np.arange(len(group))).all()) and shared is None
    joint = [(index, keys) for index, (_, keys) in zip(tools, rows, strict=True)] if one_each else None
    themselves = [(index, index if shared is None else _nothing(index)) for index in tools]
    return Source(
        torch.from_numpy(ids),
        torch.from_numpy(np.concatenate(positions)),
        _blocks([*themselves, *rows], shared=shared),
        _blocks([*joint, *rows]) if joint else None,
        _blocks(rows, shared=shared),
    )


def _nothing(index: Index) -> Index:
    """No keys of their own for the same rows."""
    return index[0][:, :0], index[1][:, :0]


def pack_target(answers: Sequence[Sequence[int]], source: Source) -> Target:
    """Tensors for decoder inputs ``answers`` (``<bos>`` first), row by row with the requests of ``source``."""
    lengths = np.array([len(ids) for ids in answers])
    ids = np.concatenate([np.asarray(ids, dtype=np.int64) for ids in answers])
    positions = np.concatenate([np.arange(n) for n in lengths])
    starts, first, pairs = _starts(lengths), 0, []
    for rows, _, _ in source.rows.shapes:
        index = _padded_index(starts[first : first + rows], lengths[first : first + rows])
        pairs.append((index, index))
        first += rows
    itself = _blocks(pairs, causal=True)
    shapes = tuple((rows, own[1], seen) for own, (rows, _, seen) in zip(itself.shapes, source.rows.shapes, strict=True))
    cross = Blocks(itself.queries, source.rows.keys, source.rows.biases, shapes, itself.real_N, source.rows.shared)
    return Target(torch.from_numpy(ids), torch.from_numpy(positions), itself, cross)
