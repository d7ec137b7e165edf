"""Pythonic dialect (Llama 3.2 and 4, ToolACE), ``[f(a=1), g(b="x")]``, and LFM's, the same between its own tokens.

Only literals are read; nothing is ever evaluated. ``true``, ``false`` and ``null`` are read as in JSON. Names of tools
that Python cannot write (``get-weather``) are understood where the tools are known.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Sequence
from typing import Any

from needle.evals.parse import Unreadable, read_call_list
from needle.evals.parsers.words import no_call, without_thinking
from needle.tools.spec import ToolCall, ToolSpec

LFM_START, LFM_END = "<|tool_call_start|>", "<|tool_call_end|>"
_LFM = re.compile(re.escape(LFM_START) + r"(.*?)" + re.escape(LFM_END), re.DOTALL)
_CONSTANTS = {"true": True, "false": False, "null": None}
_PLAIN_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


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
    odd = [tool.name for tool in tools if not _PLAIN_NAME.fullmatch(tool.name)]
    spelled = {f"_tool_{place}_": name for place, name in enumerate(sorted(odd, key=len, reverse=True))}
    for stand_in, name in spelled.items():
        text = text.replace(f"{name}(", f"{stand_in}(")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd escapes in a model's strings are not our program's problem
            tree = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as problem:
        stopped = isinstance(problem, SyntaxError) and "never closed" in str(problem.msg)
        stopped = stopped or (isinstance(problem, SyntaxError) and "unterminated" in str(problem.msg))
        raise Unreadable(f"{'truncated' if stopped else 'malformed_json'}: no list of calls ({problem})") from problem
    items = tree.elts if isinstance(tree, ast.List | ast.Tuple) else [tree]
    return [_call(item, spelled) for item in items]


def _call(node: ast.expr, spelled: dict[str, str]) -> ToolCall:
    if not isinstance(node, ast.Call):
        raise Unreadable("wrong_envelope: a call is f(argument=value)")
    if node.args or any(keyword.arg is None for keyword in node.keywords):
        raise Unreadable("wrong_envelope: every argument needs its name")
    name = ast.unparse(node.func)
    keys = [keyword.arg for keyword in node.keywords if keyword.arg]
    if len(set(keys)) < len(keys):
        raise Unreadable(f"duplicate_key: {next(key for key in keys if keys.count(key) > 1)}")
    return ToolCall(spelled.get(name, name), {word.arg: _literal(word.value) for word in node.keywords if word.arg})


def _literal(node: ast.expr) -> Any:
    if isinstance(node, ast.Name) and node.id in _CONSTANTS:
        return _CONSTANTS[node.id]
    if isinstance(node, ast.List | ast.Tuple):
        return [_literal(item) for item in node.elts]
    if isinstance(node, ast.Dict):
        if not all(isinstance(key, ast.Constant) and isinstance(key.value, str) for key in node.keys):
            raise Unreadable("malformed_json: keys of an object must be text")
        pairs = zip(node.keys, node.values, strict=True)
        return {key.value: _literal(value) for key, value in pairs if isinstance(key, ast.Constant)}
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError, RecursionError) as problem:
        raise Unreadable(f"malformed_json: {ast.unparse(node)[:60]} is no plain value") from problem
    if not isinstance(value, str | int | float | bool | None):
        raise Unreadable(f"malformed_json: {ast.unparse(node)[:60]} has no JSON form")
    return value
