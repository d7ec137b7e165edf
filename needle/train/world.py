"""The processes of one run, as ``torchrun`` starts them: gradients summed over all, decisions taken by the first.

    torchrun --nproc-per-node 8 -m needle.cli train ...         # one machine
    torchrun --nnodes 2 --nproc-per-node 8 --rdzv-endpoint HOST:29500 --rdzv-backend c10d -m needle.cli train ...

The loss is divided by the token weights of all processes together, so that a step is the same however its rows are spread. No wrapper
around the model: its gradients are summed in one buffer after the last backward pass.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.tensor import DTensor

from needle.errors import UserError
from needle.train.examples import Example
from needle.train.lanes import shares

T = TypeVar("T")
WAIT_MINUTES = 30
"""Longest wait for another process that is alive: a validation by the first may take this long. A dead one is noticed at once."""


class World:
    """This process among ``size``; alone, every operation leaves its input as it is."""

    def __init__(self) -> None:
        """Joins the group that the environment names (``WORLD_SIZE`` and what belongs to it). Raises ``UserError`` when it does not form."""
        self.size, self.rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
        local = int(os.environ.get("LOCAL_RANK", "0"))
        self.device = torch.device(f"cuda:{local}" if torch.cuda.is_available() else "cpu")
        if self.size > 1 and not dist.is_initialized():
            try:
                if self.device.type == "cuda":
                    torch.cuda.set_device(self.device)
                backend = "cpu:gloo,cuda:nccl" if self.device.type == "cuda" else "gloo"
                dist.init_process_group(backend, timeout=timedelta(minutes=WAIT_MINUTES))
            except (RuntimeError, ValueError) as error:
                raise UserError(f"process {self.rank} of {self.size} found no others ({error}); start all of them with torchrun") from error

    @property
    def first(self) -> bool:
        """Whether this process writes, validates and decides."""
        return self.rank == 0

    def say(self, value: T) -> T:
        """What the first process says, on all. Raises ``UserError`` when a process is gone."""
        if self.size == 1:
            return value
        box = [value]
        self._reach(lambda: dist.broadcast_object_list(box, device=torch.device("cpu")))
        return box[0]

    def total(self, values: Iterable[float]) -> list[float]:
        """Sums over all processes."""
        mine = torch.tensor(list(values), dtype=torch.float64)
        if self.size > 1:
            self._reach(lambda: dist.all_reduce(mine))
        return mine.tolist()

    def largest(self, value: int) -> int:
        """The largest of what the processes say."""
        box = torch.tensor(value)
        if self.size > 1:
            self._reach(lambda: dist.all_reduce(box, op=dist.ReduceOp.MAX))
        return int(box)

    def evened(self, rows: list[Example]) -> list[Example]:
        """Rows of a step shared anew by their length: nobody waits long for the others. Where all passes have one shape there is nothing to gain.

        The sum of the gradients is the same.
        """
        if self.size == 1:
            return rows
        box: list[list[Example]] = [[]] * self.size
        self._reach(lambda: dist.all_gather_object(box, rows))
        parts = shares([row for part in box for row in part], self.size)
        return parts[self.rank] if len(parts) == self.size else rows

    def sum_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Add up the gradients of all processes in place."""
        if self.size == 1:
            return
        gradients = []
        for gradient in (p.grad for p in parameters if p.grad is not None):
            if isinstance(gradient, DTensor):
                gradient.mul_(self.size)  # sharded: the backward pass has left the mean over the processes
            else:
                gradients.append(gradient)
        flat = torch.cat([g.flatten() for g in gradients])
        self._reach(lambda: dist.all_reduce(flat))
        for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))

    def leave(self) -> None:
        """Close the group, at the end of the program."""
        if self.size > 1 and dist.is_initialized():
            dist.destroy_process_group()

    @staticmethod
    def _reach(talk: Callable[[], object]) -> None:
        try:
            talk()
        except RuntimeError as error:
            reason = re.sub(r"^\[\S+\] ", "", str(error).splitlines()[0]).split(". ")[0]
            raise UserError(f"another process of the run is gone ({reason}); what was saved before is whole: continue with --resume") from error
