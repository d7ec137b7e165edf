"""The small toolset of this room's tests, and what they read back from an output folder."""

from __future__ import annotations

import json

from needle.generate import GenerateReport


def _object(properties: dict, required: list[str]) -> dict:
    return {"type": "object", "properties": properties, "required": required}


ROOM = {"type": "string", "enum": ["kitchen", "living_room", "bedroom", "hall"]}
TOOLS = [
    {"name": "set_lights", "description": "Switch the lights of a room on or off.", "parameters": _object(
        {"room": ROOM, "on": {"type": "boolean"}, "brightness": {"type": "integer", "minimum": 0, "maximum": 100}},
        ["room", "on"])},
    {"name": "set_alarm", "description": "Set an alarm.", "parameters": _object(
        {"time": {"type": "string", "format": "time"}, "label": {"type": "string"}}, ["time"])},
    {"name": "send_message", "description": "Send a text message to a contact.", "parameters": _object(
        {"contact": {"type": "string"}, "text": {"type": "string"}}, ["contact", "text"])},
    {"name": "calendar.add_event", "description": "Add an event to the calendar.", "parameters": _object(
        {"title": {"type": "string"}, "date": {"type": "string", "format": "date"}}, ["title", "date"])},
]  # fmt: skip


def rows_of(report: GenerateReport) -> list[dict]:
    return [
        json.loads(line) for path in report.files.values() for line in path.read_text(encoding="utf-8").splitlines()
    ]


def bytes_of(report: GenerateReport) -> dict[str, bytes]:
    names = [
        "train.jsonl",
        "validation.jsonl",
        "test.jsonl",
        "quarantine.jsonl",
        "stats.json",
        "README.md",
        "manifest.json",
    ]
    return {name: (report.out / name).read_bytes() for name in names}
