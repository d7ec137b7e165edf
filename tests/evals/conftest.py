"""Tiny hand-made rows and callers for the tests of ``needle.evals``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from needle.evals.parse import parse_calls
from needle.evals.suites import Suite, suite_hash
from needle.tools import Caller, CallResult, ToolCall, ToolSpec
from needle.traces import Trace

LIGHT = ToolSpec(
    "set_light",
    "Switch a light",
    {
        "type": "object",
        "properties": {
            "room": {"type": "string", "enum": ["kitchen", "hall"]},
            "level": {"type": "integer", "minimum": 0, "maximum": 100},
            "on": {"type": "boolean", "default": True},
            "label": {"type": "string"},
        },
        "required": ["room"],
    },
)
SEND = ToolSpec(
    "send",
    "Send a text",
    {
        "type": "object",
        "properties": {
            "to": {
                "type": "object",
                "properties": {"name": {"type": "string"}, "via": {"type": "string", "default": "sms"}},
                "required": ["name"],
            },
            "text": {"type": "string"},
            "tags": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["to", "text"],
    },
)


@pytest.fixture
def make_trace() -> Callable[..., Trace]:
    """A row over the two tools above: ``make_trace(("set_light", {"room": "hall"}), query=..., kind=...)``."""

    def build(*calls: tuple[str, dict[str, Any]], **fields: Any) -> Trace:
        fields = {"id": "r", "query": "dim the hall to 5", "tools": (LIGHT, SEND), "toolset": "t"} | fields
        fields.setdefault("kind", "single" if calls else "irrelevant")
        return Trace(calls=tuple(ToolCall(*call) for call in calls), **fields)

    return build


@pytest.fixture
def make_suite(make_trace: Callable[..., Trace]) -> Callable[..., Suite]:
    """Thirty rows: two thirds need a call, the rest none; toolsets of five rows."""

    def build(n: int = 30) -> Suite:
        traces = []
        for place in range(n):
            calls = [] if place % 3 == 2 else [("set_light", {"room": "hall", "level": place})]
            traces.append(
                make_trace(*calls, id=f"r{place}", query=f"dim the hall to {place}", toolset=f"t{place // 5}")
            )
        return Suite("tiny", tuple(traces), hash=suite_hash(traces), total=n)

    return build


class Scripted(Caller):
    """Answers with a function of the request text; may stop after a number of rows, as an interrupted run does."""

    def __init__(
        self, reply: Callable[[str], str | CallResult], name: str = "scripted", stop_after: int | None = None
    ) -> None:
        self.reply, self.name, self.stop_after = reply, name, stop_after
        self.asked: list[str] = []

    def answer(self, requests: Any) -> list[CallResult]:
        results = []
        for request in requests:
            if self.stop_after is not None and len(self.asked) >= self.stop_after:
                raise KeyboardInterrupt
            self.asked.append(request.query)
            reply = self.reply(request.query)
            results.append(parse_calls(reply) if isinstance(reply, str) else reply)
        return results


@pytest.fixture
def scripted() -> type[Scripted]:
    """The class of callers that follow a script."""
    return Scripted
