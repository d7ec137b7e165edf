"""Pythonic dialect (Llama 3.2 and 4, ToolACE), ``[f(a=1), g(b="x")]``, and LFM's, the same between its own tokens.

Only literals are read; nothing is ever evaluated. ``true``, ``false`` and ``null`` are read as in JSON. Names of tools
that Python cannot write (``get-weather``) are understood where the tools are known.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from needle.evals.parse import Unreadable, read_call_list
from needle.evals.parsers.words import no_call, without_thinking
from needle.tools.call_syntax import CallSyntaxError, read_calls
from needle.tools.spec import ToolCall, ToolSpec

LFM_START, LFM_END = "<|tool_call_start|>", "<|tool_call_end|>"
_LFM = re.compile(re.escape(LFM_START) + r"(.*?)" + re.escape(LFM_END), re.DOTALL)


def read_pythonic(text: str, tools: Sequence[ToolSpec] = ()) -> list[ToolCall]:
    """Calls of a Python list of calls. Raises ``Unreadable`` for other text than that or plain words."""
    body = without_thinking(text).strip()
    if not body.startswith("["):
        return no_call(body, tools, "a list of calls [f(a=1)]")
    return read_call_syntax(body, tools)


def read_lfm(text: str, tools: Sequence[ToolSpec] = ()) -> list[ToolCall]:
    """Calls between LFM's tokens, as Python or as JSON; words around them are allowed."""
    body = without_thinking(text)
    outside = _LFM.sub("", body)
    if LFM_START in outside:
        raise Unreadable(f"truncated: a {LFM_START} is not closed")
    if LFM_END in outside:
        raise Unreadable(f"malformed_json: a {LFM_END} without its opening token")
    found = _LFM.findall(body)
    if not found:
        return [] if body.strip() == "[]" else no_call(body, tools, f"calls after {LFM_START}")
    calls: list[ToolCall] = []
    for inside in map(str.strip, found):
        as_json = re.match(r"\[\s*\{", inside)
        calls += read_call_list(inside) if as_json else read_call_syntax(inside, tools)
    return calls


def read_call_syntax(text: str, tools: Sequence[ToolSpec] = ()) -> list[ToolCall]:
    """Calls of ``[f(a=1), g()]`` or ``f(a=1)`` read as Python syntax. Raises ``Unreadable``."""
    try:
        return read_calls(text, [tool.name for tool in tools])
    except CallSyntaxError as problem:
        raise Unreadable(str(problem)) from problem
