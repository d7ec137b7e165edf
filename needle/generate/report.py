"""What a run says of itself: while it runs (``Snapshot``) and at the end (``GenerateReport``)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Snapshot:
    """State of a running job, given to the progress function after every answered row."""

    accepted: int
    """Rows accepted so far."""
    total: int
    """Rows wanted."""
    answered: int
    """Rows answered by the teacher and checked, refused ones included."""
    refused: int
    """Of these, refused."""
    usd: float
    """Spent so far."""


@dataclass
class Tally:
    """Counts of a run; a function of the stored answers, so a resumed run ends with the same."""

    asked: dict[str, int] = field(default_factory=dict)
    """Rows asked for, by kind."""
    accepted: dict[str, int] = field(default_factory=dict)
    """Rows accepted, by kind."""
    refused: dict[str, int] = field(default_factory=dict)
    """Rows refused, by reason."""
    tokens: dict[str, int] = field(default_factory=lambda: {"prompt_tokens": 0, "completion_tokens": 0})
    """Tokens of all answers used, stored ones included."""


@dataclass(frozen=True)
class GenerateReport:
    """Outcome of a run."""

    out: Path
    """Folder with everything."""
    files: dict[str, Path]
    """Part to file."""
    rows: dict[str, int]
    """Part to rows."""
    tally: Tally
    """Counts by kind and reason."""
    wanted: dict[str, int]
    """Quotas by kind."""
    complete: bool
    """Whether ``n`` rows were accepted."""
    notes: list[str]
    """What a person should know: kinds re-planned, a budget spent, look-alike tools."""
    usd: float
    """Spent, earlier runs of the folder included."""
    asked_now: int
    """Teacher calls of this run; the other answers came from the store."""

    def summary(self) -> dict[str, Any]:
        """The part that goes into ``stats.json``."""
        return {
            "wanted": self.wanted,
            "asked": self.tally.asked,
            "accepted": self.tally.accepted,
            "refused": self.tally.refused,
            "tokens": self.tally.tokens,
            "complete": self.complete,
            "notes": self.notes,
        }
