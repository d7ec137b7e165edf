"""From verdicts to ``results.json``: rates with intervals, tables, abstention matrix, error counts, and floors."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from needle.evals.baselines import FLOORS, baseline
from needle.evals.bfcl.figures import figures
from needle.evals.statistics import Clusters, Rate, smallest_detectable
from needle.evals.tally import dissect
from needle.evals.taxonomy import rank
from needle.evals.telling import telling
from needle.evals.verdict import DECISIONS, INFRA, NO_CALL, Verdict, judge
from needle.tools.caller import CallResult
from needle.traces.trace import Trace

RATES: dict[str, Callable[[Verdict], bool]] = {
    "well_formed": lambda verdict: verdict.well_formed,
    "schema_valid": lambda verdict: verdict.schema_valid,
    "correct": lambda verdict: verdict.correct,
    "correct_unordered": lambda verdict: verdict.modes["unordered"],
    "correct_strict": lambda verdict: verdict.modes["strict"],
    "correct_leaderboard": lambda verdict: verdict.modes["leaderboard"],
    "names_right": lambda verdict: verdict.names_right,
}
"""Rates of every table, by name."""

SEED = 0
"""Seed of the bootstrap."""


@dataclass(frozen=True)
class Scored:
    """One answered row with its verdict."""

    trace: Trace
    """The example."""
    result: CallResult
    """What the caller answered."""
    verdict: Verdict
    """What scoring says."""


def summarise(scored: Sequence[Scored]) -> dict[str, Any]:
    """Everything in ``results.json`` that follows from the rows (the rest is the manifest of the run)."""
    verdicts = [one.verdict for one in scored]
    labels = cluster_labels([one.trace for one in scored])
    infra = [one.trace.id for one in scored if one.verdict.decision == INFRA]
    clusters = Clusters(labels, seed=SEED)
    correct = [verdict.correct for verdict in verdicts]
    traces = [one.trace for one in scored]
    judged = {name: _judged(name, traces) for name in FLOORS}
    floors = {name: _floor(judged[name], traces, clusters) for name in FLOORS}
    best = max(floors, key=lambda name: floors[name]["correct"]["value"])
    return {
        "n": len(scored),
        "complete": not infra,
        "infra_errors": {"count": len(infra), "ids": infra},
        "intervals": f"95 %, wider of Wilson over rows and bootstrap over {clusters.count} clusters (seed {SEED})",
        "clusters": clusters.count,
        "smallest_detectable": smallest_detectable(2**0.5 * _standard_error(clusters, correct)),
        "rates": _rates(verdicts, clusters),
        "must_call": _subset(scored, labels, lambda one: one.verdict.due),
        "no_call_due": _subset(scored, labels, lambda one: not one.verdict.due),
        "by_kind": _table(scored, labels, lambda one: one.trace.kind),
        "by_calls": _table(scored, labels, lambda one: len(one.trace.calls)),
        "arguments": _arguments(verdicts),
        "abstention": _abstention(verdicts),
        "codes": _counts(code for verdict in verdicts for code in verdict.codes),
        "causes": _counts(verdict.cause for verdict in verdicts if verdict.cause),
        "telling": telling(scored),
        "latency": _latency(scored),
        **dissect(traces, [one.result for one in scored], verdicts),
        "usage": dict(sum((Counter(one.result.usage) for one in scored), Counter())),
        "floors": floors,
        "best_floor": {"name": best, "correct": floors[best]["correct"]},
        **_leaderboard(traces, verdicts, judged, labels),
    }


def cluster_labels(traces: Sequence[Trace]) -> list[Hashable]:
    """What rows are clustered by: the toolset, or the row itself where none is named."""
    return [trace.toolset or ("row", trace.id) for trace in traces]


def _standard_error(clusters: Clusters, hits: Sequence[bool]) -> float:
    """Of a share, two hits and two misses added (A. Agresti and B. A. Coull, 1998): 40 hits of 40 are not certain."""
    total = len(hits) + 4
    share = (sum(hits) + 2) / total
    over_rows = (share * (1 - share) / total) ** 0.5
    return max(over_rows, float(clusters.means(hits).std())) if clusters.count > 1 else over_rows


def _rates(verdicts: Sequence[Verdict], clusters: Clusters) -> dict[str, dict[str, float]]:
    return {name: clusters.rate([hit(verdict) for verdict in verdicts]).to_dict() for name, hit in RATES.items()}


def _subset(scored: Sequence[Scored], labels: Sequence[Hashable], chosen: Callable[[Scored], bool]) -> dict[str, Any]:
    places = [place for place, one in enumerate(scored) if chosen(one)]
    verdicts = [scored[place].verdict for place in places]
    return {"n": len(places), **_rates(verdicts, Clusters([labels[place] for place in places], seed=SEED))}


def _table(scored: Sequence[Scored], labels: Sequence[Hashable], group: Callable[[Scored], Any]) -> dict[str, Any]:
    groups = sorted({group(one) for one in scored})
    return {str(label): _subset(scored, labels, lambda one, label=label: group(one) == label) for label in groups}


def _arguments(verdicts: Sequence[Verdict]) -> dict[str, float]:
    hits = sum(verdict.true_positives for verdict in verdicts)
    wrong = sum(verdict.false_positives for verdict in verdicts)
    missed = sum(verdict.false_negatives for verdict in verdicts)
    return {
        "precision": hits / (hits + wrong) if hits + wrong else 0.0,
        "recall": hits / (hits + missed) if hits + missed else 0.0,
        "f1": 2 * hits / (2 * hits + wrong + missed) if hits + wrong + missed else 0.0,
        "true_positives": hits,
        "false_positives": wrong,
        "false_negatives": missed,
    }


def _abstention(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """What was done against what was due. Precision and recall are those of abstaining."""
    counts = Counter((verdict.due, verdict.decision) for verdict in verdicts)
    matrix = {
        "call_due": {decision: counts[True, decision] for decision in DECISIONS},
        "no_call_due": {decision: counts[False, decision] for decision in DECISIONS},
    }
    right, abstained = counts[False, NO_CALL], counts[False, NO_CALL] + counts[True, NO_CALL]
    due = sum(matrix["no_call_due"].values())
    return {
        "matrix": matrix,
        "precision": right / abstained if abstained else 0.0,
        "recall": right / due if due else 0.0,
    }


def _counts(codes: Any) -> dict[str, int]:
    return dict(sorted(Counter(codes).items(), key=lambda item: (-item[1], rank(item[0]))))


def _latency(scored: Sequence[Scored]) -> dict[str, float | None]:
    seconds = [one.result.seconds for one in scored if one.result.seconds is not None and not one.result.infra_error]
    p50, p95 = np.percentile(seconds, [50, 95]) if seconds else (None, None)
    return {"n": len(seconds), "p50": p50 if p50 is None else float(p50), "p95": p95 if p95 is None else float(p95)}


def _leaderboard(
    traces: Sequence[Trace], verdicts: Sequence[Verdict], floors: dict[str, list[Verdict]], labels: Sequence[Hashable]
) -> dict[str, Any]:
    """The BFCL's figures, where every row is one of its suite."""
    if not traces or not all("bfcl" in verdict.modes for verdict in verdicts):
        return {}
    kinds = [trace.kind for trace in traces]
    means = {name: figures(kinds, judged, labels, SEED)["mean"]["value"] for name, judged in floors.items()}
    return {"bfcl": figures(kinds, verdicts, labels, SEED) | {"floors": means}}


