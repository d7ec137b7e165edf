"""What a fallback was asked for and what that cost: share of rows that went up, who was right, tokens of the second model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from needle.evals.summary import Scored

PAID = "fallback_"
"""Beginning of the names under which a result counts the tokens of a fallback."""


def escalation(scored: Sequence[Scored]) -> dict[str, Any] | None:
    """Figures of a run with a threshold, or None.

    Returns:
        ``n``; ``escalated`` and ``unsure`` (kept though unsure) with their shares; ``failed``: rows for which the fallback gave no answer; ``by``: rows and right ones of each caller that
        answered; ``usage``: tokens that the fallback was asked for.
    """
    rows = [one for one in scored if one.result.answered_by]
    if not rows:
        return None
    up = sum(bool(one.result.usage.get("escalated")) for one in rows)
    unsure = sum(one.result.unsure for one in rows)
    by: dict[str, dict[str, int]] = {}
    usage: dict[str, int] = {}
    for one in rows:
        mine = by.setdefault(str(one.result.answered_by), {"n": 0, "correct": 0})
        mine["n"] += 1
        mine["correct"] += one.verdict.correct
        for name, count in one.result.usage.items():
            if name.startswith(PAID):
                usage[name.removeprefix(PAID)] = usage.get(name.removeprefix(PAID), 0) + count
    shares = {"escalated_share": up / len(rows), "unsure_share": unsure / len(rows)}
    failed = sum(one.result.fallback_error is not None for one in rows)
    return {"n": len(rows), "escalated": up, "unsure": unsure, "failed": failed, **shares, "by": by, "usage": usage}


def escalation_lines(summary: Mapping[str, Any]) -> list[str]:
    """The same in words; nothing for a run without a threshold."""
    found = summary.get("escalation")
    if not found:
        return []
    tokens = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in found["usage"].items())
    parts = [f"{found['escalated']:,} of {found['n']:,} rows ({100 * found['escalated_share']:.1f} %) went to the fallback" + (f" ({tokens})" if tokens else "")]
    parts += [f"{name}: {one['correct']:,} of {one['n']:,} right" for name, one in found["by"].items()]
    parts.append(f"{found['unsure']:,} answers stay unsure")
    failed = f"the fallback gave no answer to {found['failed']:,} rows; the same command asks these again" if found.get("failed") else ""
    return ["; ".join([*parts, failed] if failed else parts)]
