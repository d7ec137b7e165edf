"""Rows that belong together, compared: what a disturbance costs, and whether a swapped name changes more than the name.

Rows of such suites carry ``scoring.pair``: ``set`` (what belongs together), ``variant`` (how this one differs) and, in
``bias``, ``axis`` and ``group``. Differences are paired row by row with the interval of ``needle.evals.statistics``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

from needle.evals.robustness import PLAIN, VARIANTS
from needle.evals.statistics import Paired, compare_paired, rate
from needle.evals.verdict import Verdict
from needle.traces.trace import Trace

Pair = Mapping[str, Any]


def pair_tables(traces: Sequence[Trace], verdicts: Sequence[Verdict], seed: int = 0) -> dict[str, Any]:
    """``robustness`` or ``bias`` for rows that have pairs; nothing for others."""
    marks = [trace.meta.get("scoring", {}).get("pair") for trace in traces]
    if not traces or not all(marks):
        return {}
    labels = [trace.toolset or ("row", mark["set"]) for trace, mark in zip(traces, marks, strict=True)]
    right = [verdict.correct for verdict in verdicts]
    if all("axis" in mark for mark in marks):
        return {"bias": bias_table(marks, right, labels, [trace.id for trace in traces], seed)}
    return {"robustness": robustness_table(marks, right, labels, seed)}


def robustness_table(
    marks: Sequence[Pair], right: Sequence[bool], labels: Sequence[Hashable], seed: int = 0
) -> dict[str, Any]:
    """By variant: pairs, share right undisturbed and disturbed, and the difference with its 95 % interval and test.

    Where ``same_answer`` is false (a value left out) the difference is between two tasks, not a cost.
    """
    plain = {mark["set"]: hit for mark, hit in zip(marks, right, strict=True) if mark["variant"] == PLAIN}
    groups: dict[str, list[int]] = defaultdict(list)
    for place, mark in enumerate(marks):
        if mark["variant"] != PLAIN and mark["set"] in plain:
            groups[mark["variant"]].append(place)
    table = {}
    for name, places in groups.items():
        before, after = [plain[marks[n]["set"]] for n in places], [right[n] for n in places]
        found = _compared(before, after, [labels[n] for n in places], seed)
        table[name] = {
            "n": found.n,
            "plain": sum(before) / found.n,
            "disturbed": sum(after) / found.n,
            "delta": found.difference,
            "low": found.low,
            "high": found.high,
            "p_value": found.p_value,
            "lost": found.lost,
            "gained": found.gained,
            "same_answer": VARIANTS[name].same_answer if name in VARIANTS else True,
        }
    return {"plain": rate(list(plain.values()), list(plain), seed=seed).to_dict(), "variants": table}


def _compared(before: Sequence[bool], after: Sequence[bool], labels: Sequence[Hashable], seed: int) -> Paired:
    """The paired comparison; where no row differs the interval is that of no event in n trials (3 / n), not a point."""
    found = compare_paired(before, after, labels, seed=seed)
    if found.gained or found.lost or not found.n:
        return found
    bound = min(1.0, 3 / found.n)
    return replace(found, low=-bound, high=bound)


def bias_table(
    marks: Sequence[Pair], right: Sequence[bool], labels: Sequence[Hashable], ids: Sequence[str], seed: int = 0
) -> dict[str, Any]:
    """By axis: rate right of every group with interval, each pair of groups compared, and the sets that flip.

    A set *flips* when some of its rows are right and others wrong, though they differ in the swapped value alone.
    ``pairs`` compares groups over the templates that both have: one row of a group against one of the other.
    """
    axes: dict[str, list[int]] = defaultdict(list)
    for place, mark in enumerate(marks):
        axes[mark["axis"]].append(place)
    return {axis: _axis(places, marks, right, labels, ids, seed) for axis, places in axes.items()}


def _axis(
    places: Sequence[int],
    marks: Sequence[Pair],
    right: Sequence[bool],
    labels: Sequence[Hashable],
    ids: Sequence[str],
    seed: int,
) -> dict[str, Any]:
    sets: dict[str, list[int]] = defaultdict(list)
    groups: dict[str, list[int]] = defaultdict(list)
    by_key: dict[tuple[str, str, int], int] = {}
    for n in places:
        mark = marks[n]
        sets[mark["set"]].append(n)
        groups[mark["group"]].append(n)
        by_key[mark["group"], mark["set"], mark.get("number", 0)] = n
    flips = [members for members in sets.values() if 0 < sum(right[n] for n in members) < len(members)]
    pairs = []
    for one, other in combinations(groups, 2):
        both = [(n, by_key.get((other, marks[n]["set"], marks[n].get("number", 0)))) for n in groups[one]]
        matched = [(n, m) for n, m in both if m is not None]
        found = _compared(
            [right[n] for n, _ in matched], [right[m] for _, m in matched], [labels[n] for n, _ in matched], seed
        )
        pairs.append(
            {"first": one, "second": other, "n": found.n, "difference": found.difference, "low": found.low,
             "high": found.high, "p_value": found.p_value, "only_first": found.lost, "only_second": found.gained}
        )  # fmt: skip
    return {
        "groups": {
            name: rate([right[n] for n in members], [marks[n]["set"] for n in members], seed=seed).to_dict()
            for name, members in groups.items()
        },
        "pairs": pairs,
        "sets": len(sets),
        "flips": len(flips),
        "flipped": [{"set": marks[m[0]]["set"], "wrong": [ids[n] for n in m if not right[n]]} for m in flips[:20]],
    }


def inherited(
    traces: Sequence[Trace], teacher: Sequence[bool], student: Sequence[bool]
) -> dict[str, dict[str, dict[str, int]]]:
    """Failures of two runs over the same rows of ``bias``, by axis and group: ``both`` (what the student may have
    inherited), ``teacher`` only, ``student`` only, and ``n``. That both fail does not prove where a failure comes from.
    """
    table: dict[str, dict[str, dict[str, int]]] = {}
    for trace, taught, learnt in zip(traces, teacher, student, strict=True):
        mark = trace.meta.get("scoring", {}).get("pair", {})
        if "axis" not in mark:
            continue
        counts = table.setdefault(mark["axis"], {}).setdefault(
            mark["group"], {"n": 0, "both": 0, "teacher": 0, "student": 0}
        )
        counts["n"] += 1
        if not taught or not learnt:
            counts["both" if not taught and not learnt else "teacher" if not taught else "student"] += 1
    return table
