"""Noise changes a request and nothing that its calls copy."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from needle.errors import UserError
from needle.tools.spec import ToolCall, ToolSpec
from needle.traces.noise import NOISES, add_noise, noise_trace, value_spans
from needle.traces.trace import Trace

TOOL = ToolSpec("send", "Send a message.", {"type": "object", "properties": {
    "to": {"type": "string"}, "text": {"type": "string"}, "room": {"enum": ["living_room", "hall"]},
    "at": {"type": "integer"}}})  # fmt: skip
TEXT = "Could you please tell Ann Lee, that the dinner is ready in the living room, at 7?"


def _trace(query: str = TEXT, **arguments) -> Trace:
    given = arguments or {"to": "Ann Lee", "text": "dinner is ready", "room": "living_room", "at": 7}
    return Trace("i", query, (TOOL,), (ToolCall("send", given),), meta={"spans": {"0.to": [22, 29]}})


@given(st.text(max_size=80), st.lists(st.tuples(st.integers(0, 80), st.integers(0, 80)), max_size=4),
       st.sampled_from(sorted(NOISES)), st.integers(0, 10**6))  # fmt: skip
def test_kept_spans_stay_letter_for_letter_wherever_they_are(text, ends, kind, seed):
    spans = [(min(pair), max(pair)) for pair in ends if max(pair) <= len(text)]
    noisy, moved = add_noise(text, spans, kind, random.Random(seed))
    assert len(moved) == len(spans)
    for (start, end), (new_start, new_end) in zip(spans, moved, strict=True):
        if start < end:
            assert noisy[new_start:new_end] == text[start:end]


@pytest.mark.parametrize("kind", NOISES)
def test_every_kind_changes_a_request_and_keeps_its_values(kind):
    changed = 0
    for seed in range(40):
        trace = _trace()
        noisy = noise_trace(trace, kind, random.Random(seed))
        assert noisy.calls == trace.calls and noisy.tools == trace.tools
        assert all(value in noisy.query for value in ("Ann Lee", "dinner is ready", "living room", "7"))
        if noisy is not trace:
            changed += 1
            start, end = noisy.meta["spans"]["0.to"]
            assert noisy.query[start:end] == "Ann Lee" and noisy.meta["noise"] == kind and noisy.meta["clean"] == TEXT
    assert changed >= 36


def test_same_random_state_same_noise_and_another_state_other_noise():
    for kind in NOISES:
        one, two = (add_noise(TEXT, [], kind, random.Random(5)) for _ in range(2))
        assert one == two
    assert len({add_noise(TEXT, [], "typos", random.Random(seed))[0] for seed in range(30)}) > 15


def test_words_that_turn_a_request_round_are_never_touched():
    text = "do not turn off the lights, turn on seventy percent on monday without delay"
    for kind in NOISES:
        for seed in range(60):
            noisy = add_noise(text, [], kind, random.Random(seed))[0].lower()
            assert all(word in noisy for word in ("not", " off", "seventy", "monday", "without"))


def test_a_stop_behind_a_value_stays_where_the_request_goes_on():
    query = "tell Ann dinner is ready, and buy milk, eggs and tea."
    trace = Trace(
        "i", query, (TOOL,), (ToolCall("send", {"text": "dinner is ready", "items": ["milk", "eggs", "tea"]}),)
    )
    for kind in ("asr", "punctuation", "shorthand"):
        for seed in range(20):
            noisy = noise_trace(trace, kind, random.Random(seed)).query
            assert "dinner is ready," in noisy and "milk, eggs" in noisy


def test_words_of_identifiers_and_alternatives_count_as_values():
    trace = Trace("i", "put the living room on, the big lamp", (TOOL,), (ToolCall("send", {"room": "living_room"}),),
                  alternatives={"0.text": ["big lamp", None]})  # fmt: skip
    found = {trace.query[start:end] for start, end in value_spans(trace)}
    assert {"living room", "big lamp"} <= found


def test_a_noisy_row_is_not_made_noisier_and_an_empty_one_stays():
    noisy = noise_trace(_trace(), "casing", random.Random(1))
    assert noise_trace(noisy, "typos", random.Random(1)) is noisy
    only = _trace("Ann Lee", to="Ann Lee")
    assert noise_trace(only, "typos", random.Random(1)) is only


def test_an_unknown_kind_is_refused():
    with pytest.raises(UserError, match="typos"):
        add_noise("a", [], "static", random.Random(0))
