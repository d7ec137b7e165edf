"""How many rows a second the scorer judges on one core, beside the leaderboard's own checker on the same answers.

    pip install --no-deps bfcl-eval               # rows of BFCL and the checker; without it, needle-unseen alone
    python benchmarks/scoring.py                  # every suite that is here, answers of five kinds
    python benchmarks/scoring.py home-smoke 20    # one suite, repeated 20 times

Printed for each kind of answers, in rows per second of CPU time, the best of the repeats: *all* is everything that a run
says of a row (schema check, every match mode, counts, every error code); *BFCL rules* is the part that the leaderboard
has; *bfcl-eval* its checker on the same answers; and how many times as fast as it the two are.
"""

from __future__ import annotations

import copy
import importlib.util
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from needle.evals import Suite, baseline, judge, load_suite
from needle.evals.bfcl.check import official
from needle.evals.bfcl.load import CATEGORIES, find_bfcl
from needle.evals.parse import parse_calls
from needle.tools import CallResult
from needle.traces import Trace

sys.path.append(str(Path(__file__).parents[1] / "tests" / "evals"))  # the checker is loaded as the parity test loads it

KINDS = ("gold", "lexical", "first-tool", "never", "garbage")
"""Answers: all right, about a third right, few right, abstaining, unreadable."""


def answers(kind: str, suite: Suite) -> list[CallResult]:
    """Answers of one kind to every row."""
    if kind == "garbage":
        return [parse_calls('[{"name": "') for _ in suite.traces]
    return baseline(kind, suite.traces).answer([trace.request for trace in suite.traces])


def rows_per_second(judge_all: Callable[[], object], rows: int) -> float:
    """Rows per second of CPU time of this process."""
    start = time.process_time()
    judge_all()
    return rows / (time.process_time() - start)


def ours(traces: Sequence[Trace], results: Sequence[CallResult]) -> None:
    """Everything that a run says of each row."""
    for trace, result in zip(traces, results, strict=True):
        judge(trace, result)


def our_rules(traces: Sequence[Trace], results: Sequence[CallResult]) -> None:
    """The leaderboard's rules alone."""
    for trace, result in zip(traces, results, strict=True):
        official(trace.meta["scoring"]["bfcl"], None if result.error else result)


def their_rules(checker: Any, functions: dict[str, Any], traces: Sequence[Trace], outputs: Sequence[Any]) -> None:
    """The leaderboard's own checker; it changes what it is given, so ``outputs`` are copies."""
    for trace, output in zip(traces, outputs, strict=True):
        checker(trace, functions[trace.id], output)


def _questions() -> dict[str, Any]:
    """Functions of every row of BFCL as published, which the checker wants."""
    texts = find_bfcl().read([f"BFCL_v4_{name}.json" for name in CATEGORIES]).values()
    rows = (json.loads(line) for text in texts for line in text.splitlines() if line.strip())
    return {row["id"]: row["function"] for row in rows}


def judges(
    suite: Suite, checker: Any, functions: dict[str, Any]
) -> Iterator[tuple[str, Callable[[list[CallResult]], Callable[[], object]]]]:
    """Name of each scorer, and how to make its work over given answers."""
    yield "all", lambda results: lambda: ours(suite.traces, results)
    if checker is None or not all("bfcl" in trace.meta.get("scoring", {}) for trace in suite.traces):
        return

    def theirs(results: list[CallResult]) -> Callable[[], object]:
        outputs = [None if result.error else copy.deepcopy(list(result)) for result in results]
        return lambda: their_rules(checker, functions, suite.traces, outputs)

    yield "BFCL rules", lambda results: lambda: our_rules(suite.traces, results)
    yield "bfcl-eval", theirs


def measure(suite: Suite, checker: Any, functions: dict[str, Any], repeats: int) -> None:
    """Print one line for each kind of answers."""
    scorers = list(judges(suite, checker, functions))
    compared = len(scorers) > 1
    heads = "".join(f"{name:>12}" for name, _ in scorers) + (f"{'all x':>8}{'rules x':>9}" if compared else "")
    print(f"\n{suite.name}: {len(suite.traces):,} rows; rows a second\n{'answers':<12}{heads}")
    for kind in KINDS:
        results = answers(kind, suite)
        best = dict.fromkeys((name for name, _ in scorers), 0.0)
        for _ in range(repeats):  # in turn, so that a busy moment of the machine does not favour one
            for name, work in scorers:
                best[name] = max(best[name], rows_per_second(work(results), len(results)))
        ratios = (
            f"{best['all'] / best['bfcl-eval']:>8.2f}{best['BFCL rules'] / best['bfcl-eval']:>9.2f}" if compared else ""
        )
        print(f"{kind:<12}" + "".join(f"{rate:>12,.0f}" for rate in best.values()) + ratios, flush=True)


def main(suite: str = "", repeats: str = "5") -> None:
    """Measure one suite, or needle-unseen and, where it is here, bfcl."""
    suites = [
        load_suite(name) for name in ([suite] if suite else ["needle-unseen", *(["bfcl"] if find_bfcl() else [])])
    ]
    asked = _questions() if find_bfcl() else {}
    with ExitStack() as stack:
        checker = None
        if importlib.util.find_spec("bfcl_eval"):
            from bfcl_official import official_checker

            checker = stack.enter_context(official_checker())
        for one in suites:
            measure(one, checker, asked, int(repeats))


if __name__ == "__main__":
    main(*sys.argv[1:])
