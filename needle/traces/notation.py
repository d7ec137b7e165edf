"""A short notation to write traces by hand, or to let a language model write them: toolsets, requests and calls, a line each.

    @ tide-tables | tides and harbour times
    + get_tides | High and low water of a port on a day.
    - port* string | Name of the port.
    - day* date
    - datum enum[chart;mean_sea_level] = chart
    ? tides for Honfleur on 3 May 2027 please
    > get_tides(port="Honfleur", day="2027-05-03")
    ! Today is Sunday, 2 May 2027.
    ? what is the water temperature there
    < I only know tides.
    ? then the tides at Roscoff tomorrow
    > get_tides(port="Roscoff", day="2027-05-03")

A file of it (``.txt``) is read wherever traces are; the page on file formats has the whole of it. Calls are written as in Python, as small models read and
write them best (BFCL's prompt does the same).
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from needle.traces.trace import NO_CALL

PLAIN = ("string", "integer", "number", "boolean", "object")
FORMATS = {"date": "date", "time": "time", "datetime": "date-time", "email": "email", "uri": "uri"}
PARAMETER = re.compile(r"(?P<name>[\w.$-]+?)(?P<star>\*?) (?P<type>(?:list\[)?enum\[.*?\]\]?|\S+)(?P<bounds>(?: (?:min|max)=\S+)*)(?: = (?P<default>.+?))?(?: \| (?P<words>.*))?")
NAME = re.compile(r"[\w$.-]+")
CONSTANTS = {"true": True, "false": False, "null": None}


def notation_rows(path: Path) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Line number and raw row of each answer; in place of what cannot be read the reason (a string).

    The schema of a tool, and whether the calls fit it, is for the reader of rows to check. Raises OSError as ``open`` does.
    """
    page = _Page()
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        yield 1, f"not UTF-8 text ({error.reason})"
        return
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            row = page.read(line[0], line[1:].strip())
        except (ValueError, SyntaxError) as error:
            yield number, str(error.msg if isinstance(error, SyntaxError) else error)
            continue
        if row:
            yield number, row
    if page.query is not None or page.turns or page.system:
        yield len(lines), "the last request has no answer: write > and its calls, or > none and a kind"


class _Page:
    """The toolset and the request at which the reader is."""

    toolset = domain = system = ""
    query: str | None = None

    def __init__(self) -> None:
        self.tools: list[dict[str, Any]] = []
        self.turns: list[dict[str, Any]] = []
        self.count = 0

    def read(self, mark: str, rest: str) -> dict[str, Any] | None:
        """Take in a line; an answer gives a row. Raises ValueError or SyntaxError for what cannot be read."""
        readers = {"@": self._begin, "+": self._tool, "-": self._parameter, "!": self._know, "?": self._ask, "<": self._reply, ">": self._answer}
        if mark not in readers:
            raise ValueError(f"a line starts with one of {' '.join(readers)} or #, not {mark!r}")
        return readers[mark](rest)

    def _begin(self, rest: str) -> None:
        name, _, domain = rest.partition("|")
        self.toolset, self.domain, self.tools, self.count = name.strip(), domain.strip(), [], 0
        self._next()

    def _next(self, query: str | None = None, system: str = "") -> None:
        """Go on to another request. Raises ValueError when one still waits for its answer, which is then forgotten."""
        waits = self.query is not None or self.system or self.turns
        self.query, self.system, self.turns = query, system, []
        if waits:
            raise ValueError("the request before this line has no answer: write > and its calls, or > none and a kind")

    def _tool(self, rest: str) -> None:
        if self.count or self.query is not None:
            raise ValueError("tools stand before the requests: begin another toolset with @")
        name, _, words = rest.partition("|")
        self.tools.append({"name": name.strip(), "description": words.strip(), "parameters": {"type": "object", "properties": {}, "required": []}})

    def _parameter(self, rest: str) -> None:
        found = PARAMETER.fullmatch(rest)
        if not found or not self.tools:
            raise ValueError("cannot read this parameter: write - name* type = default | description, below its tool (* where it is required)")
        *parents, name = found["name"].split(".")
        node = self.tools[-1]["parameters"]
        for parent in parents:
            node = node["properties"].get(parent)
            if node is None:
                raise ValueError(f"{found['name']}: write {parent} itself before its parts")
            node = node["items"] if node["type"] == "array" else node
            node.setdefault("properties", {})
            node.setdefault("required", [])
        node["properties"][name] = _schema(found)
        if found["star"]:
            node["required"].append(name)

    def _know(self, rest: str) -> None:
        self._next(system=rest)

    def _ask(self, rest: str) -> None:
        if self.query is not None:
            self._next(rest)
        self.query = rest

    def _reply(self, rest: str) -> None:
        if self.query is None:
            raise ValueError("a reply without a request: write ? and the request above it, and ? and what is said then below")
        self.turns += [{"role": "user", "content": self.query}, {"role": "assistant", "content": rest}]
        self.query = None

    def _answer(self, rest: str) -> dict[str, Any]:
        if self.query is None:
            raise ValueError("an answer without a request: write ? and the request above it")
        before = {"system": self.system} if self.system else {}
        before |= {"messages": self.turns} if self.turns else {}
        query, self.query, self.system, self.turns, self.count = self.query, None, "", [], self.count + 1
        first, _, kind = rest.partition(" ")
        if first != "none":
            calls = _calls(rest, [tool["name"] for tool in self.tools])
            kind = "single" if len(calls) == 1 else "parallel"
        elif kind in (*NO_CALL, ""):
            calls, kind = [], kind or "irrelevant"
        else:
            raise ValueError(f"> none {kind}: the kinds without calls are {', '.join(sorted(NO_CALL))}")
        named = {"toolset": self.toolset, "domain": self.domain, "id": f"{self.toolset}-{self.count:03d}"} if self.toolset else {}
        return {"query": query, "tools": self.tools, "calls": calls, "kind": kind, **named, **before}


