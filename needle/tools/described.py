"""Formats that a description tells in words, such as "The departure date, MM/DD/YYYY".

    with_formats(tools)                 # that parameter gets "format": "date"
    as_described(calls, tools)          # 2027-03-04 becomes 03/04/2027 ...
    as_standard(calls, tools)           # ... and back; None where a value is written otherwise

Most specifications are written for services that pass ``format`` by, and say in the description how a date is to be written. A student knows days,
times and moments in the one form of JSON Schema (RFC 3339); what is between that and other forms is calendar arithmetic, and done here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from needle.tools.spec import ToolCall, ToolSpec

_DAY = r"(?:Y{4}|YY|MM?|DD?)(?:[-/. ]?(?:Y{4}|YY|MM?|DD?)){2}"
_CLOCK = r"HH?:mm(?::ss)?(?: ?(?:AM/PM|am/pm|AM|PM|a|A|tt)\b)?"
_TOLD = re.compile(rf"(?<![A-Za-z\d])(?:(?P<day>{_DAY})(?:(?P<joint>T| |'T'|, )(?P<moment>{_CLOCK})(?P<zone>Z?))?|(?P<clock>{_CLOCK}))(?![A-Za-z\d])", re.IGNORECASE)
_EXAMPLE = re.compile(r"(?<![\d-])\d{4}-\d\d-\d\d(?![\d-])(?!(?:T| )\d)")
_FREE = re.compile(r"\b(?:today|tomorrow|yesterday|now|relative|natural|weekday|range|list|comma|separated)\b", re.IGNORECASE)
"""Words of descriptions that allow something else beside the form."""
_DEFAULT = re.compile(r"\b(?:by default|defaults?)\b[^.;)]*", re.IGNORECASE)
"""What holds where nothing is given ("defaults to today") says nothing about what is."""
_FIELD = re.compile(r"YYYY|YY|MM|M|DD|D|hh|h|mm|ss|p")
_ONE_OR_TWO = r"\d\d?"
_WIDTHS = {"YYYY": r"\d{4}", "YY": r"\d\d", "MM": r"\d\d", "DD": r"\d\d", "hh": r"\d\d", "mm": r"\d\d", "ss": r"\d\d", "p": "[AaPp][Mm]"}
_STANDARD = re.compile(r"(?:(\d{4})-(\d\d)-(\d\d))?T?(?:(\d\d):(\d\d)(?::(\d\d))?)?Z?")


@dataclass(frozen=True)
class Described:
    """How a day, a time or a moment is to be written."""

    format: str
    """``date``, ``time`` or ``date-time``: the format of JSON Schema that says the same."""
    template: str
    """Fields ``YYYY YY MM M DD D hh h mm ss p`` (p: AM or PM) and what stands between them."""

    def write(self, standard: str) -> str:
        """A value of JSON Schema's format as the template wants it; what is no such value stays."""
        match = _STANDARD.fullmatch(standard)
        if not match or (match[1] is None) != (self.format == "time") or (match[4] is None) != (self.format == "date"):
            return standard
        year, month, day, hour, minute, second = (part or "00" for part in match.groups())
        clock = f"{(int(hour) - 1) % 12 + 1:02}" if "p" in self.template else hour
        fields = {"YYYY": year, "YY": year[2:], "MM": month, "M": str(int(month)), "DD": day, "D": str(int(day)), "hh": clock, "h": str(int(clock)),
                  "mm": minute, "ss": second, "p": "AM" if hour < "12" else "PM"}  # fmt: skip
        return _FIELD.sub(lambda field: fields[field[0]], self.template)

    def read(self, text: str) -> str | None:
        """The inverse of ``write``: the value in JSON Schema's format, or None for a text that is not written so. Two-digit years are of this century."""
        names, between = _FIELD.findall(self.template), map(re.escape, _FIELD.split(self.template))
        pattern = next(between) + "".join(f"({_WIDTHS.get(name, _ONE_OR_TWO)}){rest}" for name, rest in zip(names, between, strict=True))
        match = re.fullmatch(pattern, text)
        return _standard({name[0]: value for name, value in zip(names, match.groups(), strict=True)}, self.format) if match else None


def _standard(found: dict[str, str], form: str) -> str:
    """Fields by their first letter as one value."""
    year = found.get("Y", "")
    day = f"{year if len(year) == 4 else f'20{year}'}-{int(found.get('M', 1)):02}-{int(found.get('D', 1)):02}"
    hour = int(found.get("h", 0))
    if "p" in found:
        hour = hour % 12 + 12 * (found["p"].upper() == "PM")
    clock = f"{hour:02}:{found.get('m', '00')}" + (f":{found['s']}" if "s" in found else "")
    return day if form == "date" else clock if form == "time" else f"{day}T{clock}"


