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


@dataclass(frozen=True)
class Shape:
    """What passes of a step look like."""

    source: int = 1
    """Source tokens are filled up with padding to a multiple of this."""
    target: int = 1
    """The same of target tokens."""
    fixed: bool = False
    """Every pass has exactly so many, and as many rows as fit: one shape for ``torch.compile``."""
    flex: bool = False
    """Attention as ``FlexMask`` instead of ``Segments``."""


def collate(
    examples: Sequence[Example], token_weights: dict[int, float], share_toolsets: bool = True, shape: Shape = Shape()
) -> Batch:
    """Pack examples; each distinct toolset appears once, or with ``share_toolsets=False`` (joint encoder layers) once a row."""
    examples = _in_order(examples)
    places: dict[tuple[int, ...], int] = {}
    toolset_of = [places.setdefault(example.tools, len(places)) for example in examples] if share_toolsets else list(range(len(examples)))
    toolsets = list(places) if share_toolsets else [example.tools for example in examples]
    answers = [(SPECIAL_IDS[BOS], *example.answer[:-1]) for example in examples]
    requests, multiples = [example.request for example in examples], (shape.source, shape.target)
    source, target = pack(toolsets, requests, toolset_of, answers, multiples, joint=not share_toolsets, flex=shape.flex)
    lengths = tuple(map(len, answers))
    labels = torch.tensor([token for example in examples for token in example.answer])
    weights = torch.tensor([token_weights[kind] for example in examples for kind in example.classes])
    tokens = sum(map(len, toolsets)) + sum(map(len, requests)), sum(lengths)
    return Batch(source, target, labels, weights, len(examples), lengths, tokens, len(source.ids_N) + len(target.ids_N), examples)


def micro_batches(
    examples: Sequence[Example], micro_rows: int, token_weights: dict[int, float], share_toolsets: bool = True, shape: Shape = Shape()
) -> Iterator[Batch]:
    """Cut a step into passes of at most ``micro_rows`` rows, those of one toolset together, and no more tokens than a fixed ``shape`` has.

    The model leaves padding out of its states; labels have none.
    """
    part: list[Example] = []
    source = target = 0
    for example in _in_order(examples):
        known = share_toolsets and part and part[-1].tools == example.tools
        more = len(example.request) + (0 if known else len(example.tools))
        full = shape.fixed and (source + more > shape.source or target + len(example.answer) > shape.target)
        if part and (full or len(part) == micro_rows):
            yield collate(part, token_weights, share_toolsets, shape)
            part, source, target, more = [], 0, 0, len(example.request) + len(example.tools)
        part.append(example)
        source, target = source + more, target + len(example.answer)
    if part:
        yield collate(part, token_weights, share_toolsets, shape)


def sizes(examples: Sequence[Example], share_toolsets: bool) -> tuple[int, int]:
    """Source and target tokens of the rows in one pass."""
    tools = {example.tools for example in examples} if share_toolsets else [example.tools for example in examples]
    return sum(map(len, tools)) + sum(len(example.request) for example in examples), sum(len(example.answer) for example in examples)


def _in_order(examples: Sequence[Example]) -> list[Example]:
    """Toolset by toolset in order of appearance, within one by length."""
    places: dict[tuple[int, ...], int] = {}
    for example in examples:
        places.setdefault(example.tools, len(places))
    return sorted(examples, key=lambda example: (places[example.tools], len(example.answer), len(example.request)))
