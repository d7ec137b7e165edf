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

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from needle.tools.call_syntax import STRING, CallSyntaxError, read_calls, read_literal
from needle.traces.trace import NO_CALL

PLAIN = ("string", "integer", "number", "boolean", "object")
FORMATS = {"date": "date", "time": "time", "datetime": "date-time", "email": "email", "uri": "uri"}
PARAMETER = re.compile(r"(?P<name>[\w.$-]+?)(?P<star>\*?) (?P<type>(?:list\[)?enum\[.*?\]\]?|\S+)(?P<bounds>(?: (?:min|max)=\S+)*)(?: = (?P<default>.+?))?(?: \| (?P<words>.*))?")
SEPARATOR = re.compile(rf"{STRING}|;")
MISTAKES = {"truncated": "a bracket or a quote of the answer is not closed", "wrong_envelope": "calls are written as tool(name=value, name=value)"}
"""What is said of an answer, by the code of what is wrong."""


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
        except ValueError as error:
            yield number, str(error)
            continue
        if row:
            yield number, row
    if page.waits:
        yield len(lines), "the last request has no answer: write > and its calls, or > none and a kind"


class _Page:
    """The toolset and the request at which the reader is."""

    toolset = domain = system = ""
    query: str | None = None

    def __init__(self) -> None:
        self.tools: list[dict[str, Any]] = []
        self.turns: list[dict[str, Any]] = []
        self.count = 0

    @property
    def waits(self) -> bool:
        """Whether a request, or what stands before one, has no answer yet."""
        return bool(self.query is not None or self.system or self.turns)

    def read(self, mark: str, rest: str) -> dict[str, Any] | None:
        """Take in a line; an answer gives a row. Raises ValueError for what cannot be read."""
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
        waits = self.waits
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
            calls = _calls(rest, self.tools)
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
        schema["minimum" if name == "min" else "maximum"] = read_literal(number)
    if found["default"] is not None:
        text = found["default"].strip()
        schema["default"] = text.strip('"') if schema["type"] == "string" else read_literal(text)
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


def _calls(text: str, tools: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Calls as Python writes them, separated by ``;``; names may hold what Python's cannot (``create-issue``, ``from``)."""
    if not text:
        raise ValueError("an answer is calls, or none and a kind")
    names = [tool["name"] for tool in tools]
    odd = [key for tool in tools for key in tool["parameters"]["properties"] if not key.isidentifier()]
    try:
        calls = read_calls(SEPARATOR.sub(lambda found: "," if found[0] == ";" else found[0], text), names, odd)
    except CallSyntaxError as error:
        raise ValueError(MISTAKES.get(str(error).partition(":")[0], str(error))) from error
    unknown = [call.name for call in calls if call.name not in names]
    if unknown:
        raise ValueError(f"no tool of this toolset is called {unknown[0]}")
    return [call.to_dict() for call in calls]
