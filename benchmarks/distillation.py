"""Hard labels, soft labels, an ensemble and co-distillation on the same rows and steps, several seeds each.

    python benchmarks/distillation.py --traces data/traces --out runs/ways --steps 600 --seeds 3              # nano students, for a CPU
    python benchmarks/distillation.py --traces data/traces --out runs/ways --preset base --minutes 9          # for an accelerator

Students start from random weights; teachers are checkpoints of this project (default: the bundled base), or for the ensemble the
hard-label students of the other seeds. Every arm sees the same number of rows; a pair that learns together costs twice as much a row. Prints
held-out scores (toolsets that no arm trains on): mean and standard error over seeds. An arm that is there already is not run again.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev

from needle.distil import train


@dataclass(frozen=True)
class Arm:
    """One way to distil."""

    loss: str
    """``hard``, ``soft`` or ``mutual``."""
    teachers: tuple[str, ...] = ()
    """Checkpoints; ``seeds`` stands for the hard-label students of the other seeds."""
    settings: tuple[tuple[str, float], ...] = ()
    """What differs in ``TrainConfig``."""


def arms(teacher: str) -> dict[str, Arm]:
    """Every way by name; ``hard`` first, because the ensemble is made of its students."""
    return {
        "hard": Arm("hard"),
        "soft, one teacher": Arm("soft", (teacher,)),
        "soft, reverse KL": Arm("soft", (teacher,), (("divergence", 1.0),)),
        "ensemble of seeds": Arm("soft", ("seeds",)),
        "mutual": Arm("mutual"),
        "hard, averaged weights": Arm("hard", settings=(("average_decay", 0.99),)),
    }


def run_arm(name: str, arm: Arm, seed: int, options: argparse.Namespace) -> dict[str, float]:
    """Scores of one run; read from its folder where it is finished."""
    out = options.out / f"{name.replace(' ', '-').replace(',', '')}-{seed}"
    scores = out / "scores.json"
    if scores.is_file():
        return json.loads(scores.read_text())
    others = [str(options.out / f"hard-{other}") for other in range(options.seeds) if other != seed]
    teachers = [path for teacher in arm.teachers for path in (others if teacher == "seeds" else [teacher])]
    budget = {"minutes": options.minutes} if options.minutes else {"steps": options.steps}
    settings = {"rows": options.rows, "seed": seed, "validations": 3, **budget, **dict(arm.settings)}
    report = train(
        [options.traces], out, base="none", preset=options.preset, loss=arm.loss, teachers=teachers, settings=settings,
        resume=(out / "last").exists(),
    )  # fmt: skip
    found = {**report.best, "minutes": report.seconds / 60}
    scores.write_text(json.dumps(found))
    return found


def main() -> None:
    """Run every arm and print the table, a line as soon as its seeds are there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--traces", type=Path, default=Path("data/traces"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--teacher", default=str(Path("needle/student/assets")))
    parser.add_argument("--preset", default="nano")
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    print(f"| way | exact % | loss a token | tokens right % | minutes |\n|---|---:|---:|---:|---:|")
    for name, arm in arms(options.teacher).items():
        runs = [run_arm(name, arm, seed, options) for seed in range(options.seeds)]
        cells = [_cell([100 * run["exact"] for run in runs]), _cell([run["loss"] for run in runs], 3), _cell([100 * run["tokens"] for run in runs])]
        print(f"| {name} | {' | '.join(cells)} | {mean(run['minutes'] for run in runs):.1f} |", flush=True)


def _cell(values: list[float], digits: int = 1) -> str:
    error = f" ± {stdev(values) / len(values) ** 0.5:.{digits}f}" if len(values) > 1 else ""
    return f"{mean(values):.{digits}f}{error}"


if __name__ == "__main__":
    main()
