"""A gate for CI: does a run hold what was asked of it? Decided on the ends of intervals, so that luck passes no gate.

``--fail-under correct=60`` fails unless the lower end of the 95 % interval of the rate is at least 60 %.
``--max-regression 2`` fails unless the lower end of the interval of the paired difference (B minus A) is at least -2
points: a loss of more than 2 points must be ruled out, not merely unproven. Incomplete runs never pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from needle.errors import UserError
from needle.evals.summary import RATES
from needle.evals.text import percent

if TYPE_CHECKING:
    from needle.evals.compare import Comparison

PARTS = ("must_call", "no_call_due")
"""Parts of a suite whose share of right rows may be gated, beside the rates."""


def read_thresholds(texts: Iterable[str]) -> dict[str, float]:
    """``["correct=60", "99"]`` as shares by rate; a bare number is for ``correct``. Raises ``UserError``."""
    found = {}
    for text in texts:
        name, _, number = text.rpartition("=")
        try:
            share = float(number) / 100
        except ValueError:
            raise UserError(f"--fail-under {text}: write a percentage, e.g. 60 or well_formed=99") from None
        if not 0 <= share <= 1:
            raise UserError(f"--fail-under {text}: a percentage lies between 0 and 100")
        if (name or "correct") not in (*RATES, *PARTS):
            raise UserError(f"--fail-under {text}: no such rate; choose one of {', '.join((*RATES, *PARTS))}")
        found[name or "correct"] = share
    return found


def fail_under(summary: Mapping[str, Any], thresholds: Mapping[str, float]) -> list[str]:
    """Why a run does not pass, in words; ``[]`` when it does. Raises ``UserError`` for a rate without rows."""
    failures = _incomplete(summary["caller"], summary["complete"]) if thresholds else []
    for name, share in thresholds.items():
        rate = summary[name]["correct"] if name in PARTS else summary["rates"][name]
        if rate["n"] == 0:
            raise UserError(f"--fail-under {name}: the suite has no row for it")
        if rate["low"] < share:
            failures.append(
                f"{name} of {summary['caller']}: {percent(rate['value'])} %, but the interval reaches down to "
                f"{percent(rate['low'])} %, under {percent(share)} %"
            )
    return failures


def max_regression(comparisons: Sequence[Comparison], points: float) -> list[str]:
    """Why B may have lost more than ``points`` against A, in words; ``[]`` when that is ruled out."""
    if not 0 <= points <= 100:  # which nan is not
        raise UserError(f"--max-regression {points:g}: points that may be lost, 0 to 100")
    failures = []
    for found in comparisons:
        paired = found.correct
        if not found.complete:
            failures += _incomplete(f"{found.first} or {found.second}", False)
        if 100 * paired.low < -points:
            shown = "a loss is shown" if paired.high < 0 else "such a loss is not ruled out; more rows would tell"
            failures.append(
                f"{found.second} against {found.first}: {100 * paired.difference:+.1f} points, interval down to "
                f"{100 * paired.low:+.1f}, beyond -{points:g}: {shown}"
            )
    return failures


def _incomplete(who: str, complete: bool) -> list[str]:
    return [] if complete else [f"{who}: incomplete, rows without an answer count as wrong; run it again"]
