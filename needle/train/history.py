"""What a run wrote down, read back: the steps and validations of ``log.jsonl``, the answers of ``samples.jsonl``.

Both files are appended to, so a killed run may leave half a line at their end, and a continued one takes steps again:
a step that is
taken again replaces the earlier one and everything after it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from needle.errors import UserError

LOG, SAMPLES, FACTS = "log.jsonl", "samples.jsonl", "run.json"
"""Files of a run's folder: a line a step, a line a sample answer, what the run was made of."""


@dataclass(frozen=True)
class History:
    """The log of one run, in the order of its steps."""

    records: list[dict[str, Any]]
    """One record a step, with what its validation found, if it had one; step 0 is the start."""
    kept: int | None = None
    """Step of the checkpoint in ``best``; None: unknown. Not always the highest score: rounded weights go before
    others."""

    @property
    def steps(self) -> list[dict[str, Any]]:
        """Records of steps that were trained."""
        return [record for record in self.records if "loss" in record]

    @property
    def validations(self) -> list[dict[str, Any]]:
        """Records that hold scores on held-out rows."""
        return [record for record in self.records if "validation_exact" in record]

    @property
    def best(self) -> dict[str, Any] | None:
        """The validation of the kept checkpoint, else the one with the highest exact match; None before the first."""
        for record in self.validations:
            if record["step"] == self.kept:
                return record
        return max(self.validations, key=lambda record: (record["validation_exact"], record["step"]), default=None)

    def series(self, name: str) -> list[tuple[int, float]]:
        """``(step, value)`` wherever the log has a finite number of that name."""
        found = [(record["step"], record.get(name)) for record in self.records]
        return [
            (step, float(value)) for step, value in found if isinstance(value, int | float) and math.isfinite(value)
        ]


def open_lines(path: Path) -> IO[str]:
    """A file to add lines to; half a line at its end, which a killed process left, is closed off."""
    torn = path.is_file() and path.stat().st_size > 0 and not path.read_bytes().endswith(b"\n")
    file = path.open("a", encoding="utf-8")
    if torn:
        file.write("\n")
    return file


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The JSON objects of a file; lines that are none (a half-written one) are left out, and so is a file that is not
    there."""
    if not path.is_file():
        return []
    found = []
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if isinstance(record, dict) and isinstance(record.get("step"), int):
                found.append(record)
    return found


def read_history(out: Path) -> History:
    """The log of the run in ``out``. Raises ``UserError`` when there is none."""
    if not (out / LOG).is_file():
        raise UserError(f"{out}: no run there (no {LOG}); give a folder that needle train wrote")
    try:
        kept = json.loads((out / "best" / "training_state.json").read_text(encoding="utf-8"))["scores"].get("step")
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        kept = None
    return History(_latest(read_lines(out / LOG)), kept)


def _latest(lines: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    kept: dict[int, dict[str, Any]] = {}
    for record in lines:
        step = record["step"]
        if "loss" in record and kept and step <= next(reversed(kept)):
            kept = {number: older for number, older in kept.items() if number < step}
        kept[step] = kept.get(step, {}) | record
    return list(kept.values())


def read_samples(out: Path) -> dict[int, list[dict[str, Any]]]:
    """Sample answers by the step of their validation, in order of the steps."""
    groups: list[list[dict[str, Any]]] = []
    for line in read_lines(out / SAMPLES):
        if not groups or groups[-1][0]["step"] != line["step"]:
            groups.append([])
        groups[-1].append(line)
    found: dict[int, list[dict[str, Any]]] = {}
    for group in groups:
        step = group[0]["step"]
        found = {number: older for number, older in found.items() if number < step} | {step: group}
    return found


def read_facts(out: Path) -> dict[str, Any]:
    """What the run was made of (``run.json``); empty where the file is missing or unreadable."""
    try:
        found = json.loads((out / FACTS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
