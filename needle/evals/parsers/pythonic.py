"""Pythonic dialect (Llama 3.2 and 4, ToolACE), ``[f(a=1), g(b="x")]``, and LFM's, the same between its own tokens.

Only literals are read; nothing is ever evaluated. ``true``, ``false`` and ``null`` are read as in JSON. Names of tools
that Python cannot write (``get-weather``) are understood where the tools are known.
"""

from __future__ import annotations

import ast
import keyword
import re
import warnings
from collections.abc import Sequence
from typing import Any

from needle.evals.parse import Unreadable, read_call_list
from needle.evals.parsers.words import no_call, without_thinking
from needle.tools.spec import ToolCall, ToolSpec

LFM_START, LFM_END = "<|tool_call_start|>", "<|tool_call_end|>"
_LFM = re.compile(re.escape(LFM_START) + r"(.*?)" + re.escape(LFM_END), re.DOTALL)
_STRING = r"""\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'"""
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
    text, spelled = _protect(text, tools)
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


def _protect(text: str, tools: Sequence[ToolSpec]) -> tuple[str, dict[str, str]]:
    """The text with stand-ins for names that are no Python (``get-weather(``, ``from=``), and what they stand for."""
    odd = sorted((tool.name for tool in tools if not _writable(tool.name)), key=len, reverse=True)
    heads = "|".join(map(re.escape, odd)) or "(?!)"
    spelled: dict[str, str] = {}

    def stand_in(match: re.Match[str]) -> str:
        name = match["tool"] or match["argument"]
        if not name or (match["argument"] and not keyword.iskeyword(name)):
            return match[0]
        spelled[f"_name_{len(spelled)}_"] = name
        return f"_name_{len(spelled) - 1}_"

    pattern = rf"{_STRING}|(?<![\w.])(?P<tool>{heads})(?=\()|\b(?P<argument>[a-z]+)(?=\s*=(?!=))"
    return re.sub(pattern, stand_in, text), spelled


def _writable(name: str) -> bool:
    return bool(_PLAIN_NAME.fullmatch(name)) and not any(map(keyword.iskeyword, name.split(".")))


def _call(node: ast.expr, spelled: dict[str, str]) -> ToolCall:
    if not isinstance(node, ast.Call):
        raise Unreadable("wrong_envelope: a call is f(argument=value)")
    if node.args or any(word.arg is None for word in node.keywords):
        raise Unreadable("wrong_envelope: every argument needs its name")
    name = ast.unparse(node.func)
    pairs = [(spelled.get(word.arg or "", word.arg or ""), word.value) for word in node.keywords]
    keys = [key for key, _ in pairs]
    if len(set(keys)) < len(keys):
        raise Unreadable(f"duplicate_key: {next(key for key in keys if keys.count(key) > 1)}")
    return ToolCall(spelled.get(name, name), {key: _literal(value) for key, value in pairs})


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
