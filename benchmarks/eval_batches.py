"""How fast the student answers a suite, by the order in which it is asked; CPU seconds of one thread.

python benchmarks/eval_batches.py --rows 256

``suite``: portions in the order of the suite. ``sorted``: sorted over the whole suite first, as ``needle eval`` does.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Sequence

from needle.evals import load_suite
from needle.evals.batching import batches
from needle.models import load
from needle.traces import Trace

PORTION = 64
"""Rows that are handed over together."""


def measure(portions: Iterable[Sequence[Trace]]) -> tuple[float, dict[str, str]]:
    """CPU seconds for all rows, and the outputs by id."""
    caller, outputs = load(None), {}
    start = time.process_time()
    for portion in portions:
        results = caller.answer([trace.request for trace in portion])
        outputs |= {trace.id: result.raw for trace, result in zip(portion, results, strict=True)}
    return time.process_time() - start, outputs


def main() -> None:
    """Print one line an order."""
    import torch

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=256, help="rows of needle-unseen")
    rows = parser.parse_args().rows
    torch.set_num_threads(1)
    traces = load_suite("needle-unseen", limit=rows).traces
    plain = [traces[start : start + PORTION] for start in range(0, rows, PORTION)]
    first: dict[str, str] = {}
    for name, portions in (("suite", plain), ("sorted", list(batches(traces, PORTION, prompt_length=load(None).prompt_length)))):
        seconds, outputs = measure(portions)
        first = first or outputs
        differ = sum(first[key] != output for key, output in outputs.items())
        print(f"{name:<7} {seconds:6.1f} CPU s, {1000 * seconds / rows:5.1f} ms a row, {differ} answers differ", flush=True)


if __name__ == "__main__":
    main()
