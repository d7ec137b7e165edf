"""OpenAI's objects: a chat completion, its message, or the list of ``tool_calls``; arguments are JSON text."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from needle.evals.parse import Unreadable, read_json
from needle.tools.spec import ToolCall, ToolSpec

_MARKS = re.compile(r'"(choices|tool_calls)"\s*:')


def looks_like_openai(text: str) -> bool:
    """Whether a JSON object names the fields of a completion or of its message."""
    return bool(_MARKS.search(text))


def read_openai(text: str, tools: Sequence[ToolSpec] = ()) -> list[ToolCall]:
    """Calls of a completion, a message or a list of tool calls, as JSON text. Raises ``Unreadable``."""
    value = read_json(text)
    if isinstance(value, Mapping) and "choices" in value:
        value = _message(value["choices"])
    if isinstance(value, Mapping):
        if "tool_calls" not in value and not isinstance(value.get("content"), str):
            raise Unreadable("wrong_envelope: neither tool_calls nor content")
        value = value.get("tool_calls") or []
    if not isinstance(value, list):
        raise Unreadable("wrong_envelope: tool_calls is no list")
    sent = {re.sub(r"[^A-Za-z0-9_-]", "_", tool.name)[:64]: tool.name for tool in tools}
    return [_call(item, sent) for item in value]


def content_of(raw: str) -> str:
    """Text of the message of a completion given as JSON; empty where there is none."""
    try:
        message = json.loads(raw)["choices"][0]["message"]
    except (ValueError, KeyError, IndexError, TypeError):
        return ""
    content = message.get("content") if isinstance(message, dict) else None
    return content if isinstance(content, str) else ""


def _message(choices: Any) -> Any:
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], Mapping):
        raise Unreadable("wrong_envelope: a completion without choices")
    if choices[0].get("finish_reason") == "length":
        raise Unreadable("truncated: the answer was cut off at the token limit")
    message = choices[0].get("message")
    if not isinstance(message, Mapping):
        raise Unreadable("wrong_envelope: a choice without a message")
    return message


def _call(item: Any, sent: Mapping[str, str]) -> ToolCall:
    function = item.get("function") if isinstance(item, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise Unreadable('wrong_envelope: a tool call is {"function": {"name": text, "arguments": text}}')
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        arguments = read_json(arguments) if arguments.strip() else {}
    if not isinstance(arguments, dict):
        raise Unreadable(f"wrong_envelope: arguments of {function['name']} are no object")
    return ToolCall(sent.get(function["name"], function["name"]), arguments)
