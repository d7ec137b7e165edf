"""What scoring the same outputs again has changed: rows whose verdict is another, with the causes before and after."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from needle.evals.rows import Row


@dataclass(frozen=True)
class Change:
    """A row with another verdict."""

    id: str
    """Id of the row."""
    before: str
    """``right``, or the first cause of failure, before."""
    after: str
    """The same, now."""


def verdict_changes(before: Sequence[Row], after: Sequence[Row]) -> list[Change]:
    """Rows of both that are right or wrong, or wrong for another reason, than before; rows never scored count."""
    old = {row["id"]: _said(row) for row in before}
    found = ((row["id"], old.get(row["id"], "not scored"), _said(row)) for row in after)
    return [Change(*one) for one in found if one[1] != one[2]]


def change_lines(changes: Sequence[Change], total: int, limit: int = 10) -> list[str]:
    """The changes in words: counts by kind of change, then the first rows."""
    if not changes:
        return [f"{total:,} rows scored again, no verdict changed"]
    right = sum(one.after == "right" for one in changes)
    lost = sum(one.before == "right" for one in changes)
    lines = [f"{total:,} rows scored again, {len(changes):,} verdicts changed: {right:,} now right, {lost:,} no longer"]
    kinds = Counter((one.before, one.after) for one in changes)
    lines += [f"  {count:,}  {old} -> {new}" for (old, new), count in kinds.most_common(limit)]
    lines += [f"  {one.id}: {one.before} -> {one.after}" for one in changes[:limit]]
    return lines + [f"  ... and {len(changes) - limit:,} more rows"] * (len(changes) > limit)


def _said(row: Row) -> str:
    verdict = row.get("verdict")
    if not verdict:
        return "not scored"
    return "right" if verdict["correct"] else str(verdict["cause"])
