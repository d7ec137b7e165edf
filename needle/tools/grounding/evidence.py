"""Which words of a request each argument came from: the text says where a value could stand, attention (where known) which place it was.

    find_evidence(Request("book 2 rooms for 2 people", tools), calls)     # [Evidence("0.rooms", 5, 6, 0.9), ...]

Works for the calls of any caller. Candidates are the places where the request says the value, in whatever form. A student's cross-attention
chooses among them, and alone points at words where a value has no textual form (listed values, truth values). The idea of reading
alignments off chosen cross-attention heads is that of Whisper's word time stamps (Radford et al., 2022, arXiv:2212.04356).
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from needle.tools.caller import CallResult, Evidence, Request
from needle.tools.described import as_standard, with_formats
from needle.tools.grounding.ground import Slot, find_value, slots
from needle.tools.grounding.hearing import today_in
from needle.tools.grounding.said import STOP, same_word, words_of
from needle.tools.spec import ToolCall

Weights = Mapping[str, Sequence[float]]
"""Of each argument path: attention to each character of the request, summing to at most one."""
MOST_PLACES = 6
"""Places at which one value is looked for."""
TRUST = {"said": 0.97, "normalised": 0.95, "schema": 0.7, "implied": 0.5}
"""How often the span is exactly the one that people mark, by how a value is found: the first two measured (docs/log.md), the others, for
listed and truth values, of which there are no marked spans, set by hand."""
REACH = 0.35
"""A span read off attention alone grows over words with at least this share of the most attended word's weight."""
_MOMENT = re.compile(r"\d{4}-\d\d(-\d\d)?(T.*)?|\d\d:\d\d(:\d\d)?Z?")
_BEFORE = "this|next|coming|evening|morning|afternoon|half past|quarter (?:past|to)"
_LEAD = re.compile(r"(?:on|at|by|from|until|till) (?=\S)", re.IGNORECASE)
_AFTER = re.compile(
    r",? (?:of (?:this|next|the) (?:month|week)|(?:this|next) (?:month|week)|in the (?:morning|afternoon|evening|night)|at night|o'?clock)\b",
    re.IGNORECASE,
)
"""Words that belong to a day or a time beside it."""
_WORD = re.compile(r"\w+(?:[.,:'’-]\w+)*|[^\w\s]")


def find_evidence(request: Request, calls: Sequence[ToolCall], attention: Weights | None = None) -> list[Evidence]:
    """One span for each text, number and truth value of the calls that the request accounts for, in the order of the arguments.

    Args:
        request: its query is what spans point into.
        calls: answers over the request's tools; a call of another tool has no evidence.
        attention: where a model looked while it wrote each value; None: the text alone decides.
    """
    tools, standard = request.tools, as_standard(calls, request.tools)
    if standard is not None:
        tools, calls = with_formats(tools), standard
    known = {tool.name for tool in tools}
    today = today_in(request.system)
    open_slots: list[_Open] = []
    for number, call in enumerate(calls):
        for slot in slots([call], tools) if call.name in known else ():
            path = f"{number}{slot.path[slot.path.index('.') :]}"
            weights = (attention or {}).get(path)
            open_slots.append(_weighed(path, slot, request.query, today, weights if weights and sum(weights) else None))
    spans = _assigned(open_slots)
    return [Evidence(one.path, *span) for one in open_slots if (span := spans.get(one.path) or one.alone)]


def explain(requests: Sequence[Request], results: Sequence[CallResult]) -> None:
    """Fill the evidence of answers that have none, from the text of the requests."""
    for request, result in zip(requests, results, strict=True):
        if result and not result.evidence:
            result.evidence = find_evidence(request, result)


def places_of(slot: Slot, query: str, today: datetime.date | None = None) -> list[tuple[int, int, str]]:
    """Where a request says a value, best reading first: start, end, and how (a key of ``TRUST``). Places do not overlap."""
    text, found = query, []
    while len(found) < (1 if isinstance(slot.value, bool) else MOST_PLACES):
        how, span = find_value(slot, text, today)
        if span is None or (found and how != found[0][2]):
            break
        found.append((*_neat(slot.value, query, *span), how))
        text = text[: span[0]] + "\x00" * (span[1] - span[0]) + text[span[1] :]
    return found


