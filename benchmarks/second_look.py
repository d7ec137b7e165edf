"""What a second look at unsure answers is worth and costs: the same rows answered one by one without and with it, in turn.

    python benchmarks/second_look.py [--suite needle-unseen] [--limit 300] [--model CKPT]

Prints the share of unsure answers, exact match of both with the paired difference and its interval, and milliseconds of wall-clock time an answer.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from needle.distil import is_right
from needle.evals.statistics import compare_paired
from needle.evals.suites import load_suite
from needle.models import load
from needle.student.reranking import DOUBT


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--suite", default="needle-unseen")
    parser.add_argument("--limit", type=int, default=300)
    parser.add_argument("--model")
    asked = parser.parse_args()
    rows = load_suite(asked.suite, limit=asked.limit).traces
    callers = {"first answer": load(asked.model, second_look=False), "second look": load(asked.model)}
    right: dict[str, list[bool]] = {name: [] for name in callers}
    seconds: dict[str, list[float]] = {name: [] for name in callers}
    unsure = []
    for row in rows:
        for name, caller in callers.items():
            caller.prepare(row.tools)  # what is measured is the answer, not the reading of tools
            began = time.perf_counter()
            [answer] = caller.answer([row.request])
            seconds[name].append(1e3 * (time.perf_counter() - began))
            right[name].append(is_right(row, answer))
            if name == "first answer":
                unsure.append((answer.signals or {}).get("probability", 1.0) < DOUBT)
    print(f"{len(rows)} rows of {asked.suite}, one by one; {100 * np.mean(unsure):.1f} % of the answers are unsure (probability below {DOUBT})")
    for name in callers:
        p50, p95 = np.percentile(seconds[name], (50, 95))
        times = [one for one, looked in zip(seconds[name], unsure, strict=True) if looked]
        print(f"{name:>12}: {100 * np.mean(right[name]):.1f} % right; {np.mean(seconds[name]):.0f} ms an answer (p50 {p50:.0f}, p95 {p95:.0f}), {np.mean(times):.0f} where unsure")
    paired = compare_paired(*right.values(), labels=[row.toolset for row in rows])
    print(f"difference {100 * paired.difference:+.1f} points ({100 * paired.low:+.1f} to {100 * paired.high:+.1f}); {paired.gained} rows won, {paired.lost} lost")


if __name__ == "__main__":
    main()
