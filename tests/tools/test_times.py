"""Times of calls are what the request says, where it leaves no doubt which argument is meant."""

from __future__ import annotations

import pytest

from needle.tools import ToolCall, ToolSpec
from needle.tools.times import moments, settle_times


def spec(name: str, **formats: str) -> ToolSpec:
    properties = {key: {"type": "string", "format": form} for key, form in formats.items()}
    return ToolSpec(name, "", {"type": "object", "properties": properties})


TOOLS = [spec("alarm", at="time"), spec("meet", when="date-time", label="none"), spec("quiet", start="time", end="time")]


@pytest.mark.parametrize(("text", "clocks"), [
    ("wake me tomorrow at 7", [("07:00", "19:00")]), ("at 7 pm", [("19:00",)]), ("7pm", [("19:00",)]), ("at noon", [("12:00",)]), ("at midnight", [("00:00",)]),
    ("half past six", [("06:30", "18:30")]), ("half past six in the evening", [("18:30",)]), ("tomorrow morning at seven", [("07:00",)]), ("tonight at 8", [("20:00",)]),
    ("at 12", [("12:00", "00:00")]), ("07:45", [("07:45",)]), ("19:30", [("19:30",)]), ("7 people", []), ("at 7 percent", []), ("at 7 Elm Street", []), ("", []),
    ("7:15 in the morning and 9 in the evening", [("07:15",), ("21:00",)]), ("at 7, and dim the hall to 8", [("07:00", "19:00")]),
])  # fmt: skip
def test_moments_are_the_times_that_a_person_means(text, clocks):
    assert [moment.clocks for moment in moments(text)] == clocks


@pytest.mark.parametrize(("text", "given", "settled"), [
    ("wake me tomorrow at 7", [("alarm", {"at": "14:05"})], [("alarm", {"at": "07:00"})]),
    ("wake me tomorrow at 7", [("meet", {"when": "2026-11-28T14:05:10"})], [("meet", {"when": "2026-11-28T07:00:00"})]),
    ("wake me at 7", [("alarm", {"at": "19:00"})], None), ("wake me at 7", [("alarm", {"at": "07:00"})], None),
    ("half past six this evening", [("alarm", {"at": "06:00"})], [("alarm", {"at": "18:30"})]),
    ("mark it at 17:02:30", [("meet", {"when": "2026-11-28T14:05:10"})], [("meet", {"when": "2026-11-28T17:02:30"})]),
    ("quiet from 20:30 until 7:15", [("quiet", {"start": "20:00", "end": "07:00"})], [("quiet", {"start": "20:30", "end": "07:15"})]),
    ("quiet from 20:30 until 7:15", [("quiet", {"start": "20:30", "end": "07:00"})], [("quiet", {"start": "20:30", "end": "07:15"})]),
    ("quiet from 20:30", [("quiet", {"start": "20:00", "end": "07:00"})], None),
    ("both by 2 pm", [("alarm", {"at": "08:00"}), ("alarm", {"at": "08:00"})], [("alarm", {"at": "14:00"}), ("alarm", {"at": "14:00"})]),
    ("one alarm, 2 pm", [("alarm", {"at": "08:00"}), ("alarm", {"at": "09:00"})], None), ("an hour after 2 pm", [("alarm", {"at": "15:00"})], None),
    ("two hours from 2 pm", [("alarm", {"at": "16:00"})], None), ("at 14:00 utc", [("alarm", {"at": "15:00"})], None), ("at 14:00", [("alarm", {"at": "15:00Z"})], None),
    ("from nine to ten", [("quiet", {"start": "21:00", "end": "22:00"})], None), ("19:00, sorry, 20:00", [("alarm", {"at": "21:00"})], None),
    ("some day", [("alarm", {"at": "15:00"})], None), ("at 2 pm", [("meet", {"when": "later", "label": "15:00"}), ("fly", {"at": "15:00"})], None),
])  # fmt: skip
def test_only_times_that_are_wrong_for_sure_are_settled(text, given, settled):
    calls = [ToolCall(*call) for call in given]
    expected = calls if settled is None else [ToolCall(*call) for call in settled]
    assert settle_times(calls, TOOLS, text) == expected
    assert calls == [ToolCall(*call) for call in given], "the calls that came in stay as they are"
