"""Call, ask, say that it cannot be done, or break: what an answer did, beside what was due.

A model of calls alone abstains without a word (``silent``), which is right where asking or declining is due, since
nothing is run; a model that also writes prose can be held to the difference. Broken output is ``malformed`` and never
counts as abstaining.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from needle.evals.match import scoring_of
from needle.evals.parsers.openai import content_of
from needle.tools.caller import CallResult
from needle.traces.trace import Trace

if TYPE_CHECKING:
    from needle.evals.verdict import Verdict

CALL, ASK, CANNOT, SILENT, MALFORMED, INFRA = "call", "ask", "cannot", "silent", "malformed", "infra"
DUE = (CALL, ASK, CANNOT)
"""What a row wants: calls, a question about a missing value, or no call at all."""
DONE = (CALL, ASK, CANNOT, SILENT, MALFORMED, INFRA)
"""What an answer did."""

_ASKS = re.compile(
    r"\?\s*[\"')\]*]*\s*$"
    r"|\b(?:could|can|would|will) you (?:please )?(?:specify|provide|tell|share|confirm|clarify|give|let)"
    r"|\bplease (?:specify|provide|tell|share|confirm|clarify|give|let me know)"
    r"|\blet me know (?:which|what|when|where|how)",
    re.IGNORECASE,
)


def due_of(trace: Trace) -> str:
    """One of ``DUE``: rows of kind ``missing``, and those whose suite says so, want a question."""
    if trace.calls:
        return CALL
    asks = trace.kind == "missing" or scoring_of(trace).get("scoring", {}).get("due") == ASK
    return ASK if asks else CANNOT


def done_by(result: CallResult) -> str:
    """One of ``DONE``. Prose beside no calls is a question or a refusal, by its wording (English)."""
    if result.infra_error:
        return INFRA
    if result.error is not None:
        return MALFORMED
    if result:
        return CALL
    prose = (content_of(result.raw) or result.raw).strip()
    if not re.search(r"[^\W\d_]{2,}.*\s.*[^\W\d_]{2,}", prose, re.DOTALL) or prose[:1] in "[{<":
        return SILENT
    return ASK if _ASKS.search(prose) else CANNOT


def decision_table(verdicts: Iterable[Verdict]) -> dict[str, Any]:
    """Due against done, and what follows from it; must-call accuracy stands beside, since saying no is easy.

    ``must_call``: share of rows due a call whose calls are right, and share on which a call was made at all.
    ``abstention``: precision, recall and F1 of making no call, malformed output counting as neither.
    ``told_apart``: of the answers in prose to rows that want one, the share that asked or declined as was due.
    ``macro_f1``: mean F1 over the decisions that are due (When2Call's measure); a silent answer is none of them.
    ``called_without_tools``: calls on rows that offer no tool, which must be invented.
    """
    verdicts = list(verdicts)
    counts = Counter((one.due_kind, one.answer) for one in verdicts)
    matrix = {due: {done: counts[due, done] for done in DONE} for due in DUE}
    wanted = [one for one in verdicts if one.due_kind == CALL]
    quiet = (ASK, CANNOT, SILENT)
    right = sum(matrix[due][done] for due in (ASK, CANNOT) for done in quiet)
    made = right + sum(matrix[CALL][done] for done in quiet)
    due = sum(sum(matrix[kind].values()) for kind in (ASK, CANNOT))
    told = [one for one in verdicts if one.due_kind != CALL and one.answer in (ASK, CANNOT)]
    return {
        "matrix": matrix,
        "must_call": {
            "n": len(wanted),
            "correct": _share(one.correct for one in wanted),
            "called": _share(one.answer == CALL for one in wanted),
        },
        "abstention": {
            "n": due,
            "precision": right / made if made else 0.0,
            "recall": right / due if due else 0.0,
            "f1": 2 * right / (made + due) if made + due else 0.0,
        },
        "told_apart": {"n": len(told), "share": _share(one.answer == one.due_kind for one in told)},
        "macro_f1": _macro_f1(matrix),
        "called_without_tools": sum(one.answer == CALL and not one.tools_offered for one in verdicts),
    }


def _macro_f1(matrix: dict[str, dict[str, int]]) -> float:
    scores = []
    for kind in DUE:
        due, done = sum(matrix[kind].values()), sum(row[kind] for row in matrix.values())
        if due:
            scores.append(2 * matrix[kind][kind] / (due + done))
    return sum(scores) / len(scores) if scores else 0.0


def _share(hits: Iterable[bool]) -> float:
    listed = list(hits)
    return sum(listed) / len(listed) if listed else 0.0
