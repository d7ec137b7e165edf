"""How the outputs of a run could be read: parsers, shares unread, and what a forgiving reading would have made of them.

The strict reading is the one that counts. The repaired one stands beside it with rates of its own.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from needle.evals.parsers import NATIVE, is_reply
from needle.evals.parsers.repair import STEPS, repair
from needle.evals.rows import Row
from needle.evals.statistics import Clusters
from needle.evals.summary import RATES, SEED, Scored, cluster_labels
from needle.evals.verdict import Verdict, judge
from needle.tools.caller import CallResult

LOUD = 0.05
"""Share of outputs that could not be read from which on a run is warned of it."""


def repaired_verdict(one: Scored) -> tuple[dict[str, Any] | None, Verdict]:
    """What a lenient reading finds in an output that was refused, and the verdict on it (the strict one if nothing)."""
    if one.result.error is None or one.result.infra_error or not one.result.raw:
        return None, one.verdict
    found = repair(one.result.raw, one.trace.tools)
    if found is None:
        return None, one.verdict
    calls = [call.to_dict() for call in found.calls]
    try:
        json.dumps(calls, allow_nan=False)
    except ValueError:  # a number that JSON lacks: what nobody can send is no rescue
        return None, one.verdict
    verdict = judge(one.trace, CallResult(found.calls, raw=one.result.raw))
    return {"calls": calls, "steps": list(found.steps), "correct": verdict.correct}, verdict


def reading(rows: Sequence[Row], scored: Sequence[Scored], lenient: Sequence[Verdict]) -> dict[str, Any]:
    """The ``reading`` of ``results.json``; ``rows`` have their ``repaired``, ``lenient`` the verdicts on that."""
    answered = [row for row in rows if not row["infra_error"]]
    unread = sum(row["error"] is not None for row in answered)
    rescued = [row["repaired"] for row in rows if row["repaired"]]
    steps = Counter(step for one in rescued for step in one["steps"])
    clusters = Clusters(cluster_labels([one.trace for one in scored]), seed=SEED)
    return {
        "parsers": dict(sorted(Counter(row.get("parser", NATIVE) for row in rows).items())),
        "answered": len(answered),
        "unread": unread,
        "unread_share": unread / len(answered) if answered else 0.0,
        "replies": sum(_in_words(row) for row in answered),
        "repaired": {
            "rows": len(rescued),
            "correct": sum(one["correct"] for one in rescued),
            "steps": {step: steps[step] for step in STEPS if steps[step]},
            "rates": {name: clusters.rate([hit(one) for one in lenient]).to_dict() for name, hit in RATES.items()},
        },
    }


def _in_words(row: Row) -> bool:
    return row.get("parser", NATIVE) != NATIVE and row["error"] is None and not row["calls"] and is_reply(row["raw"])


def reading_warnings(summary: dict[str, Any]) -> list[str]:
    """What a reader must know about outputs that could not be read or were words."""
    found = summary.get("reading")
    if not found:
        return []
    missed = (summary.get("ceilings") or {}).get("gold", {}).get("missed")
    lines = (
        [f"WARNING: even the gold calls are scored wrong on some rows (first: {', '.join(missed[:3])})."]
        if missed
        else []
    )
    if found["unread_share"] > LOUD:
        parsers = ", ".join(found["parsers"])
        repaired = found["repaired"]
        lines.append(
            f"WARNING: {found['unread']:,} of {found['answered']:,} outputs ({100 * found['unread_share']:.1f} %) "
            f"could not be read (parser: {parsers}); a forgiving reader gets calls out of {repaired['rows']:,} of them, "
            f"{repaired['correct']:,} right. Look at one with --selftest, or try another --parser."
        )
    if found["replies"]:
        lines.append(
            f"{found['replies']:,} answers were plain words and count as calling nothing; "
            "--parser json counts them as malformed."
        )
    return lines
