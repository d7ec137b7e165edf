"""Values cut out of verified requests: the rest is a sentence without the value, or nothing."""

from __future__ import annotations

import pytest

from needle.generate.cut import cut_positive, cut_value
from needle.tools.spec import ToolCall, ToolSpec

TOOL = ToolSpec("t", "", {"type": "object", "properties": {
    "v": {"type": "string"}, "n": {"type": "integer"}, "room": {"enum": ["living_room", "hall"]},
    "items": {"type": "array", "items": {"type": "string"}}}})  # fmt: skip


@pytest.mark.parametrize(("request_", "value", "rest"), [
    ("set an alarm for 7 am called gym", "7 am", "set an alarm called gym"),
    ("dim the kitchen to 40 percent please", "40", "dim the kitchen please"),
    ("book a table at Mario's for four", "Mario's", "book a table for four"),
    ("add milk to the list", "milk", "add something to the list"),
    ("text that i'm late to Anna", "Anna", "text that i'm late"),
    ("find the room called Blue Hall, thanks", "Blue Hall", "find the room, thanks"),
    ("add milk, eggs and tea to the list", "eggs", None), ("play Adele and then Adele again", "Adele", None), ("7", "7", None),
])  # fmt: skip
def test_a_value_goes_with_the_words_that_introduce_it(request_, value, rest):
    start = request_.index(value)
    assert cut_value(request_, (start, start + len(value))) == rest


def test_a_verified_request_loses_one_argument_only_when_nothing_of_it_stays():
    calls = [ToolCall("t", {"room": "living_room", "n": 20})]
    assert cut_positive("set the lamp in the living room to twenty", calls, [TOOL], "room", {}) == "set the lamp to twenty"
    assert cut_positive("set the lamp in the living room to twenty", calls, [TOOL], "n", {}) == "set the lamp in the living room"
    assert cut_positive("set the lamp in here to twenty", calls, [TOOL], "room", {}) is None
    assert cut_positive("add tea", [ToolCall("t", {"items": ["tea"]})], [TOOL], "items", {}) == "add something"
    assert cut_positive("add tea", calls, [TOOL], "v", {}) is None
