"""Disturbed rows: each as it claims to be, its right answer still right, and the cost told with an interval."""

from __future__ import annotations

import random
import re
from dataclasses import replace

import pytest

from needle.errors import UserError
from needle.evals import baseline, judge, load_suite
from needle.evals.decisions import due_of
from needle.evals.match import correct
from needle.evals.pairs import pair_tables, robustness_table
from needle.evals.robustness import PLAIN, VARIANTS, disturb
from needle.tools import ToolCall
from needle.tools.validate import is_valid


@pytest.fixture(scope="module")
def suite():
    return load_suite("robustness", limit=60, seed=3)


@pytest.fixture(scope="module")
def by_variant(suite):
    plain = {trace.id: trace for trace in suite.traces if mark(trace)["variant"] == PLAIN}
    found = {name: [] for name in VARIANTS}
    for trace in suite.traces:
        if mark(trace)["variant"] != PLAIN:
            found[mark(trace)["variant"]].append((plain[mark(trace)["set"]], trace))
    return found


def mark(trace):
    return trace.meta["scoring"]["pair"]


def test_every_disturbance_occurs_and_changes_something(by_variant):
    for name, pairs in by_variant.items():
        assert len(pairs) >= 10, name
        assert all((before.query, before.tools) != (after.query, after.tools) for before, after in pairs)
        assert all(is_valid(after.calls, after.tools) for _, after in pairs)


def test_a_disturbance_touches_only_what_it_names(by_variant):
    words = {"typos", "asr noise", "hesitation", "shorthand", "casing", "punctuation", "dropped value"}
    for name, pairs in by_variant.items():
        for before, after in pairs:
            assert (before.query == after.query) == (name not in words)
            assert (before.tools == after.tools) == (name in words)
            if name not in ("renamed tools", "renamed parameters", "masked names", "dropped value"):
                assert before.calls == after.calls
            if name in ("renamed tools", "renamed parameters", "masked names"):
                assert [list(call.arguments.values()) for call in after.calls if "renamed" in name] == [
                    list(call.arguments.values()) for call in before.calls if "renamed" in name
                ] or any(isinstance(value, (dict, list)) for call in before.calls for value in call.arguments.values())


def test_counts_and_descriptions_are_as_the_names_say(by_variant):
    for _, after in by_variant["no distractors"]:
        assert {tool.name for tool in after.tools} == {call.name for call in after.calls} or len(after.tools) == 1
    for count in (8, 16):
        for before, after in by_variant[f"{count} distractors"]:
            kept = len({call.name for call in before.calls}) or 1
            assert len(after.tools) == kept + count
    for _, after in by_variant["no descriptions"]:
        assert all(tool.description == "" for tool in after.tools)
    for before, after in by_variant["reworded descriptions"]:
        assert all(
            bool(one.description) == bool(other.description)
            for one, other in zip(before.tools, after.tools, strict=True)
        )


def test_a_property_called_description_outlives_the_removal_of_descriptions(make_trace):
    from needle.tools import ToolSpec

    schema = {
        "type": "object",
        "properties": {
            "description": {"type": "string", "description": "words"},
            "n": {"type": "array", "items": {"type": "string", "description": "x"}},
        },
    }
    made = VARIANTS["no descriptions"].change(make_trace(tools=(ToolSpec("t", "d", schema),)), random.Random(0), ())
    assert made.tools[0].parameters == {
        "type": "object",
        "properties": {"description": {"type": "string"}, "n": {"type": "array", "items": {"type": "string"}}},
    }


def stands(value, text):
    return re.search(rf"(?<![\w.]){re.escape(value)}(?!\w)", text, re.IGNORECASE) is not None


def test_a_dropped_value_is_gone_and_a_question_is_due(by_variant):
    for before, after in by_variant["dropped value"]:
        assert after.calls == () and due_of(after) == "ask" and len(after.query) < len(before.query)
        spec = next(tool for tool in before.tools if tool.name == before.calls[0].name)
        gone = [str(before.calls[0].arguments[name]) for name in spec.required if name in before.calls[0].arguments]
        assert any(stands(value, before.query) and not stands(value, after.query) for value in gone)


def test_gold_answers_stay_right_and_the_same_seed_gives_the_same_rows(suite):
    gold = baseline("gold", suite.traces).answer([trace.request for trace in suite.traces])
    verdicts = [judge(trace, result) for trace, result in zip(suite.traces, gold, strict=True)]
    assert all(verdict.correct for verdict in verdicts)
    table = pair_tables(suite.traces, verdicts)["robustness"]
    assert table["plain"]["value"] == 1 and all(one["delta"] == 0 for one in table["variants"].values())
    again = load_suite("robustness", limit=60, seed=3)
    assert again.hash == suite.hash != load_suite("robustness", limit=60, seed=4).hash


def test_the_difference_is_paired_row_by_row():
    marks = [{"set": str(n), "variant": variant} for n in range(40) for variant in (PLAIN, "typos")]
    right = [hit for n in range(40) for hit in (n < 30, n < 10 or n >= 38)]
    found = robustness_table(marks, right, [m["set"] for m in marks])
    typos = found["variants"]["typos"]
    assert (typos["n"], typos["lost"], typos["gained"]) == (40, 20, 2)
    assert typos["plain"] == 0.75 and typos["disturbed"] == 0.3 and typos["delta"] == pytest.approx(-0.45)
    assert typos["low"] < -0.45 < typos["high"] < 0 and typos["p_value"] < 0.001


def test_comparators_follow_their_parameters_to_new_names(make_trace):
    trace = make_trace(
        ("send", {"to": {"name": "Ann"}, "text": "Hi there"}),
        query="send Ann Hi there",
        meta={"scoring": {"comparators": {"send.text": "casefold", "*.to.name": "casefold"}}},
    )
    rows = {mark(row)["variant"]: row for row in disturb([trace], seed=5)}
    for name in ("renamed parameters", "renamed tools", "masked names"):
        row = rows.get(name)
        if row is not None:
            call = row.calls[0]
            shout = {
                key: value.upper() if isinstance(value, str) else {k: v.upper() for k, v in value.items()}
                for key, value in call.arguments.items()
            }
            assert correct(row, [ToolCall(call.name, shout)]), name
    assert {"renamed parameters", "renamed tools"} <= rows.keys()


def test_another_suite_can_be_disturbed_and_a_wrong_one_is_refused(tmp_path):
    suite = load_suite("robustness:home-smoke", limit=5)
    assert suite.name == "robustness:home-smoke" and sum(mark(trace)["variant"] == PLAIN for trace in suite.traces) == 5
    with pytest.raises(UserError, match="no suite 'nope'"):
        load_suite("robustness:nope")


def test_rows_of_the_leaderboard_lose_its_verdict_since_names_change(make_trace):
    trace = make_trace(("set_light", {"room": "hall"}), meta={"scoring": {"bfcl": {"category": "x"}, "any_call": True}})
    assert all(
        "bfcl" not in row.meta["scoring"] and row.meta["scoring"]["any_call"]
        for row in disturb([replace(trace, id="z")])
        if row.calls
    )
