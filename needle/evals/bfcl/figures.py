"""The leaderboard's figures over its own verdicts: by category, the mean of categories, pooled, its three groups.

Two numbers are both called *BFCL* in print, and neither is the other: the plain mean over the single-turn categories
(``mean``), and the leaderboard's overall score, of which single-turn rows are 30 of 100 parts (``groups`` has those
three parts). ``fixed`` has mean and pooled rate with the errata. ``uncredited`` figures are the same without what
unreadable output is given where no call is due.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

from needle.evals.bfcl.load import CATEGORIES
from needle.evals.statistics import Clusters, Rate
from needle.evals.verdict import MALFORMED, Verdict

SIMPLE = ("simple_python", "simple_java", "simple_javascript")
LIVE = ("live_simple", "live_multiple", "live_parallel", "live_parallel_multiple")
IRRELEVANCE = ("irrelevance", "live_irrelevance")


def figures(categories: Sequence[str], verdicts: Sequence[Verdict], labels: Sequence[Hashable], seed: int = 0) -> Any:
    """All figures of one run over rows of the BFCL suite, as JSON; ``labels`` are the clusters of the intervals."""
    rows = list(zip(categories, verdicts, labels, strict=True))

    def rate(chosen: Sequence[Any], uncredited: bool = False) -> Rate:
        hits = [one.modes["bfcl"] and not (uncredited and one.decision == MALFORMED) for _, one, _ in chosen]
        return Clusters([label for _, _, label in chosen], seed=seed).rate(hits)

    groups = {name: [row for row in rows if row[0] == name] for name in CATEGORIES if name in categories}
    official = {name: rate(chosen) for name, chosen in groups.items()}
    uncredited = {name: rate(chosen, uncredited=True) for name, chosen in groups.items()}
    idle = [row for row in rows if row[0] in IRRELEVANCE]
    return {
        "categories": {
            name: found.to_dict()
            | {"uncredited": uncredited[name].value, "correct": _share(one.correct for _, one, _ in groups[name])}
            for name, found in official.items()
        },
        "all_categories": len(groups) == len(CATEGORIES),
        "mean": mean_rate(list(official.values())).to_dict(),
        "mean_uncredited": mean_rate(list(uncredited.values())).to_dict(),
        "pooled": rate(rows).to_dict(),
        "must_call": rate([row for row in rows if row[0] not in IRRELEVANCE]).to_dict(),
        "abstention": rate(idle).to_dict(),
        "abstention_uncredited": rate(idle, uncredited=True).to_dict(),
        "credited": sum(one.modes["bfcl"] and one.decision == MALFORMED for one in verdicts),
        "groups": _groups(official),
        "fixed": _fixed(rows, seed),
    }


def _fixed(rows: Sequence[Any], seed: int) -> dict[str, Any]:
    """The figures with the errata: rows that no answer can meet left out, the others by the mended ground truth."""
    kept = [row for row in rows if "bfcl_fixed" in row[1].modes]

    def rate(chosen: Sequence[Any]) -> Rate:
        return Clusters([label for _, _, label in chosen], seed=seed).rate(
            [one.modes["bfcl_fixed"] for _, one, _ in chosen]
        )

    names = [name for name in CATEGORIES if any(row[0] == name for row in kept)]
    found = {name: rate([row for row in kept if row[0] == name]) for name in names}
    return {
        "categories": {name: one.to_dict() for name, one in found.items()},
        "mean": mean_rate(list(found.values())).to_dict() if found else None,
        "pooled": rate(kept).to_dict(),
        "left_out": len(rows) - len(kept),
        "changed": sum(one.modes["bfcl"] != one.modes["bfcl_fixed"] for _, one, _ in kept),
    }


def _share(hits: Any) -> float:
    listed = list(hits)
    return sum(listed) / len(listed)


def mean_rate(rates: Sequence[Rate]) -> Rate:
    """Unweighted mean of independent rates; its interval combines theirs (Zou and Donner, 2008: squares add up)."""
    count = len(rates)
    value = sum(one.value for one in rates) / count
    low = value - sum((one.value - one.low) ** 2 for one in rates) ** 0.5 / count
    high = value + sum((one.high - one.value) ** 2 for one in rates) ** 0.5 / count
    return Rate(value, max(0.0, low), min(1.0, high), count)


def _groups(rates: dict[str, Rate]) -> dict[str, float]:
    """The three single-turn parts of the leaderboard's overall score, as far as their categories are all there."""
    groups: dict[str, float] = {}
    others = ("multiple", "parallel", "parallel_multiple")
    if all(name in rates for name in (*SIMPLE, *others)):
        simple = sum(rates[name].value for name in SIMPLE) / len(SIMPLE)
        groups["non_live"] = (simple + sum(rates[name].value for name in others)) / (1 + len(others))
    if all(name in rates for name in LIVE):
        rows = sum(rates[name].n for name in LIVE)
        groups["live"] = sum(rates[name].value * rates[name].n for name in LIVE) / rows
    if all(name in rates for name in IRRELEVANCE):
        groups["irrelevance"] = sum(rates[name].value for name in IRRELEVANCE) / len(IRRELEVANCE)
    return groups
