"""Hermes dialect (Qwen, Hermes, many others): ``<tool_call>{"name": ..., "arguments": {...}}</tool_call>``, repeated.

Words may stand around the tags; without tags, words alone mean that nothing is called.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from needle.evals.parse import Unreadable, read_call, read_json
from needle.evals.parsers.words import no_call, without_thinking
from needle.tools.spec import ToolCall, ToolSpec

OPEN, CLOSE = "<tool_call>", "</tool_call>"
_CALL = re.compile(r"<tool_call>(.*?)</tool_call>", re.DOTALL)


def read_hermes(text: str, tools: Sequence[ToolSpec] = ()) -> list[ToolCall]:
    """Calls between tags, in order. Raises ``Unreadable`` for tags that do not pair up or hold no call."""
    body = without_thinking(text)
    if OPEN not in body and CLOSE not in body:
        if body.strip() == "[]":
            return []
        return no_call(body, tools, "calls between <tool_call> tags")
    outside = _CALL.sub("", body)
    if OPEN in outside:
        raise Unreadable("truncated: a <tool_call> is not closed")
    if CLOSE in outside:
        raise Unreadable("malformed_json: a </tool_call> without its opening tag")
    return [read_call(read_json(inside)) for inside in _CALL.findall(body)]
