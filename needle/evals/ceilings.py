"""What could be had at most: the right calls read back, and the right calls as far as they can be copied.

``gold`` proves the harness: below 100 % some row cannot be answered right at all. ``copy`` is what a perfect copier
would get who picks the right tools but takes values only from the request and from what the schema lists.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from needle.evals.baselines import copied
from needle.evals.parse import parse_calls, render_calls
from needle.evals.statistics import Clusters
from needle.evals.summary import SEED, cluster_labels
from needle.evals.verdict import judge
from needle.traces.trace import Trace


def ceilings(traces: Sequence[Trace]) -> dict[str, dict[str, Any]]:
    """Share right of ``copy`` and ``gold`` with interval; under ``missed`` the first ids that gold gets wrong."""
    clusters = Clusters(cluster_labels(traces), seed=SEED)
    found: dict[str, dict[str, Any]] = {}
    for name in ("copy", "gold"):
        answers = [copied(trace.request, trace.calls) if name == "copy" else trace.calls for trace in traces]
        right = [
            judge(trace, parse_calls(render_calls(calls))).correct for trace, calls in zip(traces, answers, strict=True)
        ]
        found[name] = {"correct": clusters.rate(right).to_dict()}
    found["gold"]["missed"] = [trace.id for trace, hit in zip(traces, right, strict=True) if not hit][:10]
    return found
