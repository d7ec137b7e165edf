"""Groundedness: where in the request each argument value comes from, or that it comes from nowhere.

A value is grounded when the request says it (case, accents and spacing aside), when it is a normal form of something
said (number words, fractions, units, clock times, dates, codes, other forms of the words), when it is a member of an
enum or another value that the schema names, or when the facts or earlier turns say it. The span that says it is kept.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from needle.tools.arguments import plain_schema
from needle.tools.grounding.hearing import Heard, hear, today_in
from needle.tools.grounding.said import STOP, by_code, by_words, find, said, same_word, words_of
from needle.tools.grounding.units import Unit, converted, sizes, units_of_parameter
from needle.tools.grounding.wording import MOST_DIGITS
from needle.tools.spec import ToolCall, ToolSpec

DAY_PART = re.compile(r"\b(?:[ap]\.?m\b|morning|afternoon|evening|night|tonight|noon|midnight|midday)|\d[ap]m\b", re.I)
"""Words that settle which half of the day is meant."""
BOUNDS = re.compile(
    r"\b(all|full|fully|completely|entirely|max|maximum|most|min|minimum|least|lowest|highest|top|bottom|off|down|up|wide|shut|close|closed|"
    r"open|mute|silent|zero|never|totally|whole|end|brightest|loudest|silence|blast)\b", re.I)  # fmt: skip
"""Words that send a value to a bound of its schema."""
RANGE = re.compile(r"\s*(?:-|–|to|till|until|through|thru)\s*", re.I)
"""Between the ends of a range of whole numbers."""
LESS = re.compile(
    r"(?:minus|negative|loses?|lost|down|back|cut|takes?|off|remove|subtract|reduced?|lower|drop|withdraw|decrease|less|shrink|stole|"
    r"spent|ago|by)\W+(?:\w+\W+){0,2}$|[-−]$", re.I)  # fmt: skip
"""What turns the number after it into its negative."""
LESS_AFTER = re.compile(r"\W{0,2}(?:\w+ ){0,2}(?:south|west|s|w|off|less|darker|quieter|down|back|colder|cooler|lower|slower|from|gone|sold)\b", re.I)
"""What turns the number before it into its negative."""
YES = re.compile(
    r"\b(on|enable[ds]?|activate|start|turn on|yes|with|include|allow|open|lock|only|also|please do|urgent|must|need|want|private|recurring)\b", re.I)  # fmt: skip
NO = re.compile(r"\b(off|disable[ds]?|deactivate|stop|no|not|without|don'?t|never|exclude|skip|close|unlock|cut|kill|out|non)\b|n't\b", re.I)
_MOMENT = re.compile(r"(?:(\d{4}-\d\d-\d\d))?[T ]?(?:(\d\d:\d\d)(?::\d\d(?:\.\d+)?)?)?(?:Z|[+-]\d\d:?\d\d)?")
"""A date, a clock time, or both."""
_MONTH = re.compile(r"\d{4}-\d\d")
_PARTS = re.compile(r"\d+(?:\.\d+)?|[^\W\d_]+")
"""Numbers and words of a text."""
_YEARS = re.compile(r"(?<!\d)(?:19|20)\d\d(?!\d)")
_FULL_DAY = re.compile(r"0\d\D|0\d{3}|1[3-9]|2[0-4]")
"""Hours of a day of 24."""
_JOINTS = re.compile(r"[_\-./]+")
"""Between the words of a member of an enum."""
_ALL = re.compile(r"\ball\b", re.I)


@dataclass(frozen=True)
class Grounding:
    """Verdict on one value."""

    path: str
    """``call index.argument path``."""
    grounded: bool
    """Whether it can be traced."""
    how: str = ""
    """``said``, ``normalised``, ``schema``, ``implied``, ``facts``; empty when not grounded."""
    span: tuple[int, int] | None = None
    """Where in the request, when it is said there."""
    value: Any = None
    """The value itself."""


@dataclass(frozen=True)
class Slot:
    """One value of a call with what its schema says of it."""

    path: str
    """``call index.argument path``."""
    name: str
    """Name of the parameter (of a list item: of the list)."""
    value: Any
    """Text, number or boolean."""
    schema: dict[str, Any]
    """Plain schema."""
    place: tuple[str | int, ...] = ()
    """Keys and places of list items from the call's arguments to the value (names may hold dots)."""


