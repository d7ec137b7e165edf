"""Augmented draws: as many rows over one shared toolset, calls that fit, copied text that stands in the request, chance from ``rng`` alone."""

from __future__ import annotations

import gzip
import itertools
import json
import random
from collections import defaultdict
from pathlib import Path

import pytest

from needle.corpora.vary import Augment, AugmentConfig
from needle.tools import ToolCall, ToolSpec, is_valid
from needle.traces import Trace
from needle.traces.formats import trace_from_dict

FILE = Path(__file__).parents[2] / "data" / "traces" / "train.jsonl.gz"
OFF = AugmentConfig(**dict.fromkeys(("rename", "mask", "undescribed", "order", "fewer", "withhold", "narrow", "beside", "swap", "numbers", "spread", "identified", "quoted", "join", "chain", "negate", "noise"), 0.0))
TIMER = ToolSpec("set_timer", "Start a countdown.", {"type": "object", "properties": {"minutes": {"type": "integer", "maximum": 90}}, "required": ["minutes"]})
LAMP = ToolSpec("paint_wall", "Paint the wall of a room.", {"type": "object", "properties": {"room": {"type": "string"}}, "required": ["room"]})
MAIL = ToolSpec("send_letter", "Post a letter to a friend.", {"type": "object", "properties": {"to": {"type": "string"}}})


def only(**settings: float) -> AugmentConfig:
    return AugmentConfig(**{**vars(OFF), **settings})


@pytest.fixture(scope="module")
def groups() -> list[list[Trace]]:
    with gzip.open(FILE, "rt", encoding="utf-8") as lines:
        traces = [trace_from_dict(json.loads(line)) for line in itertools.islice(lines, 0, 900)]
    by_toolset: dict[str, list[Trace]] = defaultdict(list)
    for trace in traces:
        by_toolset[trace.toolset].append(trace)
    return [[rows[0], *(Trace(**{**vars(row), "tools": rows[0].tools}) for row in rows[1:])] for rows in by_toolset.values() if len(rows) > 4]


def timers(*minutes: int, tools: tuple[ToolSpec, ...] = (TIMER, LAMP, MAIL)) -> list[Trace]:
    return [Trace(str(n), f"timer for {n} minutes", tools, (ToolCall("set_timer", {"minutes": n}),)) for n in minutes]


def test_draws_keep_their_number_share_one_toolset_and_fit_it(groups):
    augment = Augment([row for rows in groups for row in rows])
    changed = 0
    for seed, rows in enumerate(groups * 3):
        made = augment(rows, random.Random(seed))
        assert len(made) == len(rows) and len({id(row.tools) for row in made}) == 1
        assert all(is_valid(row.calls, row.tools) for row in made)
        changed += sum(one != other for one, other in zip(rows, made, strict=True))
    assert changed > 500


def test_the_same_chance_gives_the_same_rows(groups):
    augment = Augment([row for rows in groups for row in rows])
    assert all(augment(rows, random.Random(7)) == augment(rows, random.Random(7)) for rows in groups)


def test_with_everything_off_rows_are_as_they_were(groups):
    augment = Augment([row for rows in groups for row in rows], OFF)
    assert all(augment(rows, random.Random(1)) == rows for rows in groups)


def test_copied_text_still_stands_in_the_request(groups):
    augment = Augment([row for rows in groups for row in rows], only(swap=1.0, join=0.5, noise=1.0, numbers=1.0))
    for seed, rows in enumerate(groups):
        for one, other in zip(rows, augment(rows, random.Random(seed)), strict=True):
            said = [value for call in one.calls for value in call.arguments.values() if isinstance(value, str) and value in one.query]
            if len(other.calls) == len(one.calls) and said:
                fresh = [value for call in other.calls for value in call.arguments.values() if isinstance(value, str) and value in other.query]
                assert len(fresh) >= len(said)


def test_names_change_in_tools_and_calls_together():
    rows = timers(5, 10, 15)
    for settings in ({"rename": 1.0}, {"mask": 1.0}):
        made = [Augment(rows, only(**settings))(rows, random.Random(seed)) for seed in range(6)]
        assert any({tool.name for tool in draw[0].tools} != {TIMER.name, LAMP.name, MAIL.name} for draw in made)
        for draw in made:
            for row, value in zip(draw, (5, 10, 15), strict=True):
                assert list(row.calls[0].arguments.values()) == [value] and row.calls[0].name in {tool.name for tool in row.tools}


def test_numbers_change_in_request_and_call_and_stay_inside_the_limits():
    rows = timers(20, 30, 40, 55)
    seen = set()
    for seed in range(30):
        for row in Augment(rows, only(numbers=1.0))(rows, random.Random(seed)):
            minutes = row.calls[0].arguments["minutes"]
            assert row.query == f"timer for {minutes} minutes" and 10 <= minutes <= 90
            seen.add(minutes)
    assert len(seen) > 20


