"""What a fine-tune on the traces of one toolset gives, on toolsets of the test split: generated, trained and scored, with the base beside it.

    python benchmarks/fine_tuning.py --out runs/fine_tuning --traces data/fine_tuning [--minutes 7.5]
    python benchmarks/fine_tuning.py --out runs/embedded [--count 3] [--rows 4000] [--toolset ID ...]

Toolsets are drawn by chance (seed 0) among those of ``data/traces/test.jsonl.gz`` with listed values and 18 rows or more. For each, a student is
fine-tuned as ``needle train`` does it on the traces below ``--traces`` (a folder a toolset); without that, ``needle quickstart`` makes traces with the
embedded teacher and a student. Base and student then answer (1) wordings of the same teacher that training has not seen, and (2) the recorded rows of
the toolset, which another author wrote. Started again it goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path

import numpy as np

from needle.distil import train
from needle.evals import evaluate, load_suite
from needle.evals.statistics import compare_paired
from needle.models import load
from needle.quickstart import QuickstartConfig, quickstart
from needle.runs import REPORT
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


def embedded(rows: list[Trace], out: Path, traces: int, minutes: float) -> tuple[Path, Path]:
    """Traces of the embedded teacher and the run of a student of theirs, below ``out``."""
    tools = out / "tools.json"
    tools.write_text(json.dumps([tool.to_dict() for tool in rows[0].tools], ensure_ascii=False))
    if not (out / "made" / "eval" / "results.json").exists():
        quickstart(QuickstartConfig(tools, out / "made", rows=traces, minutes=minutes), lambda *_: lambda *_: None)
    return out / "made" / "traces", out / "made" / "run"


def tuned(traces: Path, out: Path, minutes: float) -> tuple[Path, Path]:
    """The same traces, and the run of a student of theirs, below ``out``."""
    if not (out / "run" / REPORT).exists():
        train([traces], out / "run", resume=(out / "run" / "last").exists(), settings={"minutes": minutes})
    return traces, out / "run"


def run(rows: list[Trace], out: Path, made: tuple[Path, Path]) -> dict[str, list[bool]]:
    """Right or wrong, row by row, of the base and the student on both tests; writes everything below ``out``. ``made``: traces and run."""
    recorded = write_traces(out / "recorded.jsonl", rows)
    unseen = next(made[0].glob("test.jsonl*"))
    found = {}
    for test, file in (("unseen wordings", unseen), ("recorded", recorded)):
        suite = load_suite(str(file), limit=150)
        for who, model in (("base", None), ("student", str(made[1]))):
            results = evaluate(load(model), suite, out / f"{who}-{test.split()[0]}")
            found[f"{test}, {who}"] = [row["verdict"]["correct"] for row in results.rows]
    return found


def main() -> None:
    """Run all and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=3)
    parser.add_argument("--traces", type=Path, help="folder with a folder of traces a toolset; default: the embedded teacher makes them")
    parser.add_argument("--rows", type=int, default=4000, help="traces that the embedded teacher makes, of which eight in ten train")
    parser.add_argument("--minutes", type=float, default=7.5)
    parser.add_argument("--toolset", action="append", default=[])
    asked = parser.parse_args()
    recorded = read_traces(TEST)[0]
    for name in asked.toolset or chosen(recorded, asked.count):
        rows, out = [row for row in recorded if row.toolset == name], asked.out / name
        out.mkdir(parents=True, exist_ok=True)
        print(f"{name}: a student, about {asked.minutes + 2:.0f} minutes", flush=True)
        made = tuned(asked.traces / name, out, asked.minutes) if asked.traces else embedded(rows, out, asked.rows, asked.minutes)
        found = run(rows, out, made)
        for test in ("unseen wordings", "recorded"):
            base, student = found[f"{test}, base"], found[f"{test}, student"]
            paired = compare_paired(base, student, range(len(base)))
            print(f"{name}, {test}, {len(base)} rows: base {100 * np.mean(base):.1f} %, student {100 * np.mean(student):.1f} % "
                  f"(difference {100 * paired.low:+.1f} to {100 * paired.high:+.1f})", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
