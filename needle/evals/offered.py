"""Large toolsets: were the right tools among those that the model was shown?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from needle.evals.summary import Scored


def offered(scored: Sequence[Scored]) -> dict[str, Any] | None:
    """Figures over the rows whose model saw a part of the tools, or None when every row saw all of them.

    Returns:
        ``n`` rows; ``mean_tools`` offered of ``mean_all``; ``due`` rows with a call due, and ``recall``: the share of these whose called tools
        were all among the offered.
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
    }


def offered_lines(summary: Mapping[str, Any]) -> list[str]:
    """The same in words; nothing where every row saw all tools."""
    found = summary.get("offered")
    if not found:
        return []
    recall = "" if found["recall"] is None else f"; the right ones were among them in {100 * found['recall']:.1f} % of {found['due']:,} rows with a call due"
    return [f"{found['n']:,} rows were shown {found['mean_tools']:.1f} of {found['mean_all']:.1f} tools{recall}"]
