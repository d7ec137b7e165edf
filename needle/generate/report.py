"""What a run says of itself: while it runs (``Snapshot``) and at the end (``GenerateReport``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Tally:
    """Counts of a run; a function of the stored answers, so a resumed run ends with the same."""

    asked: dict[str, int] = field(default_factory=dict)
    """Rows asked for and judged, by kind."""
    accepted: dict[str, int] = field(default_factory=dict)
    """Rows accepted, by kind."""
    refused: dict[str, int] = field(default_factory=dict)
    """Rows refused, by reason."""
    tokens: dict[str, int] = field(default_factory=lambda: {"prompt_tokens": 0, "completion_tokens": 0})
    """Tokens of all answers used, stored ones included."""
    usd: dict[str, float] = field(default_factory=dict)
    """US dollars of all answers used, stored ones included, by kind of row."""


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
    """Spent so far, earlier runs of the folder included."""
    tokens: int = 0
    """Tokens used so far, earlier runs of the folder included."""
    sent: int = 0
    """Questions sent by this run."""
    hits: int = 0
    """Questions of this run that the store answered."""
    seconds: float = 0.0
    """Since the run began."""
    usd_cap: float | None = None
    """Most that may be spent."""
    token_cap: int | None = None
    """Most tokens that may be used."""
    wanted: Mapping[str, int] = field(default_factory=dict)
    """Quotas by kind."""
    tally: Tally = field(default_factory=Tally)
    """Counts by kind; it goes on counting."""

    @property
    def hit_rate(self) -> float:
        """Share of the questions that the store answered."""
        return self.hits / (self.hits + self.sent) if self.hits + self.sent else 0.0

    @property
    def eta_s(self) -> float | None:
        """Seconds until the end at the pace so far, or None at the start."""
        done = self.answered - self.refused if not self.accepted else self.accepted
        return self.seconds * (self.total - done) / done if done > 0 else None

    @property
    def projected_usd(self) -> float | None:
        """US dollars at the end if every kind goes on as so far, or None before every kind has an accepted row."""
        total = self.usd
        for kind, wanted in self.wanted.items():
            accepted = self.tally.accepted.get(kind, 0)
            if wanted and not accepted:
                return None
            total += self.tally.usd.get(kind, 0.0) / accepted * (wanted - accepted) if wanted else 0.0
        return total

    def to_dict(self) -> dict[str, Any]:
        """One line of ``events.jsonl``."""
        names = ("accepted", "total", "answered", "refused", "usd", "tokens", "sent", "hits")
        kinds = {
            kind: {
                "wanted": wanted,
                "asked": self.tally.asked.get(kind, 0),
                "accepted": self.tally.accepted.get(kind, 0),
                "usd": round(self.tally.usd.get(kind, 0.0), 6),
            }
            for kind, wanted in self.wanted.items()
        }
        projected = self.projected_usd
        return {name: getattr(self, name) for name in names} | {
            "seconds": round(self.seconds, 3),
            "eta_s": None if self.eta_s is None else round(self.eta_s, 1),
            "projected_usd": None if projected is None else round(projected, 6),
            "kinds": kinds,
        }


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
    hits: int = 0
    """Questions of this run that the store answered."""
    bill: list[dict[str, Any]] = field(default_factory=list)
    """Everything paid in this folder by kind and stage: calls, tokens, US dollars."""
    lost: dict[str, Any] = field(default_factory=dict)
    """Calls that may have been billed though no answer reached us, at their worst case."""
    stopped: str = ""
    """Why the run ended before it had all rows; empty when it ended by itself."""

    def summary(self) -> dict[str, Any]:
        """The part that goes into ``stats.json``."""
        return {
            "wanted": self.wanted,
            "asked": self.tally.asked,
            "accepted": self.tally.accepted,
            "refused": self.tally.refused,
            "tokens": self.tally.tokens,
            "usd": {kind: round(usd, 6) for kind, usd in self.tally.usd.items()},
            "bill": [row | {"usd": round(row["usd"], 6)} for row in self.bill],
            "complete": self.complete,
            "notes": self.notes,
        }

    def bill_table(self) -> str:
        """The bill as lines of text, what may have been lost last."""
        lines = [f"{'kind':<22} {'stage':<10} {'calls':>9} {'tokens in':>12} {'tokens out':>12} {'US dollars':>12}"]
        total = {"calls": 0, "prompt_tokens": 0, "completion_tokens": 0, "usd": 0.0}
        for row in self.bill:
            lines.append(_bill_line(row["kind"] or "-", row["stage"], row))
            total = {name: value + row[name] for name, value in total.items()}
        lines.append(_bill_line("all", "", total))
        if self.lost.get("calls"):
            lines.append(
                f"{self.lost['calls']:,} calls got no answer that could be stored and may have been billed: "
                f"at most {self.lost['tokens']:,} tokens, ${self.lost['usd']:.4f}"
            )
        return "\n".join(lines)


def _bill_line(kind: str, stage: str, row: Mapping[str, Any]) -> str:
    figures = f"{row['calls']:>9,} {row['prompt_tokens']:>12,} {row['completion_tokens']:>12,} {row['usd']:>12.4f}"
    return f"{kind:<22} {stage:<10} {figures}"
