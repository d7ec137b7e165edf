"""Sections about confidence, speed and size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from needle.evals.escalation import escalation_lines
from needle.evals.offered import offered_lines
from needle.evals.report.markup import Html, facts, section, table, tag
from needle.evals.report.plots import columns, curve, dots, plot
from needle.evals.rows import Row
from needle.evals.text import percent

SHARES = [(at, f"{100 * at:.0f}") for at in (0, 0.25, 0.5, 0.75, 1)]
BUCKETS = 36
"""Columns of the histogram of seconds."""


def confidence(summary: Mapping[str, Any]) -> Html:
    """Risk-coverage curve and calibration; nothing where the caller gives no confidence."""
    found = summary.get("confidence")
    if not found:
        return Html("")
    surest = found["accuracy_at_coverage"].items()
    at = ", ".join(f"{100 * float(share):.0f} %: {percent(right)} %" for share, right in surest)
    auroc = found.get("auroc")
    order = "" if auroc is None else f"A right row is surer than a wrong one {percent(auroc)} % of the time. "
    note = (
        f"Right among the surest {at}. {order}Mean risk {percent(found['aurc'])} %, expected calibration error "
        f"{percent(found['ece'])} points, over {found['n']:,} rows with a confidence. Dashed: answering at random; "
        "dotted: the best order of these answers."
    )
    plots = tag("div", _risk(found, at), _calibration(found), class_="plots")
    return section("confidence", "What its confidence is worth", plots, note=note, short="Confidence")


def fallback(summary: Mapping[str, Any]) -> Html:
    """What went to a second model, which tools were shown; nothing for a run with neither a threshold nor large toolsets."""
    lines = [*escalation_lines(summary), *offered_lines(summary)[:1]]
    if not lines:
        return Html("")
    rows = [(one["k"], percent(one["recall"]), percent(one["words"]), f"{one['n']:,}") for one in (summary.get("offered") or {}).get("at", ())]
    found = table("Recall at k: rows, in %, whose called tools are all among the first k", ("k", "order used", "words alone", "rows with more tools"), rows, range(4))
    return section("fallback", "Fallback and offered tools", *(tag("p", line) for line in lines), found, short="Fallback")


def _risk(found: Mapping[str, Any], at: str) -> Html:
    places = [(one["coverage"], 1 - one["accuracy"]) for one in found["curve"]]
    end = places[-1][1]
    grid = np.linspace(max(1 - end, 0.01), 1, 25)
    best = [(1 - end, 0.0), *((float(x), float(1 - (1 - end) / x)) for x in grid)]
    return plot(
        "Risk and coverage",
        f"Share wrong when only the surest rows are answered. Right among the surest {at}",
        "% of rows answered, surest first",
        "% of them wrong",
        curve([(0, end), (1, end)], "level"),
        curve(best, "best"),
        curve(places),
        x_ticks=SHARES,
    )


def _calibration(found: Mapping[str, Any]) -> Html:
    bins = [one for one in found["bins"] if one["n"]]
    most = max(one["n"] for one in bins)
    return plot(
        "Calibration",
        f"Share right by confidence; expected calibration error {percent(found['ece'])} points",
        "confidence, %",
        "% right",
        curve([(0, 0), (1, 1)], "level"),
        dots([(one["confidence"], one["accuracy"], one["n"] / most) for one in bins]),
        x_ticks=SHARES,
    )


def speed(summary: Mapping[str, Any], rows: Sequence[Row]) -> Html:
    """Seconds a row, tokens, memory and size, as far as they were measured."""
    latency = summary.get("latency") or {}
    known: dict[str, Any] = {}
    if latency.get("p50") is not None:
        known["median"] = _seconds(latency["p50"])
        known["95th percentile"] = _seconds(latency["p95"])
    spent = summary.get("resources") or {}
    if spent.get("rows_per_second"):
        known["rows a second"] = (
            f"{spent['rows_per_second']:,.1f} ({spent['asked']:,} asked, {spent['reused']:,} reused)"
        )
    tokens = spent.get("tokens_per_row") or {}
    for name in ("prompt", "completion"):
        if tokens.get(name):
            known[f"{name} tokens a row"] = f"{tokens[name]:,.1f}"
    model, memory = summary.get("model") or {}, spent.get("peak_memory") or {}
    for words, amount, unit in (
        ("parameters", model.get("parameters"), ""),
        ("size of the weights", model.get("bytes"), "B"),
        ("peak memory of the process", memory.get("process"), "B"),
        ("peak memory of its largest child", memory.get("largest_child"), "B"),
    ):
        if amount:
            known[words] = _amount(amount) + unit
    if not known:
        return Html("")
    return section("speed", "Speed and size", tag("div", facts(known), _histogram(rows), class_="plots"), short="Speed")


def _histogram(rows: Sequence[Row]) -> Html | None:
    seconds = np.array([row["seconds"] for row in rows if row["seconds"] and not row["infra_error"]])
    if len(seconds) < 20 or seconds.min() == seconds.max():
        return None
    low, high = np.percentile(seconds, [0, 99.5])
    if high <= low:
        return None
    edges = np.geomspace(low, high, BUCKETS + 1)
    counts, _ = np.histogram(np.minimum(seconds, high), edges)
    ticks = [(at, _seconds(float(low * (high / low) ** at))) for at in (0, 0.5, 1)]
    words = f"Histogram of seconds a row, from {_seconds(float(low))} to {_seconds(float(high))}"
    return plot(
        "Time a row",
        words,
        "logarithmic scale",
        "% of the highest column",
        columns(list(counts / counts.max())),
        x_ticks=ticks,
    )


def _seconds(value: float) -> str:
    return f"{value:.2f} s" if value >= 1 else f"{1000 * value:.1f} ms" if value >= 0.001 else f"{1e6 * value:.0f} µs"


def _amount(value: float) -> str:
    """A large number in thousands, millions, milliards."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.1f} {unit}"
    return f"{value:,.0f} "
