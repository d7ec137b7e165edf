"""Batches ahead of the step that needs them: drawn by worker processes where the device is faster than the rendering of rows."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Sequence

import torch
from torch.utils.data import DataLoader, Dataset

from needle.train.examples import Chunk, Example, ExampleSet


class _Planned(Dataset):
    """The batches of one epoch by their number."""

    def __init__(self, examples: ExampleSet, plan: Sequence[Sequence[Chunk]], name: str) -> None:
        self.examples, self.plan, self.name = examples, plan, name

    def __len__(self) -> int:
        return len(self.plan)

    def __getitem__(self, number: int) -> list[Example]:
        return self.examples.draw(self.plan[number], random.Random(f"{self.name}/{number}"))


def workers_for(device: str) -> int:
    """Processes that draw batches: none on a CPU, which has no time to wait for them; else what the machine spares, 8 at most."""
    return 0 if device == "cpu" else max(0, min(8, len(os.sched_getaffinity(0)) - 2))


def batches(
    examples: ExampleSet, seed: int, epoch: int, rows: int, rows_per_toolset: int, skip: int = 0, share: tuple[int, int] = (0, 1), workers: int = 0
) -> Iterator[list[Example]]:
    """The batches of one epoch from number ``skip`` on; the same whatever the number of workers.

    ``share``: (this process, number of processes) of a run on several devices; each gets other batches, and all get equally many.
    """
    plan = examples.plan(seed, epoch, rows, rows_per_toolset)
    rank, ranks = share
    numbers = range(skip * ranks + rank, len(plan) - len(plan) % ranks if len(plan) >= ranks else len(plan), ranks)
    loader = DataLoader(
        _Planned(examples, plan, f"{seed}/{epoch}"), batch_size=None, sampler=list(numbers), num_workers=workers,
        multiprocessing_context="fork" if workers else None, prefetch_factor=4 if workers else None, generator=torch.Generator(),
    )  # fmt: skip
    yield from loader
