"""Labels a request that the embedded teacher did not write: a lexical matcher, honest about being one.

The request is compared with each tool's words and with its patterns; the best tool above a floor is chosen and its
arguments are read off: numbers, times and dates by their form, enum members by name, free text by the words that
introduce it. A request whose best tool lacks a required value gets no call.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from needle.teacher.embedded.fragments import PREPOSITIONS
from needle.teacher.embedded.lexicon import SWITCHES
from needle.teacher.embedded.patterns import ON_OFF
from needle.teacher.embedded.phrasing import Voice
from needle.teacher.embedded.text import content, locate, stem, words
from needle.tools.arguments import leaves, schema_at, value_class
from needle.tools.grounding.wording import readings
from needle.tools.spec import ToolCall, ToolSpec

FLOOR = 0.22
"""Share of a request's weight that the best tool must explain."""
NEGATION = re.compile(r"\b(don'?t|do not|no need|never mind|shouldn'?t|leave it|not yet)\b", re.IGNORECASE)
SPLIT = re.compile(r"(?:,? and (?:then |also )?|, then |; |\. also |, also |, plus )", re.IGNORECASE)


def match(request: str, tools: Sequence[ToolSpec], voice: Voice) -> list[ToolCall]:
    """Calls for any request; empty when no tool fits, a value is missing, or the request takes itself back."""
    if NEGATION.search(request):
        return []
    parts = [part for part in SPLIT.split(request) if part.strip()]
    if 1 < len(parts) <= 4:
        calls = [_one(part, tools, voice) for part in parts]
        if all(calls):
            return [call for call in calls if call]
    whole = _one(request, tools, voice)
    return [whole] if whole else []


def _one(text: str, tools: Sequence[ToolSpec], voice: Voice) -> ToolCall | None:
    about = set(content(_without_values(text)))
    scored = sorted(((_score(about, text, tool, voice), -number) for number, tool in enumerate(tools)), reverse=True)
    if not scored or scored[0][0] < FLOOR:
        return None
    tool = tools[-scored[0][1]]
    arguments = _read(text, tool, voice)
    return ToolCall(tool.name, arguments) if set(tool.required) <= set(arguments) else None


def _without_values(text: str) -> str:
    """The request without its numbers, times and dates, which say nothing about the tool."""
    for reading in sorted(readings(text), key=lambda item: -item.start):
        text = f"{text[: reading.start]} {text[reading.end :]}" if reading.end <= len(text) else text
    return text


def _score(about: set[str], text: str, tool: ToolSpec, voice: Voice) -> float:
    vocabulary = set(content(tool.name)) | set(content(tool.description))
    for path in leaves(tool):
        schema = schema_at(tool.parameters, path)
        vocabulary |= set(content(path)) | {
            word for member in schema.get("enum") or () for word in content(str(member))
        }
    named = voice.bank.overlap(about, vocabulary)
    learnt = max(
        (
            voice.bank.overlap(about, set(content(" ".join(pattern.parts)))) * pattern.score
            for pattern in voice.of(tool)
        ),
        default=0.0,
    )
    return max(named, learnt)


def _read(text: str, tool: ToolSpec, voice: Voice) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    taken: list[tuple[int, int]] = []
    # typed values first: what they take cannot be part of a free text
    for path in sorted(leaves(tool), key=lambda leaf: value_class(schema_at(tool.parameters, leaf)) == "text"):
        schema = schema_at(tool.parameters, path)
        value, span = _value(text, path, schema, tool, voice, taken)
        if value is None:
            continue
        if span:
            taken.append(span)
        *parents, last = path.split(".")
        place = arguments
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value
    return arguments


def _value(
    text: str, path: str, schema: dict[str, Any], tool: ToolSpec, voice: Voice, taken: list[tuple[int, int]]
) -> tuple[Any, tuple[int, int] | None]:
    kind = value_class(schema)
    if kind == "boolean":
        return _boolean(text, path), None
    if kind == "enum":
        for member in schema["enum"]:
            span = locate(member, schema, text)
            if span:
                return member, span
        return None, None
    if kind in ("time", "date", "number"):
        for reading in readings(text):
            span = (reading.start, reading.end)
            if (
                reading.kind == kind
                and not _overlaps(span, taken)
                and (kind != "number" or _in_range(reading.value, schema))
            ):
                return reading.value, span
        return None, None
    if kind == "array":
        members = (schema.get("items") or {}).get("enum") or ()
        found = [member for member in members if locate(member, {"enum": members}, text)]
        return (found or None), None
    return _free_text(text, path, tool, voice, taken) if kind in ("text", "email", "uri") else (None, None)


def _boolean(text: str, path: str) -> bool | None:
    said, last = set(words(text)), (words(path)[-1:] or ("",))[0]
    if last in SWITCHES:
        yes, no = SWITCHES[last]
        return False if no in said else True if yes in said else None
    if last in ON_OFF:
        return False if said & {"off", "disable", "stop"} else True if said & {"on", "enable", "start"} else None
    return True if stem(last) in {stem(word) for word in said} and "without" not in said else None


def _free_text(
    text: str, path: str, tool: ToolSpec, voice: Voice, taken: list[tuple[int, int]]
) -> tuple[str | None, tuple[int, int] | None]:
    for known in voice.values.recorded(tool, path):
        span = locate(known, {}, text)
        if span and not _overlaps(span, taken):
            return text[slice(*span)], span
    leads = {
        before.strip() for before, _ in voice.values.contexts(tool, path)[:40] if before.split()[0] in PREPOSITIONS
    }
    for lead in sorted(leads, key=lambda item: (-len(item), item)):
        stop = r"(?= (?:at|on|in|to|for|from|with|by|saying|called) |[,.?!;]|$)"
        for found in re.finditer(rf"\b{re.escape(lead)} (.{{2,60}}?){stop}", text, re.IGNORECASE):
            if not _overlaps(found.span(1), taken):
                return found[1].strip(), found.span(1)
    return None, None


def _overlaps(span: tuple[int, int], taken: list[tuple[int, int]]) -> bool:
    return any(span[0] < end and start < span[1] for start, end in taken)


def _in_range(value: Any, schema: dict[str, Any]) -> bool:
    whole = schema.get("type") != "integer" or isinstance(value, int)
    return whole and schema.get("minimum", value) <= value <= schema.get("maximum", value)
