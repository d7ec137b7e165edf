"""The report of one run: ``render_report(summary, rows)``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from needle.evals.report import depth, disturbed, quality, sections
from needle.evals.report.browser import rows_section
from needle.evals.report.markup import join, tag
from needle.evals.report.pack import pack
from needle.evals.report.page import page
from needle.evals.rows import Row
from needle.evals.text import warnings


def render_report(summary: dict[str, Any], rows: Sequence[Row]) -> str:
    """The whole page for a summary (``results.json``) and its scored rows (``rows.jsonl``)."""
    suite, floors, best = summary["suite"], summary.get("floors", {}), summary.get("best_floor", {})
    floor = floors.get(best.get("name"), {}).get("by_kind")
    size = f"{summary['n']:,} rows" + (f" of {suite['total']:,}" if suite.get("total", 0) > summary["n"] else "")
    clusters = f" from {summary['clusters']:,} toolsets" if summary.get("clusters") else ""
    told = tag("p", f"{suite.get('title') or suite['name']}: {size}{clusters}.", class_="soft")
    parts = [
        sections.figures(summary),
        sections.groups("kinds", "By kind of request", "kind", summary.get("by_kind", {}), floor, "Kinds"),
        sections.leaderboard_rules(summary),
        disturbed.robustness(summary),
        disturbed.bias(summary),
        sections.decisions(summary),
        sections.failures(summary),
        rows_section(),
        depth.arguments(summary),
        depth.tools(summary),
        sections.groups("calls", "By number of calls due", "calls due", summary.get("by_calls", {}), None, "Calls"),
        depth.readings(summary),
        quality.confidence(summary),
        quality.fallback(summary),
        quality.speed(summary, rows),
        sections.about(summary),
    ]
    return page(
        f"{summary['caller']} on {suite['name']}",
        "needle evaluation",
        join((sections.headline(summary), told)),
        parts,
        warnings(summary),
        pack([summary["caller"]], [rows]),
        heading=join((summary["caller"], tag("span", f" on {suite['name']}", class_="soft"))),
    )
