"""How many rows a second the scorer judges on one core, for right, wrong and broken answers.

    python benchmarks/scoring.py                       # the unseen-toolset suite
    python benchmarks/scoring.py home-smoke 20         # another suite, repeated 20 times

Printed for each kind of answers: rows judged in a second of CPU time, the best of the repeats.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from needle.evals import baseline, judge, load_suite
from needle.evals.parse import parse_calls
from needle.tools import CallResult


def cpu_seconds(work: Callable[[], object]) -> float:
    """CPU seconds of this process for one call of ``work``."""
    start = time.process_time()
    work()
    return time.process_time() - start


def main(suite_name: str = "needle-unseen", repeats: str = "3") -> None:
    """Judge every row of a suite for each kind of answer and print rows a second."""
    suite = load_suite(suite_name)
    requests = [trace.request for trace in suite.traces]
    answers: dict[str, list[CallResult]] = {
        name: baseline(name, suite.traces).answer(requests) for name in ("gold", "lexical", "first-tool", "never")
    }
    answers["garbage"] = [parse_calls('[{"name": "') for _ in requests]
    print(f"{suite.name}: {len(requests):,} rows\n{'answers':<12}{'rows/s':>10}")
    for name, results in answers.items():

        def score(results: list[CallResult] = results) -> None:
            for trace, result in zip(suite.traces, results, strict=True):
                judge(trace, result)

        print(f"{name:<12}{len(requests) / min(cpu_seconds(score) for _ in range(int(repeats))):>10,.0f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
