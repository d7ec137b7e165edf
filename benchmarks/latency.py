"""Milliseconds, memory and start of the exported student: five tools (about 400 tokens), one request at a time.

    python benchmarks/latency.py                                 # the bundled base
    python benchmarks/latency.py --model runs/shop/int4 --threads 2 --rounds 50

``warm``: the toolset is known. ``cold``: it is new to the model. Both in turn, so that whatever else the machine does meets both. ``cpu`` is the
time of the answering thread: the figure to read on a machine that does other things as well. ``start``: a fresh process, ``import needle`` to
the end of the first call, and its peak memory.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import needle
from needle.device.prepared import ToolsetCache
from needle.tools import Request

TOOLS = Path(__file__).parents[1] / "data" / "toolsets" / "phone.json"
QUERY = "call Maria Lopez on speaker and then set an alarm for half past six called gym"
START = """
import json, resource, sys, time
began, cpu = time.perf_counter(), time.process_time()
import needle
model = needle.load(json.loads(sys.argv[1]), threads=int(sys.argv[2]))
model.call(sys.argv[3], needle.load_toolset(sys.argv[4])[:5])
taken = time.perf_counter() - began, time.process_time() - cpu
print(*taken, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3, "torch" in sys.modules)
"""


def milliseconds(work: Callable[[], object]) -> tuple[float, float]:
    """Wall-clock and thread milliseconds of one call of ``work``."""
    wall, cpu = time.perf_counter(), time.thread_time()
    work()
    return 1e3 * (time.perf_counter() - wall), 1e3 * (time.thread_time() - cpu)


def measure(model: needle.Caller, request: Request, rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Times of a known and of a new toolset, in turn."""
    times: dict[str, list[tuple[float, float]]] = {"warm": [], "cold": []}
    for _ in range(rounds):
        model.engine.cache = ToolsetCache(None)
        times["cold"].append(milliseconds(lambda: model.answer([request])))
        times["warm"].append(milliseconds(lambda: model.answer([request])))
    return times


def main() -> None:
    """Print p50 and p95 of each, and the start of a process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="exported folder or checkpoint; default: the bundled base")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--query", default=QUERY)
    options = parser.parse_args()
    model = needle.load(options.model, threads=options.threads)
    request = Request(options.query, tuple(needle.load_toolset(TOOLS))[:5])
    usage = model.answer([request])[0].usage
    read, written = usage["prompt_tokens"], usage["completion_tokens"]
    print(f"{len(options.query.split())} words, {read} tokens read, {written} written, {options.threads} threads, load {os.getloadavg()[0]:.1f}")
    print(f"{'':<8}{'p50 ms':>9}{'p95 ms':>9}{'cpu p50':>9}")
    for name, values in measure(model, request, options.rounds).items():
        wall, cpu = (sorted(value[side] for value in values) for side in (0, 1))
        print(f"{name:<8}{statistics.median(wall):>9.1f}{wall[int(0.95 * (len(wall) - 1))]:>9.1f}{statistics.median(cpu):>9.1f}")
    command = [sys.executable, "-c", START, json.dumps(options.model), str(options.threads), options.query, str(TOOLS)]
    wall, cpu, peak, torch = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    print(f"start: {float(wall):.2f} s ({float(cpu):.2f} s of CPU), peak {float(peak):.0f} MB{', with torch' if torch == 'True' else ''}")


if __name__ == "__main__":
    main()
