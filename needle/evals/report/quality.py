"""Sections about confidence, speed and size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from needle.evals.report.markup import Html, facts, section, tag
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
    places = found["curve"]
    end = places[-1][1]
    best = [(1 - end, 0.0), *((x, 1 - (1 - end) / x) for x in np.linspace(max(1 - end, 0.01), 1, 25))]
    words = ", ".join(f"{100 * float(at):.0f} % of rows: {percent(share)} % right" for at, share in found["accuracy_at"].items())
    risk = plot(
        "Risk and coverage",
        f"Share wrong when only the surest answers are used. {words}",
        "% of rows answered, surest first",
        "% of them wrong",
        curve([(0, end), (1, end)], "level"),
        curve([(float(x), float(y)) for x, y in best], "best"),
        curve([(float(x), float(y)) for x, y in places]),
        x_ticks=SHARES,
    )
    most = max(one["n"] for one in found["bins"])
    calibration = plot(
        "Calibration",
        f"Share right by confidence; expected calibration error {percent(found['ece'])} points",
        "confidence, %",
        "% right",
        curve([(0, 0), (1, 1)], "level"),
        dots([(one["confidence"], one["correct"], one["n"] / most) for one in found["bins"]]),
        x_ticks=SHARES,
    )
    note = (
        f"{found['n']:,} rows have a confidence. Answering only the surest: {words}. Mean risk {percent(found['area'])} "
        f"(a perfect ranking of these answers: {percent(found['area_best'])}); expected calibration error "
        f"{percent(found['ece'])} points. Dashed: answering at random; dotted: a perfect ranking."
    )
    return section("confidence", "What its confidence is worth", tag("div", risk, calibration, class_="plots"), note=note, short="Confidence")


def speed(summary: Mapping[str, Any], rows: Sequence[Row]) -> Html:
    """Seconds a row, tokens, memory and size, as far as they were measured."""
    latency = summary.get("latency") or {}
    known: dict[str, Any] = {}
    if latency.get("p50") is not None:
        known["median"] = _seconds(latency["p50"])
        known["95th percentile"] = _seconds(latency["p95"])
    for name, count in (summary.get("usage") or {}).items():
        known[name.replace("_", " ")] = f"{count:,} ({count / summary['n']:,.0f} a row)" if isinstance(count, int) else count
    model = summary.get("model") if isinstance(summary.get("model"), Mapping) else {}
    for key, words, unit in (("parameters", "parameters", ""), ("bytes", "size of the file", "B"), ("peak_memory", "peak memory", "B")):
        if model.get(key):
            known[words] = _amount(model[key]) + unit
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
    return plot("Time a row", words, "logarithmic scale", "% of the highest column", columns(list(counts / counts.max())), x_ticks=ticks)


def _seconds(value: float) -> str:
    return f"{value:.2f} s" if value >= 1 else f"{1000 * value:.1f} ms" if value >= 0.001 else f"{1e6 * value:.0f} µs"


def _amount(value: float) -> str:
    """A large number in thousands, millions, milliards."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.1f} {unit}"
    return f"{value:,.0f} "


