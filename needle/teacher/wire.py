"""Between our nouns and OpenAI's wire format: tools out, calls in, and the bytes of an answer read once.

OpenAI allows only letters, digits, ``_`` and ``-`` (64 at most) in function names; our tools may be called
``math.gcd``. ``WireNames`` maps names there and back, so that every endpoint can be asked about every toolset.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from needle.tools.spec import ToolCall, ToolSpec

MAX_NAME = 64


class WireNames:
    """One-to-one mapping between the names of a toolset and names that every endpoint accepts."""

    def __init__(self, tools: Sequence[ToolSpec]) -> None:
        self._out: dict[str, str] = {}
        for tool in tools:
            base = re.sub(r"[^A-Za-z0-9_-]", "_", tool.name)[:MAX_NAME] or "tool"
            name, number = base, 2
            while name in self._out.values():
                suffix = f"_{number}"
                name, number = base[: MAX_NAME - len(suffix)] + suffix, number + 1
            self._out[tool.name] = name
        self._back = {wire: name for name, wire in self._out.items()}

    def out(self, name: str) -> str:
        """Name to send."""
        return self._out[name]

    def back(self, wire: str) -> str:
        """Our name for a received one; an unknown name comes back unchanged, for validation to find."""
        return self._back.get(wire, wire)


def tools_to_wire(tools: Sequence[ToolSpec], names: WireNames) -> list[dict[str, Any]]:
    """The ``tools`` parameter of a chat completion."""
    return [
        {
            "type": "function",
            "function": {"name": names.out(tool.name), "description": tool.description, "parameters": tool.parameters},
        }
        for tool in tools
    ]


@dataclass(frozen=True)
class Answer:
    """One chat completion, as received and as read."""

    raw: bytes
    """Body as it came."""
    text: str
    """Message content; empty when there is none."""
    tool_calls: tuple[tuple[str, str], ...] = ()
    """``(wire name, arguments as JSON text)`` in order."""
    finish_reason: str = ""
    """``stop``, ``tool_calls``, ``length``, ``content_filter`` or what the endpoint says."""
    request_id: str = ""
    """The endpoint's id of this completion."""
    usage: dict[str, int] = field(default_factory=dict)
    """``prompt_tokens`` and ``completion_tokens``; empty when the endpoint does not count."""


def read_answer(raw: bytes) -> Answer:
    """Read the body of a chat completion.

    Raises:
        ValueError: when it is not JSON or has no choices (an HTML page, say).
    """
    try:
        body = json.loads(raw)
    except ValueError:
        raise ValueError(f"no JSON: {raw[:60].decode(errors='replace')!r}; is the URL right?") from None
    choices = body.get("choices") if isinstance(body, dict) else None
    message = (
        choices[0].get("message") if isinstance(choices, list) and choices and isinstance(choices[0], dict) else None
    )
    if not isinstance(message, dict):
        raise ValueError("JSON without choices")
    usage = body.get("usage") if isinstance(body.get("usage"), dict) else {}
    return Answer(
        raw=raw,
        text=message.get("content") if isinstance(message.get("content"), str) else "",
        tool_calls=tuple(_wire_call(item) for item in message.get("tool_calls") or () if isinstance(item, dict)),
        finish_reason=str(choices[0].get("finish_reason") or ""),
        request_id=str(body.get("id") or ""),
        usage={
            name: int(usage[name])
            for name in ("prompt_tokens", "completion_tokens")
            if isinstance(usage.get(name), int)
        },
    )


def read_calls(answer: Answer, names: WireNames) -> tuple[list[ToolCall], str | None]:
    """Calls of an answer and, when it was not well formed, why (then the list holds what could be read)."""
    calls: list[ToolCall] = []
    if answer.finish_reason == "length":
        return calls, "truncated: the answer was cut off at the token limit"
    if answer.finish_reason == "content_filter":
        return calls, "filtered: the endpoint's content filter cut the answer"
    for wire, text in answer.tool_calls:
        try:
            arguments = json.loads(text) if text.strip() else {}
        except ValueError as error:
            return calls, f"malformed: arguments of {wire!r} are not JSON ({error})"
        if not isinstance(arguments, dict):
            return calls, f"malformed: arguments of {wire!r} are no JSON object"
        calls.append(ToolCall(names.back(wire), arguments))
    return calls, None


def _wire_call(item: dict[str, Any]) -> tuple[str, str]:
    function = item.get("function") if isinstance(item.get("function"), dict) else {}
    arguments = function.get("arguments")
    # some servers send the arguments as an object already; normalise to text so that there is one path
    return str(function.get("name") or ""), arguments if isinstance(arguments, str) else json.dumps(arguments or {})
