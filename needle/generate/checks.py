"""Settings of what follows a first label: votes, repair, a judge, and suites that rows must not know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from needle.errors import UserError

STEPS = (1, 3, 5)
"""Labels of a row: one, three where it disagrees with the plan, five where the three disagree."""


@dataclass(frozen=True)
class Checks:
    """How far a label is doubted."""

    votes: int = 1
    """Most labels of one row: 1, 3 or 5. More than one is asked for only where label and plan disagree."""
    share: float = 2 / 3
    """Share of the votes (weighted by teacher) that settles a row."""
    repair: bool = True
    """Ask once more, with the fault in words, where a label is malformed or its values cannot be found in the request."""
    judge: bool = False
    """Have a teacher with the role of judge answer yes or no to separate questions about every row that passed."""
    decontaminate: tuple[str, ...] = ()
    """Files, folders or (on the command line) names of evaluation suites; rows whose request they know are refused."""
    teacher_terms: str = ""
    """What the teacher's terms say about training on its output, in the user's words; for the card."""
    licence: str = ""
    """Licence under which the rows are to be given on, as the hub spells it; empty: not stated."""

    def __post_init__(self) -> None:
        if self.votes not in STEPS:
            raise UserError(f"votes is {self.votes}; use 1, 3 or 5")
        if not 0.5 < self.share <= 1:
            raise UserError(f"share is {self.share}; use a share above 0.5, at most 1")

    def shaping(self) -> dict[str, Any]:
        """The settings that shape the rows; the defaults give an empty mapping."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name in ("votes", "share", "repair", "judge", "decontaminate")
            if (value := getattr(self, name)) != getattr(DEFAULT, name)
        }


DEFAULT = Checks()
