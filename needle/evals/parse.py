"""Text to calls and back: the strict reader of a JSON answer, ``[{"name": ..., "arguments": {...}}, ...]``.

Nothing is repaired here. What cannot be read carries one of ``taxonomy.FORMAT_CODES`` in front of its error, so that
a broken answer is counted as broken and never taken for an abstention. Other dialects are in ``needle.evals.parsers``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from needle.tools.caller import CallResult
from needle.tools.spec import ToolCall
from needle.tools.strict_json import STRICT, DuplicateKey


class Unreadable(ValueError):
    """Text that is no calls; the message opens with a format code."""


def render_calls(calls: Iterable[ToolCall]) -> str:
    """The canonical JSON text of calls; ``parse_calls`` reads it back unchanged."""
    return json.dumps([call.to_dict() for call in calls], ensure_ascii=False, separators=(",", ":"))


def read_json(text: str) -> Any:
    """The one JSON value that ``text`` is. Raises ``Unreadable``: empty, cut off, broken, a key twice, text after."""
    body = text.strip()
    if not body:
        raise Unreadable("empty_output: nothing came back")
    try:
        value, end = STRICT.raw_decode(body)
    except DuplicateKey as problem:
        raise Unreadable(f"duplicate_key: {problem}") from problem
    except json.JSONDecodeError as problem:
        stopped = problem.pos >= len(body) or problem.msg.startswith("Unterminated")
        code = "truncated" if stopped else "malformed_json"
        raise Unreadable(f"{code}: {problem.msg} (character {problem.pos})") from problem
    except (ValueError, RecursionError) as problem:
        raise Unreadable(f"malformed_json: {problem}") from problem
    if end < len(body):
        raise Unreadable(f"trailing_text: {len(body) - end} characters after the calls")
    return value


def read_call(item: Any) -> ToolCall:
    """One call from its JSON object. Raises ``Unreadable`` for any other shape."""
    if (
        not isinstance(item, dict)
        or not isinstance(item.get("name"), str)
        or not isinstance(item.get("arguments"), dict)
    ):
        raise Unreadable('wrong_envelope: a call is {"name": text, "arguments": object}')
    return ToolCall(item["name"], item["arguments"])


def read_call_list(text: str) -> list[ToolCall]:
    """Calls of a JSON list. Raises ``Unreadable`` for anything else."""
    value = read_json(text)
    if not isinstance(value, list):
        raise Unreadable(f"wrong_envelope: a list of calls is due, this is {type(value).__name__}")
    return [read_call(item) for item in value]


def as_result(read: Callable[[str], list[ToolCall]], text: str) -> CallResult:
    """What ``read`` makes of ``text``; ``Unreadable`` becomes an empty result with that error."""
    try:
        return CallResult(read(text), raw=text)
    except Unreadable as problem:
        return CallResult(raw=text, error=str(problem))


def parse_calls(text: str) -> CallResult:
    """Calls of an answer text. What is unreadable yields an empty result whose ``error`` opens with a format code."""
    return as_result(read_call_list, text)
