"""Runs over the same suite, row by row: is B better than A, by how much, where, and which rows changed?

print(compare("runs/a", "runs/b").render())
print(compare_all(["runs/a", "runs/b", "runs/c"]).render())

Holm's correction runs over everything that one report tests: the headline rates of every pair of runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path
from typing import Any

from needle.errors import UserError
from needle.evals.gaps import Gap, gap_lines, gaps
from needle.evals.provenance import require_one_scorer
from needle.evals.rows import RowReader
from needle.evals.run import Results, load_results
from needle.evals.statistics import Paired, compare_paired, holm
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
    gaps: tuple[Gap, ...] = ()
    """The difference by skill and by kind."""
    agreement: float = 0.0
    """Share of rows on which both gave the same calls, right or wrong."""

    @property
    def correct(self) -> Paired:
        """The comparison that counts."""
        return self.rates["correct"]

    def to_dict(self) -> dict[str, Any]:
        """JSON object."""
        rates = {name: vars(paired) for name, paired in self.rates.items()}
        lists = {"flips": [vars(flip) for flip in self.flips], "gaps": [gap.to_dict() for gap in self.gaps]}
        return vars(self) | {"rates": rates} | lists

    def render(self, limit: int = 10) -> str:
        """Plain text for a terminal; ``limit`` rows of each direction are shown."""
        lines = [
            f"A  {self.first}",
            f"B  {self.second}",
            f"on {self.suite}, {self.correct.n:,} rows; B minus A in points",
            "",
            *self._table(),
            "",
            f"{self.correct.gained:,} rows gained, {self.correct.lost:,} lost; {self._reading()}",
            f"Same calls on {percent(self.agreement)} % of the rows.",
            "",
            *gap_lines(self.gaps),
            "",
        ]
        for gained, title in ((True, "gained"), (False, "lost")):
            rows = [flip for flip in self.flips if flip.gained is gained]
            lines += [f"  {title} {flip.id}: {flip.query[:80]!r} ({flip.cause})" for flip in rows[:limit]]
            lines += [f"  ... and {len(rows) - limit:,} more {title}"] * (len(rows) > limit)
        if not self.complete:
            lines.append("Incomplete: rows that got no answer count as wrong; run them again before trusting this.")
        return "\n".join(lines)

    def _table(self) -> list[str]:
        width = max(map(len, LABELS.values()))
        lines = []
        for name, paired in self.rates.items():
            span = f"{100 * paired.low:+.1f} to {100 * paired.high:+.1f}"
            points = f"{100 * paired.difference:+6.1f}"
            tests = (
                f"McNemar p = {paired.p_value:.3g}, over {paired.clusters:,} clusters p = {paired.p_permutation:.3g}"
            )
            holmed = "" if paired.p_adjusted is None else f", Holm p = {paired.p_adjusted:.3g}"
            lines.append(f"{LABELS[name]:<{width}}  {points}  95 % {span}  {tests}{holmed}")
        return lines

    def _reading(self) -> str:
        paired = self.correct
        if paired.low > 0:
            return "B is better."
        if paired.high < 0:
            return "A is better."
        return f"no difference shown (one of {percent(paired.detectable)} points would be found four times in five)."


@dataclass(frozen=True)
class Comparisons:
    """Every pair of several runs, corrected together."""

    names: tuple[str, ...]
    """Callers of the runs, in the order given."""
    pairs: tuple[Comparison, ...]
    """First run against second, first against third ..., second against third ..."""

    def to_dict(self) -> dict[str, Any]:
        """JSON object."""
        return {"names": list(self.names), "pairs": [pair.to_dict() for pair in self.pairs]}

    def render(self, limit: int = 10) -> str:
        """Plain text: one pair in full; several as one table of ``correct``."""
        if len(self.pairs) == 1:
            return self.pairs[0].render(limit)
        lines = [f"{_letter(place)}  {name}" for place, name in enumerate(self.names)]
        tests = len(self.pairs) * len(self.pairs[0].rates)
        lines += [
            "",
            f"on {self.pairs[0].suite}, {self.pairs[0].correct.n:,} rows; correct, points; Holm over {tests} tests",
        ]
        for (one, two), pair in zip(combinations(range(len(self.names)), 2), self.pairs, strict=True):
            paired = pair.correct
            span = f"{100 * paired.low:+.1f} to {100 * paired.high:+.1f}"
            mark = "*" if paired.significant else " "
            head = f"{_letter(two)} minus {_letter(one)}"
            found = f"{100 * paired.difference:+6.1f}{mark} 95 % {span}, Holm p = {paired.p_adjusted or 0:.3g}"
            lines.append(
                f"{head}  {found}, detectable {percent(paired.detectable)}, "
                f"{paired.gained:,} gained, {paired.lost:,} lost"
            )
        if not all(pair.complete for pair in self.pairs):
            lines.append("Incomplete: rows that got no answer count as wrong; run them again before trusting this.")
        return "\n".join(lines)


def _letter(place: int) -> str:
    return chr(ord("A") + place) if place < 26 else f"run {place + 1}"


def compare(dir_a: str | Path, dir_b: str | Path) -> Comparison:
    """Compare two result folders. Raises ``UserError`` when they differ in suite, rows or scorer version."""
    return compare_all([dir_a, dir_b]).pairs[0]


def compare_all(folders: Sequence[str | Path]) -> Comparisons:
    """Compare every pair of result folders. Raises ``UserError`` when they differ in suite, rows or scorer version."""
    if len(folders) < 2:
        raise UserError("one run has nothing to be compared with; name two or more folders")
    runs = [load_results(folder) for folder in folders]
    require_one_scorer(
        [(str(folder), run.summary["scorer_version"]) for folder, run in zip(folders, runs, strict=True)]
    )
    for folder, run in zip(folders[1:], runs[1:], strict=True):
        _require_same_rows(folders[0], runs[0], folder, run)
    pairs = [_pair(first, second) for first, second in combinations(runs, 2)]
    adjusted = iter(holm([paired.p for pair in pairs for paired in pair.rates.values()]))
    corrected = (
        replace(pair, rates={name: replace(one, p_adjusted=next(adjusted)) for name, one in pair.rates.items()})
        for pair in pairs
    )
    return Comparisons(tuple(run.summary["caller"] for run in runs), tuple(corrected))


def _require_same_rows(dir_a: str | Path, a: Results, dir_b: str | Path, b: Results) -> None:
    left, right = a.summary["suite"]["hash"], b.summary["suite"]["hash"]
    if left != right:
        raise UserError(
            f"{dir_a} and {dir_b} have different suites ({left} and {right}); "
            "run both on the same suite, limit and seed"
        )
    if [row["id"] for row in a.rows] != [row["id"] for row in b.rows]:
        raise UserError(f"{dir_a} and {dir_b} do not hold the same rows; run both again")


def _pair(a: Results, b: Results) -> Comparison:
    pairs = list(zip(a.rows, b.rows, strict=True))
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
    same = sum(one["calls"] == two["calls"] and one["error"] is two["error"] is None for one, two in pairs)
    names = (a.summary["caller"], b.summary["caller"], a.summary["suite"]["name"])
    agreement = same / len(pairs) if pairs else 0.0
    return Comparison(*names, rates, flips, a.complete and b.complete, gaps(pairs, labels), agreement)
