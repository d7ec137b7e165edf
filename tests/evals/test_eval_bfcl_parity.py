"""The leaderboard's own checker and ours agree on gold, on nothing, and on thousands of changed answers."""

from __future__ import annotations

import importlib.util
import json
import random

import pytest
from bfcl_official import official_checker, perturb

from needle.evals.bfcl.check import official
from needle.evals.bfcl.load import ANSWERED, CATEGORIES, find_bfcl, load_bfcl

pytestmark = pytest.mark.skipif(importlib.util.find_spec("bfcl_eval") is None, reason="bfcl-eval is not installed")

UNWINNABLE = {
    "simple_java_22",  # items of a list of "any" become texts, the accepted values are numbers
    "simple_java_36",
    "simple_java_65",
    "parallel_multiple_26",  # an accepted parameter, named first, that the tool lacks
    "live_simple_106-63-0",  # required parameters without any accepted value
    "live_simple_112-68-0",
    "live_multiple_862-181-3",  # the ground truth names a parameter that the tool lacks or lacks one that it requires
    "live_multiple_964-207-0",
}
"""Rows on which even the ground truth written out fails, by the leaderboard's own checker too."""


def verdicts(categories, changed_per_row):
    """Rows, and the pairs of verdicts (theirs, ours) on gold, on no call, on unreadable output, on changed answers."""
    data = find_bfcl()
    traces = [trace for category in categories for trace in load_bfcl(data, category)]
    questions = data.read([f"BFCL_v4_{category}.json" for category in categories])
    rows = [json.loads(line) for text in questions.values() for line in text.splitlines() if line.strip()]
    functions = {row["id"]: row["function"] for row in rows}
    gold, nothing, changed = {}, {}, []
    with official_checker() as checker:
        for trace in traces:
            facts, chance = trace.meta["scoring"]["bfcl"], random.Random(trace.id)

            def both(calls, trace=trace, facts=facts):
                return checker(trace, functions[trace.id], calls), official(facts, calls)

            gold[trace.id] = both(list(trace.calls))
            nothing[trace.id] = (*both([]), *both(None))
            if trace.kind in ANSWERED:
                answers = [perturb(trace, chance) for _ in range(changed_per_row)]
                changed += [(trace.id, answer, *both(answer)) for answer in answers]
    return gold, nothing, changed


def hold_equal(gold, nothing, changed):
    assert [key for key, (theirs, ours) in gold.items() if theirs != ours] == []
    assert {key for key, (_, ours) in gold.items() if not ours} == UNWINNABLE & gold.keys()
    assert all(len(set(found)) == 1 for found in nothing.values())
    assert {key for key, found in nothing.items() if found[0]} == {key for key in nothing if "irrelevance" in key}
    assert [(key, answer) for key, answer, theirs, ours in changed if theirs != ours] == []
    right = sum(ours for _, _, _, ours in changed)
    assert 0.2 * len(changed) < right < 0.8 * len(changed)  # the changes are telling: some matter, some do not


def test_verdicts_equal_the_official_ones_in_the_small_categories():
    small = ["simple_java", "simple_javascript", "live_parallel", "live_parallel_multiple"]
    gold, nothing, changed = verdicts(small, 12)
    assert len(gold) == 190 and len(changed) == 12 * 190
    hold_equal(gold, nothing, changed)


@pytest.mark.slow
def test_verdicts_equal_the_official_ones_on_every_row():
    gold, nothing, changed = verdicts(CATEGORIES, 12)
    assert len(gold) == 3641 and len(changed) >= 20_000
    hold_equal(gold, nothing, changed)
