"""Text to calls and back: the strict reader of a JSON answer, ``[{"name": ..., "arguments": {...}}, ...]``.

Nothing is repaired here. What cannot be read carries one of ``taxonomy.FORMAT_CODES`` in front of its error, so that
a broken answer is counted as broken and never taken for an abstention.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from needle.tools.caller import CallResult
from needle.tools.spec import ToolCall
from needle.tools.strict_json import STRICT, DuplicateKey


class _Unreadable(ValueError):
    """Readable as JSON at most, not as calls; the message opens with a format code."""


def render_calls(calls: Iterable[ToolCall]) -> str:
    """The canonical JSON text of calls; ``parse_calls`` reads it back unchanged."""
    return json.dumps([call.to_dict() for call in calls], ensure_ascii=False, separators=(",", ":"))


def parse_calls(text: str) -> CallResult:
    """Calls of an answer text. What is unreadable yields an empty result whose ``error`` opens with a format code."""
    body = text.strip()
    try:
        return CallResult(_read(body), raw=text)
    except _Unreadable as problem:
        error = str(problem)
    except DuplicateKey as problem:
        error = f"duplicate_key: {problem}"
    except json.JSONDecodeError as problem:
        stopped = problem.pos >= len(body) or problem.msg.startswith("Unterminated")
        error = f"{'truncated' if stopped else 'malformed_json'}: {problem.msg} (character {problem.pos})"
    except (ValueError, RecursionError) as problem:
        error = f"malformed_json: {problem}"
    return CallResult(raw=text, error=error)


def _read(text: str) -> list[ToolCall]:
    if not text:
        raise _Unreadable("empty_output: nothing came back")
    value, end = STRICT.raw_decode(text)
    if end < len(text):
        raise _Unreadable(f"trailing_text: {len(text) - end} characters after the calls")
    if not isinstance(value, list):
        raise _Unreadable(f"wrong_envelope: a list of calls is due, this is {type(value).__name__}")
    return [_read_call(item) for item in value]


def _read_call(item: Any) -> ToolCall:
    if (
        not isinstance(item, dict)
        or not isinstance(item.get("name"), str)
        or not isinstance(item.get("arguments"), dict)
    ):
        raise _Unreadable('wrong_envelope: a call is {"name": text, "arguments": object}')
    return ToolCall(item["name"], item["arguments"])
