"""Fit the confidence of a trained student on rows that it was not trained on. The glue behind ``needle calibrate``."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from needle.distil import is_right
from needle.errors import UserError
from needle.models import BUNDLED, checkpoint_folder, load
from needle.student.confidence import FILE, fit
from needle.traces import Trace

BATCH = 32
"""Rows answered between two reports of progress."""


@dataclass(frozen=True)
class CalibrationReport:
    """What was fitted and what it is worth."""

    file: Path
    """The ``calibration.json`` that was written."""
    features: tuple[str, ...]
    """What the confidence is computed from."""
    rows: int
    """Rows it was fitted on."""
    right: int
    """How many of them the student gets right."""
    before: dict[str, Any]
    """``needle.evals.calibration`` of the raw probability."""
    after: dict[str, Any]
    """The same of the fitted confidence, each row by a model that saw no row of its toolset."""


def calibrate(
    model: str | None,
    traces: Sequence[Path],
    *,
    out: Path | None = None,
    limit: int = 600,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> CalibrationReport:
    """Answer up to ``limit`` rows, fit the confidence, and write ``calibration.json`` beside the weights (or into ``out``).

    Raises ``UserError`` for unusable rows, a model that is no student, and fewer than 20 rows or all of them right or wrong.
    """
    from needle.evals.calibration import calibration as measure
    from needle.traces.read import read_traces

    folder = checkpoint_folder(model)
    if out is None and folder == BUNDLED and model is None:
        raise UserError("calibrate: the bundled base comes with its confidence fitted; name a checkpoint with --model, or a folder with --out")
    rows, _ = read_traces(list(traces))
    chosen = sorted(random.Random(seed).sample(rows, min(limit, len(rows))), key=lambda trace: (trace.toolset, len(trace.query)))
    answered = _answered(load(model), chosen, progress)
    signals, right = [row[1] for row in answered], [row[2] for row in answered]
    made, held = fit(signals, right, [row[0].toolset for row in answered])
    before, after = measure([one["probability"] for one in signals], right), measure(held, right)
    assert before is not None and after is not None
    figures = {name: {"raw": before[name], "held_out": after[name]} for name in ("ece", "brier", "auroc")}
    source = ", ".join(path.name for path in traces)
    made = replace(made, fitted_on={**made.fitted_on, "source": source, "toolsets": len({row[0].toolset for row in answered}), "seed": seed, **figures})
    target = out or folder
    target.mkdir(parents=True, exist_ok=True)
    made.save(target)
    return CalibrationReport(target / FILE, made.features, len(answered), sum(right), before, after)


def _answered(
    caller: Any, traces: Sequence[Trace], progress: Callable[[int, int], None]
) -> list[tuple[Trace, dict[str, float], bool]]:
    """Rows that could be asked, with what the confidence is computed from and whether the answer is right."""
    found = []
    for start in range(0, len(traces), BATCH):
        some = traces[start : start + BATCH]
        for trace, answer in zip(some, caller.answer([trace.request for trace in some]), strict=True):
            if answer.signals:
                found.append((trace, answer.signals, is_right(trace, answer)))
        progress(min(start + BATCH, len(traces)), len(traces))
    return found
