"""Looser comparison of single parameters, match modes side by side, the leaderboard's rules on any row."""

from __future__ import annotations

from dataclasses import replace

import pytest

from needle.errors import UserError
from needle.evals.comparators import NAMES, check_rules, comparator, moment
from needle.evals.match import MODES, correct
from needle.evals.parse import parse_calls, render_calls
from needle.evals.tally import mode_table
from needle.evals.verdict import judge
from needle.tools import ToolCall


@pytest.mark.parametrize(
    ("rule", "left", "right", "same"),
    [
        ("casefold", "The  Hall", "the hall", True),
        ("casefold", ["A", "b"], ["a", "B"], True),
        ("casefold", "hall", "halls", False),
        ("casefold", 5, 5, False),
        ("number:0.5", 10, 10.5, True),
        ("number:0.5", 10, 10.6, False),
        ("number", 0.1 + 0.2, 0.3, True),
        ("number:1", 1, "1", False),
        ("number:1", True, 1, False),
        ("date", "2026-05-03", "May 3rd, 2026", True),
        ("date", "2026-05-03", "3 May 2026", True),
        ("date", "16:30", "4:30 pm", True),
        ("date", "2026-05-03T14:00:00Z", "2026-05-03T16:00:00+02:00", True),
        ("date", "2026-05-03T14:00:00Z", "2026-05-03T14:00:00", False),
        ("date", "2026-05-03", "2026-05-04", False),
        ("date", "03/04/2026", "03/04/2026", False),
        ("date", "soon", "soon", False),
        ("set", ["a", "b", "b"], ["b", "A", "b"], True),
        ("set", ["a", "b", "b"], ["a", "a", "b"], False),
        ("set", [1], [True], False),
        ("fuzzy", "Meeting with Anna tomorrow", "meeting with Ana tomorrow", True),
        ("fuzzy:0.99", "Meeting with Anna tomorrow", "meeting with Ana tomorrow", False),
        ("fuzzy", "rent a car", "call a nurse", False),
        ("ignore", "x", {"y": 1}, True),
    ],
)
def test_each_comparator_forgives_what_it_says_and_no_more(rule, left, right, same):
    assert comparator(rule)(left, right) is same
    assert comparator(rule)(right, left) is same


def test_a_moment_is_read_from_one_meaning_only():
    assert moment("2026-05-03") == ("day", "2026-05-03")
    assert moment("14:00") == moment("2 PM") == ("time", "14:00:00")
    assert moment("May 3") == moment("3 May") != moment("2000-05-03")
    assert moment("04/05/2026") is None and moment("tomorrow") is None


def test_a_rule_holds_for_its_parameter_alone_and_never_for_the_strict_mode(make_trace):
    gold = ("send", {"to": {"name": "Ann"}, "text": "Hi there", "tags": ["a", "b"]})
    rules = {"send.text": "casefold", "*.tags": "set", "send.to.name": "fuzzy:0.7"}
    trace = make_trace(gold, meta={"scoring": {"comparators": rules}})
    loose = [ToolCall("send", {"to": {"name": "Anne"}, "text": "hi THERE", "tags": ["b", "a"]})]
    assert correct(trace, loose) and not correct(trace, loose, "strict")
    assert not correct(replace(trace, meta={}), loose)
    assert not correct(trace, [ToolCall("send", {**loose[0].arguments, "to": {"name": "Ann", "via": "fax"}})])


def test_alternatives_widen_a_loose_rule_too(make_trace):
    rules = {"set_light.label": "casefold"}
    trace = make_trace(
        ("set_light", {"room": "hall", "label": "lamp"}),
        alternatives={"0.label": ["light"]},
        meta={"scoring": {"comparators": rules}},
    )
    assert correct(trace, [ToolCall("set_light", {"room": "hall", "label": "LIGHT"})])


@pytest.mark.parametrize("rule", ["near", "casefold:1", "number:x", "number:-1", "fuzzy:1.5", "number:nan", ""])
def test_an_unknown_rule_is_refused_with_the_choice(rule):
    with pytest.raises(UserError, match="choose one of|stands a number"):
        comparator(rule)
    with pytest.raises(UserError, match=r"suite\.toml"):
        check_rules({"a.b": rule}, "suite.toml")


def test_rules_must_name_parameters():
    assert check_rules({"a.b": "date", "*.c": "exact"}, "s") == {"a.b": "date", "*.c": "exact"}
    for wrong in ({"plain": "date"}, {"a.b": 1}, ["a.b"]):
        with pytest.raises(UserError, match="comparators map"):
            check_rules(wrong, "s")
    assert all(comparator(name) is not None for name in NAMES if name != "exact") and comparator("exact") is None


def test_modes_are_scored_side_by_side_and_their_differences_are_listed(make_trace):
    trace = make_trace(("set_light", {"room": "hall", "label": "Blue lamp"}), ("set_light", {"room": "kitchen"}))
    answers = {
        "as due": [("hall", "Blue lamp"), ("kitchen", None)],
        "swapped": [("kitchen", None), ("hall", "Blue lamp")],
        "folded": [("hall", "blue-lamp"), ("kitchen", None)],
        "default": [("hall", "Blue lamp"), ("kitchen", True)],
    }
    expected = {
        "as due": set(MODES),
        "swapped": {"unordered", "leaderboard"},
        "folded": {"leaderboard"},
        "default": {"ordered", "unordered"},
    }
    verdicts = []
    for name, calls in answers.items():
        made = []
        for room, extra in calls:
            more = {"on": extra} if extra is True else {"label": extra} if extra else {}
            made.append(ToolCall("set_light", {"room": room, **more}))
        verdict = judge(trace, parse_calls(render_calls(made)))
        assert {mode for mode, right in verdict.modes.items() if right} == expected[name], name
        verdicts.append(verdict)
    traces = [replace(trace, id=name) for name in answers]
    table = mode_table(traces, verdicts)
    assert table["rates"] == {"ordered": 0.5, "unordered": 0.75, "strict": 0.25, "leaderboard": 0.75}
    assert {"right": "leaderboard", "wrong": "ordered", "count": 2, "ids": ["swapped", "folded"]} in table[
        "differences"
    ]
    assert {"right": "ordered", "wrong": "strict", "count": 1, "ids": ["default"]} in table["differences"]


def test_the_leaderboards_rules_honour_what_may_be_left_out(make_trace):
    trace = make_trace(("set_light", {"room": "hall", "on": True, "label": "x"}), alternatives={"0.label": [None, "y"]})
    assert correct(trace, [ToolCall("set_light", {"room": "HALL"})], "leaderboard")
    assert correct(trace, [ToolCall("set_light", {"room": "hall", "label": "Y"})], "leaderboard")
    assert not correct(trace, [ToolCall("set_light", {"room": "hall", "level": 5})], "leaderboard")
    assert not correct(trace, [ToolCall("set_light", {"room": "hall", "label": "z"})], "leaderboard")
