"""How fast the machine is at its best, and how often a step was compiled anew."""

from __future__ import annotations

import time
from functools import cache

import torch


@cache
def peak_flops(device: torch.device, dtype: torch.dtype) -> float:
    """Floating-point operations a second of the best of some large square products, as measured here and now: what other work leaves free.

    Once a process; some tenths of a second on a CPU.
    """
    size = 8192 if device.type == "cuda" else 1024
    left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    best = float("inf")
    for _ in range(4):  # the first builds the kernel
        start = _now(device)
        left @ right
        best = min(best, _now(device) - start)
    return 2 * size**3 / best


def copy_bandwidth(device: torch.device) -> float:
    """Bytes a second, read and written, of the best of three large copies."""
    source = torch.ones(2**30 if device.type == "cuda" else 2**26, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    best = float("inf")
    for _ in range(4):
        start = _now(device)
        target.copy_(source)
        best = min(best, _now(device) - start)
    return 2 * len(source) / best


def compiled_graphs() -> int:
    """Graphs that ``torch.compile`` has made in this process so far; the log has what a step adds."""
    from torch._dynamo.utils import counters

    return counters["stats"]["unique_graphs"]


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