def slots(calls: Sequence[ToolCall], tools: Sequence[ToolSpec]) -> list[Slot]:
    """Every text, number and boolean among the arguments, in order; nulls carry nothing."""
    by_name = {tool.name: tool for tool in tools}
    return [
        slot
        for number, call in enumerate(calls)
        for slot in _slots(call.arguments, by_name[call.name].parameters, by_name[call.name].parameters, str(number), "", ())
    ]


def _slots(
    value: Any, schema: Any, root: dict[str, Any], path: str, name: str, place: tuple[str | int, ...]
) -> Iterator[Slot]:
    schema = plain_schema(schema, root) if isinstance(schema, dict) else {}
    if isinstance(value, dict):
        for key, item in value.items():
            inner = (schema.get("properties") or {}).get(key) or {}
            yield from _slots(item, inner, root, f"{path}.{key}", key, (*place, key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _slots(item, schema.get("items") or {}, root, f"{path}.{number}", name, (*place, number))
    elif value is not None:
        yield Slot(path, name, value, schema, place)


def ground_calls(
    calls: Sequence[ToolCall], tools: Sequence[ToolSpec], request: str, facts: str | None = None
) -> list[Grounding]:
    """A verdict for every value of the calls; ``facts``: system text and earlier turns, which may state values too.

    Booleans are always grounded (their wording is endless); they have a span where a word such as "off" tells.
    """
    today = today_in(facts)
    return [ground(slot, request, facts, today) for slot in slots(calls, tools)]


def ground(slot: Slot, request: str, facts: str | None = None, today: datetime.date | None = None) -> Grounding:
    """The verdict on one value."""
    how, span = find_value(slot, request, today)
    if not how and facts:
        how, span = ("facts", None) if find_value(slot, facts, today)[0] else ("", None)
    return Grounding(slot.path, bool(how), how, span, slot.value)


def find_value(slot: Slot, request: str, today: datetime.date | None = None) -> tuple[str, tuple[int, int] | None]:
    """How a request accounts for a value (empty: not at all), and the span that says it, where one does."""
    value, schema = slot.value, slot.schema
    if isinstance(value, bool):
        return "implied", boolean_span(slot, request)
    if isinstance(value, str) and (span := said(value, request)):
        return "said", span
    if _named(value, schema):
        return "schema", member_span(value, schema, request)
    if isinstance(value, str):
        span = text_span(value, slot, request, today)
        return ("normalised", span) if span else ("", None)
    item = number_heard(value, slot, request)
    if item:
        return "normalised", (item.start, item.end)
    return ("implied", None) if _implied(value, schema, request) else ("", None)


def _named(value: Any, schema: dict[str, Any]) -> bool:
    return (
        value in (schema.get("enum") or ())
        or ("const" in schema and value == schema["const"])
        or ("default" in schema and value == schema["default"])
    )


def member_span(value: Any, schema: dict[str, Any], request: str) -> tuple[int, int] | None:
    """Where a request says a member of an enum: by its words, by a code, or by the words that describe it."""
    text = str(value)
    found = said(text, request) or by_words(_JOINTS.sub(" ", text), request, 0.5) or by_code(text, request)
    if found or len(text) > 40:
        return found
    wanted = [word for word, _, _ in words_of(text) if word not in STOP]
    there = words_of(request)
    for word, start, end in there:
        if word not in STOP and any(same_word(word, item) or _kin(word, item) for item in wanted):
            return start, end
    about = re.search(rf"(?<!\w){re.escape(text)}(?!\w)\W{{0,4}}([^,;.]+)", str(schema.get("description") or ""))
    if about:  # "eco: saves energy, comfort: ..."
        told = [word for word, _, _ in words_of(about[1]) if word not in STOP and len(word) > 2]
        return next(((start, end) for word, start, end in there if any(same_word(word, item) for item in told)), None)
    return None


def _kin(word: str, member: str) -> bool:
    """An abbreviation of a word, or a beginning shared by both."""
    short, long = sorted((word, member), key=len)
    return len(short) >= 3 and (long.startswith(short) or (len(short) >= 5 and long[:4] == short[:4]))


def boolean_span(slot: Slot, request: str) -> tuple[int, int] | None:
    """Where a request tells a boolean: the words of its name, else a word of switching."""
    named = [word for word, _, _ in words_of(slot.name) if word not in STOP and len(word) > 2]
    for word, start, end in words_of(request):
        if any(same_word(word, item) or _kin(word, item) for item in named):
            return start, end
    match = (YES if slot.value else NO).search(request)
    return match.span() if match else None


def text_span(value: str, slot: Slot, request: str, today: datetime.date | None = None) -> tuple[int, int] | None:
    """Span of what a text is a normal form of: a time, a date, both, a code, other forms of the words."""
    if moment := _MOMENT.fullmatch(value):
        if moment[1] or moment[2]:
            spans = [_moment(part, request, today) for part in moment.groups() if part]
            return spans[0] if all(spans) else None
    if _MONTH.fullmatch(value):
        return _month(value, request)
    if value in ("today", "tomorrow", "now", "tonight") or (span := by_code(value, request)):
        return span if value not in ("today", "tomorrow", "now", "tonight") else None
    digits = value.lstrip("0") or "0"
    if digits.isdecimal() and len(digits) <= MOST_DIGITS:
        return next(((h.start, h.end) for h in hear(request) if h.kind == "number" and h.value == int(digits)), None)
    if span := by_words(value, request):
        return span
    head, comma, tail = value.partition(",")
    if comma and len(tail.split()) <= 3 and (span := said(head, request)):  # "Salem, MA" for "salem massachusetts"
        return span
    if "/" in value and (span := by_words(value.rpartition("/")[2].replace("_", " "), request)):  # Europe/Berlin
        return span
    return _mixed(value, request)


def _mixed(value: str, request: str) -> tuple[int, int] | None:
    """A text with numbers in it whose words and numbers are all said: "500 g" for "five hundred grams", "v2.1"."""
    parts = _PARTS.findall(value)
    heard = [item for item in hear(request) if item.kind == "number"]
    spans = []
    for part in parts if len(parts) > 1 else ():
        if part[0].isdecimal():
            item = next((item for item in heard if item.value == float(part)), None)
            spans.append((item.start, item.end) if item else None)
        elif len(part) > 1:
            spans.append(by_words(part, request) or find(re.escape(part.casefold()), request))
    if not spans or not all(spans) or not any(char.isdecimal() for char in value):
        return None
    return min(span[0] for span in spans if span), max(span[1] for span in spans if span)


def _moment(part: str, request: str, today: datetime.date | None) -> tuple[int, int] | None:
    """Span of a date or a clock time."""
    heard = hear(request, today)
    if ":" in part:
        return next((span for value, span in clock_times(request) if value == part), None)
    dates = [item for item in heard if item.kind == "date"]
    whole = [item for item in dates if len(item.value) == 10]
    years = {int(year) for year in _YEARS.findall(request)}
    year, month, day = part.split("-")
    for item in dates:
        loose = len(item.value) < 10
        if loose and (any(w.start < item.end and item.start < w.end for w in whole) or (years and int(year) not in years)):
            continue
        if part.endswith(item.value.lstrip("-")):
            return item.start, item.end
    edges = day == "01" or int(day) >= 28
    for item in heard:  # "in March 2027", "in 2027": its first and its last day
        month_said = item.kind == "month" and item.value in (f"{year}-{month}", f"-{month}")
        if edges and (month_said or (item.value == int(year) and f"{month}-{day}" in ("01-01", "12-31"))):
            return item.start, item.end
    return None


def clock_times(request: str) -> list[tuple[str, tuple[int, int]]]:
    """``HH:MM`` that a request may mean, with spans: without the other half of the day where it says which."""
    items = sorted((item for item in hear(request) if item.kind == "time"), key=lambda item: (item.start - item.end, not item.sure))
    kept: list[tuple[str, tuple[int, int]]] = []
    marked: list[tuple[int, int]] = []
    for item in items:
        said_at = request[item.start : item.end]
        inside = any(start <= item.start and item.end <= end and (start, end) != (item.start, item.end) for start, end in marked)
        full_day = _FULL_DAY.match(said_at) or request[item.start - 1 : item.start] == "T"
        if inside or (full_day and not item.value.startswith(said_at[:2])):
            continue
        if DAY_PART.search(said_at):
            marked.append((item.start, item.end))
        kept.append((item.value, (item.start, item.end)))
    return kept


def _month(value: str, request: str) -> tuple[int, int] | None:
    for item in hear(request):
        if item.kind in ("month", "date") and item.value in (value, value[4:], f"{value}-01"):
            return item.start, item.end
    return None


def number_heard(value: float, slot: Slot, request: str) -> Heard | None:
    """What a number comes from, in the unit that its parameter wants; sure readings first."""
    wanted = units_of_parameter(slot.name, slot.schema)
    numbers = [item for item in hear(request) if item.kind == "number"]
    whole = [item for item in numbers if item.sure]
    part = [item for item in numbers if not item.sure]
    for group in (whole, part):
        # the longest stretch first: "an hour and a half" rather than "an hour"
        for item in sorted(group, key=lambda item: item.start - item.end):
            if means(item, value, wanted, slot.schema):
                return item
            less = value < 0 and (LESS.search(request[: item.start]) or LESS_AFTER.match(request, item.end))
            if less and means(item, -value, wanted, slot.schema):
                return item
    return None


def means(item: Heard, value: float, wanted: Sequence[Unit], schema: dict[str, Any]) -> bool:
    """Whether a heard number, in its unit, is a value of a parameter in the unit that it wants."""
    pairs = [(said_unit, unit) for said_unit in item.units for unit in wanted if said_unit[0] == unit[0]]
    if pairs:
        return any(_close(converted(item.value, *pair), value, schema) for pair in pairs)
    if _close(item.value, value, schema):
        return True
    if any(unit == ("share", 0.01) for unit in item.units) and _close(item.value / 100, value, schema):
        return abs(value) <= 1
    if item.units and not wanted:
        return any(
            _close(item.value * size / other, value, schema)
            for dimension, size in item.units
            for other in sizes(dimension)
            if dimension in ("time", "share")
        ) or _of_range(item, value, schema)
    for dimension, size in wanted if not item.units else ():
        if dimension == "money" and _close(item.value / size, value, schema):
            return True
        if dimension == "share" and ((size == 1 and item.value > 1) or (size < 1 and item.value < 1)):
            if _close(item.value / 100 / size, value, schema):
                return True
    return _of_range(item, value, schema)


def _of_range(item: Heard, value: float, schema: dict[str, Any]) -> bool:
    """A share of a scale: "halfway" on 0 to 100, "a quarter" on 0 to 255."""
    top = schema.get("maximum", 100)
    shares = [item.value * size for dimension, size in item.units if dimension == "share"]
    return isinstance(top, int | float) and any(_close(share * top, value, schema) for share in shares)


def _close(one: float | None, other: float, schema: dict[str, Any]) -> bool:
    if one is None:
        return False
    slack = 0.51 if schema.get("type") == "integer" and abs(one) > 20 and one != int(one) else 0.0
    return abs(one - other) <= max(slack, 1e-6 * max(abs(one), abs(other)), 1e-12) or round(one, 2) == other


def _implied(value: float, schema: dict[str, Any], request: str) -> bool:
    """A bound of the schema with a word that means it, a number between two that span a range, a sum or difference."""
    if value in (schema.get("minimum"), schema.get("maximum"), 0, 100) and BOUNDS.search(request):
        return True
    numbers = [item for item in hear(request) if item.kind == "number" and item.sure]
    for low in numbers if isinstance(value, int) else ():
        for high in numbers:
            gap = request[low.end : high.start] if high.start >= low.end else "?"
            if low.value < value < high.value <= low.value + 50 and RANGE.fullmatch(gap):
                return True
    return bool(_ALL.search(request)) and isinstance(value, int) and 0 < value <= max([n.value for n in numbers], default=0)
