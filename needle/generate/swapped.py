"""Swapped arguments: two stated values of one kind that would fit better in each other's place.

Evidence, each worth points: the words beside a value ("from", "until", "at most", the parameter's own name), the order
of a range, a start after its end, a name where a text belongs, and, for several calls, spans that cross: the values of
one call lie together, in the order of the calls.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from needle.generate.ground import Grounding, Slot, ground_calls, slots
from needle.generate.said import STOP, same_word, words_of
from needle.tools.spec import ToolCall, ToolSpec
from needle.tools.validate import is_valid

CUES: tuple[tuple[str, str, float], ...] = (
    (r"from|source|src|origin|start|begin|since|depart\w*|sender|old|base|check_?in|after|opens?|payer|giver|out|first|current|pick_?up",
     r"from|after|since|starting|between|leaving|of|out of|off|departing|at least|over|above|old|beginning|take|have|sell|instead of|for|on|swap", 2.0),
    (r"to|target|dest\w*|end|until|till|finish|arriv\w*|recipient|receiver|new|quote|check_?out|before|closes?|payee|into|last|due|return|drop_?off|becomes?",
     r"to|until|till|into|through|before|ending|by|and|with|onto|towards|in|becomes|as|back|->|→|-|–|returning|make it|get|gets|now", 2.0),
    (r"min\w*|low\w*|floor|least|at_least", r"at least|from|between|over|above|minimum|min|no less than|more than", 2.0),
    (r"max\w*|high\w*|upper|limit|top|most|cap", r"at most|up to|to|and|under|below|maximum|max|no more than|top|limit|within|less than|first", 2.0),
    (r"time|at|hour|start_time|when|clock", r"at|around|by|from|@|before|after", 1.0),
    (r"date|day|on|when", r"on|for|by|due|from|dated", 1.0),
    (r"place|city|location|venue|room|area|where|address|town|country|zone|street|site|region", r"in|at|near|around|to|for|inside|from", 1.0),
    (r"person|contact|recipient|to|name|guest|patient|who|employee|assignee|user|owner|attendee|client|customer|driver|student|child|member",
     r"to|for|with|tell|ask|give|by|remind|text|call|message|let|send|mr|mrs|ms|dr|assign|invite|from", 1.0),
    (r"text|message|body|note|content|comment|reason|title|subject|label|description|summary|question", r"that|saying|says|reading|:|\"|called|named|because|about|note|label|titled|as|say", 1.0),
    (r"price|amount|cost|value|budget|total|fee|rate|pay|sum|limit", r"at|for|of|costs?|price|pay|each|apiece|€|\$|£|limit|is", 1.0),
    (r"quantity|qty|count|n|number|amount|units|pieces|people|guests|persons|adults|seats|copies|size", r"buy|order|add|book|take|for|of|x|need|with|sell|plus", 0.5),
    (r"by|author|using|method", r"by|using|via|with", 1.0),
)  # fmt: skip
"""Names of parameters, words right before their values, points."""
FIRST = re.compile(r"^(from|source|src|origin|start|begin|since|depart|sender|old|base|check_?in|min|low|opens?|after|pick_?up|out)", re.I)
SECOND = re.compile(r"^(to|target|dest|end|until|till|finish|arriv|receiver|new|quote|check_?out|max|high|closes?|before|return|drop_?off|due|into|expir)", re.I)
BETWEEN = re.compile(r"\s*(?:to|till|until|into|and|->|→|-|–|—|/|vs\.?|against|through|in)(?: the)?\s*", re.I)
LONG_TEXT = re.compile(r"(text|message|body|note|content|comment|description|reason|caption|question|subject|title|summary)", re.I)
WHO = re.compile(r"(contact|name|person|guest|patient|recipient|who|employee|assignee|user|owner|attendee|client|customer|city|place|room|site|location)", re.I)
MARGIN = 3.0
"""Points by which the exchange must be better."""


@dataclass(frozen=True)
class Swap:
    """Two values that would fit better in each other's place."""

    one: str
    """``call index.argument path`` of the first."""
    two: str
    """And of the second."""
    points: float
    """How much better."""


@dataclass(frozen=True)
class _Said:
    slot: Slot
    span: tuple[int, int]
    call: int
    call_name: str
    words: tuple[str, ...] = field(default=())


def swapped(
    calls: Sequence[ToolCall], tools: Sequence[ToolSpec], request: str, groundings: Sequence[Grounding] | None = None
) -> list[Swap]:
    """Pairs of values that would fit better in each other's place; the other place must take the value too."""
    if groundings is None:
        groundings = ground_calls(calls, tools, request)
    said = list(_stated(calls, tools, groundings))
    found = [swap for one, two in _pairs(said) if (swap := _within(one, two, request, calls, tools))]
    return found + _crossed(said, calls, tools)


def _stated(calls: Sequence[ToolCall], tools: Sequence[ToolSpec], groundings: Sequence[Grounding]) -> Iterator[_Said]:
    spans = {item.path: item.span for item in groundings if item.span and item.how in ("said", "normalised", "schema")}
    by_name = {tool.name: tool for tool in tools}
    for slot in slots(calls, tools):
        span = spans.get(slot.path)
        if span and not isinstance(slot.value, bool):
            call = int(slot.path.split(".")[0])
            told = str(slot.schema.get("description") or "")
            words = tuple(w for w, _, _ in words_of(f"{slot.name} {told}") if w not in STOP and len(w) > 2)
            yield _Said(slot, span, call, by_name[calls[call].name].name, words)


