"""The verifier catches seeded corruptions of recorded rows; ``benchmarks/verifier.py`` has the figures on ten times as many."""

from __future__ import annotations

import importlib.util
import random
import sys
from pathlib import Path

import pytest

from needle.generate.corrupt import CLASSES, corrupt, plan_of, same_calls
from needle.generate.verify import verify_calls
from needle.tools.validate import is_valid

SPEC = importlib.util.spec_from_file_location("verifier_benchmark", Path(__file__).parents[2] / "benchmarks" / "verifier.py")
verifier = importlib.util.module_from_spec(SPEC)
sys.modules["verifier_benchmark"] = verifier
SPEC.loader.exec_module(verifier)


@pytest.fixture(scope="module")
def rows():
    return verifier.sample("validation", 160)


@pytest.mark.parametrize("kind", CLASSES)
def test_corrupted_answers_fit_the_schemas_and_differ_from_the_right_ones(rows, kind):
    traces, pool = rows
    rng = random.Random(1)
    made = [(trace, calls) for trace in traces if (calls := corrupt(trace, kind, pool, rng))]
    assert len(made) > 20 and all(is_valid(calls, trace.tools) and not same_calls(calls, trace) for trace, calls in made)
    again = random.Random(1)
    assert [calls for trace in traces if (calls := corrupt(trace, kind, pool, again))] == [calls for _, calls in made]


def test_a_right_row_fulfils_the_plan_read_off_it(rows):
    traces, _ = rows
    codes = [item.code for trace in traces for item in verify_calls(plan_of(trace), trace.query, trace.calls, None, trace.tools).refusals]
    assert not [code for code in codes if code.startswith(("plan", "expected"))]


def test_nearly_all_corruptions_are_caught_and_nearly_all_right_rows_kept(rows):
    traces, pool = rows
    found = verifier.measure(traces, pool, verifier.verifiers()["author"])
    assert found["right"]["refused"] < 0.07
    for kind in CLASSES:  # bounds with room for the small sample
        assert found[kind]["recall"] >= 0.95 and found[kind]["precision"] >= 0.92, (kind, found[kind])
    silent = verifier.measure(traces, pool, verifier.verifiers()["suggested"])  # an author that states nothing
    for kind in CLASSES:
        least = 0.6 if kind == "swapped_arguments" else 0.9
        assert silent[kind]["recall"] >= least and silent[kind]["precision"] >= 0.9, (kind, silent[kind])
    schema = verifier.measure(traces[:40], pool, verifier.verifiers()["schema"])
    assert all(schema[kind]["recall"] == 0 for kind in CLASSES)
