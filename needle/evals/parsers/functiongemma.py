"""FunctionGemma's dialect: ``<start_function_call>call:name{key:<escape>text<escape>,n:3}<end_function_call>``.

Strings stand between ``<escape>`` tokens, other values bare; objects and lists nest. Described in Google's notes on
formatting for the model.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import Any

from needle.evals.parse import Unreadable
from needle.evals.parsers.words import no_call
from needle.tools.spec import ToolCall, ToolSpec

START, END, ESCAPE = "<start_function_call>", "<end_function_call>", "<escape>"
_CALL = re.compile(re.escape(START) + r"(.*?)" + re.escape(END), re.DOTALL)
_HEAD = re.compile(r"\s*call:([^{}\s]+)\s*(?=\{)")
_KEY = re.compile(r"\s*([^:,{}\[\]<]+?)\s*:")
_BARE = re.compile(r"\s*([^,{}\[\]]+)")


def read_functiongemma(text: str, tools: Sequence[ToolSpec] = ()) -> list[ToolCall]:
    """Calls between FunctionGemma's tokens, in order. Raises ``Unreadable`` for tokens that do not pair up."""
    body = text.replace("<start_function_response>", "")  # the stop token of the dialect
    outside = _CALL.sub("", body)
    if START in outside:
        raise Unreadable(f"truncated: a {START} is not closed")
    found = _CALL.findall(body)
    if not found:
        return [] if body.strip() == "[]" else no_call(body, tools, f"calls after {START}")
    return [_read(inside) for inside in found]


def _read(text: str) -> ToolCall:
    head = _HEAD.match(text)
    if not head:
        raise Unreadable("wrong_envelope: a call is call:name{...}")
    arguments, end = _object(text, head.end(), 0)
    if text[end:].strip():
        raise Unreadable(f"trailing_text: {len(text) - end} characters after the arguments of {head[1]}")
    return ToolCall(head[1], arguments)


def _object(text: str, place: int, depth: int) -> tuple[dict[str, Any], int]:
    made: dict[str, Any] = {}
    place += 1
    while not (closing := _next(text, place, "}"))[0]:
        key = _KEY.match(text, closing[1])
        if not key:
            raise Unreadable(f"malformed_json: no key at character {place}")
        value, place = _value(text, key.end(), depth + 1)
        name = key[1].replace(ESCAPE, "")
        if name in made:
            raise Unreadable(f"duplicate_key: {name}")
        made[name] = value
    return made, closing[1]


def _next(text: str, place: int, closer: str) -> tuple[bool, int]:
    """Whether the group ends here, and where to read on; a comma between members is skipped."""
    while place < len(text) and (text[place].isspace() or text[place] == ","):
        place += 1
    if place >= len(text):
        raise Unreadable("truncated: the arguments do not end")
    return text[place] == closer, place + (text[place] == closer)


def _value(text: str, place: int, depth: int) -> tuple[Any, int]:
    while place < len(text) and text[place].isspace():
        place += 1
    if depth > 50:
        raise Unreadable("malformed_json: nested too deeply")
    if text.startswith(ESCAPE, place):
        end = text.find(ESCAPE, place + len(ESCAPE))
        if end < 0:
            raise Unreadable("truncated: a text does not end")
        return text[place + len(ESCAPE) : end], end + len(ESCAPE)
    if text.startswith("{", place):
        return _object(text, place, depth)
    if text.startswith("[", place):
        items: list[Any] = []
        place += 1
        while not (closing := _next(text, place, "]"))[0]:
            item, place = _value(text, closing[1], depth + 1)
            items.append(item)
        return items, closing[1]
    bare = _BARE.match(text, place)
    if not bare:
        raise Unreadable(f"malformed_json: no value at character {place}")
    return _bare(bare[1].strip()), bare.end()


def _bare(text: str) -> Any:
    lowered = text.lower()
    if lowered in ("true", "false", "null", "none"):
        return {"true": True, "false": False}.get(lowered)
    try:
        number = json.loads(text)
    except ValueError:
        raise Unreadable(f"malformed_json: {text[:40]!r} is no value; texts stand between {ESCAPE}") from None
    if not isinstance(number, int | float) or not math.isfinite(number):
        raise Unreadable(f"malformed_json: {text[:40]!r} is no value")
    return number
