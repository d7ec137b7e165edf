"""Two runs over the same suite, row by row: is B better than A, by how much, and which rows changed?

print(compare("runs/a", "runs/b").render())
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from needle.errors import UserError
from needle.evals.rows import RowReader
from needle.evals.run import load_results
from needle.evals.statistics import Paired, compare_paired
from needle.evals.summary import cluster_labels
from needle.evals.text import LABELS, VERDICT_RATES, percent


@dataclass(frozen=True)
class Flip:
    """A row on which the two runs differ."""

    id: str
    """Id of the row."""
    gained: bool
    """True when only B is right, False when only A is."""
    query: str
    """The request."""
    cause: str
    """First cause of the failure of the run that is wrong."""


@dataclass(frozen=True)
class Comparison:
    """B against A on the rows of one suite."""

    first: str
    """Caller of A."""
    second: str
    """Caller of B."""
    suite: str
    """Name of the suite."""
    rates: dict[str, Paired]
    """Paired comparison of each headline rate, by name."""
    flips: tuple[Flip, ...] = field(repr=False)
    """Rows whose correctness differs, in the order of the suite."""
    complete: bool
    """Neither run has rows that an endpoint failed on."""

    @property
    def correct(self) -> Paired:
        """The comparison that counts."""
        return self.rates["correct"]

    def to_dict(self) -> dict[str, Any]:
        """JSON object."""
        rates = {name: vars(paired) for name, paired in self.rates.items()}
        return vars(self) | {"rates": rates, "flips": [vars(flip) for flip in self.flips]}

    def render(self, limit: int = 10) -> str:
        """Plain text for a terminal; ``limit`` rows of each direction are shown."""
        width = max(map(len, LABELS.values()))
        lines = [
            f"A  {self.first}",
            f"B  {self.second}",
            f"on {self.suite}, {self.correct.n:,} rows; B minus A in points",
            "",
        ]
        for name, paired in self.rates.items():
            span = f"{100 * paired.low:+.1f} to {100 * paired.high:+.1f}"
            points = f"{100 * paired.difference:+6.1f}"
            lines.append(f"{LABELS[name]:<{width}}  {points}  95 % {span}  McNemar p = {paired.p_value:.3g}")
        lines += ["", f"{self.correct.gained:,} rows gained, {self.correct.lost:,} lost; {self._reading()}"]
        for gained, title in ((True, "gained"), (False, "lost")):
            rows = [flip for flip in self.flips if flip.gained is gained]
            lines += [f"  {title} {flip.id}: {flip.query[:80]!r} ({flip.cause})" for flip in rows[:limit]]
            lines += [f"  ... and {len(rows) - limit:,} more {title}"] * (len(rows) > limit)
        if not self.complete:
            lines.append("Incomplete: rows that got no answer count as wrong; run them again before trusting this.")
        return "\n".join(lines)

    def _reading(self) -> str:
        paired = self.correct
        if paired.low > 0:
            return "B is better."
        if paired.high < 0:
            return "A is better."
        return f"no difference shown (one of {percent(paired.detectable)} points would be found four times in five)."


def compare(dir_a: str | Path, dir_b: str | Path) -> Comparison:
    """Compare two result folders. Raises ``UserError`` when they differ in suite, rows or scorer version."""
    a, b = load_results(dir_a), load_results(dir_b)
    for what, left, right in (
        ("scorer versions", a.summary["scorer_version"], b.summary["scorer_version"]),
        ("suites", a.summary["suite"]["hash"], b.summary["suite"]["hash"]),
    ):
        if left != right:
            remedy = (
                "score both again with needle.evals.rescore"
                if what == "scorer versions"
                else "run both on the same suite, limit and seed"
            )
            raise UserError(f"{dir_a} and {dir_b} have different {what} ({left} and {right}); {remedy}")
    others = {row["id"]: row for row in b.rows}
    if [row["id"] for row in a.rows] != list(others):
        raise UserError(f"{dir_a} and {dir_b} do not hold the same rows; run both again")
    pairs = [(row, others[row["id"]]) for row in a.rows]
    reader = RowReader()
    labels = cluster_labels([reader.trace(row) for row, _ in pairs])
    rates = {
        name: compare_paired(
            [one["verdict"][name] for one, _ in pairs], [two["verdict"][name] for _, two in pairs], labels
        )
        for name in VERDICT_RATES
    }
    flips = tuple(
        Flip(
            one["id"],
            two["verdict"]["correct"],
            one["request"]["query"],
            (one if two["verdict"]["correct"] else two)["verdict"]["cause"],
        )
        for one, two in pairs
        if one["verdict"]["correct"] != two["verdict"]["correct"]
    )
    names = (a.summary["caller"], b.summary["caller"], a.summary["suite"]["name"])
    return Comparison(*names, rates, flips, a.complete and b.complete)
