"""Calls written as Python, ``f(a=1, b="x")``: how some models answer, and how traces are written by hand.

Only literals are read; nothing is ever evaluated. ``true``, ``false`` and ``null`` are read as in JSON. Names that Python
cannot write (``get-weather``, ``from=``) are understood where they are known.
"""

from __future__ import annotations

import ast
import keyword
import re
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

from needle.tools.spec import ToolCall

STRING = r"""\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'"""
"""Pattern of a string of one line."""
_CONSTANTS = {"true": True, "false": False, "null": None}
_PLAIN_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


class CallSyntaxError(ValueError):
    """Text that is no calls; the message opens with a code: ``truncated``, ``malformed_json``, ``wrong_envelope`` or ``duplicate_key``."""


def read_calls(text: str, names: Sequence[str] = (), arguments: Sequence[str] = ()) -> list[ToolCall]:
    """Calls of ``[f(a=1), g()]`` or ``f(a=1)``. Raises ``CallSyntaxError``.

    ``names``: of the tools. ``arguments``: names of arguments that Python cannot write, beside its own words, which are always understood.
    """
    text, spelled = _protect(text, names, arguments)
    tree = _parsed(text, "list of calls")
    items = tree.elts if isinstance(tree, ast.List | ast.Tuple) else [tree]
    return [_call(item, spelled) for item in items]


def read_literal(text: str) -> Any:
    """One value. Raises ``CallSyntaxError``."""
    return _literal(_parsed(text, "plain value"))


def _parsed(text: str, what: str) -> ast.expr:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd escapes in a model's strings are not our program's problem
            return ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as problem:
        stopped = isinstance(problem, SyntaxError) and "never closed" in str(problem.msg)
        stopped = stopped or (isinstance(problem, SyntaxError) and "unterminated" in str(problem.msg))
        raise CallSyntaxError(f"{'truncated' if stopped else 'malformed_json'}: no {what} ({problem})") from problem


def _protect(text: str, names: Sequence[str], arguments: Sequence[str]) -> tuple[str, dict[str, str]]:
    """The text with stand-ins for names that are no Python (``get-weather(``, ``from=``), and what they stand for."""
    heads, odd = _any_of(name for name in names if not _writable(name)), _any_of(arguments)
    spelled: dict[str, str] = {}

    def stand_in(match: re.Match[str]) -> str:
        name = match["tool"] or match["odd"] or match["argument"]
        if not name or (match["argument"] and not keyword.iskeyword(name)):
            return match[0]
        spelled[f"_name_{len(spelled)}_"] = name
        return f"_name_{len(spelled) - 1}_"

    pattern = rf"{STRING}|(?<![\w.])(?P<tool>{heads})(?=\()|(?<![\w.$-])(?P<odd>{odd})(?=\s*=(?!=))|\b(?P<argument>[a-z]+)(?=\s*=(?!=))"
    return re.sub(pattern, stand_in, text), spelled


def _any_of(names: Iterable[str]) -> str:
    """Pattern of one of the names, the longest that fits."""
    return "|".join(map(re.escape, sorted(names, key=len, reverse=True))) or "(?!)"


def _writable(name: str) -> bool:
    return bool(_PLAIN_NAME.fullmatch(name)) and not any(map(keyword.iskeyword, name.split(".")))


def _call(node: ast.expr, spelled: dict[str, str]) -> ToolCall:
    if not isinstance(node, ast.Call):
        raise CallSyntaxError("wrong_envelope: a call is f(argument=value)")
    if node.args or any(word.arg is None for word in node.keywords):
        raise CallSyntaxError("wrong_envelope: every argument needs its name")
    name = ast.unparse(node.func)
    pairs = [(spelled.get(word.arg or "", word.arg or ""), word.value) for word in node.keywords]
    keys = [key for key, _ in pairs]
    if len(set(keys)) < len(keys):
        raise CallSyntaxError(f"duplicate_key: {next(key for key in keys if keys.count(key) > 1)}")
    return ToolCall(spelled.get(name, name), {key: _literal(value) for key, value in pairs})


def _literal(node: ast.expr) -> Any:
    if isinstance(node, ast.Name) and node.id in _CONSTANTS:
        return _CONSTANTS[node.id]
    if isinstance(node, ast.List | ast.Tuple):
        return [_literal(item) for item in node.elts]
    if isinstance(node, ast.Dict):
        if not all(isinstance(key, ast.Constant) and isinstance(key.value, str) for key in node.keys):
            raise CallSyntaxError("malformed_json: keys of an object must be text")
        pairs = zip(node.keys, node.values, strict=True)
        return {key.value: _literal(value) for key, value in pairs if isinstance(key, ast.Constant)}
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError, RecursionError) as problem:
        raise CallSyntaxError(f"malformed_json: {ast.unparse(node)[:60]} is no plain value") from problem
    if not isinstance(value, str | int | float | bool | None):
        raise CallSyntaxError(f"malformed_json: {ast.unparse(node)[:60]} has no JSON form")
    return value
