"""The parts of a generation on their own: plans, prompts, keys, groundedness, verification, deduplication, budget."""

from __future__ import annotations

import dataclasses

import pytest
from generate_helpers import TOOLS

from needle.generate.dedup import Deduplicator, wording
from needle.generate.plan import Plan, PlannedCall
from needle.generate.prompts import clean_request
from needle.generate.verify import verify_calls, verify_request
from needle.tools.grounding.ground import ground_calls
from needle.tools.read import read_tools
from needle.tools.spec import ToolCall, ToolSpec
from needle.traces.trace import Trace

SPECS = read_tools(TOOLS)


@pytest.mark.parametrize(("said", "clean"), [
    ('"wake me at 6"', "wake me at 6"), ("Message: hi there", "hi there"), ("```\ntext\n```", "text"),
    ("say 'a' and 'b'", "say 'a' and 'b'"), ("“ok”", "ok"),
])  # fmt: skip
def test_requests_are_unwrapped(said, clean):
    assert clean_request(said) == clean


def _grounded(value, schema, request) -> bool:
    tool = ToolSpec("t", "", {"type": "object", "properties": {"v": schema}})
    return ground_calls([ToolCall("t", {"v": value})], [tool], request)[0].grounded


TEXT, NUMBER = {"type": "string"}, {"type": "number"}


@pytest.mark.parametrize(("value", "schema", "request_"), [
    ("San Francisco", TEXT, "weather in san  francisco"), ("18:30", TEXT, "at half past six in the evening"),
    ("18:30:00", TEXT, "at 6:30 pm"),
    ("2027-03-03", TEXT, "on the 3rd of March 2027"), ("2027-03-03T18:30:00Z", TEXT, "3 March 2027 at 18:30"),
    ("SCENE_MOVIE", {"enum": ["SCENE_MOVIE"]}, "film time"),
    ("fr", TEXT, "into French"), ("it’s late", TEXT, "tell her it's late"), ("AB-1234", TEXT, "order AB 1234"),
    ("0042", TEXT, "number forty-two"),
    (40, NUMBER, "to forty percent"), (90, NUMBER, "an hour and a half"), (300, NUMBER, "for five minutes"), (12,
    NUMBER, "a dozen eggs"),
    (100, NUMBER | {"maximum": 100}, "all the way up"), (75, NUMBER, "a minute fifteen, so 1 minute 15"), ("metric",
    TEXT | {"default": "metric"}, "weather"),
])  # fmt: skip
def test_values_that_can_be_traced_are_grounded(value, schema, request_):
    assert _grounded(value, schema, request_)


@pytest.mark.parametrize(("value", "schema", "request_"), [
    ("Paris", TEXT, "weather in London"), ("18:30", TEXT, "at half past seven in the evening"), ("2027-03-04", TEXT,
    "on 3 March 2027"), (41, NUMBER, "to forty percent"),
    ("Ann", TEXT, "text Anna"), ("de", TEXT, "into French"), (7, NUMBER, "a few"), ("2027-03-03T18:30:00Z", TEXT,
    "3 March 2027"),
])  # fmt: skip
def test_invented_values_are_not(value, schema, request_):
    assert not _grounded(value, schema, request_)


PLAN = Plan("single", 0, 1, (PlannedCall("send_message"),))
GOOD = ToolCall("send_message", {"contact": "Ann", "text": "hi"})


@pytest.mark.parametrize(("kind", "calls", "problem", "code"), [
    ("single", [GOOD], None, None), ("single", [], None, "expected_call"), ("chat", [GOOD], None,
    "expected_no_call"), ("chat", [], None, None),
    ("single", [ToolCall("set_alarm", {"time": "06:00"})], None, "plan_disagrees"), ("single", [GOOD, GOOD], None,
    "plan_disagrees"),
    ("single", [ToolCall("send_message", {"contact": "Ann"})], None, "schema:missing_required"), ("single",
    [ToolCall("nope")], None, "schema:unknown_tool"),
    ("single", [ToolCall("send_message", {"contact": "Bob", "text": "hi"})], None, "ungrounded"), ("single", [],
    "malformed: x", "label_malformed"),
])  # fmt: skip
def test_labels_are_refused_for_the_right_reason(kind, calls, problem, code):
    verdict = verify_calls(dataclasses.replace(PLAN, kind=kind), "tell Ann hi", calls, problem, SPECS)
    assert [refusal.code for refusal in verdict.refusals] == ([code] if code else [])
    if code is None and calls:
        assert verdict.spans == {"0.contact": (5, 8), "0.text": (9, 11)}


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "request_empty"),
        ("x" * 3000, "request_long"),
        ("SKIP", "plan_skipped"),
        ("call set_alarm", "request_names_tool"),
    ],
)
def test_requests_are_refused_for_the_right_reason(text, code):
    assert [refusal.code for refusal in verify_request(text, SPECS)] == [code]


def _trace(query: str, contact: str) -> Trace:
    start = query.find(contact)
    meta = {"spans": {"0.contact": [start, start + len(contact)]}}
    return Trace("i", query, tuple(SPECS), (ToolCall("send_message", {"contact": contact, "text": "x"}),), meta=meta)


def test_same_wording_with_other_values_is_kept_up_to_the_cap_and_copies_are_not():
    dedup = Deduplicator(cap=3)
    assert [dedup.refuse(_trace(f"tell {name} x", name)) for name in ("Ann", "Bob", "Cid", "Dan")] == [
        None,
        None,
        None,
        "template_cap",
    ]
    assert dedup.refuse(_trace("Tell Ann, x!", "Ann")) == "duplicate_request"
    assert Deduplicator(cap=2000).refuse(_trace("tell Ann x", "Ann")) is None
    many = Deduplicator(cap=2000)
    assert sum(many.refuse(_trace(f"tell N{number} x", f"N{number}")) is None for number in range(1871)) == 1871


def test_polite_frames_do_not_make_a_new_wording():
    assert wording(_trace("can you tell Ann x please", "Ann")) == wording(_trace("Tell Bob x.", "Bob"))
