"""Groundedness: where in the request each argument value comes from, or that it comes from nowhere.

A value is grounded when the request says it (letter case and spacing aside), when it is a member of an enum or
another value that the schema names, or when it is a normalisation of something said: number words, clock times,
dates, a spelled-out language or currency, a duration in another unit.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from needle.teacher.schema import plain_schema
from needle.teacher.wording import Reading, readings
from needle.tools.spec import ToolCall, ToolSpec

CODES = {
    "en": "english", "de": "german germany", "fr": "french france", "es": "spanish spain", "it": "italian italy",
    "pt": "portuguese portugal",
    "nl": "dutch netherlands", "sv": "swedish", "pl": "polish poland", "tr": "turkish turkey", "ja": "japanese",
    "jp": "japan", "zh": "chinese",
    "cn": "china", "ko": "korean", "kr": "korea", "ar": "arabic", "ru": "russian", "hi": "hindi",
    "us": "usa states american", "gb": "britain uk england",
    "eur": "euro euros €", "usd": "dollar dollars bucks $", "gbp": "pound pounds quid £", "jpy": "yen",
    "chf": "franc francs", "inr": "rupee rupees",
}  # fmt: skip
"""Codes to the words that stand for them."""
FACTORS = {
    60: r"(?<![a-z])(hours?|hrs?|h|min(ute)?s?)\b",
    3600: r"(?<![a-z])(hours?|hrs?|h)\b",
    24: r"(?<![a-z])days?\b", 1440: r"(?<![a-z])days?\b", 86400: r"(?<![a-z])days?\b",
    7: r"(?<![a-z])weeks?\b", 12: r"(?<![a-z])(years?|dozen)\b",
    100: r"(?<![a-z])(euros?|dollars?|pounds?|met(er|re)s?|m|hundred)\b|[€$£%]",
    1000: r"(?<![a-z])(k|kilo\w*|km|kg|thousand|grand|lit(er|re)s?|tons?|tonnes?|seconds?|s)\b",
}  # fmt: skip
"""A number may be a number of the request times one of these where the request has such a unit: hours in minutes,
kilometres in metres, euros in cents."""
LOOSE_NUMBERS = {
    "half": 0.5, "quarter": 0.25, "couple": 2, "pair": 2, "dozen": 12, "both": 2, "twice": 2, "once": 1, "an": 1,
    "a": 1, "full": 100,
}  # fmt: skip
"""Words that may stand for a number, alone or before a unit ("an hour", "half a kilo")."""


@dataclass(frozen=True)
class Grounding:
    """Verdict on one value."""

    path: str
    """``call index.argument path``."""
    grounded: bool
    """Whether it can be traced."""
    how: str = ""
    """``said``, ``schema``, ``normalised`` or ``implied``; empty when not grounded."""
    span: tuple[int, int] | None = None
    """Where in the request, when it is said there."""


def ground_calls(calls: list[ToolCall], tools: list[ToolSpec], request: str) -> list[Grounding]:
    """A verdict for every text and number among the arguments (booleans are a matter of wording and are not judged)."""
    by_name = {tool.name: tool for tool in tools}
    found = []
    for number, call in enumerate(calls):
        tool = by_name[call.name]
        for path, value, schema in _values(call.arguments, tool.parameters, tool.parameters):
            found.append(_ground(f"{number}.{path}", value, schema, request))
    return found


def _values(
    value: Any, schema: dict[str, Any], root: dict[str, Any], path: str = ""
) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    schema = plain_schema(schema, root) if isinstance(schema, dict) else {}
    if isinstance(value, dict):
        for name, item in value.items():
            inner = (schema.get("properties") or {}).get(name) or {}
            yield from _values(item, inner, root, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _values(item, schema.get("items") or {}, root, f"{path}.{number}")
    elif isinstance(value, (str, int, float)) and not isinstance(value, bool):
        yield path, value, schema


def _ground(path: str, value: Any, schema: dict[str, Any], request: str) -> Grounding:
    if isinstance(value, str):
        span = _said(value, request)
        if span:
            return Grounding(path, True, "said", span)
    if (
        value in (schema.get("enum") or ())
        or ("const" in schema and value == schema["const"])
        or ("default" in schema and value == schema["default"])
    ):
        return Grounding(path, True, "schema")
    span = _number(value, request) if isinstance(value, (int, float)) else _normalised(value, request)
    if span:
        return Grounding(path, True, "normalised", span)
    if isinstance(value, (int, float)) and _implied(value, schema, request):
        return Grounding(path, True, "implied")
    return Grounding(path, False)


def _said(value: str, request: str) -> tuple[int, int] | None:
    """Span of a text in the request: same letters in any case, any spacing, any kind of quotation mark or dash."""
    words = re.findall(r"\w+|[^\w\s]", value)
    if not words:
        return None
    pattern = r"\s*".join(re.escape(word) for word in words)
    pattern = (r"(?<!\w)" if words[0][0].isalnum() else "") + pattern + (r"(?!\w)" if words[-1][-1].isalnum() else "")
    match = re.search(pattern, _plain(request), re.IGNORECASE) or re.search(
        pattern.replace(re.escape("-"), r"\W?"), _plain(request), re.IGNORECASE
    )
    if not match and (value := _plain(value)) != "".join(words):
        match = re.search(re.escape(value), _plain(request), re.IGNORECASE)
    return match.span() if match else None


def _plain(text: str) -> str:
    return text.translate(str.maketrans("’‘“”–—", "''\"\"--"))


def _number(value: float, request: str) -> tuple[int, int] | None:
    factors = _factors(request)
    for reading in _numbers(request):
        if any(reading.value * factor == value for factor in factors):
            return reading.start, reading.end
    return None


def _factors(request: str) -> list[int]:
    """1, and the factors of the units in the request."""
    return [1, *(factor for factor, unit in FACTORS.items() if re.search(unit, request, re.IGNORECASE))]


def _numbers(request: str) -> list[Reading]:
    return [reading for reading in readings(request) if reading.kind == "number"]


def _implied(value: float, schema: dict[str, Any], request: str) -> bool:
    """A bound of the schema ("all the way up"), a word such as "half" or "dozen" or a multiple of it, a sum of what
    is said, a sign."""
    if value in (schema.get("minimum"), schema.get("maximum")):
        return True
    said = {reading.value for reading in _numbers(request)}
    if -value in said or (value == 0 and re.search(r"\b(no|off|none|zero|without|not)\b", request, re.IGNORECASE)):
        return True
    loose = [number for word, number in LOOSE_NUMBERS.items() if re.search(rf"\b{word}\b", request, re.IGNORECASE)]
    factors = _factors(request)
    parts = [part * factor for part in loose for factor in factors]
    wholes = [whole * factor for whole in said for factor in factors]
    # "an hour and a half", "a minute fifteen", "one hour and 20 minutes"
    return value in parts or any(value == whole + other for whole in [*wholes, *parts] for other in [*said, *parts])


def _normalised(value: str, request: str) -> tuple[int, int] | None:
    """Span of what a text is a normal form of: a time, a date, both, a code, an id in other spacing."""
    match = re.fullmatch(r"(?:(\d{4}-\d\d-\d\d))?[T ]?(?:(\d\d:\d\d)(?::\d\d(?:\.\d+)?)?)?(?:Z|[+-]\d\d:?\d\d)?", value)
    if match and (match[1] or match[2]):
        spans = [_reading(part, request) for part in match.groups() if part]
        return spans[0] if all(spans) else None
    if value.lower() in CODES:
        for word in CODES[value.lower()].split():
            found = re.search(rf"(?<!\w){re.escape(word)}(?!\w)", request, re.IGNORECASE)
            if found:
                return found.span()
    number = value.lstrip("0") or "0"
    if number.isdigit():
        return _number(int(number), request)
    squeezed = re.sub(r"[\W_]", "", value).casefold()
    letters = [(place, char) for place, char in enumerate(request) if char.isalnum()]
    start = "".join(char for _, char in letters).casefold().find(squeezed) if len(squeezed) >= 3 else -1
    if not 0 <= start <= len(letters) - len(squeezed):
        return None
    first, end = letters[start][0], letters[start + len(squeezed) - 1][0] + 1
    whole = not request[first - 1 : first].isalnum() and not request[end : end + 1].isalnum()
    return (first, end) if whole else None  # "Ann" is not said by "Anna"


def _reading(part: str, request: str) -> tuple[int, int] | None:
    for reading in readings(request):
        if reading.value == part:
            return reading.start, reading.end
    return None
