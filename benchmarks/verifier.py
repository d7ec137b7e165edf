"""What the verifier of ``needle generate`` catches: recall and precision on seeded corruptions of right rows.

    python benchmarks/verifier.py                      # 1,500 rows of the validation part
    python benchmarks/verifier.py --rows 300 --seed 1 --part train
    python benchmarks/verifier.py --only author

Rows with calls are drawn from the recorded traces. For each class of error a wrong answer is made that still fits the
schemas (``needle.generate.corrupt``). Recall is the share of wrong answers refused. Precision is that of a stream in
which every row comes once right and once wrong: caught / (caught + right rows refused). Five verifiers:

- ``schema``: validation alone; nothing is caught, by construction;
- ``request``: what the request itself says: groundedness, dropped, repeated and exchanged values; no plan;
- ``plan``: with the plan that the generator made the request from: tools, optional arguments, enums and booleans. In the
  recorded traces there is no plan, so it is read off the right calls: a plan that is itself wrong is not measured here;
- ``suggested``: the plan also suggested values to the author, where the planner can (numbers, times, dates, people, places,
  firms, addresses) and with its chance of 0.6; the author is taken to have used them;
- ``author``: the author also stated its values beside the request. There is no author of the recorded traces, so they are read
  off the right calls, half of them in the words of the request (the words that groundedness finds), one in twenty optional ones
  forgotten. This measures how a labeller's mistakes are caught against an honest author. It says nothing of an author that
  states wrong values, and since the author is right by construction it cannot refuse a right row for more than its wording.
"""

from __future__ import annotations

import argparse
import random
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from needle.generate.corrupt import CLASSES, Pool, corrupt, plan_of, stated_of
from needle.generate.plan import Plan
from needle.generate.stated import Stated
from needle.generate.verify import verify_calls
from needle.tools.spec import ToolCall
from needle.tools.validate import validate_calls
from needle.traces.read import read_traces
from needle.traces.split import split_files
from needle.traces.trace import Trace

Refuses = Callable[[Trace, Sequence[ToolCall]], list[str]]
"""Codes against calls for a row; empty: accepted."""


def verifiers(seed: int = 0) -> dict[str, Refuses]:
    """The verifiers that are compared, by name."""

    def with_plan(
        make: Callable[[Trace], Plan | None], author: Callable[[Trace], tuple[Stated, ...]] = lambda trace: ()
    ) -> Refuses:
        def refuse(trace: Trace, calls: Sequence[ToolCall]) -> list[str]:
            verdict = verify_calls(make(trace), trace.query, calls, None, trace.tools, trace.system, author(trace))
            return [item.code for item in verdict.refusals]

        return refuse

    def suggested(trace: Trace) -> Plan:
        return plan_of(trace, random.Random(f"{seed}/{trace.toolset}/{trace.id}"))

    return {
        "schema": lambda trace, calls: [item.code for item in validate_calls(calls, trace.tools)],
        "request": with_plan(lambda trace: None),
        "plan": with_plan(plan_of),
        "suggested": with_plan(suggested),
        "author": with_plan(suggested, lambda trace: stated_of(trace, random.Random(f"{seed}/{trace.toolset}/{trace.id}/author"))),
    }


def measure(rows: Sequence[Trace], pool: Pool, refuse: Refuses, seed: int = 0) -> dict[str, dict[str, float]]:
    """Class -> ``n``, ``recall``, ``precision``; and ``right`` -> share of right rows refused with ``n``."""
    wrongly = {trace.id: bool(refuse(trace, trace.calls)) for trace in rows}
    result = {"right": {"n": len(rows), "refused": sum(wrongly.values()) / len(rows)}}
    for kind in CLASSES:
        rng = random.Random(f"{seed}/{kind}")
        made = [(trace, calls) for trace in rows if (calls := corrupt(trace, kind, pool, rng))]
        caught = sum(bool(refuse(trace, calls)) for trace, calls in made)
        false = sum(wrongly[trace.id] for trace, _ in made)
        result[kind] = {
            "n": len(made),
            "recall": caught / len(made) if made else 0.0,
            "precision": caught / (caught + false) if caught + false else 0.0,
        }
    return result


def sample(part: str, rows: int, seed: int = 0) -> tuple[list[Trace], Pool]:
    """Rows with calls of a part of the recorded traces, and a pool of the others' values. Never the test part."""
    assert part in ("train", "validation"), "the test part is for evaluation alone"
    folder = Path(__file__).parents[1] / "data" / "traces"
    traces = [trace for trace in read_traces(split_files(folder)[part])[0] if trace.calls]
    random.Random(seed).shuffle(traces)
    chosen = {id(trace): None for trace in traces[:rows]}
    unique = {f"{trace.toolset}/{trace.id}": trace for trace in traces if id(trace) in chosen}
    return list(unique.values()), Pool(traces)


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--rows", type=int, default=1500)
    options.add_argument("--part", default="validation", choices=("train", "validation"))
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--only", choices=list(verifiers()), help="one verifier")
    given = options.parse_args()
    rows, pool = sample(given.part, given.rows, given.seed)
    print(f"{len(rows):,} rows with calls of the {given.part} part, seed {given.seed}")
    for name, refuse in verifiers(given.seed).items():
        if given.only not in (None, name):
            continue
        found = measure(rows, pool, refuse, given.seed)
        print(f"\n{name}: refuses {found['right']['refused']:.1%} of right rows")
        print(f"  {'class':<20}{'n':>7}{'recall':>9}{'precision':>11}")
        for kind in CLASSES:
            print(f"  {kind:<20}{found[kind]['n']:>7,.0f}{found[kind]['recall']:>9.3f}{found[kind]['precision']:>11.3f}")
    reasons = Counter(code for trace in rows for code in set(verifiers(given.seed)["request"](trace, trace.calls)))
    print("\nreasons against right rows:", ", ".join(f"{code} {count}" for code, count in reasons.most_common()))


if __name__ == "__main__":
    main()