def described(schema: Any) -> Described | None:
    """The one form that the description of a free text tells, or None: where it tells none or several, or lets other words pass as well."""
    if not isinstance(schema, dict) or schema.keys() & {"format", "pattern", "enum", "const"} or schema.get("type") not in ("string", ["string", "null"]):
        return None
    text = schema.get("description")
    if not isinstance(text, str) or _FREE.search(text := _DEFAULT.sub("", text)):
        return None
    told = list(_TOLD.finditer(text))
    if not told and len(_EXAMPLE.findall(text)) == 1 and re.search(r"\b(?:date|day)\b", text, re.IGNORECASE):
        return Described("date", "YYYY-MM-DD")
    return _form(told[0]) if len(told) == 1 else None


def _form(told: re.Match[str]) -> Described | None:
    day, clock = (told["day"] or "").upper(), told["moment"] or told["clock"] or ""
    if day and sorted({field[0] for field in _FIELD.findall(day)}) != ["D", "M", "Y"]:
        return None
    half = re.search(r" ?(?:am/pm|am|pm|a|tt)$", clock, re.IGNORECASE)
    clock = (clock[: half.start()].lower() + half[0][: half[0].startswith(" ")] + "p") if half else clock.lower()
    if not day:
        return Described("time", clock)
    if not clock:
        return Described("date", day)
    return Described("date-time", day + told["joint"].replace("'", "") + clock + told["zone"].upper())


def with_formats(tools: Sequence[ToolSpec]) -> tuple[ToolSpec, ...]:
    """The tools with the ``format`` that descriptions tell; those that tell none are the very same objects, and so is the tuple where none does."""
    made = tuple(_formed_tool(tool) for tool in tools)
    return tools if isinstance(tools, tuple) and all(one is other for one, other in zip(made, tools, strict=True)) else made


def _formed_tool(tool: ToolSpec) -> ToolSpec:
    parameters = _formed(tool.parameters)
    return tool if parameters is tool.parameters else ToolSpec(tool.name, tool.description, parameters)


def _formed(schema: Any) -> Any:
    """The schema with formats, nested objects and lists too; itself where nothing changes."""
    if not isinstance(schema, dict):
        return schema
    if form := described(schema):
        return {**schema, "format": form.format}
    changed: dict[str, Any] = {}
    if isinstance(properties := schema.get("properties"), dict):
        made = {key: _formed(value) for key, value in properties.items()}
        if any(made[key] is not value for key, value in properties.items()):
            changed["properties"] = made
    if (items := _formed(schema.get("items"))) is not schema.get("items"):
        changed["items"] = items
    return {**schema, **changed} if changed else schema


def as_described(calls: Iterable[ToolCall], tools: Sequence[ToolSpec]) -> list[ToolCall]:
    """Calls over ``with_formats(tools)`` as ``tools`` describe their values."""
    return _each(calls, tools, Described.write)


def as_standard(calls: Iterable[ToolCall], tools: Sequence[ToolSpec]) -> list[ToolCall] | None:
    """Calls over ``tools`` as calls over ``with_formats(tools)``; None where a value is not written as its description tells."""
    missed: list[str] = []

    def read(form: Described, text: str) -> str:
        value = form.read(text)
        if value is None:
            missed.append(text)
        return text if value is None else value

    made = _each(calls, tools, read)
    return None if missed else made


def _each(calls: Iterable[ToolCall], tools: Sequence[ToolSpec], change: Callable[[Described, str], str]) -> list[ToolCall]:
    schemas = {tool.name: tool.parameters for tool in tools}
    return [ToolCall(call.name, _changed(call.arguments, schemas.get(call.name), change)) for call in calls]


def _changed(value: Any, schema: Any, change: Callable[[Described, str], str]) -> Any:
    """``value`` with ``change`` made to every text whose schema describes a form; itself where none does."""
    if not isinstance(schema, dict):
        return value
    if isinstance(value, dict):
        properties = schema.get("properties") or {}
        return {key: _changed(item, properties.get(key), change) for key, item in value.items()}
    if isinstance(value, list):
        return [_changed(item, schema.get("items"), change) for item in value]
    form = described(schema) if isinstance(value, str) else None
    return change(form, value) if form else value