@pytest.mark.parametrize("query", ["timer at 20:15 for 20 minutes and 20 more", "timer on the 20th", "timer 20.5", "timer $20", "timer 20 pm", "timer 120"])
def test_numbers_that_may_be_part_of_something_else_stay(query):
    row = Trace("1", query, (TIMER,), (ToolCall("set_timer", {"minutes": 20}),))
    assert all(Augment([row], only(numbers=1.0))([row], random.Random(seed)) == [row] for seed in range(10))


def test_without_the_tool_its_rows_have_no_call_and_the_others_keep_theirs():
    rows = [*timers(20, 30, 40, 50), Trace("w", "paint the hall", (TIMER, LAMP, MAIL), (ToolCall("paint_wall", {"room": "hall"}),))]
    made = Augment(rows, only(withhold=1.0))(rows, random.Random(0))
    assert {tool.name for tool in made[0].tools} == {"set_timer", "send_letter"}
    assert made[4].calls == () and made[4].kind == "irrelevant" and all(row.calls for row in made[:4])


def test_a_narrowed_toolset_leaves_its_other_rows_without_a_call():
    paint = Trace("w", "paint the hall", (TIMER, LAMP, MAIL), (ToolCall("paint_wall", {"room": "hall"}),))
    both = Trace("b", "timer for 9 minutes, then paint the hall", (TIMER, LAMP, MAIL), (ToolCall("set_timer", {"minutes": 9}), *paint.calls), "parallel")
    rows, sizes = [*timers(20, 30), paint, both], set()
    for seed in range(12):
        made = Augment(rows, only(narrow=1.0))(rows, random.Random(seed))
        names = {tool.name for tool in made[0].tools}
        sizes.add(len(names))
        assert names <= {"set_timer", "paint_wall"} and len(made) == len(rows)
        for row, before in zip(made[:3], rows, strict=False):
            kept = before.calls[0].name in names
            assert row.calls == (before.calls if kept else ()) and (kept or row.kind == "irrelevant")
        assert made[3].calls == both.calls if len(names) == 2 else made[3] in made[:3]
    assert sizes == {1, 2}
    twin = ToolSpec("set_timers", "Start a countdown timer.", TIMER.parameters)
    alike = [*timers(20, tools=(TIMER, twin, MAIL)), Trace("t", "both timers 5", (TIMER, twin, MAIL), (ToolCall("set_timers", {"minutes": 5}),))]
    for seed in range(6):
        made = Augment(alike, only(narrow=1.0))(alike, random.Random(seed))
        assert all(row.calls for row in made)  # what the one is asked for the other might do


def test_tools_beside_are_new_and_could_not_serve_a_request_without_a_call():
    spare = [Trace("s", "x", (ToolSpec(f"tool_{n}", f"Count sheep of flock {n}."), ToolSpec(f"umbrella_{n}", "Sell an umbrella.")), ()) for n in range(5)]
    rows = [*timers(20), Trace("n", "sell my umbrella", (TIMER, LAMP, MAIL), (), "irrelevant")]
    for seed in range(20):
        made = Augment([*rows, *spare], only(beside=1.0))(rows, random.Random(seed))
        added = [tool.name for tool in made[0].tools][3:]
        assert not [name for name in added if name.startswith("umbrella")] and len({tool.name for tool in made[0].tools}) == len(made[0].tools)


def test_joined_requests_have_both_calls_in_order():
    rows = timers(20, 35)
    made = [row for seed in range(20) for row in Augment(rows, only(join=1.0))(rows, random.Random(seed)) if len(row.calls) == 2]
    assert made
    for row in made:
        first, second = (str(call.arguments["minutes"]) for call in row.calls)
        assert row.query.index(first) < row.query.index(second) and row.kind == "parallel"


def test_chained_requests_are_sentences_in_the_order_of_their_calls():
    rows = [*timers(20, 35, 48, 55), Trace("w", "paint the Hall", (TIMER, LAMP, MAIL), (ToolCall("paint_wall", {"room": "Hall"}),))]
    made = [row for seed in range(20) for row in Augment(rows, only(chain=1.0))(rows, random.Random(seed)) if len(row.calls) > 1]
    assert {len(row.calls) for row in made} == {2, 3, 4}
    for row in made:
        places = [row.query.index(str(next(iter(call.arguments.values())))) for call in row.calls]
        assert places == sorted(places) and row.kind == "parallel" and row.query.count(". ") >= len(row.calls) - 1 and row.query.endswith(".")
        assert len({str(call) for call in row.calls}) == len(row.calls)


def test_a_command_taken_back_calls_nothing_and_questions_stay():
    command = Trace("1", "Paint the hall", (LAMP,), (ToolCall("paint_wall", {"room": "hall"}),))
    rows = [Trace("2", "send a letter to Bob", (MAIL, LAMP), (ToolCall("send_letter", {"to": "Bob"}),)), Trace("3", "can you send a letter to Bob?", (MAIL, LAMP), (ToolCall("send_letter", {"to": "Bob"}),))]
    made = Augment(rows, only(negate=1.0))(rows, random.Random(2))
    assert made[0].calls == () and made[0].kind == "negated" and made[0].query.lower().endswith("send a letter to bob") and made[0].query != rows[0].query
    assert made[1] == rows[1] and Augment([command], only(negate=1.0))([command], random.Random(0)) == [command]
