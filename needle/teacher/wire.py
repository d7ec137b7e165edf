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

from needle.teacher.content import read_content_calls
from needle.teacher.logprobs import TokenProbability, read_logprobs
from needle.teacher.strict import without_nulls
from needle.tools.spec import ToolCall, ToolSpec

MAX_NAME = 64


class WireNames:
    """One-to-one mapping between the names of a toolset and names that every endpoint accepts."""

    def __init__(self, tools: Sequence[ToolSpec]) -> None:
        self.tools = {tool.name: tool for tool in tools}
        """The tools by their own names."""
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
    """``prompt_tokens`` and ``completion_tokens``; empty when the endpoint does not count. ``cached_tokens`` where some
    of the input was in its prompt cache."""
    call_ids: tuple[str, ...] = ()
    """The endpoint's ids of the tool calls."""

    @property
    def logprobs(self) -> tuple[TokenProbability, ...] | None:
        """Token probabilities where they were asked for and given; read from the bytes each time."""
        return read_logprobs(self.raw)


class ErrorBody(ValueError):
    """A body that holds an error in place of a completion, though its status was 200."""

    def __init__(self, body: dict[str, Any]) -> None:
        super().__init__(str(body.get("message") or body))
        self.body = body
        code = str(body.get("code") or body.get("status") or "")
        self.status = int(code) if code.isdigit() else 500
        """HTTP status that it stands for."""


def read_answer(raw: bytes) -> Answer:
    """Read the body of a chat completion.

    Raises:
        ErrorBody: (a ``ValueError``) the body is an error.
        ValueError: when it is not JSON or has no choices (an HTML page, say).
    """
    try:
        body = json.loads(raw)
    except ValueError:
        raise ValueError(f"no JSON: {raw[:60].decode(errors='replace')!r}; is the URL right?") from None
    choices = body.get("choices") if isinstance(body, dict) else None
    failed = body if isinstance(body, dict) and not choices else choices[0] if isinstance(choices, list) else None
    if isinstance(failed, dict) and isinstance(failed.get("error"), dict):
        raise ErrorBody(failed["error"])
    message = (
        choices[0].get("message") if isinstance(choices, list) and choices and isinstance(choices[0], dict) else None
    )
    if not isinstance(message, dict):
        raise ValueError("JSON without choices")
    items = [item for item in message.get("tool_calls") or () if isinstance(item, dict)]
    return Answer(
        raw=raw,
        text=message.get("content") if isinstance(message.get("content"), str) else "",
        tool_calls=tuple(_wire_call(item) for item in items),
        finish_reason=str(choices[0].get("finish_reason") or ""),
        request_id=str(body.get("id") or ""),
        usage=_read_usage(body.get("usage")),
        call_ids=tuple(str(item.get("id") or "") for item in items),
    )


def read_calls(answer: Answer, names: WireNames, *, nulls_left_out: bool = False) -> tuple[list[ToolCall], str | None]:
    """Calls of an answer and, when it was not well formed, why (then the list holds what could be read).

    Args:
        answer: of an endpoint.
        names: of the tools that were sent.
        nulls_left_out: null for an optional argument that may not be null means that it is left out, as ``strict``
            endpoints write it.
    """
    calls: list[ToolCall] = []
    if answer.finish_reason == "length":
        return calls, "truncated: the answer was cut off at the token limit"
    if answer.finish_reason == "content_filter":
        return calls, "filtered: the endpoint's content filter cut the answer"
    ids = [name for name in answer.call_ids if name]
    if len(set(ids)) < len(ids):
        return calls, "malformed: two calls share an id"
    try:
        written = answer.tool_calls or read_content_calls(answer.text) or ()
    except ValueError as error:
        return calls, f"malformed: the calls in the text are not JSON ({error})"
    for wire, text in written:
        try:
            arguments = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_number) if text.strip() else {}
        except ValueError as error:
            return calls, f"malformed: arguments of {wire!r} are not JSON ({error})"
        if not isinstance(arguments, dict):
            return calls, f"malformed: arguments of {wire!r} are no JSON object"
        name = names.back(wire)
        if nulls_left_out and name in names.tools:
            arguments = without_nulls(arguments, names.tools[name].parameters)
        calls.append(ToolCall(name, arguments))
    return calls, None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("a name comes twice in one object")
    return value


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no JSON")


def _read_usage(usage: Any) -> dict[str, int]:
    if (
        not isinstance(usage, dict) or usage.get("prompt_tokens") == 0
    ):  # no request has no tokens: such a server does not count
        return {}
    read = {
        name: int(usage[name]) for name in ("prompt_tokens", "completion_tokens") if isinstance(usage.get(name), int)
    }
    details = usage.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else None
    return read | ({"cached_tokens": cached} if isinstance(cached, int) and cached > 0 else {})


def _wire_call(item: dict[str, Any]) -> tuple[str, str]:
    function = item.get("function") if isinstance(item.get("function"), dict) else {}
    arguments = function.get("arguments")
    # some servers send the arguments as an object already; normalise to text so that there is one path
    return str(function.get("name") or ""), arguments if isinstance(arguments, str) else json.dumps(arguments or {})
