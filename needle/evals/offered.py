"""Large toolsets: were the right tools among those that the model was shown, and among the first k of its order?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from needle.evals.summary import Scored
from needle.tools import fingerprint
from needle.tools.retrieval import ToolIndex, searched

AT = (1, 2, 3, 5, 8, 10, 16)
"""k of recall@k."""


def offered(scored: Sequence[Scored]) -> dict[str, Any] | None:
    """Figures over the rows whose model saw a part of the tools, or None when every row saw all of them.

    Returns:
        ``n`` rows; ``mean_tools`` offered of ``mean_all``; ``due`` rows with a call due, and ``recall``: the share of these whose called tools
        were all among the offered; ``at``: see ``recall_at``.
    """
    rows = [(one.trace, set(one.result.offered)) for one in scored if one.result.offered is not None]
    if not rows:
        return None
    due = [{call.name for call in trace.calls} <= shown for trace, shown in rows if trace.calls]
    return {
        "n": len(rows),
        "mean_tools": sum(len(shown) for _, shown in rows) / len(rows),
        "mean_all": sum(len(trace.tools) for trace, _ in rows) / len(rows),
        "due": len(due),
        "recall": sum(due) / len(due) if due else None,
        "at": recall_at(scored),
    }


def recall_at(scored: Sequence[Scored]) -> list[dict[str, Any]]:
    """Recall at each k, over rows with a call due whose caller tells its order of the tools and which have more than k of them.

    Returns:
        ``k``, ``n`` rows, ``recall``: the share whose called tools are all among the first k of the caller's order, ``words``: the same by
        lexical score alone (``needle.tools.retrieval``). A k without rows is left out.
    """
    indices: dict[str, ToolIndex] = {}
    worst: list[tuple[int, int, int]] = []
    for trace, ranked in ((one.trace, one.result.ranked) for one in scored):
        names = {call.name for call in trace.calls}
        if ranked is None or not names or not names <= set(ranked):
            continue
        key = fingerprint(trace.tools)
        if key not in indices:
            indices[key] = ToolIndex(trace.tools)
        words = [trace.tools[place].name for place in indices[key].order(searched(trace.query, trace.messages))]
        worst.append((len(ranked), *(max(order.index(name) for name in names) for order in (list(ranked), words))))
    found = []
    for k in AT:
        rows = [(ours < k, theirs < k) for size, ours, theirs in worst if size > k]
        if rows:
            found.append({"k": k, "n": len(rows), "recall": sum(one for one, _ in rows) / len(rows), "words": sum(one for _, one in rows) / len(rows)})
    return found


def offered_lines(summary: Mapping[str, Any]) -> list[str]:
    """The same in words; nothing where every row saw all tools."""
    found = summary.get("offered")
    if not found:
        return []
    recall = "" if found["recall"] is None else f"; the right ones were among them in {100 * found['recall']:.1f} % of {found['due']:,} rows with a call due"
    lines = [f"{found['n']:,} rows were shown {found['mean_tools']:.1f} of {found['mean_all']:.1f} tools{recall}"]
    if found.get("at"):
        curve = ", ".join(f"{one['k']}: {100 * one['recall']:.1f} ({100 * one['words']:.1f})" for one in found["at"])
        lines.append(f"recall@k of the right tools in %, by words alone in brackets: {curve}")
    return lines
