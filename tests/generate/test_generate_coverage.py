"""Coverage counts what is there; a value that has come often enough is refused."""

from __future__ import annotations

import json

from generate_helpers import TOOLS

from needle.generate.coverage import ValueCaps, cap_for, coverage
from needle.tools.read import read_tools
from needle.tools.spec import ToolCall
from needle.traces.trace import Trace

SPECS = tuple(read_tools(TOOLS))


def _row(name: str, **arguments) -> Trace:
    return Trace("i", "q", SPECS, (ToolCall(name, arguments),))


def test_values_and_members_are_counted_by_argument():
    rows = [_row("set_lights", room="kitchen", on=True), _row("set_lights", room="kitchen", on=True, brightness=5),
            _row("set_lights", room="hall", on=True), _row("send_message", contact="Ann", text="hi")]  # fmt: skip
    slots = {(slot.tool, slot.path): slot for slot in coverage(rows)}
    assert len(slots) == sum(len(tool.properties) for tool in SPECS)
    room = slots["set_lights", "room"]
    assert (room.calls, room.given, room.distinct, room.top, room.top_count) == (3, 3, 2, '"kitchen"', 2)
    assert room.unseen == ("living_room", "bedroom") and slots["set_lights", "on"].unseen == (False,)
    assert slots["set_lights", "brightness"].given == 1 and slots["set_alarm", "time"].given == 0
    assert "67%" in room.line() and json.dumps(room.to_dict())


def test_a_text_that_came_often_enough_is_refused_in_its_own_argument_only():
    caps = ValueCaps(2)
    for _ in range(2):
        assert caps.full(_row("send_message", contact="Ann", text="hi")) is None
        caps.add(_row("send_message", contact="Ann", text="hi"))
    assert caps.full(_row("send_message", contact="ann", text="new")) == "send_message.contact"
    assert caps.full(_row("send_message", contact="hi", text="Ann")) is None
    for _ in range(9):
        caps.add(_row("set_lights", room="kitchen", on=True, brightness=5))
    assert caps.full(_row("set_lights", room="kitchen", on=True, brightness=5)) is None
    assert cap_for(60) == 8 and cap_for(10_000) == 200


def test_a_run_reports_its_coverage_and_keeps_to_the_cap(run):
    report = run(n=120, value_cap=3, noise=0.5)
    slots = json.loads((report.out / "stats.json").read_text())["coverage"]
    assert {slot["tool"] for slot in slots} == {tool.name for tool in SPECS}
    assert max(slot["top_count"] for slot in slots if slot["kind"] == "text") <= 4  # a row may hold a value twice
    noisy = [json.loads(line) for path in report.files.values() for line in path.read_text().splitlines() if '"noise"' in line]
    assert len(noisy) > 30 and all(row["meta"]["clean"] != row["query"] for row in noisy)