def _schema(found: re.Match[str]) -> dict[str, Any]:
    """The JSON Schema of a parameter."""
    schema = _type(found["type"])
    if found["words"]:
        schema["description"] = found["words"].strip()
    for bound in found["bounds"].split():
        name, _, number = bound.partition("=")
        schema["minimum" if name == "min" else "maximum"] = ast.literal_eval(number)
    if found["default"] is not None:
        text = found["default"].strip()
        schema["default"] = text.strip('"') if schema["type"] == "string" else _value(ast.parse(text, mode="eval").body)
    return schema


def _type(text: str) -> dict[str, Any]:
    if text in PLAIN:
        return {"type": text}
    if text in FORMATS:
        return {"type": "string", "format": FORMATS[text]}
    if text.startswith("list[") and text.endswith("]"):
        return {"type": "array", "items": _type(text[5:-1])}
    if text.startswith("enum[") and text.endswith("]"):
        values = [value.strip() for value in text[5:-1].split(";")]
        whole = all(re.fullmatch(r"-?\d+", value) for value in values)
        return {"type": "integer", "enum": [int(value) for value in values]} if whole else {"type": "string", "enum": values}
    raise ValueError(f"unknown type {text!r}: use {', '.join((*PLAIN, *FORMATS))}, enum[a;b] or list[TYPE]")


def _calls(text: str, names: list[str]) -> list[dict[str, Any]]:
    """Calls as Python writes them, separated by ``;``; names may hold what Python's cannot (``create-issue``, ``from``)."""
    calls: list[dict[str, Any]] = []
    while text:
        name = max((name for name in names if text.startswith(f"{name}(")), key=len, default=None)
        if name is None:
            raise ValueError(f"no tool of this toolset is called at: {text[:40]}")
        cuts = _cuts(text, len(name))
        parts = [text[start + 1 : end].strip() for start, end in pairwise(cuts)]
        calls.append({"name": name, "arguments": dict(_argument(name, part) for part in parts if part)})
        text = text[cuts[-1] + 1 :].lstrip("; ")
    if not calls:
        raise ValueError("an answer is calls, or none and a kind")
    return calls


def _argument(tool: str, text: str) -> tuple[str, Any]:
    name, sign, value = text.partition("=")
    if not sign or not NAME.fullmatch(name.strip()):
        raise ValueError(f"{tool}: every argument is written as name=value, not {text[:40]}")
    return name.strip(), _value(ast.parse(value.strip(), mode="eval").body)


def _cuts(text: str, start: int) -> list[int]:
    """Places of the bracket at ``start``, of the commas between the arguments and of the bracket that closes the call."""
    depth, quote, place, cuts = 0, "", start, []
    while place < len(text):
        sign = text[place]
        if quote:
            place += sign == "\\"
            quote = "" if sign == quote else quote
        elif sign in "\"'":
            quote = sign
        else:
            depth += (sign in "([{") - (sign in ")]}")
            if depth == 0 or (depth == 1 and sign in "(,"):
                cuts.append(place)
            if depth == 0:
                return cuts
        place += 1
    raise ValueError("a bracket of the call is not closed")


def _value(node: ast.expr) -> Any:
    """A literal; ``true``, ``false`` and ``null`` are known too."""
    if isinstance(node, ast.Name) and node.id in CONSTANTS:
        return CONSTANTS[node.id]
    if isinstance(node, ast.List):
        return [_value(item) for item in node.elts]
    if isinstance(node, ast.Dict) and all(key is not None for key in node.keys):
        return {_value(key): _value(value) for key, value in zip(node.keys, node.values, strict=True) if key is not None}
    return ast.literal_eval(node)
