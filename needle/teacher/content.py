"""Tools for endpoints without native tool calls: described in the prompt, and calls read from the text.

The answer is one JSON object, ``{"calls": [{"name": ..., "arguments": {...}}]}``. ``read_calls`` recognises it by
itself, so that stored answers can be read again without knowing how they were asked for. Names stay those of
``WireNames``, so they map back.
"""

from __future__ import annotations

import json
import re
from typing import Any

TOOL_PARAMETERS = ("tools", "tool_choice", "parallel_tool_calls")
ASK = (
    "You have tools. Each line describes one as JSON:\n{tools}\n\n"
    'Reply with one JSON object and no other text: {{"calls": [{{"name": "...", "arguments": {{...}}}}]}}. '
    "List every call that the last request needs, in order, with arguments that fit the parameters of the tool. "
    'When none of the tools does what is asked, or a required value is not known, reply {{"calls": []}}.{rule}'
)
_THINKING = re.compile(r"\s*<think>.*?</think>", re.S)
_FENCE = re.compile(r"\s*```(?:json)?\s*(.*?)\s*```\s*$", re.S)


def tools_in_content(body: dict[str, Any], *, json_schema: bool = False) -> dict[str, Any]:
    """A body that says in its messages what ``tools`` said; bodies without tools stay as they are.

    Args:
        body: parameters of a chat completion.
        json_schema: the endpoint holds answers to a schema; then the form of the answer is enforced.
    """
    if not body.get("tools") or body.get("tool_choice") == "none":
        return {name: value for name, value in body.items() if name not in TOOL_PARAMETERS}
    functions = [tool["function"] for tool in body["tools"]]
    lines = "\n".join(json.dumps(function, ensure_ascii=False) for function in functions)
    ask = ASK.format(tools=lines, rule=_rule(body))
    messages = [_plain(message) for message in body["messages"]]
    if messages and messages[0].get("role") == "system":
        messages[0] = messages[0] | {"content": f"{messages[0]['content']}\n\n{ask}"}
    else:
        messages.insert(0, {"role": "system", "content": ask})
    rest = {name: value for name, value in body.items() if name not in (*TOOL_PARAMETERS, "messages")}
    if json_schema:
        rest["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "calls", "schema": answer_schema(functions)},
        }
    return {"messages": messages, **rest}


def answer_schema(functions: list[dict[str, Any]]) -> dict[str, Any]:
    """JSON schema of an answer; arguments are any object, for many servers take a part of JSON Schema only."""
    call = {
        "type": "object",
        "properties": {
            "name": {"type": "string", "enum": [function["name"] for function in functions]},
            "arguments": {"type": "object"},
        },
        "required": ["name", "arguments"],
        "additionalProperties": False,
    }
    return {
        "type": "object",
        "properties": {"calls": {"type": "array", "items": call}},
        "required": ["calls"],
        "additionalProperties": False,
    }


def read_content_calls(text: str) -> list[tuple[str, str]] | None:
    """``(name, arguments as JSON text)`` of an answer in the form above; None when the text is another one.

    Raises:
        ValueError: it begins in that form but is not well formed.
    """
    text = _THINKING.sub("", text, count=1).strip()
    if fence := _FENCE.match(text):
        text = fence[1]
    if not re.match(r'\{\s*"calls"\s*:', text):
        return None
    content, _ = json.JSONDecoder().raw_decode(text)
    calls = content["calls"]
    if not isinstance(calls, list) or not all(
        isinstance(call, dict) and isinstance(call.get("name"), str) for call in calls
    ):
        raise ValueError("calls is no list of objects with a name")
    return [(call["name"], json.dumps(call.get("arguments") or {}, ensure_ascii=False)) for call in calls]


def _rule(body: dict[str, Any]) -> str:
    choice = body.get("tool_choice")
    if isinstance(choice, dict):
        return f" Call {choice['function']['name']!r} and nothing else."
    one = " At most one call." if body.get("parallel_tool_calls") is False else ""
    return " At least one call." + one if choice == "required" else one


def _plain(message: dict[str, Any]) -> dict[str, Any]:
    """An earlier turn without the fields of native tool calls."""
    if message.get("tool_calls"):
        calls = [
            {"name": call["function"]["name"], "arguments": json.loads(call["function"]["arguments"] or "{}")}
            for call in message["tool_calls"]
        ]
        return {"role": "assistant", "content": json.dumps({"calls": calls}, ensure_ascii=False)}
    if message.get("role") == "tool":
        return {"role": "user", "content": f"Result of the call: {message.get('content')}"}
    return message
