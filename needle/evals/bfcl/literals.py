"""Java and JavaScript literals as the leaderboard reads them: a value where the text has the expected form, else text.

In its Java and JavaScript categories every argument is text in the syntax of that language (``"5L"``,
``"new int[]{1, 2}"``, ``"{'a': 1}"``). The rules are shallow on purpose of fidelity: lists are cut at every comma,
maps end at the first brace, and only these forms are known.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

Reader = Callable[[str], Any]

JAVA_TYPES: dict[str, type] = {
    **dict.fromkeys(("byte", "short", "integer", "long"), int),
    **dict.fromkeys(("float", "double"), float),
    "boolean": bool,
    **dict.fromkeys(("char", "String", "any"), str),
    **dict.fromkeys(("Array", "ArrayList"), list),
    "HashMap": dict,
}
"""Java type names of the tools -> the Python type that a literal becomes."""

JAVASCRIPT_TYPES: dict[str, type] = {
    **dict.fromkeys(("integer", "Bigint"), int),
    "float": float,
    "Boolean": bool,
    **dict.fromkeys(("String", "any"), str),
    "array": list,
    "dict": dict,
}
"""As ``JAVA_TYPES`` for JavaScript."""

_WHOLE, _REAL = r"(-?\d+)", r"(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)"


def _number(pattern: str, make: Callable[[str], Any]) -> Reader:
    form = re.compile(pattern + "$")

    def read(text: str) -> Any:
        found = form.match(text)
        return make(found[1]) if found else text

    return read


def _boolean(text: str) -> Any:
    return {"true": True, "false": False}.get(text, text)


def _inside(text: str) -> str:
    return text[1:-1]


_JAVA_LONG, _JAVA_FLOAT = _number(_WHOLE + "[lL]", int), _number(_REAL + "[fF]", float)
_JAVA: dict[str, Reader] = {
    **dict.fromkeys(("byte", "short", "integer"), _number(_WHOLE, int)),
    "long": _JAVA_LONG,
    "float": _JAVA_FLOAT,
    "double": _number(_REAL, float),
    "boolean": _boolean,
    **dict.fromkeys(("char", "String", "any"), str),
}
_JAVASCRIPT: dict[str, Reader] = {
    "integer": _number(_WHOLE, int),
    "Bigint": _number(_WHOLE + "n", int),
    "float": _number(r"(-?\d+(?:\.\d+)?)", float),
    "Boolean": _boolean,
    "String": lambda text: _inside(text) if text[:1] in ('"', "'") and text.endswith(text[:1]) else text,
    "any": str,
}


def read_java(text: str, kind: str, item: str | None = None) -> Any:
    """Value of a Java literal of type ``kind`` (collections: of ``item``), or the text where it has not the form."""
    if kind == "ArrayList":
        return _java_list(text, item)
    if kind == "Array":
        found = re.search(r"new\s+\w+\[\]\s*\{(.*?)\}", text)
        return [read_java(part, item or "any") for part in _parts(found[1]) if part] if found else text
    return _java_map(text) if kind == "HashMap" else _JAVA[kind](text)


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",")]


def _java_list(text: str, item: str | None) -> Any:
    of_texts = item in ("char", "String")

    def read(part: str) -> Any:
        return _inside(part) if of_texts else read_java(part, item or "any")

    listed = re.search(r"new\s+ArrayList<\w*>\(Arrays\.asList\((.+?)\)\)", text)
    if listed:
        return [read(part) for part in _parts(listed[1])]
    added = re.search(r"new\s+ArrayList<\w*>\(\)\s*\{\{\s*(.+?)\s*\}\}", text, re.DOTALL)
    if added:
        return [read(part.strip()) for part in re.findall(r"add\((.+?)\)", added[1])]
    return [] if re.search(r"new\s+ArrayList<\w*>\(\)", text) else text


def _java_map(text: str) -> Any:
    filled = re.search(r"new\s+HashMap<.*?>\s*\(\)\s*\{\s*\{?\s*(.*?)\s*\}?\s*\}", text, re.DOTALL)
    if filled:
        return {key: _java_untyped(part.strip()) for key, part in re.findall(r'put\("(.*?)",\s*(.*?)\)', filled[1])}
    return {} if re.search(r"new\s+HashMap<.*?>\s*\(\)", text) else text


def _java_untyped(text: str) -> Any:
    """A value inside a map, whose type is not known."""
    if text.startswith('"') and text.endswith('"'):
        return _inside(text)
    for read in (_boolean, _JAVA_LONG, _JAVA_FLOAT):
        value = read(text)
        if not isinstance(value, str):
            return value
    return _plain_number(text)


def _plain_number(text: str) -> Any:
    for make in (int, float):
        try:
            return make(text)
        except ValueError:
            continue
    return text


def read_javascript(text: str, kind: str, item: str | None = None) -> Any:
    """Value of a JavaScript literal of type ``kind`` (arrays: of ``item``), or the text where it has not the form."""
    if kind == "array":
        return _javascript_array(text.strip(), item)
    return _javascript_object(text.strip()) if kind == "dict" else _JAVASCRIPT[kind](text)


_ROW = r"\[.*?\]"
_TABLE = re.compile(rf"\[\s*{_ROW}\s*(,\s*{_ROW}\s*)*\]|\bnew\s+Array\(\s*{_ROW}\s*(,\s*{_ROW}\s*)*\)")
_LIST = re.compile(r"\[(.*?)\]|\bnew\s+Array\((.*?)\)")


def _javascript_array(text: str, item: str | None) -> Any:
    table = _TABLE.match(text)
    if table:
        rows = [row.strip() for row in re.findall(r"\[(.*?)\]", table[0])]
        rows[0] = rows[0].removeprefix("[")
        return [[_javascript_untyped(part.strip()) for part in row.split(",")] for row in rows]
    found = _LIST.match(text)
    if not found:
        return text
    inside = (found[1] if found[1] is not None else found[2]).strip()
    parts = _parts(inside) if inside else []
    return [read_javascript(part, item) if item else _javascript_untyped(part) for part in parts]


_PAIR = re.compile(r"([^:]+):\s*(.*?)(?:,\s*(?=[^,]+:)|$)")


def _javascript_object(text: str) -> Any:
    found = re.match(r"\{(.*?)\}", text)
    if not found:
        return text
    return {key.strip().strip("'\""): _javascript_member(part.strip()) for key, part in _PAIR.findall(found[1])}


def _javascript_member(text: str) -> Any:
    if text.startswith("[") and text.endswith("]"):
        return _javascript_array(text, None)
    if text.startswith("{") and text.endswith("}"):
        return _javascript_object(text)
    return _javascript_untyped(text.strip("'\""))


def _javascript_untyped(text: str) -> Any:
    text = text.strip()
    if text[:1] in ('"', "'") and text.endswith(text[:1]):
        return _inside(text)
    value = _boolean(text)
    return _plain_number(text) if isinstance(value, str) else value
