"""Lanes: threads that share the rows of a step on a CPU, each with its own forward and backward passes.

Attention over many short rows is a long list of small products that leave a second core idle; two lanes keep both busy. Gradients are
taken lane by lane and added in a fixed order, so that the same seed gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import groupby
from typing import TypeVar

import torch
from torch import Tensor

from needle.train.config import TrainConfig
from needle.train.examples import Example

T = TypeVar("T")
Descend = Callable[[Tensor], None]
"""Takes the gradients of a loss and adds them up."""
MOST_LANES = 4
"""Beyond these, lanes wait for each other in Python; further cores work inside of each lane."""
LEAST_ROWS = 8
"""Rows of one toolset part only into pieces of at least this many: each lane that has some reads the toolset."""
LEAST_TOOLSETS = 4
"""Fewest toolsets for each lane in a step: with few, products are large enough for all cores, and lanes of unequal length wait for each other."""


def lanes_for(config: TrainConfig, device: torch.device, processes: int, toolsets: float) -> int:
    """Lanes of a run: as set; else one for each core that PyTorch uses, a few at most, and a single one beside an accelerator or other processes,
    or where a step has few ``toolsets``."""
    if config.lanes is not None or device.type != "cpu" or processes > 1:
        return config.lanes or 1
    lanes = min(MOST_LANES, torch.get_num_threads())
    return lanes if toolsets >= LEAST_TOOLSETS * lanes else 1


def cores_of(lanes: int) -> int:
    """Cores that work inside of each lane."""
    return max(1, torch.get_num_threads() // lanes)


@cache
def _pool(lanes: int, cores: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(lanes, "lane", initializer=torch.set_num_threads, initargs=(cores,))


def in_lanes(
    work: Callable[[Sequence[Example], Descend], T], examples: Sequence[Example], parameters: Sequence[Tensor], lanes: int
) -> list[T]:
    """``work(rows, descend)`` on parts of the rows at the same time; the gradients of all are in ``parameters`` afterwards.

    Returns what ``work`` gave, part by part. Whatever it raises is raised here, when all have ended.
    """
    if lanes == 1:
        return [work(examples, lambda loss: loss.backward())]

    def lane(rows: Sequence[Example]) -> tuple[T, list[Tensor | None]]:
        mine: list[Tensor | None] = [None] * len(parameters)

        def descend(loss: Tensor) -> None:
            for place, gradient in enumerate(torch.autograd.grad(loss, parameters, allow_unused=True)):
                mine[place] = gradient if mine[place] is None else mine[place] if gradient is None else mine[place].add_(gradient)

        return work(rows, descend), mine

    cores = torch.get_num_threads()
    found = list(_pool(lanes, cores_of(lanes)).map(lane, shares(examples, lanes)))
    torch.set_num_threads(cores)  # part of the setting belongs to the whole process, and the lanes set it too
    for place, parameter in enumerate(parameters):
        for gradients in (mine for _, mine in found):
            if gradients[place] is not None:
                parameter.grad = gradients[place] if parameter.grad is None else parameter.grad.add_(gradients[place])
    return [result for result, _ in found]


def shares(examples: Sequence[Example], count: int) -> list[list[Example]]:
    """The rows in at most ``count`` parts of about the same effort; rows of one toolset stay together where that is no hindrance."""
    whole = sum(effort(chunk) for chunk in _chunks(examples))
    pieces: list[list[Example]] = []
    for chunk in _chunks(examples):
        cuts = min(count, max(1, round(count * effort(chunk) / whole)), max(1, len(chunk) // LEAST_ROWS))
        size = -(-len(chunk) // cuts)
        pieces += [chunk[start : start + size] for start in range(0, len(chunk), size)]
    parts: list[list[Example]] = [[] for _ in range(count)]
    efforts = [0] * count
    for piece in sorted(pieces, key=effort, reverse=True):
        lightest = efforts.index(min(efforts))
        parts[lightest] += piece
        efforts[lightest] += effort(piece)
    return [part for part in parts if part]


def _chunks(examples: Sequence[Example]) -> list[list[Example]]:
    """Neighbours of one toolset."""
    return [list(rows) for _, rows in groupby(examples, key=lambda example: example.tools)]


def effort(rows: Sequence[Example]) -> int:
    """Tokens that a pass over rows of one toolset goes through."""
    return len(rows[0].tools) + sum(len(row.request) + len(row.answer) for row in rows)
