"""What counts as right."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from needle.evals.match import MODES, correct, local_schema, perfect_pairing, same_value
from needle.tools import ToolCall, ToolSpec

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


def light(**arguments):
    return ToolCall("set_light", arguments)


@given(JSON, JSON)
def test_equality_of_values_is_reflexive_and_symmetric(left, right):
    assert same_value(left, left)
    assert same_value(left, right) == same_value(right, left)


@pytest.mark.parametrize(
    ("left", "right", "equal"),
    [
        (5, 5.0, True),
        (5, "5", False),
        (1, True, False),
        (0, False, False),
        (None, 0, False),
        (None, "", False),
        ("Zoë", "Zoe\u0308", True),
        (" hall ", "hall", True),
        ("Hall", "hall", False),
        ("the hall", "hall", False),
        ([1, 2], [2, 1], False),
        ({"a": 1, "b": 2}, {"b": 2.0, "a": 1}, True),
        ({"a": 1}, {"a": 1, "b": None}, False),
        ([{"a": ["x"]}], [{"a": ["x "]}], True),
        (10**30, 10**30 + 1, False),
    ],
)
def test_values_compare_as_the_docstring_states(left, right, equal):
    assert same_value(left, right) is equal


def test_another_accepted_value_is_right_and_a_third_is_not(make_trace):
    trace = make_trace(("set_light", {"room": "hall", "label": "lamp"}), alternatives={"0.label": ["the lamp"]})
    assert correct(trace, [light(room="hall", label="lamp")])
    assert correct(trace, [light(room="hall", label="the lamp")])
    assert not correct(trace, [light(room="hall", label="a lamp")])


def test_null_among_the_alternatives_lets_the_argument_be_left_out_but_not_be_null(make_trace):
    trace = make_trace(("set_light", {"room": "hall", "label": "lamp"}), alternatives={"0.label": [None]})
    assert correct(trace, [light(room="hall")])
    assert not correct(trace, [light(room="hall", label=None)])
    assert not correct(make_trace(("set_light", {"room": "hall", "label": "lamp"})), [light(room="hall")])


def test_a_path_that_the_gold_call_lacks_may_be_present_with_that_value_only(make_trace):
    trace = make_trace(("set_light", {"room": "hall"}), alternatives={"0.label": ["lamp"]})
    assert correct(trace, [light(room="hall", label="lamp")])
    assert correct(trace, [light(room="hall")])
    assert not correct(trace, [light(room="hall", label="other")])
    assert not correct(make_trace(("set_light", {"room": "hall"})), [light(room="hall", label="lamp")])


def test_alternatives_belong_to_one_call_and_reach_into_objects_and_arrays(make_trace):
    gold = {"to": {"name": "Ann"}, "text": "hi", "tags": ["a", "b"]}
    trace = make_trace(("send", gold), ("send", gold), alternatives={"1.to.name": ["Annie"], "1.tags.0": ["A"]})
    changed = {"to": {"name": "Annie"}, "text": "hi", "tags": ["A", "b"]}
    assert correct(trace, [ToolCall("send", gold), ToolCall("send", changed)])
    assert not correct(trace, [ToolCall("send", changed), ToolCall("send", gold)])
    assert correct(trace, [ToolCall("send", changed), ToolCall("send", gold)], "unordered")


def test_a_default_may_be_spelled_out_or_left_out_also_inside_objects(make_trace):
    assert correct(make_trace(("set_light", {"room": "hall"})), [light(room="hall", on=True)])
    assert correct(make_trace(("set_light", {"room": "hall", "on": True})), [light(room="hall")])
    assert not correct(make_trace(("set_light", {"room": "hall"})), [light(room="hall", on=False)])
    assert not correct(make_trace(("set_light", {"room": "hall", "on": False})), [light(room="hall")])
    sent = make_trace(("send", {"to": {"name": "Ann"}, "text": "hi"}))
    assert correct(sent, [ToolCall("send", {"to": {"name": "Ann", "via": "sms"}, "text": "hi"})])
    assert not correct(sent, [ToolCall("send", {"to": {"name": "Ann", "via": "mail"}, "text": "hi"})])


def test_defaults_are_found_behind_references():
    root = {
        "$defs": {"on": {"type": "boolean", "default": True}},
        "type": "object",
        "properties": {"on": {"$ref": "#/$defs/on"}},
    }
    assert local_schema(root["properties"]["on"], root)["default"] is True
    assert local_schema({"$ref": "#/$defs/none"}, root) == {}
    loop = {"$defs": {"a": {"$ref": "#/$defs/a"}}}
    assert "default" not in local_schema({"$ref": "#/$defs/a"}, loop)
    assert ToolSpec("x", "", root).properties


def test_order_matters_in_the_headline_mode_only(make_trace):
    first, second = ("set_light", {"room": "hall"}), ("set_light", {"room": "kitchen"})
    trace = make_trace(first, second)
    swapped = [light(room="kitchen"), light(room="hall")]
    assert not correct(trace, swapped)
    assert correct(trace, swapped, "unordered")


@pytest.mark.parametrize("mode", MODES)
def test_the_number_of_calls_must_agree(make_trace, mode):
    trace = make_trace(("set_light", {"room": "hall"}))
    assert not correct(trace, [], mode)
    assert not correct(trace, [light(room="hall")] * 2, mode)
    assert correct(make_trace(), [], mode)
    assert not correct(make_trace(), [light(room="hall")], mode)


def test_pairing_is_not_greedy(make_trace):
    # the first gold call accepts both predictions, the second only the one that greed would give to the first
    trace = make_trace(
        ("set_light", {"room": "hall", "label": "a"}),
        ("set_light", {"room": "hall", "label": "b"}),
        alternatives={"0.label": ["b"]},
    )
    assert correct(trace, [light(room="hall", label="b"), light(room="hall", label="a")], "unordered")


@given(
    st.integers(1, 5).flatmap(
        lambda n: st.lists(st.lists(st.booleans(), min_size=n, max_size=n), min_size=n, max_size=n)
    )
)
def test_pairing_agrees_with_trying_every_permutation(fits):
    from itertools import permutations

    expected = any(
        all(fits[row][column] for row, column in enumerate(order)) for order in permutations(range(len(fits)))
    )
    assert perfect_pairing(fits) is expected
