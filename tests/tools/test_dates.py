"""Dates of calls: counted from today by the calendar, touched only where the words leave no doubt."""

from __future__ import annotations

import datetime

import pytest

from needle.generate.context import facts as trained_facts
from needle.tools import ToolCall, ToolSpec
from needle.tools.dates import clock_facts, phrases, settle_dates, takes_dates

TODAY = datetime.date(2026, 11, 27)
"""A Friday."""


def spec(name: str, **formats: str) -> ToolSpec:
    return ToolSpec(
        name,
        "",
        {"type": "object", "properties": {key: {"type": "string", "format": form} for key, form in formats.items()}},
    )


TOOLS = [spec("alarm", at="date-time"), spec("trip", start="date", end="date"), spec("say", text="none")]


@pytest.mark.parametrize(("text", "days"), [
    ("wake me tomorrow at 7", ["2026-11-28"]), ("today", ["2026-11-27"]), ("on monday", ["2026-11-30"]), ("on Friday", ["2026-12-04"]),
    ("in three days", ["2026-11-30"]), ("a week from now", ["2026-12-04"]), ("for three days", []), ("2 weeks", []), ("last monday", ["2026-11-23"]),
    ("on 3 May", ["2027-05-03"]), ("28 November", ["2026-11-28"]), ("on 2026-12-24", ["2026-12-24"]), ("a table for four", []),
    ("from the day after tomorrow until sunday", ["2026-11-29", "2026-11-29"]), ("30 February", []), ("two days ago", ["2026-11-25"]), ("", []),
])  # fmt: skip
def test_phrases_name_the_days_that_a_person_means(text, days):
    assert [str(phrase.days[0]) for phrase in phrases(text, TODAY)] == days


def test_next_friday_may_be_either():
    assert [str(day) for day in phrases("next monday", TODAY)[0].days] == ["2026-11-30", "2026-12-07"]


@pytest.mark.parametrize(("text", "given", "settled"), [
    ("wake me tomorrow at 7", [("alarm", {"at": "2023-01-01T07:00"})], [("alarm", {"at": "2026-11-28T07:00"})]),
    ("next monday at 7", [("alarm", {"at": "2026-12-07T07:00"})], None),
    ("from monday to wednesday", [("trip", {"start": "2024-05-01", "end": "2024-05-03"})], [("trip", {"start": "2026-11-30", "end": "2026-12-02"})]),
    ("from monday to wednesday", [("trip", {"start": "2026-11-30", "end": "2024-05-03"})], [("trip", {"start": "2026-11-30", "end": "2026-12-02"})]),
    ("tomorrow at 7 and at 9", [("alarm", {"at": "2020-01-01T07:00"}), ("alarm", {"at": "2026-11-28T09:00"})],
     [("alarm", {"at": "2026-11-28T07:00"}), ("alarm", {"at": "2026-11-28T09:00"})]),
    ("monday, tuesday and friday", [("trip", {"start": "2024-05-01"})], None),
    ("the day before monday", [("trip", {"start": "2024-05-01"})], None), ("a week from today", [("trip", {"start": "2026-12-04"})], None),
    ("leave 2026-12-22 until the 29th of December 2026", [("trip", {"start": "2024-05-01", "end": "2024-05-02"})], None),
    ("a trip tomorrow", [("trip", {"start": "2024-05-01", "end": "2024-05-02"})], None),
    ("two weeks after monday", [("trip", {"start": "2026-12-14"})], None), ("some day", [("trip", {"start": "2024-05-01"})], None),
    ("say tomorrow", [("say", {"text": "tomorrow"}), ("fly", {"on": "2020-01-01"})], None),
])  # fmt: skip
def test_only_days_that_are_wrong_for_sure_are_settled(text, given, settled):
    calls = [ToolCall(*call) for call in given]
    expected = calls if settled is None else [ToolCall(*call) for call in settled]
    assert settle_dates(calls, TOOLS, text, TODAY) == expected
    assert calls == [ToolCall(*call) for call in given], "the calls that came in stay as they are"


def test_without_a_day_of_reference_nothing_is_changed_and_facts_give_one():
    calls = [ToolCall("alarm", {"at": "2020-01-01T07:00"})]
    assert settle_dates(calls, TOOLS, "tomorrow at 7", "Locale: en-GB.") == calls
    facts = clock_facts(datetime.datetime(2026, 11, 27, 14, 5), "Leeds", "en-GB")
    assert facts == "Today is Friday, 27 November 2026; it is 14:05 in Leeds. Locale: en-GB."
    assert settle_dates(calls, TOOLS, "tomorrow at 7", facts)[0].arguments == {"at": "2026-11-28T07:00"}


def test_the_facts_are_in_the_words_that_students_are_trained_on():
    class Dice:
        def randrange(self, start, stop=None):
            return 25 if stop is None else 14

        def random(self):
            return 0.0

        def choice(self, options):
            return {0: 5}.get(options[0], options[0])

    place = trained_facts(Dice()).partition(" in ")[2].partition(".")[0]
    assert clock_facts(datetime.datetime(2026, 11, 27, 14, 5), place, "en-GB") == trained_facts(Dice())


def test_tools_that_take_dates_are_found_also_inside_objects():
    inner = {"type": "object", "properties": {"day": {"type": "string", "format": "date"}}}
    assert takes_dates(TOOLS[:1]) and takes_dates(
        [ToolSpec("x", "", {"type": "object", "properties": {"when": inner}})]
    )
    assert not takes_dates(TOOLS[2:]) and not takes_dates([])
