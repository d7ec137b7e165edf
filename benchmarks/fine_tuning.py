"""What a fine-tune on the traces of one toolset gives, on toolsets of the test split: generated, trained and scored, with the base beside it.

    python benchmarks/fine_tuning.py --out runs/fine_tuning [--count 3] [--rows 4000] [--minutes 7.5] [--toolset ID ...]

Toolsets are drawn by chance (seed 0) among those of ``data/traces/test.jsonl.gz`` with listed values and 18 rows or more. For each, ``needle quickstart``
makes traces with the embedded teacher and a student. Base and student then answer (1) wordings of the same teacher that training has not seen, and
(2) the recorded rows of the toolset, which another author wrote. Started again it goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path

import numpy as np

from needle.evals import evaluate, load_suite
from needle.evals.statistics import compare_paired
from needle.models import load
from needle.quickstart import QuickstartConfig, quickstart
from needle.traces import Trace
from needle.traces.read import read_traces
from needle.traces.write import write_traces

TEST = Path(__file__).parents[1] / "data" / "traces" / "test.jsonl.gz"
FEWEST = 18


def chosen(rows: list[Trace], count: int) -> list[str]:
    """Toolsets with listed values and enough rows, by chance."""
    groups: dict[str, list[Trace]] = {}
    for row in rows:
        groups.setdefault(row.toolset, []).append(row)
    fit = sorted(name for name, mine in groups.items() if len(mine) >= FEWEST and any('"enum"' in json.dumps(tool.parameters) for tool in mine[0].tools))
    return random.Random(0).sample(fit, min(count, len(fit)))


def run(name: str, rows: list[Trace], out: Path, traces: int, minutes: float) -> dict[str, list[bool]]:
    """Right or wrong, row by row, of the base and the student on both tests; writes everything below ``out``."""
    out.mkdir(parents=True, exist_ok=True)
    tools = out / "tools.json"
    tools.write_text(json.dumps([tool.to_dict() for tool in rows[0].tools], ensure_ascii=False))
    if not (out / "made" / "eval" / "results.json").exists():
        print(f"{name}: traces and a student, about {minutes + 2:.0f} minutes", flush=True)
        quickstart(QuickstartConfig(tools, out / "made", rows=traces, minutes=minutes), lambda *_: lambda *_: None)
    recorded = write_traces(out / "recorded.jsonl", rows)
    unseen = next((out / "made" / "traces").glob("test.jsonl*"))
    found = {}
    for test, file in (("unseen wordings", unseen), ("recorded", recorded)):
        suite = load_suite(str(file), limit=150)
        for who, model in (("base", None), ("student", str(out / "made" / "run"))):
            results = evaluate(load(model), suite, out / f"{who}-{test.split()[0]}")
            found[f"{test}, {who}"] = [row["verdict"]["correct"] for row in results.rows]
    return found


def main() -> None:
    """Run all and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=3)
    parser.add_argument("--rows", type=int, default=4000, help="traces to generate, of which eight in ten train")
    parser.add_argument("--minutes", type=float, default=7.5)
    parser.add_argument("--toolset", action="append", default=[])
    asked = parser.parse_args()
    rows = read_traces(TEST)[0]
    for name in asked.toolset or chosen(rows, asked.count):
        found = run(name, [row for row in rows if row.toolset == name], asked.out / name, asked.rows, asked.minutes)
        for test in ("unseen wordings", "recorded"):
            base, student = found[f"{test}, base"], found[f"{test}, student"]
            paired = compare_paired(base, student, range(len(base)))
            print(f"{name}, {test}, {len(base)} rows: base {100 * np.mean(base):.1f} %, student {100 * np.mean(student):.1f} % "
                  f"(difference {100 * paired.low:+.1f} to {100 * paired.high:+.1f})", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
