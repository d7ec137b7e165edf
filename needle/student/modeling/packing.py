"""Batches of training rows as flat tensors with ``Segments``: rows of one toolset side by side, filled up to round lengths."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from needle.student.modeling.model import Source, Target
from needle.student.modeling.segments import Segments, Span, runs, same_row, segment
from needle.student.tokenizer import PAD, SPECIAL_IDS


def pack(
    toolsets: Sequence[Sequence[int]],
    requests: Sequence[Sequence[int]],
    toolset_of: Sequence[int],
    answers: Sequence[Sequence[int]],
    multiple: int = 1,
    joint: bool = False,
) -> tuple[Source, Target]:
    """Source and target of rows that stand toolset by toolset (``toolset_of`` never returns to an earlier one).

    Both are filled with padding to a ``multiple`` of tokens; padding looks at nothing and nothing looks at it. ``joint``: with the layout of
    layers in which tools see the request, for batches with one request a toolset.
    """
    tools, asked, said = (_spans(part, offset) for part, offset in ((toolsets, 0), (requests, sum(map(len, toolsets))), (answers, 0)))
    wide, long = [len(ids) for ids in requests], [len(ids) for ids in answers]
    itself, own, cross = [segment(span, [span]) for span in tools], [], []
    for first, end in runs(toolset_of, wide, long):
        tool, request, answer = tools[toolset_of[first]], _over(asked[first:end]), _over(said[first:end])
        several = end - first > 1
        own.append(segment(request, [tool, request], same_row(wide[first:end], wide[first:end]) if several else None))
        cross.append(segment(answer, [tool, request], same_row(long[first:end], wide[first:end]) if several else None))
    causal = [
        segment(_over(said[first:end]), [_over(said[first:end])], same_row(long[first:end], long[first:end], causal=True))
        for first, end in runs([0] * len(answers), long)
    ]
    both = [segment(span, [tool, request]) for tool, request in zip(tools, asked, strict=False) for span in (tool, request)] if joint else None
    offsets = [len(toolsets[toolset]) for toolset in toolset_of]
    ids, positions = _flat([*toolsets, *requests], [0] * len(toolsets) + offsets, multiple)
    rows = Segments(tuple(own))
    source = Source(ids, positions, Segments((*itself, *own)), None if both is None else Segments(tuple(both)), rows)
    flat = _flat(answers, [0] * len(answers), multiple)
    return source, Target(*flat, Segments(tuple(causal)), Segments(tuple(cross)), tokens=sum(long))


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
