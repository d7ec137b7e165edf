"""Where one run is behind another on the same rows: by kind of row and by skill. Teacher first, student second, this
is the distillation gap.

Skills: *select* (the right tools, where a call is due), *fill* (right arguments, where both chose the right tools),
*abstain* (no call, where none is due), *one call* and *several calls*.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from needle.evals.rows import Row
from needle.evals.statistics import Paired, compare_paired
from needle.evals.text import percent

Pair = tuple[Row, Row]


@dataclass(frozen=True)
class Gap:
    """Two runs on one part of the rows."""

    part: str
    """``kind`` or ``skill``."""
    name: str
    """Which kind or skill."""
    first: float
    """Share right of A."""
    second: float
    """Share right of B."""
    paired: Paired
    """B minus A."""
    kept: float | None
    """Share of the rows that A has right on which B is right too; None when A has none right."""

    def to_dict(self) -> dict[str, Any]:
        """JSON object."""
        return vars(self) | {"paired": vars(self.paired)}


def _correct(row: Row) -> bool:
    return bool(row["verdict"]["correct"])


def _named(row: Row) -> bool:
    return bool(row["verdict"]["names_right"])


Chosen = Callable[[Pair], bool]
SKILLS: dict[str, tuple[Chosen, Callable[[Row], bool]]] = {
    "select": (lambda pair: pair[0]["verdict"]["due"], _named),
    "fill": (lambda pair: pair[0]["verdict"]["due"] and _named(pair[0]) and _named(pair[1]), _correct),
    "abstain": (lambda pair: not pair[0]["verdict"]["due"], _correct),
    "one call": (lambda pair: len(pair[0]["gold"]["calls"]) == 1, _correct),
    "several calls": (lambda pair: len(pair[0]["gold"]["calls"]) > 1, _correct),
}
"""Skill -> which rows show it, and what is right there."""


def gaps(pairs: Sequence[Pair], labels: Sequence[Hashable]) -> tuple[Gap, ...]:
    """Gaps by skill, then by kind; parts without rows are left out."""
    found = [_gap("skill", name, pairs, labels, chosen, right) for name, (chosen, right) in SKILLS.items()]
    for kind in sorted({one["gold"]["kind"] for one, _ in pairs}):
        found.append(
            _gap("kind", kind, pairs, labels, lambda pair, kind=kind: pair[0]["gold"]["kind"] == kind, _correct)
        )
    return tuple(gap for gap in found if gap.paired.n)


def _gap(
    part: str,
    name: str,
    pairs: Sequence[Pair],
    labels: Sequence[Hashable],
    chosen: Chosen,
    right: Callable[[Row], bool],
) -> Gap:
    places = [place for place, pair in enumerate(pairs) if chosen(pair)]
    first = [right(pairs[place][0]) for place in places]
    second = [right(pairs[place][1]) for place in places]
    paired = compare_paired(first, second, [labels[place] for place in places])
    n, hits = len(places), sum(first)
    kept = sum(a and b for a, b in zip(first, second, strict=True)) / hits if hits else None
    return Gap(part, name, hits / n if n else 0.0, sum(second) / n if n else 0.0, paired, kept)


def gap_lines(found: Sequence[Gap]) -> list[str]:
    """The gaps as a table for a terminal."""
    width = max((len(gap.name) for gap in found), default=4)
    lines = [f"{'':<{width}}   rows      A      B  B minus A (95 %)         kept of A"]
    part = ""
    for gap in found:
        if gap.part != part:
            part = gap.part
            lines.append(f"by {part}")
        span = f"{100 * gap.paired.difference:+.1f} ({100 * gap.paired.low:+.1f} to {100 * gap.paired.high:+.1f})"
        kept = "-" if gap.kept is None else percent(gap.kept)
        lines.append(
            f"{gap.name:<{width}}  {gap.paired.n:>5,}  {percent(gap.first):>5}  {percent(gap.second):>5}  "
            f"{span:<24} {kept:>9}"
        )
    return lines
