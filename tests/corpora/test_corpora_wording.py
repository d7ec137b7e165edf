"""Other wordings of the same calls: quotes stay out of the values, identifiers and counted-up values stand in request and calls alike."""

from __future__ import annotations

import gzip
import itertools
import json
import random
from pathlib import Path

import pytest

from needle.corpora.wording import identified, quoted, spread, spread_values
from needle.tools import ToolCall, ToolSpec, is_valid
from needle.traces import Trace
from needle.traces.formats import trace_from_dict

FILE = Path(__file__).parents[2] / "data" / "traces" / "train.jsonl.gz"
SEND = ToolSpec("send_text", "", {"type": "object", "properties": {"to": {"type": "string"}, "text": {"type": "string"}, "day": {"type": "string"}}})
TIMER = ToolSpec("timer", "", {"type": "object", "properties": {"minutes": {"type": "integer", "maximum": 90}, "room": {"enum": ["hall", "loft", "attic", "shed"], "type": "string"}}})


def row(query: str, **arguments: object) -> Trace:
    name = "timer" if {"minutes", "room"} & arguments.keys() else "send_text"
    return Trace("1", query, (SEND, TIMER), (ToolCall(name, arguments),))


def recorded() -> list[Trace]:
    with gzip.open(FILE, "rt", encoding="utf-8") as lines:
        return [trace_from_dict(json.loads(line)) for line in itertools.islice(lines, 0, 1500)]


def test_copied_texts_stand_in_quotes_and_calls_stay_without():
    made = {quoted(row("tell Ann good night", to="Ann", text="good night"), random.Random(seed)).query for seed in range(40)}
    assert "tell 'Ann' 'good night'" in made and "tell `Ann` `good night`" in made and 'tell "Ann" "good night"' in made
    assert all(quoted(row(text, to="Ann"), random.Random(1)).query == text for text in ("tell Ann's boss", "tell 'Ann' and Ann", 'tell "Ann"'))


def test_an_identifier_takes_the_place_of_a_text_in_request_and_call():
    seen = set()
    for seed in range(40):
        made = identified(row("tell Ann good night", to="Ann"), random.Random(seed))
        value = made.calls[0].arguments["to"]
        assert made.query == f"tell {value} good night" and value != "Ann" and " " not in value
        seen.add(value)
    assert len(seen) > 30
    assert identified(row("text me tomorrow", day="tomorrow"), random.Random(1)).query == "text me tomorrow"


def test_one_command_over_several_values_is_several_calls():
    others = {("timer", "minutes"): [5, 9, 12], ("timer", "room"): ["hall", "loft", "shed"], ("send_text", "to"): ["Ann", "Bo", "Ann and Bo", "x9"]}
    for seed in range(30):
        made = spread(row("timer for 5 minutes", minutes=5), others, random.Random(seed))
        values = [call.arguments["minutes"] for call in made.calls]
        assert made.kind == "parallel" and len(set(values)) == len(values) in (2, 3) and values[0] == 5
        assert all(made.query.count(str(value)) == 1 for value in values) and made.query.startswith("timer for 5") and made.query.endswith(" minutes")
        assert {call.arguments["to"] for call in spread(row("tell Ann hi", to="Ann", text="hi"), others, random.Random(seed)).calls} in ({"Ann", "Bo"}, {"Ann"})
    assert len(spread(row("a timer in the loft", room="loft"), others, random.Random(0)).calls) > 1


@pytest.mark.parametrize("same", [row("timer at 5:30", minutes=5), row("5 timers, 5 minutes", minutes=5), row("timer for 95 minutes", minutes=5), row("say so", text="so"),
                                  row("timer for $5", minutes=5), row("it is 5 pm", minutes=5)])  # fmt: skip
def test_what_may_be_part_of_something_else_is_not_counted_up(same):
    others = {("timer", "minutes"): [9, 12, 13], ("send_text", "text"): ["no", "yes", "well"]}
    assert all(spread(same, others, random.Random(seed)) is same for seed in range(10))


def test_recorded_rows_stay_valid_and_their_values_findable():
    rows, rng, changed = recorded(), random.Random(3), 0
    for _, group in itertools.groupby(rows, key=lambda trace: trace.toolset):
        mine = list(group)
        values = spread_values(mine)
        for trace in mine:
            for made in (quoted(trace, rng), identified(trace, rng), spread(trace, values, rng)):
                assert is_valid(made.calls, made.tools)
                said = [value for call in trace.calls for value in call.arguments.values() if isinstance(value, str) and value in trace.query]
                still = [value for call in made.calls for value in call.arguments.values() if isinstance(value, str) and value in made.query]
                assert len(still) >= len(said)
                changed += made != trace
    assert changed > 800
