"""What numbers, times, dates and units are heard by, and values found, as a script for the page: Python's own tables and patterns.

So there is one copy of each; ``page/model/{readings,moments,hearing,units,said,ground,amounts}.js`` do with them what ``needle.tools.grounding`` does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

SCRIPT = "/page/model/tables.js"
"""Where the page finds the script, among its own."""
_TABLES = (
    "UNITS MONTHS ORDINALS LETTERS MOST_DIGITS MOST_IN_WORDS",
    "SMALL FRACTIONS POWERS WORDS ALL FOREIGN_NUMBERS MINUTES DAYS SHIFTS",
    "BY_NAME SHORT",
    "CODES",
    "",
)
"""Tables of ``wording``, ``hearing``, ``units``, ``said`` and ``ground`` that the page needs."""
_WORD = r"\w\xaa\xb5\u03bc\xb2\xb3"
"""What Python's ``\\w`` is in a text of ``readable`` (``page/model/readings.js``): there U+00AA stands for letters of no pattern."""
_SPACE = r"\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_BOUNDARY = f"(?:(?<![{_WORD}])(?=[{_WORD}])|(?<=[{_WORD}])(?![{_WORD}]))"
_WITHIN = {"w": _WORD, "d": "0-9", "s": _SPACE}
"""Classes within ``[...]``; other digits than these there are none after ``wording.legible``."""
_PIECES = re.compile(r"\[\^\\W\\d_\]|\(\?P<|\[\^?|\]|\\.|.", re.S)
_SYNTAX = frozenset(r"^$\.*+?()[]{}|/")


@lru_cache
def script() -> str:
    """A JavaScript module with an object for each Python module: its patterns, and ``_TABLES``, by their names without a leading ``_``."""
    from needle.tools.grounding import ground, hearing, said, units, wording  # here: they load slowly

    lines = ["// Made by needle/serve/playground/tables.py.", f"export const SPACE = {json.dumps(_SPACE)};"]
    for module, tables in zip((wording, hearing, units, said, ground), _TABLES, strict=True):
        members = {name.lstrip("_"): value for name, value in vars(module).items()}
        found = {name: _pattern(value) for name, value in members.items() if isinstance(value, re.Pattern)}
        found |= {name: _table(members[name]) for name in tables.split()}
        lines += [f"export const {module.__name__.rpartition('.')[2]} = {{", *(f"  {name}: {made}," for name, made in found.items()), "};"]
    return "\n".join(lines) + "\n"


def in_javascript(pattern: re.Pattern[str]) -> tuple[str, str]:
    """Source and flags of a pattern in JavaScript, whose ``\\w``, ``\\b`` and ``\\s`` are others.

    Without the flag ``u`` wherever that can be: classes of all letters take a browser long to make.
    """
    source = "".join(_pieces(pattern.pattern))
    return source, "g" + "i" * bool(pattern.flags & re.IGNORECASE) + "u" * (r"\p{" in source)


def _pieces(source: str) -> Iterator[str]:
    within = False
    for piece in _PIECES.findall(source):
        if piece == r"[^\W\d_]":  # letters, and numbers that are no digits
            yield r"[\p{L}\p{Nl}\p{No}]"
        elif piece == "(?P<":
            yield "(?<"
        elif piece[0] == "\\":
            yield _escaped(piece[1], within)
        else:
            within = piece[0] == "[" or (within and piece != "]")
            yield r"(?=\n?$)" if piece == "$" and not within else piece


def _escaped(letter: str, within: bool) -> str:
    if letter in _WITHIN:
        return _WITHIN[letter] if within else f"[{_WITHIN[letter]}]"
    if letter in "WD" and not within:
        return f"[^{_WITHIN[letter.lower()]}]"
    if letter == "Z":
        return "$"
    if letter == "b":
        return _BOUNDARY
    assert not letter.isalnum() or letter == "x", letter
    return f"\\{letter}" if letter in _SYNTAX or letter == "x" or within else letter


def _pattern(pattern: re.Pattern[str]) -> str:
    source, flags = in_javascript(pattern)
    return f"new RegExp({json.dumps(source)}, {json.dumps(flags)})"


def _table(table: Any) -> str:
    """A table as JavaScript: of a mapping a ``Map``, of a set an array."""
    if isinstance(table, Mapping):
        entries = [[key, sorted(item) if isinstance(item, set) else item] for key, item in table.items()]
        return f"new Map({json.dumps(entries)})"
    return json.dumps(sorted(table) if isinstance(table, frozenset) else table)
