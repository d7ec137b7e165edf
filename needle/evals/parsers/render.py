"""Calls written in each dialect: what a perfect model of it would say. ``parse_output`` reads all back."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from needle.evals.parse import render_calls
from needle.evals.parsers.functiongemma import END, ESCAPE, START
from needle.evals.parsers.pythonic import LFM_END, LFM_START
from needle.tools.spec import ToolCall

REFUSAL = "None of these tools can do that."
"""How a chat dialect abstains."""


def _hermes(calls: Sequence[ToolCall]) -> str:
    one_each = (json.dumps(call.to_dict(), ensure_ascii=False) for call in calls)
    return "\n".join(f"<tool_call>\n{text}\n</tool_call>" for text in one_each) or REFUSAL


def _pythonic(calls: Sequence[ToolCall]) -> str:
    return f"[{', '.join(f'{call.name}({_keywords(call.arguments)})' for call in calls)}]"


def _keywords(arguments: dict[str, Any]) -> str:
    return ", ".join(f"{key}={value!r}" for key, value in arguments.items())


def _lfm(calls: Sequence[ToolCall]) -> str:
    return f"{LFM_START}{_pythonic(calls)}{LFM_END}" if calls else REFUSAL


def _functiongemma(calls: Sequence[ToolCall]) -> str:
    return "".join(f"{START}call:{call.name}{_gemma(call.arguments)}{END}" for call in calls) or REFUSAL


def _gemma(value: Any) -> str:
    if isinstance(value, str):
        return f"{ESCAPE}{value}{ESCAPE}"
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{_gemma(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_gemma, value)) + "]"
    return json.dumps(value)


def _openai(calls: Sequence[ToolCall]) -> str:
    made = [
        {
            "id": f"call_{place}",
            "type": "function",
            "function": {"name": call.name, "arguments": json.dumps(call.arguments)},
        }
        for place, call in enumerate(calls)
    ]
    return json.dumps({"role": "assistant", "content": None if calls else REFUSAL, "tool_calls": made})


RENDERERS: dict[str, Callable[[Sequence[ToolCall]], str]] = {
    "json": render_calls,
    "hermes": _hermes,
    "pythonic": _pythonic,
    "lfm": _lfm,
    "functiongemma": _functiongemma,
    "openai": _openai,
}
"""Dialect -> how calls are written in it. Arguments whose names the dialect cannot write do not come back."""
