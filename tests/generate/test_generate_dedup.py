"""Rows of one template with different calls are all kept; copies in any dress are not."""

from __future__ import annotations

import itertools
import random

import pytest
from generate_helpers import TOOLS

from needle.generate.dedup import Deduplicator, wording
from needle.tools.read import read_tools
from needle.tools.spec import ToolCall
from needle.traces.trace import Trace
from needle.traces.write import write_traces

SPECS = tuple(read_tools(TOOLS))


def alarm(query: str, time: str, label: str, name: str = "r") -> Trace:
    return Trace(name, query, SPECS, (ToolCall("set_alarm", {"time": time, "label": label}),))


def slot_rows() -> list[Trace]:
    """1,871 requests of one template, every one with its own calls."""
    labels = [f"{a} {b}" for a, b in itertools.product(("morning", "evening", "team", "garden", "math"), ("run", "call", "class", "walk"))]
    times = [f"{hour:02d}:{minute:02d}" for hour in range(6, 22) for minute in range(0, 60, 10)]
    pairs = list(itertools.product(times, labels))[:1871]
    random.Random(0).shuffle(pairs)
    return [alarm(f"set an alarm for {time} called {label}", time, label) for time, label in pairs]


def test_all_rows_of_one_template_with_different_calls_are_kept():
    rows = slot_rows()
    dedup = Deduplicator(cap=len(rows))
    assert len(rows) == 1871 and [dedup.refuse(row) for row in rows] == [None] * 1871


@pytest.mark.parametrize("copy", [
    "Set an alarm for {t} called {l}!", "please set an alarm for {t} called {l}", "could you set an alarm for {t}, called {l}, please?",
    "hey, set the alarm for {t} called {l} now", "set alarm {t} called {l}", "called {l}, set an alarm for {t}",
    "I need you to set an alarm called {l} for {t}",
])  # fmt: skip
def test_copies_of_each_of_them_are_collapsed(copy):
    rows = slot_rows()
    dedup = Deduplicator(cap=10_000)
    assert not any(dedup.refuse(row) for row in rows)
    calls = [(row.calls[0].arguments["time"], row.calls[0].arguments["label"]) for row in rows]
    refused = [dedup.refuse(alarm(copy.format(t=time, l=label), time, label)) for time, label in calls]
    assert all(refused) and set(refused) <= {"duplicate_request", "duplicate_calls", "near_duplicate"}


def test_another_way_of_asking_for_the_same_calls_is_kept():
    dedup = Deduplicator(cap=8)
    ways = ["set an alarm for 07:00 called run", "wake me at seven, it's for my run", "07:00 alarm, label run", "I have to get up for a run at 7 in the morning"]
    assert [dedup.refuse(alarm(way, "07:00", "run")) for way in ways] == [None] * 4


def test_requests_without_calls_are_compared_too():
    def chat(query: str) -> Trace:
        return Trace("r", query, SPECS, (), "irrelevant")

    dedup = Deduplicator(cap=8)
    assert dedup.refuse(chat("what is the capital of northern Mongolia today")) is None
    assert dedup.refuse(chat("Please, what's the capital of Mongolia today, northern")) == "near_duplicate"
    assert dedup.refuse(chat("what is the population of northern Mongolia")) is None


def test_a_wording_has_a_cap():
    dedup = Deduplicator(cap=3)
    assert [dedup.refuse(row) for row in slot_rows()[:5]] == [None, None, None, "template_cap", "template_cap"]


def test_requests_of_a_suite_are_refused(tmp_path, run):
    suite = tmp_path / "suite.jsonl"
    write_traces(suite, [alarm("Wake me at seven", "07:00", "x", "s1")])
    dedup = Deduplicator(cap=8, against=[str(suite)])
    assert dedup.refuse(alarm("wake me at SEVEN!", "19:00", "y")) == "contaminated"
    assert dedup.refuse(alarm("wake me at eight", "08:00", "y")) is None


def test_values_that_share_words_are_masked_once():
    def spoken(query: str, *spans: tuple[int, int]) -> Trace:
        return Trace("r", query, SPECS, (ToolCall("set_alarm", {"time": "07:00"}),), meta={"spans": {str(n): list(span) for n, span in enumerate(spans)}})

    both = "from 3 to 9 May in the hall"
    assert wording(spoken(both, (5, 15), (5, 15), (10, 15))) == wording(spoken("from 4 to 7 June in the hall", (5, 16), (5, 16)))
    assert wording(spoken(both, (5, 15), (5, 15))).endswith("in the hall")
