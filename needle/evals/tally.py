"""What a run is bad at: arguments by type and origin, tools, parameters, schema keywords, grounding, match modes.

``dissect`` makes the part of ``results.json`` with these tables from rows and their verdicts; every count is over
slots (``needle.evals.slots``) or verdicts, so the tables add up to the headline figures.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import combinations
from typing import Any

from needle.evals import match
from needle.evals.decisions import decision_table
from needle.evals.pairs import pair_tables
from needle.evals.slots import NOT_DUE, Slot, slots
from needle.evals.taxonomy import NOT_ERRORS, rank
from needle.evals.verdict import Verdict
from needle.tools.caller import CallResult
from needle.traces.trace import Trace

MOST = 50
"""Longest list of tools or parameters in a table; the worst come first."""


def dissect(traces: Sequence[Trace], results: Sequence[CallResult], verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """Keys ``modes``, ``decisions``, ``slots``, ``grounding``, ``keywords``, ``by_tool``, ``by_parameter``;
    ``robustness`` or ``bias`` for suites of rows that belong together."""
    by_row = [slots(trace, result) for trace, result in zip(traces, results, strict=True)]
    every = [slot for row in by_row for slot in row]
    return {
        "modes": mode_table(traces, verdicts),
        "decisions": decision_table(verdicts),
        "slots": {
            "all": argument_counts(every),
            "by_type": grouped(every, lambda slot: slot.type),
            "by_derivation": grouped(every, lambda slot: slot.derivation),
        },
        "grounding": grounding_table(every),
        "keywords": keyword_counts(verdicts),
        "by_tool": tool_table(traces, verdicts, by_row),
        "by_parameter": parameter_table(every),
        **pair_tables(traces, verdicts),
    }


def argument_counts(chosen: Iterable[Slot]) -> dict[str, float]:
    """Precision, recall and F1 over slots, and ``accuracy``: the share of arguments due that are right or excused.

    A wrong value is both a false positive and a false negative; defaults and alternatives count as neither.
    """
    chosen = list(chosen)
    outcomes = Counter(slot.outcome for slot in chosen)
    different = outcomes[match.WRONG_VALUE]
    hits, wrong, missed = outcomes[match.RIGHT], different + outcomes[match.EXTRA], different + outcomes[match.MISSING]
    due = [slot for slot in chosen if slot.derivation != NOT_DUE]
    return {
        "n": len(due),
        "precision": hits / (hits + wrong) if hits + wrong else 0.0,
        "recall": hits / (hits + missed) if hits + missed else 0.0,
        "f1": 2 * hits / (2 * hits + wrong + missed) if hits + wrong + missed else 0.0,
        "accuracy": sum(slot.outcome in match.GOOD for slot in due) / len(due) if due else 0.0,
        "true_positives": hits,
        "false_positives": wrong,
        "false_negatives": missed,
    }


def grouped(chosen: Iterable[Slot], group: Callable[[Slot], str]) -> dict[str, dict[str, float]]:
    """``argument_counts`` by a property of slots, largest groups first."""
    groups: dict[str, list[Slot]] = defaultdict(list)
    for slot in chosen:
        groups[group(slot)].append(slot)
    ordered = sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
    return {name: argument_counts(members) for name, members in ordered}


def grounding_table(chosen: Iterable[Slot]) -> dict[str, float]:
    """Of the predicted values that need words (no listed value, truth value or default): how many have them.

    ``grounded``: the value stands in the request in some form. ``bound``: where the due value stands, or right anyway.
    ``invented``: wrong or not asked for, and nowhere in the request.
    """
    free = [slot for slot in chosen if slot.given and slot.free]
    count = len(free)
    invented = sum(not slot.grounded and slot.outcome not in match.GOOD for slot in free)
    return {
        "n": count,
        "grounded": sum(slot.grounded for slot in free) / count if count else 0.0,
        "bound": sum(slot.bound for slot in free) / count if count else 0.0,
        "invented": invented / count if count else 0.0,
        "invented_count": invented,
    }


def keyword_counts(verdicts: Iterable[Verdict]) -> dict[str, int]:
    """Violations by word of JSON Schema (``required``, ``enum``, ``maximum`` ...), most frequent first."""
    words = Counter(detail.keyword for verdict in verdicts for detail in verdict.details if detail.keyword)
    return dict(sorted(words.items(), key=lambda item: (-item[1], item[0])))


def mode_table(traces: Sequence[Trace], verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """Share right under every match mode, and for each pair that differs: how often each way, with the first ids.

    A mode that leaves a row out (``bfcl_fixed`` does) is rated over the others.
    """
    names = list(dict.fromkeys(name for verdict in verdicts for name in verdict.modes))
    judged = {name: [verdict.modes[name] for verdict in verdicts if name in verdict.modes] for name in names}
    rates = {name: sum(hits) / len(hits) for name, hits in judged.items()}
    differences = []
    for one, other in combinations(names, 2):
        only: dict[str, list[str]] = {one: [], other: []}
        for trace, verdict in zip(traces, verdicts, strict=True):
            left, right = verdict.modes.get(one), verdict.modes.get(other)
            if left != right and left is not None and right is not None:
                only[one if left else other].append(trace.id)
        differences += [
            {"right": name, "wrong": other if name == one else one, "count": len(ids), "ids": ids[:20]}
            for name, ids in only.items()
            if ids
        ]
    return {"rates": rates, "differences": differences}


def tool_table(
    traces: Sequence[Trace], verdicts: Sequence[Verdict], by_row: Sequence[Sequence[Slot]]
) -> dict[str, Any]:
    """By tool: rows that want it, rows right among these, arguments due and right, codes; most failures first."""
    wanted: dict[str, list[Verdict]] = defaultdict(list)
    arguments: dict[str, list[Slot]] = defaultdict(list)
    for trace, verdict, row in zip(traces, verdicts, by_row, strict=True):
        for name in dict.fromkeys(call.name for call in trace.calls):
            wanted[name].append(verdict)
        for slot in row:
            arguments[slot.tool].append(slot)
    ranked = sorted(wanted, key=lambda name: (-sum(not one.correct for one in wanted[name]), name))
    return {
        name: {
            "rows": len(wanted[name]),
            "correct": sum(one.correct for one in wanted[name]) / len(wanted[name]),
            "arguments": argument_counts(arguments[name])["accuracy"],
            "codes": _codes(wanted[name]),
        }
        for name in ranked[:MOST]
    }


def _codes(verdicts: Iterable[Verdict]) -> dict[str, int]:
    counts = Counter(code for one in verdicts for code in one.codes if code not in NOT_ERRORS)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], rank(item[0]))))


def parameter_table(chosen: Iterable[Slot]) -> dict[str, Any]:
    """By ``tool.parameter``: type, and slots by outcome; most failures first."""
    groups: dict[str, list[Slot]] = defaultdict(list)
    for slot in chosen:
        groups[f"{slot.tool}.{slot.parameter}"].append(slot)
    bad = {name: sum(slot.outcome not in match.GOOD for slot in members) for name, members in groups.items()}
    ranked = sorted(groups, key=lambda name: (-bad[name], name))
    return {
        name: {"type": groups[name][0].type, "wrong": bad[name], **Counter(slot.outcome for slot in groups[name])}
        for name in ranked[:MOST]
        if bad[name]
    }
