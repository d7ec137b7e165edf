"""A second, lenient reading of output that the strict parser refused, reported beside it and never in its place.

It answers one question: how much would a forgiving application get out of this model? What was done is named in
``STEPS``. Only calls can be rescued: broken output never turns into an abstention.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from needle.evals.parse import Unreadable
from needle.evals.parsers.pythonic import LFM_END, LFM_START, read_call_syntax
from needle.evals.parsers.words import without_thinking
from needle.tools.spec import ToolCall, ToolSpec

STEPS = {
    "text_around": "words or tags beside the calls were dropped",
    "closed": "missing closing brackets were added",
    "commas": "commas before a closing bracket were dropped",
    "python_values": "Python literals were read in place of JSON",
    "single_call": "a call without its list was taken",
    "wrapper": "the calls were taken out of another object",
    "other_keys": "parameters, args or tool were read as arguments and name",
    "text_arguments": "arguments written as JSON text were read",
    "call_syntax": "f(a=1) was read as a call",
}
"""What a repair may do, by name."""

_NAME_KEYS, _ARGUMENT_KEYS = (
    ("name", "tool", "tool_name", "function_name"),
    ("arguments", "parameters", "args", "params"),
)
_WRAPPERS = ("tool_calls", "calls", "function_calls", "tools", "function_call", "function", "tool_call")
_TAGS = re.compile(r"</?tool_call>|</?tools?>|```[a-z]*|" + "|".join(map(re.escape, (LFM_START, LFM_END))))
_LIMIT = 20_000


@dataclass(frozen=True)
class Repaired:
    """Calls that a lenient reading found."""

    calls: tuple[ToolCall, ...]
    """At least one."""
    steps: tuple[str, ...]
    """Names of ``STEPS``, in the order of that table."""


def repair(text: str, tools: Sequence[ToolSpec] = ()) -> Repaired | None:
    """Calls that a forgiving reader gets out of ``text``, or None. Texts of over 20,000 characters are not tried."""
    if len(text) > _LIMIT:
        return None
    body = _TAGS.sub("\n", without_thinking(text)).strip()
    for found in (_from_json(body), _from_syntax(body, tools)):
        if found and found[0]:
            steps = found[1] | ({"text_around"} if body != text.strip() else set())
            return Repaired(tuple(found[0]), tuple(step for step in STEPS if step in steps))
    return None


def _from_json(body: str) -> tuple[list[ToolCall], set[str]] | None:
    calls: list[ToolCall] = []
    steps: set[str] = set()
    place, pieces = 0, 0
    while (match := re.compile(r"[\[{]").search(body, place)) and pieces < 32:
        pieces += 1
        value, end, done = _value_at(body, match.start())
        place = max(end, match.start() + 1)
        if value is None:
            continue
        found = list(_calls_in(value, steps, 0))
        if found:
            calls += found
            steps |= done | ({"single_call"} if isinstance(value, dict) else set())
    if calls and not (body.startswith(("[", "{")) and not body[place:].strip()):
        steps.add("text_around")
    return (calls, steps) if calls else None


def _value_at(body: str, start: int) -> tuple[Any, int, set[str]]:
    """The value that starts at ``start``, where it ends, and what had to be done to read it; None: nothing."""
    try:
        value, end = json.JSONDecoder(strict=False).raw_decode(body, start)
        return value, end, set()
    except (ValueError, RecursionError):
        pass
    end, missing = _extent(body, start)
    piece = body[start:end] + missing
    plain = re.sub(r",(\s*[\]}])", r"\1", piece)
    done = ({"closed"} if missing else set()) | ({"commas"} if plain != piece else set())
    for read, extra in ((json.loads, set()), (ast.literal_eval, {"python_values"})):
        try:
            return read(plain), end, done | extra
        except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
            continue
    return None, start + 1, set()


def _extent(body: str, start: int) -> tuple[int, str]:
    """End of the bracketed piece at ``start``, and the closing characters that it lacks."""
    pairs, stack, quote, skip = {"[": "]", "{": "}", "(": ")"}, [], "", False
    for place in range(start, len(body)):
        letter = body[place]
        if skip:
            skip = False
        elif letter == "\\":
            skip = True
        elif quote:
            quote = "" if letter == quote else quote
        elif letter == '"':
            quote = letter
        elif letter in pairs:
            stack.append(pairs[letter])
        elif stack and letter == stack[-1]:
            stack.pop()
            if not stack:
                return place + 1, ""
    return len(body), quote + "".join(reversed(stack))


def _calls_in(value: Any, steps: set[str], depth: int) -> Iterator[ToolCall]:
    """Calls of a JSON value in any of the usual envelopes; ``steps`` is added to."""
    if depth > 4:
        return
    if isinstance(value, list):
        for item in value:
            yield from _calls_in(item, steps, depth + 1)
    if not isinstance(value, dict):
        return
    name = next((value[key] for key in _NAME_KEYS if isinstance(value.get(key), str)), None)
    if name is not None:
        arguments, key = next(((value[key], key) for key in _ARGUMENT_KEYS if key in value), ({}, "arguments"))
        if isinstance(arguments, str):
            steps.add("text_arguments")
            try:
                arguments = json.loads(arguments)
            except ValueError:
                return
        if isinstance(arguments, dict) and all(isinstance(one, str) for one in arguments):
            if key != "arguments" or "name" not in value:
                steps.add("other_keys")
            yield ToolCall(name, arguments)
        return
    for key in _WRAPPERS:
        if isinstance(value.get(key), dict | list):
            steps.add("wrapper")
            yield from _calls_in(value[key], steps, depth + 1)
            return


def _from_syntax(body: str, tools: Sequence[ToolSpec]) -> tuple[list[ToolCall], set[str]] | None:
    """``name(...)`` of the tools on offer, anywhere in the text."""
    calls: list[ToolCall] = []
    steps = {"call_syntax"}
    places = {}
    for tool in tools:
        for match in re.finditer(rf"(?<![\w.]){re.escape(tool.name)}\(", body):
            places[match.start()] = match.end() - 1
    for start, bracket in sorted(places.items())[:32]:
        end, missing = _extent(body, bracket)
        try:
            calls += read_call_syntax(body[start:end] + missing, tools)
        except Unreadable:
            continue
        if missing:
            steps.add("closed")
    return (calls, steps | {"text_around"}) if calls else None
