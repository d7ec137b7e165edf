"""A toolset and an embedded teacher, shared by the tests of this room."""

from __future__ import annotations

import pytest

from needle.teacher.embedded import EmbeddedTeacher
from needle.tools.spec import ToolSpec


def _object(properties: dict, required: list[str]) -> dict:
    return {"type": "object", "properties": properties, "required": required}


@pytest.fixture(scope="session")
def tools() -> list[ToolSpec]:
    room = {"type": "string", "enum": ["kitchen", "living_room", "bedroom", "hall"]}
    when = _object(
        {"date": {"type": "string", "format": "date"}, "start": {"type": "string", "format": "time"}}, ["date"]
    )
    return [
        ToolSpec("set_lights", "Switch the lights of a room on or off, or dim them.", _object(
            {"room": room, "on": {"type": "boolean"}, "brightness": {"type": "integer", "minimum": 0,
            "maximum": 100}}, ["room", "on"])),
        ToolSpec("set_thermostat", "Set the target temperature of a room.", _object(
            {"room": room, "celsius": {"type": "number", "minimum": 5, "maximum": 30}, "mode": {"type": "string",
            "enum": ["HEAT", "COOL"]}},
            ["room", "celsius"])),
        ToolSpec("set_alarm", "Set an alarm.", _object(
            {"time": {"type": "string", "format": "time"}, "label": {"type": "string"},
             "days": {"type": "array", "items": {"type": "string", "enum": ["mon", "tue", "wed"]}}}, ["time"])),
        ToolSpec("send_message", "Send a text message to a contact.", _object(
            {"contact": {"type": "string"}, "text": {"type": "string"}}, ["contact", "text"])),
        ToolSpec("lock_door", "Lock or unlock a door.", _object(
            {"door": {"type": "string", "enum": ["FRONT", "BACK"]}, "locked": {"type": "boolean"}}, ["door",
            "locked"])),
        ToolSpec("calendar.add_event", "Add an event to the calendar.", _object({"title": {"type": "string"},
        "when": when}, ["title", "when"])),
        ToolSpec("play_music", "Play a song, artist or playlist.", _object(
            {"query": {"type": "string"}, "volume": {"type": "integer", "minimum": 0, "maximum": 100}}, ["query"])),
        ToolSpec("get_weather", "Get the weather forecast for a city.", _object({"city": {"type": "string"}},
        ["city"])),
    ]  # fmt: skip


@pytest.fixture(scope="session")
def teacher() -> EmbeddedTeacher:
    return EmbeddedTeacher()


@pytest.fixture(scope="session")
def unlearned() -> EmbeddedTeacher:
    return EmbeddedTeacher(learn=False)
