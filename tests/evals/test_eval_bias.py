"""Counterfactual pairs differ in the swapped value alone; groups, flips and inheritance are told."""

from __future__ import annotations

import re
from collections import Counter, defaultdict

import pytest

from needle.evals import baseline, evaluate, judge, load_suite
from needle.evals.bias import AXES, swapped
from needle.evals.definition import read_definition
from needle.evals.finding import named_suites
from needle.evals.pair_text import inherited_text, pair_lines
from needle.evals.pairs import bias_table, inherited, pair_tables
from needle.evals.text import to_markdown
from needle.tools import ToolCall
from needle.tools.validate import is_valid


@pytest.fixture(scope="module")
def suite():
    return load_suite("bias")


def mark(trace):
    return trace.meta["scoring"]["pair"]


def sets_of(suite):
    found = defaultdict(list)
    for trace in suite.traces:
        found[mark(trace)["set"]].append(trace)
    return found


def leaves(value):
    if isinstance(value, dict):
        return [leaf for key, one in value.items() for leaf in (key, *leaves(one))]
    return [leaf for one in value for leaf in leaves(one)] if isinstance(value, list) else [value]


def test_every_axis_has_sets_of_all_its_groups_over_many_toolsets(suite):
    assert (
        len(suite.traces) == read_definition(named_suites()["bias"]).rows and not suite.problems and not suite.suspects
    )
    assert suite.files.keys() == {"swaps.toml", "test.jsonl.gz"}
    for axis in AXES:
        sets = [members for members in sets_of(suite).values() if mark(members[0])["axis"] == axis]
        groups = {mark(trace)["group"] for members in sets for trace in members}
        assert all({mark(trace)["group"] for trace in members} == groups for members in sets)
        assert len(sets) >= 10 and (axis == "currency" or len({members[0].toolset for members in sets}) > 12)


def test_rows_of_a_set_differ_in_the_swapped_words_alone(suite):
    for members in sets_of(suite).values():
        first, *others = members
        for other in others:
            assert other.tools == first.tools and other.query != first.query
            assert [call.name for call in other.calls] == [call.name for call in first.calls]
            assert is_valid(other.calls, other.tools)
            here, there = (re.findall(r"\w+|\W", row.query) for row in (first, other))
            swapped_words = (
                {(a, b) for a, b in zip(here, there, strict=False) if a != b} if len(here) == len(there) else None
            )
            before, after = (leaves([call.arguments for call in row.calls]) for row in (first, other))
            assert len(before) == len(after)
            changed = [(a, b) for a, b in zip(before, after, strict=True) if a != b]
            if mark(first)["axis"] in ("names", "places"):
                assert changed and {a for a, _ in changed} | {b for _, b in changed} <= {*here, *there}
            assert swapped_words is None or len({a.lower() for a, _ in swapped_words}) <= 4


def test_a_swap_keeps_the_letter_case_and_touches_whole_words_only(make_trace):
    trace = make_trace(
        ("send", {"to": {"name": "Mum"}, "text": "mumble, mum"}),
        query="tell Mum (mum@x.org) mumble, mum. 500 ms for Ms Wu",
        alternatives={"0.text": ["MUM", None]},
    )
    made = swapped(trace, {"mum": "dad", "Ms": "Mr"})
    assert made.query == "tell Dad (mum@x.org) mumble, dad. 500 ms for Mr Wu"
    assert made.calls == (ToolCall("send", {"to": {"name": "Dad"}, "text": "mumble, dad"}),)
    assert made.alternatives == {"0.text": ["DAD", None]}


def test_gold_answers_are_right_for_everyone_and_a_biased_caller_is_found_out(suite):
    gold = baseline("gold", suite.traces).answer([trace.request for trace in suite.traces])
    verdicts = [judge(trace, result) for trace, result in zip(suite.traces, gold, strict=True)]
    fair = pair_tables(suite.traces, verdicts)["bias"]
    assert all(verdict.correct for verdict in verdicts) and all(one["flips"] == 0 for one in fair.values())
    assert all(
        pair["low"] < 0 < pair["high"] for one in fair.values() for pair in one["pairs"]
    )  # no difference, not a proof
    marks = [mark(trace) for trace in suite.traces if mark(trace)["axis"] == "names"]
    biased = bias_table(
        marks,
        [one["group"] != "Vietnamese" for one in marks],
        [one["set"] for one in marks],
        list(map(str, range(len(marks)))),
    )["names"]
    assert biased["flips"] == biased["sets"] and biased["groups"]["Vietnamese"]["value"] == 0
    worst = next(pair for pair in biased["pairs"] if (pair["first"], pair["second"]) == ("English", "Vietnamese"))
    assert worst["difference"] == -1 and worst["high"] < 0 and worst["p_value"] < 1e-6
    assert all(len(one["wrong"]) == 1 for one in biased["flipped"]) and len(biased["flipped"]) == 20


def test_what_teacher_and_student_both_fail_on_is_counted_apart(suite):
    rows = [trace for trace in suite.traces if mark(trace)["axis"] == "gender"]
    teacher = [mark(trace)["group"] == "male" or n % 4 for n, trace in enumerate(rows)]
    student = [mark(trace)["group"] == "male" for trace in rows]
    table = inherited(rows, teacher, student)["gender"]
    assert table["male"] == {"n": len(rows) // 2, "both": 0, "teacher": 0, "student": 0}
    assert table["female"]["both"] + table["female"]["student"] == table["female"]["n"] == len(rows) // 2
    assert table["female"]["both"] == sum(not hit for hit in teacher)


def test_a_run_on_it_tells_groups_and_two_runs_tell_what_both_fail_on(tmp_path):
    suite = load_suite("bias/currency")
    first = evaluate(baseline("lexical"), suite, tmp_path / "a")
    evaluate(baseline("first-tool"), suite, tmp_path / "b")
    assert Counter(mark(trace)["axis"] for trace in suite.traces).keys() == {"currency"}
    assert any("Swapped: currency" in line for line in pair_lines(first.summary))
    assert "| USD | 10 |" in to_markdown(first)
    text = inherited_text(tmp_path / "a", tmp_path / "b")
    assert "perhaps inherited" in text and len([line for line in text.splitlines() if " 10 rows " in line]) == 8
    limited = load_suite("bias", limit=100, seed=2)
    assert 60 <= len(limited.traces) <= 140 and all(len(members) in (2, 8) for members in sets_of(limited).values())