def _judged(name: str, traces: Sequence[Trace]) -> list[Verdict]:
    """Verdicts on a baseline's answers to the same rows."""
    answers = baseline(name).answer([trace.request for trace in traces])
    return [judge(trace, answer) for trace, answer in zip(traces, answers, strict=True)]


def _floor(verdicts: Sequence[Verdict], traces: Sequence[Trace], clusters: Clusters) -> dict[str, Any]:
    """Rates of a baseline on the same rows, with its share right by kind and by whether a call is due, and its F1."""
    by_kind: dict[str, list[bool]] = defaultdict(list)
    for trace, verdict in zip(traces, verdicts, strict=True):
        by_kind[trace.kind].append(verdict.correct)
    by_due = {
        key: [one.correct for one in verdicts if one.due == due]
        for key, due in (("must_call", True), ("no_call_due", False))
    }
    return (
        _rates(verdicts, clusters)
        | {key: sum(hits) / len(hits) if hits else None for key, hits in by_due.items()}
        | {"f1": _arguments(verdicts)["f1"]}
        | {"by_kind": {kind: sum(hits) / len(hits) for kind, hits in sorted(by_kind.items())}}
    )


def read_rate(summary: dict[str, Any], name: str) -> Rate:
    """A rate of ``results.json`` as a ``Rate``."""
    return Rate(**summary["rates"][name])