def _neat(value: Any, query: str, start: int, end: int) -> tuple[int, int]:
    """The span as people mark it: a number alone where it stands as it is, a day or time with all the words that belong to it."""
    if isinstance(value, int | float):
        literal = re.search(rf"(?<![\w.]){re.escape(str(value))}(?!\d|\.\d)", query[start:end])
        return (start + literal.start(), start + literal.end()) if literal else (start, end)
    if _MOMENT.fullmatch(value):
        if after := _AFTER.match(query, end):
            end = after.end()
        article = "the|" if re.fullmatch(r"\w+", query[start:end]) else ""  # "the 5th", but "5th of May"
        if before := re.search(rf"\b(?:{article}{_BEFORE}) (?:at )?$", query[:start], re.IGNORECASE):
            start = before.start()
        if lead := _LEAD.match(query, start, end):
            start = lead.end()
    while end > start + 1 and query[end - 1] in ".,;:!?" and not value.endswith(query[end - 1]):
        end -= 1
    return start, end


@dataclass(frozen=True)
class _Open:
    """A value with the places that it may come from."""

    path: str
    places: list[tuple[int, int, str]]
    shares: list[float]
    """Weight of each place; they sum to one."""
    alone: tuple[int, int, float] | None
    """What attention alone says, for a value without a place."""


def _weighed(path: str, slot: Slot, query: str, today: datetime.date | None, weights: Sequence[float] | None) -> _Open:
    places = places_of(slot, query, today)
    if not places:
        return _Open(path, [], [], attended_span(query, weights) if weights else None)
    if weights:
        masses = [sum(weights[start:end]) + 1e-6 for start, end, _ in places]
    else:
        cues = _cues(slot, query) if len(places) > 1 else []
        masses = [1 / (1 + min((_gap(place, cue) for cue in cues), default=0) / 8) for place in places]
    return _Open(path, places, [mass / sum(masses) for mass in masses], None)


def _cues(slot: Slot, query: str) -> list[tuple[int, int]]:
    """Words of the request that the parameter's name has too: "2 rooms" for ``rooms``."""
    named = [word for word, _, _ in words_of(slot.name) if word not in STOP]
    return [(start, end) for word, start, end in words_of(query) if any(same_word(word, name) for name in named)]


def _gap(place: tuple[int, int, str], cue: tuple[int, int]) -> int:
    return max(place[0] - cue[1], cue[0] - place[1], 0)


def _assigned(open_slots: Sequence[_Open]) -> dict[str, tuple[int, int, float]]:
    """The best place of each value, surest first; a place that another value of the answer took already counts for a quarter."""
    spans: dict[str, tuple[int, int, float]] = {}
    taken: list[tuple[int, int]] = []
    waiting = [one for one in open_slots if one.places]
    while waiting:

        def value(one: _Open, place: int) -> float:
            start, end, _ = one.places[place]
            free = not any(start < other_end and other_start < end for other_start, other_end in taken)
            return one.shares[place] * (1 if free else 0.25)

        pairs = [(value(one, place), -number, -place) for number, one in enumerate(waiting) for place in range(len(one.places))]
        _, number, place = max(pairs)
        one = waiting.pop(-number)
        start, end, how = one.places[-place]
        spans[one.path] = (start, end, TRUST[how] * one.shares[-place])
        taken.append((start, end))
    return spans


def attended_span(query: str, weights: Sequence[float]) -> tuple[int, int, float] | None:
    """The run of words that attention points at, with its share of the attention; None without words."""
    words = [(match.start(), match.end(), sum(weights[match.start() : match.end()])) for match in _WORD.finditer(query)]
    if not words:
        return None
    best = max(range(len(words)), key=lambda place: words[place][2])
    first = last = best
    least = REACH * words[best][2]
    while first > 0 and words[first - 1][2] >= least:
        first -= 1
    while last + 1 < len(words) and words[last + 1][2] >= least:
        last += 1
    share = sum(weight for _, _, weight in words[first : last + 1]) / max(sum(weights), 1e-9)
    return words[first][0], words[last][1], min(1.0, share)
