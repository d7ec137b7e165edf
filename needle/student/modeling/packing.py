"""Batches of training rows as flat tensors: rows of one toolset side by side, filled up to round lengths, who looks at whom beside them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from needle.student.modeling.flex import flex_mask
from needle.student.modeling.model import Source, Target
from needle.student.modeling.segments import Rectangle, Segments, Span, runs, segments
from needle.student.tokenizer import PAD, SPECIAL_IDS

NOBODY = (-1, -2)
"""Toolset of padding among queries and among keys: they never meet."""


def pack(
    toolsets: Sequence[Sequence[int]],
    requests: Sequence[Sequence[int]],
    toolset_of: Sequence[int],
    answers: Sequence[Sequence[int]],
    multiples: tuple[int, int] = (1, 1),
    joint: bool = False,
    flex: bool = False,
) -> tuple[Source, Target]:
    """Source and target of rows that stand toolset by toolset (``toolset_of`` never returns to an earlier one).

    They are filled with padding to ``multiples`` of tokens; padding looks at nothing and nothing looks at it. ``joint``: with the layout of
    layers in which tools see the request, for batches with one request a toolset. ``flex``: as ``FlexMask``, else as ``Segments``.
    """
    tools, asked, said = (_spans(part, offset) for part, offset in ((toolsets, 0), (requests, sum(map(len, toolsets))), (answers, 0)))
    wide, long = [len(ids) for ids in requests], [len(ids) for ids in answers]
    own, cross = [], []
    for first, end in runs(toolset_of, wide, long):
        keys, part = (tools[toolset_of[first]], _over(asked[first:end])), slice(first, end)
        several = end - first > 1
        own.append(Rectangle(keys[1], keys, (tuple(wide[part]), tuple(wide[part])) if several else None))
        cross.append(Rectangle(_over(said[part]), keys, (tuple(long[part]), tuple(wide[part])) if several else None))
    both = [Rectangle(span, pair) for pair in zip(tools, asked, strict=False) for span in pair] if joint else []
    causal = [
        Rectangle(_over(said[first:end]), (_over(said[first:end]),), (tuple(long[first:end]),) * 2, causal=True)
        for first, end in runs([0] * len(answers), long)
    ]
    itself = [Rectangle(span, (span,)) for span in tools]
    offsets = [len(toolsets[toolset]) for toolset in toolset_of]
    ids, positions = _flat([*toolsets, *requests], [0] * len(toolsets) + offsets, multiples[0])
    said_ids, said_positions = _flat(answers, [0] * len(answers), multiples[1])
    if not flex:
        alone, *layouts = map(segments, (itself, own, causal, cross))
        layouts.insert(0, Segments((*alone.parts, *layouts[0].parts)))
        seen = segments(both) if joint else None
    else:
        rows = range(1, len(requests) + 1)
        source = _numbers([*range(len(toolsets)), *toolset_of], [0] * len(toolsets) + [*rows], [*map(len, toolsets), *wide], len(ids))
        target = _numbers(toolset_of, rows, long, len(said_ids))
        layouts = [flex_mask([*itself, *own], source[0], source[1]), flex_mask(own, source[0], source[1]),
                   flex_mask(causal, target[0], target[1], causal=True), flex_mask(cross, target[0], source[1])]  # fmt: skip
        alike = [side * np.array([1, 0]) for side in source]
        seen = flex_mask(both, alike[0], alike[1]) if joint else None
    return Source(ids, positions, layouts[0], seen, layouts[1]), Target(said_ids, said_positions, layouts[2], layouts[3], tokens=sum(long))


def _numbers(toolsets: Sequence[int], rows: Sequence[int], lengths: Sequence[int], total: int) -> list[np.ndarray]:
    """Toolset and row of each of ``total`` tokens, as queries and as keys; padding has those of ``NOBODY``."""
    pairs = np.repeat(np.array([toolsets, rows], dtype=np.int32).T, lengths, axis=0)
    return [np.concatenate((pairs, np.full((total - len(pairs), 2), nobody, np.int32))) for nobody in NOBODY]


def _spans(parts: Sequence[Sequence[int]], offset: int) -> list[Span]:
    ends = np.cumsum([len(ids) for ids in parts]) + offset
    return [(int(end) - len(ids), int(end)) for ids, end in zip(parts, ends, strict=True)]


def _over(spans: Sequence[Span]) -> Span:
    return spans[0][0], spans[-1][1]


def _flat(parts: Sequence[Sequence[int]], offsets: Sequence[int], multiple: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and positions ``[N]``, filled up with ``<pad>`` at position 0."""
    ids = np.concatenate([np.asarray(part, dtype=np.int64) for part in parts])
    positions = np.concatenate([np.arange(offset, offset + len(part)) for part, offset in zip(parts, offsets, strict=True)])
    rest = -len(ids) % multiple
    filled = np.pad(ids, (0, rest), constant_values=SPECIAL_IDS[PAD]), np.pad(positions, (0, rest))
    return torch.from_numpy(filled[0]), torch.from_numpy(filled[1])
