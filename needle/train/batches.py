"""Examples to tensors: rows of a toolset side by side over one copy of it, labels and loss weights beside them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from needle.student.modeling.model import Source, Target
from needle.student.modeling.packing import pack
from needle.student.tokenizer import BOS, SPECIAL_IDS
from needle.train.examples import Example


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
    tokens: tuple[int, int]
    """Source and target tokens that are no padding."""
    slots: int
    """Tokens of source and target with padding."""
    examples: list[Example]
    """The rows, in flat order; a list, which ``to_device`` leaves alone."""


def collate(examples: Sequence[Example], token_weights: dict[int, float], share_toolsets: bool = True, multiple: int = 1) -> Batch:
    """Pack examples; each distinct toolset appears once, or with ``share_toolsets=False`` (joint encoder layers) once a row.

    Source and target are filled up to a ``multiple`` of tokens with padding, which the model leaves out of its states.
    """
    examples = _in_order(examples)
    places: dict[tuple[int, ...], int] = {}
    toolset_of = [places.setdefault(example.tools, len(places)) for example in examples] if share_toolsets else list(range(len(examples)))
    toolsets = list(places) if share_toolsets else [example.tools for example in examples]
    answers = [(SPECIAL_IDS[BOS], *example.answer[:-1]) for example in examples]
    source, target = pack(toolsets, [example.request for example in examples], toolset_of, answers, multiple, joint=not share_toolsets)
    lengths = tuple(map(len, answers))
    labels = torch.tensor([token for example in examples for token in example.answer])
    weights = torch.tensor([token_weights[kind] for example in examples for kind in example.classes])
    tokens = sum(map(len, toolsets)) + sum(len(example.request) for example in examples)
    return Batch(source, target, labels, weights, len(examples), lengths, (tokens, sum(lengths)), len(source.ids_N) + len(target.ids_N), examples)


def micro_batches(
    examples: Sequence[Example], micro_rows: int, token_weights: dict[int, float], share_toolsets: bool = True, multiple: int = 1
) -> Iterator[Batch]:
    """Cut a step into passes of at most ``micro_rows`` rows, those of one toolset together."""
    ordered = _in_order(examples)
    for start in range(0, len(ordered), micro_rows):
        yield collate(ordered[start : start + micro_rows], token_weights, share_toolsets, multiple)


def _in_order(examples: Sequence[Example]) -> list[Example]:
    """Toolset by toolset in order of appearance, within one by length."""
    places: dict[tuple[int, ...], int] = {}
    for example in examples:
        places.setdefault(example.tools, len(places))
    return sorted(examples, key=lambda example: (places[example.tools], len(example.answer), len(example.request)))
