"""Examples to tensors: rows sorted by length, toolsets shared, labels and loss weights beside them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from needle.student.modeling.batching import pack_source, pack_target
from needle.student.modeling.model import Source, Target
from needle.student.tokenizer import BOS, SPECIAL_IDS
from needle.train.examples import Example

LONG_TOOLSET = 400
"""Tokens from which copying a toolset's keys to every row costs more than a pass of its own."""


@dataclass(frozen=True)
class Batch:
    """One forward pass."""

    source: Source
    target: Target
    labels_N: Tensor
    """Next token of each answer position."""
    weights_N: Tensor
    """Loss weight of each answer position (fp32)."""
    rows: int
    """Examples in it."""
    lengths: tuple[int, ...]
    """Answer length of each row, in flat order."""
    examples: list[Example]
    """The rows, in flat order; a list, which ``to_device`` leaves alone."""


def collate(
    examples: Sequence[Example], token_weights: dict[int, float], rows_per_block: int | None = None, share_toolsets: bool = True
) -> Batch:
    """Pack examples; each distinct toolset appears once, or with ``share_toolsets=False`` (joint encoder layers) once a row."""
    examples = sorted(examples, key=lambda example: (len(example.answer), len(example.request)))
    places: dict[tuple[int, ...], int] = {}
    toolset_of = [places.setdefault(example.tools, len(places)) for example in examples] if share_toolsets else list(range(len(examples)))
    toolsets = list(places) if share_toolsets else [example.tools for example in examples]
    source = pack_source(
        toolsets, [example.request for example in examples], toolset_of, rows_per_block, share=share_toolsets and len(examples) > 1
    )
    bos = SPECIAL_IDS[BOS]
    target = pack_target([(bos, *example.answer[:-1]) for example in examples], source)
    labels = torch.tensor([token for example in examples for token in example.answer])
    weights = torch.tensor([token_weights[kind] for example in examples for kind in example.classes])
    return Batch(source, target, labels, weights, len(examples), tuple(len(example.answer) for example in examples), examples)


def micro_batches(
    examples: Sequence[Example],
    micro_rows: int,
    token_weights: dict[int, float],
    rows_per_block: int | None = None,
    share_toolsets: bool = True,
) -> Iterator[Batch]:
    """Cut a step into passes of at most ``micro_rows`` rows, rows of similar length together.

    Rows of a long toolset get passes of their own where toolsets are shared: alone in a pass, its keys are never copied to the rows.
    """
    alone: dict[tuple[int, ...], list[Example]] = {}
    mixed: list[Example] = []
    for example in examples:
        (alone.setdefault(example.tools, []) if share_toolsets and len(example.tools) >= LONG_TOOLSET else mixed).append(example)
    for part in (mixed, *alone.values()):
        ordered = sorted(part, key=lambda example: (len(example.answer), len(example.request)))
        for start in range(0, len(ordered), micro_rows):
            yield collate(ordered[start : start + micro_rows], token_weights, rows_per_block, share_toolsets)
