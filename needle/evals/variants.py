"""The same rows answered a second way, as columns beside the first: decoding constrained by the schemas, and free.

The second way is a whole run of its own in the folder ``free``; its figures and the paired difference go into the
``results.json`` of the first, its answers into the rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from needle.evals.rows import Row
from needle.evals.statistics import compare_paired
from needle.evals.text import LABELS, VERDICT_RATES, percent

if TYPE_CHECKING:
    from needle.evals.run import Results

FREE = "free"
"""Name of the second column and of its folder: decoding without constraints."""


def attach(rows: Sequence[Row], labels: Sequence[Any], second: Results, name: str = FREE) -> dict[str, Any]:
    """Put the answers of ``second`` into ``rows`` (under ``name``); returns its entry in ``variants``."""
    others = {row["id"]: row for row in second.rows}
    pairs = [(row, others[row["id"]]) for row in rows]
    for row, other in pairs:
        verdict = other["verdict"]
        row[name] = {key: other[key] for key in ("calls", "raw", "error", "infra_error", "seconds")} | {
            key: verdict[key] for key in ("correct", "schema_valid", "well_formed", "cause")
        }
    summary = second.summary
    kept = ("caller", "n", "complete", "rates", "must_call", "no_call_due", "abstention", "causes", "latency", "usage")
    paired = {
        rate: vars(
            compare_paired([a["verdict"][rate] for a, _ in pairs], [b["verdict"][rate] for _, b in pairs], labels)
        )
        for rate in VERDICT_RATES
    }
    return {key: summary[key] for key in kept} | {"difference": paired}


def variant_lines(summary: dict[str, Any], name: str = FREE) -> list[str]:
    """A small table: each headline rate as first decoded, the second way, and the difference with its interval."""
    block = (summary.get("variants") or {}).get(name)
    if not block:
        return []
    width = max(map(len, LABELS.values()))
    lines = [f"{'':<{width}}  constrained  {name:>6}  {name} minus constrained (95 %)"]
    for rate in VERDICT_RATES:
        paired = block["difference"][rate]
        shares = percent(summary["rates"][rate]["value"]), percent(block["rates"][rate]["value"])
        span = f"{100 * paired['difference']:+.1f} ({100 * paired['low']:+.1f} to {100 * paired['high']:+.1f})"
        lines.append(f"{LABELS[rate]:<{width}}  {shares[0]:>11}  {shares[1]:>6}  {span}")
    return lines
