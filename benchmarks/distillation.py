"""Ways to distil, on the same rows and steps: labels, one teacher, an ensemble, students that teach each other,
on-policy steps.

    python benchmarks/distillation.py --out runs/ways                  # nano students, a night of one core
    python benchmarks/distillation.py --out runs/ways --preset base --minutes 9 --toolsets 0  # an accelerator, all rows
    python benchmarks/distillation.py --out runs/try --steps 2 --seeds 2 --toolsets 4 --validation-rows 4   # a try
    git archive --prefix old/ 4e6055e needle/student/assets | tar x     # the first base that was published, the second
    git archive --prefix old2/ 0a4eddd needle/student/assets | tar x    # full size on a CPU: two hours of two cores
    python benchmarks/distillation.py --out runs/ways --start old/needle/student/assets --toolsets 0 --steps 80 \
      --teacher needle/student/assets old2/needle/student/assets --arms "soft, one teacher" "ensemble of teachers" mutual

Students start from random weights, or all from one checkpoint (``--start``, at the rates of a fine-tune). The teacher
is the bundled base, which has seen more data than they do; with ``--teacher-steps N`` it is made here first, from the
same rows, by N steps. Ensembles: all of ``--teacher``, or the hard-label students of the other seeds. Every arm of a
seed sees the same rows in the same order; a pair that learns together costs twice as much a row, and so does the
bundled base in the loop of a nano student.

Prints held-out scores (toolsets that no arm trains on): mean and standard error over seeds, and the gain over hard
labels with its 95 % interval (Student's t over seeds, paired). A run that is there already is not made again, one
that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from needle.distil import read_split, train
from needle.traces import Trace, write_traces

STUDENT_T = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78, 6: 2.57, 7: 2.45, 8: 2.36}
"""97.5 % points by number of seeds."""


@dataclass(frozen=True)
class Arm:
    """One way to distil."""

    loss: str
    """``hard``, ``soft`` or ``mutual``."""
    teachers: tuple[str, ...] = ()
    """Checkpoints; ``seeds`` stands for the hard-label students of the other seeds."""
    settings: tuple[tuple[str, float], ...] = ()
    """What differs in ``TrainConfig``."""


def arms(teachers: list[str]) -> dict[str, Arm]:
    """Every way by name; ``hard`` first, because the ensemble of seeds is made of its students."""
    teacher = teachers[0]
    return {
        "hard": Arm("hard"),
        "soft, one teacher": Arm("soft", (teacher,)),
        "soft, reverse KL": Arm("soft", (teacher,), (("divergence", 1.0),)),
        **({"ensemble of teachers": Arm("soft", tuple(teachers))} if len(teachers) > 1 else {}),
        "ensemble of seeds": Arm("soft", ("seeds",)),
        "mutual": Arm("mutual"),
        "on-policy, a third of the steps": Arm("soft", (teacher,), (("on_policy", 0.33), ("divergence", 0.5))),
        "hard, averaged weights": Arm("hard", settings=(("average_decay", 0.99),)),
    }


def subset(traces: Path, out: Path, toolsets: int, held: int) -> Path:
    """A folder with the rows of so many training toolsets (0: all) and ``held`` validation rows, the same for every
    arm and seed."""
    folder = out / f"rows-{toolsets}-{held}"
    if not (folder / "validation.jsonl").is_file():
        split = read_split([traces])
        groups: dict[str, list[Trace]] = defaultdict(list)
        for trace in split.train:
            groups[trace.toolset].append(trace)
        kept = random.Random(0).sample(sorted(groups), min(toolsets or len(groups), len(groups)))
        write_traces(folder / "train.jsonl", [trace for name in kept for trace in groups[name]])
        write_traces(
            folder / "validation.jsonl", random.Random(0).sample(split.validation, min(held, len(split.validation)))
        )
    return folder


def run(
    out: Path, loss: str, teachers: list[str], settings: dict[str, Any], options: argparse.Namespace
) -> dict[str, float]:
    """Scores of one run; read from its folder where it is finished."""
    scores = out / "scores.json"
    if scores.is_file():
        return json.loads(scores.read_text())
    settings = {"rows": options.rows, "validations": 1, "validation_rows": options.validation_rows, **settings}
    # a start is not replayed to, nor kept where it is better: what an arm learns is measured
    settings |= {"replay": 0.0, "keep_base": False}
    report = train(
        [subset(options.traces, options.out, options.toolsets, options.validation_rows)],
        out, base=options.start, preset=options.preset, loss=loss,
        teachers=teachers,
        settings=settings, resume=(out / "last").exists(), logs=("none",),
    )  # fmt: skip
    found = {**report.best, "minutes": report.seconds / 60}
    scores.write_text(json.dumps(found))
    return found


def run_arm(name: str, arm: Arm, seed: int, options: argparse.Namespace) -> dict[str, float]:
    """Scores of one arm and seed."""
    others = [str(options.out / f"hard-{other}") for other in range(options.seeds) if other != seed]
    teachers = [path for teacher in arm.teachers for path in (others if teacher == "seeds" else [teacher])]
    budget = {"minutes": options.minutes} if options.minutes else {"steps": options.steps}
    folder = options.out / f"{name.replace(' ', '-').replace(',', '')}-{seed}"
    return run(folder, arm.loss, teachers, {"seed": seed, **budget, **dict(arm.settings)}, options)


def table_row(name: str, runs: list[dict[str, float]], hard: list[dict[str, float]]) -> str:
    """One line of the table."""
    gains = [100 * (run["exact"] - base["exact"]) for run, base in zip(runs, hard, strict=True)]
    cells = [
        _cell([100 * run["exact"] for run in runs]),
        "" if runs is hard else _interval(gains),
        _cell([run["loss"] for run in runs], 3),
    ]
    cells += [_cell([100 * run["tokens"] for run in runs]), f"{mean(run['minutes'] for run in runs):.1f}"]
    return f"| {name} | {' | '.join(cells)} |"


def _cell(values: list[float], digits: int = 1) -> str:
    error = f" ± {stdev(values) / len(values) ** 0.5:.{digits}f}" if len(values) > 1 else ""
    return f"{mean(values):.{digits}f}{error}"


def _interval(values: list[float]) -> str:
    if len(values) < 2:
        return f"{mean(values):+.1f}"
    half = STUDENT_T.get(len(values), 2.0) * stdev(values) / len(values) ** 0.5
    return f"{mean(values):+.1f} ({mean(values) - half:+.1f} to {mean(values) + half:+.1f})"


def main() -> None:
    """Run every arm and print the table, a line as soon as its seeds are there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--traces", type=Path, default=Path("data/traces"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--start", default="none", help="checkpoint that all students start from; none for random weights")
    parser.add_argument("--teacher", nargs="+", default=[str(Path("needle/student/assets"))], help="the first teaches alone, all together")
    parser.add_argument("--teacher-steps", type=int, default=0, help="make the teacher here first, by so many steps")
    parser.add_argument("--toolsets", type=int, default=150, help="training toolsets that are used; 0 for all")
    parser.add_argument("--preset", default="nano")
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--validation-rows", type=int, default=200)
    parser.add_argument("--arms", nargs="*", help="names of the arms to run; all without it")
    options = parser.parse_args()
    teachers = options.teacher
    if options.teacher_steps:
        teachers = [str(options.out / "teacher")]
        made = run(Path(teachers[0]), "hard", [], {"seed": 99, "steps": options.teacher_steps}, options)
        print(
            f"teacher of {options.teacher_steps} steps: {100 * made['exact']:.1f} % exact, loss {made['loss']:.3f}\n",
            flush=True,
        )
    print(
        "| way | exact % | gain over hard | loss a token | tokens right % | minutes |\n|---|---:|---:|---:|---:|---:|",
        flush=True,
    )
    chosen = {name: arm for name, arm in arms(teachers).items() if not options.arms or name in (*options.arms, "hard")}
    hard: list[dict[str, float]] = []
    for name, arm in chosen.items():
        runs = [run_arm(name, arm, seed, options) for seed in range(options.seeds)]
        hard = hard or runs
        print(table_row(name, runs, hard), flush=True)


if __name__ == "__main__":
    main()
