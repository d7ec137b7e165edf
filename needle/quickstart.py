"""The whole loop on one toolset: generate, train, evaluate, run. ``needle quickstart`` shows it; no key, no network, no GPU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from needle.errors import UserError
from needle.tools import CallResult

TOOLSET = "data/toolsets/home.json"


@dataclass(frozen=True)
class QuickstartConfig:
    """What the loop is run on."""

    tools: Path
    """Toolset file."""
    out: Path
    """Folder for everything that is made."""
    rows: int = 4000
    """Traces to generate."""
    minutes: float = 7.5
    """Training budget, its validations included."""
    test_rows: int = 150
    """Most held-out rows to score."""
    teacher: str = "embedded"
    """Teacher endpoint, or ``embedded``."""
    model: str = ""
    """Model name at the endpoint."""
    seed: int = 0
    """Seed of generation and training."""


@dataclass(frozen=True)
class QuickstartResult:
    """What the loop made."""

    traces: dict[str, int]
    """Rows by part."""
    trained: Any
    """The ``TrainReport``."""
    results: Any
    """The evaluation's ``Results``."""
    answers: list[tuple[str, CallResult]]
    """Three held-out requests and the student's calls."""


def default_toolset() -> Path:
    """The smart-home toolset of the source tree. Raises ``UserError`` when the package was installed without it."""
    path = Path(__file__).parents[1] / TOOLSET
    if not path.is_file():
        raise UserError(f"{TOOLSET} is not beside the package; clone the repository, or give --tools FILE")
    return path


def quickstart(config: QuickstartConfig, stage: Callable[[str, str], Callable[..., None]]) -> QuickstartResult:
    """Run the loop; ``stage(name, words)`` announces a step and returns its progress function."""
    from needle.distil import train
    from needle.evals import evaluate, load_suite
    from needle.generate import GenerateConfig, generate
    from needle.models import load
    from needle.traces.read import read_traces

    folder = config.out / "traces"
    progress = stage("generate", f"ask the teacher ({config.teacher}) for {config.rows:,} verified traces")
    made = generate(
        GenerateConfig(tools=config.tools, out=folder, teacher=config.teacher, model=config.model, n=config.rows, seed=config.seed),
        lambda snapshot: progress(snapshot.accepted, snapshot.total),
    )
    progress = stage("train", f"fine-tune the 26M student for {config.minutes:g} minutes")
    trained = train(
        [folder], config.out / "run", resume=(config.out / "run" / "last").exists(),
        settings={"minutes": config.minutes, "seed": config.seed, "rows": 48, "rows_per_toolset": 48, "validations": 3, "validation_rows": 60,
                  "replay": 0.0},
        report=progress,
    )  # fmt: skip
    progress = stage("evaluate", "score wordings that neither training nor checkpoint choice has seen")
    student = load(config.out / "run")
    results = evaluate(student, load_suite(made.files["test"], limit=config.test_rows), config.out / "eval", progress=progress)
    progress = stage("run", "three held-out requests")
    shown = read_traces(made.files["test"])[0]
    shown = [next((t for t in shown if t.kind == kind), shown[0]) for kind in ("single", "parallel", "irrelevant")]
    answers = [(trace.query, student.call(trace.query, trace.tools)) for trace in shown]
    return QuickstartResult(made.rows, trained, results, answers)