def _pairs(said: Sequence[_Said]) -> Iterator[tuple[_Said, _Said]]:
    for index, one in enumerate(said):
        for two in said[index + 1 :]:
            lists = one.slot.path.rpartition(".")[0] == two.slot.path.rpartition(".")[0] and one.slot.name == two.slot.name
            if one.call == two.call and not lists and one.span != two.span and _same_kind(one.slot.value, two.slot.value):
                yield one, two


def _same_kind(one: Any, two: Any) -> bool:
    return one != two and isinstance(one, str) == isinstance(two, str)


def _exchanged(calls: Sequence[ToolCall], one: _Said, two: _Said, tools: Sequence[ToolSpec]) -> bool:
    """Whether both places take each other's value."""
    import copy

    made = [ToolCall(call.name, copy.deepcopy(call.arguments)) for call in calls]
    for item, value in ((one, two.slot.value), (two, one.slot.value)):
        held: Any = made[item.call].arguments
        *way, last = item.slot.place
        for part in way:
            held = held[part]
        held[last] = value
    return is_valid(made, list(tools))


def _within(one: _Said, two: _Said, request: str, calls: Sequence[ToolCall], tools: Sequence[ToolSpec]) -> Swap | None:
    here = _points(one, one.span, request) + _points(two, two.span, request)
    there = _points(one, two.span, request) + _points(two, one.span, request)
    gain = there - here + _order(one, two, request) + _nature(one, two)
    if gain >= MARGIN and _exchanged(calls, one, two, tools):
        return Swap(one.slot.path, two.slot.path, gain)
    return None


def _points(item: _Said, span: tuple[int, int], request: str) -> float:
    """How well the words beside a span fit a parameter."""
    before = re.findall(r"[\w']+|->|[→:\"€$£@–-]", request[max(0, span[0] - 40) : span[0]].casefold())[-4:]
    after = re.findall(r"[\w']+", request[span[1] : span[1] + 24].casefold())[:2]
    near = " ".join(before[-2:])
    score = 0.0
    for names, cues, worth in CUES:
        if re.search(rf"(?:^|_|(?<=[a-z])(?=[A-Z]))(?:{names})(?:$|_|(?=[A-Z]))", item.slot.name) or re.fullmatch(names, item.slot.name.casefold()):
            if re.search(rf"(?:^|\s)(?:{cues})$", near):
                score = max(score, worth)
    for place, word in enumerate([*reversed(before), *after]):
        if len(word) > 2 and word not in STOP and any(same_word(word, other) for other in item.words):
            score += 1.5 if place < 2 or place >= len(before) else 0.75
            break
    return score


def _order(one: _Said, two: _Said, request: str) -> float:
    """A range says its start first; a start does not come after its end."""
    first, second = (one, two) if FIRST.search(_last(one)) and SECOND.search(_last(two)) else (two, one)
    if not (FIRST.search(_last(first)) and SECOND.search(_last(second))):
        return 0.0
    a, b = first.slot.value, second.slot.value
    ordered = isinstance(a, int | float) or re.match(r"\d{4}-\d\d-\d\d", str(a))
    score = 0.0
    if ordered and a > b and re.match("start|begin|min|low|from|check|since|after", _last(first), re.I):
        score += 2.0
    left, right = sorted((first, second), key=lambda item: item.span)
    if BETWEEN.fullmatch(request[left.span[1] : right.span[0]]):
        score += 2.0 if left is second else -1.0
    return score


def _last(item: _Said) -> str:
    return item.slot.name


def _nature(one: _Said, two: _Said) -> float:
    """A text is long and in small letters, a name short with a capital."""
    for text, name in ((one, two), (two, one)):
        if LONG_TEXT.search(text.slot.name) and WHO.search(name.slot.name) and not LONG_TEXT.search(name.slot.name):
            a, b = str(text.slot.value), str(name.slot.value)
            if len(a.split()) < len(b.split()) and len(b.split()) > 2:
                return 2.0
            if a[:1].isupper() and b[:1].islower() and len(a.split()) <= 2:
                return 1.0
    return 0.0


def _crossed(said: Sequence[_Said], calls: Sequence[ToolCall], tools: Sequence[ToolSpec]) -> list[Swap]:
    """Values of two calls whose spans cross, where the exchange would uncross them."""
    by_call: dict[int, list[_Said]] = defaultdict(list)
    for item in said:
        by_call[item.call].append(item)
    found = []
    shared: Callable[[_Said], int] = lambda item: sum(other.span == item.span for other in said)  # noqa: E731
    for first in by_call:
        for second in by_call:
            if first >= second:
                continue
            ones = [item for item in by_call[first] if shared(item) == 1]
            twos = [item for item in by_call[second] if shared(item) == 1]
            for one in ones:
                for two in twos:
                    if not _same_kind(one.slot.value, two.slot.value) or len(ones) + len(twos) < 3:
                        continue
                    rest_one, rest_two = [i.span for i in ones if i is not one], [i.span for i in twos if i is not two]
                    now = _distance(one.span, rest_one) + _distance(two.span, rest_two)
                    then = _distance(two.span, rest_one) + _distance(one.span, rest_two)
                    inverse = one.span > two.span and all(a < b for a in rest_one for b in rest_two)
                    if inverse and then <= now and _exchanged(calls, one, two, tools):
                        found.append(Swap(one.slot.path, two.slot.path, float(now - then)))
    return found


def _distance(span: tuple[int, int], others: Sequence[tuple[int, int]]) -> int:
    """Characters between a span and the nearest of others; 0 without any."""
    return min((max(start - span[1], span[0] - end, 0) for start, end in others), default=0)
