"""Inverse groundedness: what a request states and the calls omit.

A request *mentions* numbers, times, dates, quoted texts, addresses, codes, names and members of enums. A mention that no
argument takes up is dropped when a called tool has a place that is left open for it: an optional argument of a fitting
type, or a list that could have one more item. What no open place could hold is context, not a lost value.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from needle.tools.arguments import leaves, plain_schema, schema_at
from needle.tools.grounding.ground import Grounding, Slot, ground_calls, slots
from needle.tools.grounding.hearing import Heard, hear
from needle.tools.grounding.said import STOP, folded, said, same_word, words_of
from needle.tools.grounding.units import units_named, units_of_parameter
from needle.tools.spec import ToolCall, ToolSpec

QUOTED = re.compile(r"[\"“”«»]([^\"“”«»]{1,200})[\"“”«»]|(?<!\w)['‘]([^'‘’]{2,200})['’](?!\w)")
ADDRESS = re.compile(r"https?://\S+|[\w.+-]+@[\w-]+\.[\w.]+|(?<!\w)[+#][\w-]{3,}")
CODE = re.compile(r"(?<![\w/])(?=[\w-]*\d)(?=[\w-]*[A-Za-z])[A-Za-z0-9]+(?:[-_][A-Za-z0-9]+)*(?!\w)")
NAME = re.compile(r"(?<![.!?:\n\"“] )(?<!^)(?<![\w'’])[^\W\d_a-z][^\W\d_]+(?:[- ][^\W\d_a-z][^\W\d_]+)*")
CORRECTED = re.compile(
    r"\b(no|not|instead|rather|sorry|wait|actually|mean|correction|oops|scratch|make (?:that|it)|was|were|than|had|already|"
    r"don'?t|never|currently|before|last|from)\b|n't\b", re.I)  # fmt: skip
"""Words near a value that is taken back, denied, or told of the past."""
TAKEN_BACK = re.compile(r"\b(no|not|instead|rather|sorry|wait|actually|mean|oops|scratch|except|but|without|don'?t|never)\b|n't\b", re.I)
"""The same inside an enumeration, where "from" and "last" are common."""
SMALL_WORDS = frozenset("one two three first second third last next a an single both once twice half quarter double".split())
_ITEM = r"((?:[^\s,;:.!?()]|(?<=\d)\.(?=\d))+(?: [^\s,;:.!?()]+){0,3}?)"
MIDDLE = re.compile(rf"\s*(?:,|and|&|or|plus|,\s*and|\+|/)\s*{_ITEM}\s*(?:,|and|&|or|plus|,\s*(?:and|or)|\+|/)\s*(?:the |a |an )?", re.I)
BEFORE = re.compile(r"((?:[^\s,;:.!?()\"]|(?<=\d)\.(?=\d))+)\s*(?:,|\band\b|&|,\s*and)\s*$", re.I)
AFTER_ITEM = re.compile(r"\s*(?:,|and|&|,\s*and)\s*((?:[^\s,;:.!?()\"]|(?<=\d)\.(?=\d))+)", re.I)
LAST_ITEM = re.compile(r"\s*(?:,?\s*(?:and|or|&|plus)|,)\s+((?!(?:then|please|send|set|also|it|for|to|on|in|at)\b)[\w'’-]+(?: [\w'’-]+)?)\s*(?:[.!?,;]|$| (?:to|on|in|at|for|from|into|of|as|by|with|please)\b)", re.I)
"""What closes an enumeration: "a, b and c"."""
UNIT_NAME = re.compile(r"(?:units?|uom|currency|measure)$", re.I)
"""Names of arguments that say in which unit another is."""
PLACES = 24
"""Characters around a mention in which a correction is looked for."""


@dataclass(frozen=True)
class Mention:
    """Something that a request states."""

    start: int
    """First character."""
    end: int
    """One past the last character."""
    kind: str
    """``number``, ``time``, ``date``, ``quoted``, ``address``, ``code``, ``name`` or ``member``."""
    heard: tuple[Heard, ...] = ()
    """Readings of a number, time or date."""
    value: Any = None
    """The member of an enum."""
    path: str = ""
    """The open place that the member belongs to."""


@dataclass(frozen=True)
class Dropped:
    """A mention without an argument, and a place that it could have filled."""

    text: str
    """The words of the request."""
    kind: str
    """Kind of the mention."""
    path: str
    """``call index.argument path`` of a place left open."""


def dropped(
    calls: Sequence[ToolCall],
    tools: Sequence[ToolSpec],
    request: str,
    groundings: Sequence[Grounding] | None = None,
) -> list[Dropped]:
    """What the request states and the calls omit though a place for it is open; see the module's docstring."""
    if groundings is None:
        groundings = ground_calls(calls, tools, request)
    places = list(_open_places(calls, tools))
    found = list(_enumerated(calls, tools, request, groundings))
    if not places:
        return found
    taken = [item.span for item in groundings if item.span]
    found += _units(groundings, places, request)
    words = _vocabulary(calls, tools)
    for mention in [*mentions(request), *_members(request, places)]:
        if any(start < mention.end and mention.start < end for start, end in taken) or _spoken_for(mention, request, groundings):
            continue
        if _is_context(mention, request, words):
            continue
        place = next((place for place in places if _fits(mention, place, request)), None)
        text = request[mention.start : mention.end]
        if place and not any(item.text in text or text in item.text for item in found):
            found.append(Dropped(request[mention.start : mention.end], mention.kind, place.path))
    return found


def mentions(request: str) -> list[Mention]:
    """What a request states, without the members of enums; a stretch inside a longer one is not listed again."""
    found = [Mention(*match.span(), "quoted") for match in QUOTED.finditer(request)]
    found += [Mention(*match.span(), "address") for match in ADDRESS.finditer(request)]
    by_span: dict[tuple[int, int, str], list[Heard]] = {}
    for item in hear(request):
        power = request[item.start - 1 : item.start] == "^"  # "cm^4" states no 4
        if item.sure and not power and item.kind in ("number", "time", "date"):
            by_span.setdefault((item.start, item.end, item.kind), []).append(item)
    order = {"date": 0, "time": 1, "number": 2}
    values = [Mention(start, end, kind, tuple(items)) for (start, end, kind), items in by_span.items()]
    found += sorted(values, key=lambda item: (order[item.kind], item.start - item.end))
    found += [Mention(*match.span(), "code") for match in CODE.finditer(request)]
    found += [Mention(*match.span(), "name") for match in NAME.finditer(request)]
    kept: list[Mention] = []
    for item in found:
        if not any(other.start < item.end and item.start < other.end for other in kept):
            kept.append(item)
    return sorted(kept, key=lambda item: item.start)


def _enumerated(
    calls: Sequence[ToolCall], tools: Sequence[ToolSpec], request: str, groundings: Sequence[Grounding]
) -> Iterator[Dropped]:
    """Items of an enumeration that the list of its neighbours lacks: "a, b and c" with b or c left out."""
    how = {item.path: item for item in groundings}
    lists: dict[str, list[tuple[int, int]]] = {}
    others: dict[str, list[tuple[int, int]]] = {}
    for slot in slots(calls, tools):
        span = how[slot.path].span
        if span and not isinstance(slot.value, bool):
            parent = slot.path.rpartition(".")[0] if slot.place and isinstance(slot.place[-1], int) else ""
            if parent:
                lists.setdefault(parent, []).append(span)
            others.setdefault(slot.path.partition(".")[0], []).append(span)
    for parent, spans in lists.items():
        used = others[parent.partition(".")[0]]
        mine = calls[int(parent.partition(".")[0])].name
        used = used + [
            span
            for other, held in lists.items()
            if calls[int(other.partition(".")[0])].name == mine and other.partition(".")[2] == parent.partition(".")[2]
            for span in held
        ]
        ordered = sorted(set(spans))
        for left, right in zip(ordered, ordered[1:]):
            gap = request[left[1] : right[0]]
            middle = MIDDLE.fullmatch(gap)
            if middle and not _touched(left[1] + middle.start(1), left[1] + middle.end(1), used) and not TAKEN_BACK.search(gap):
                yield Dropped(middle[1], "item", parent)
        before = BEFORE.search(request[: ordered[0][0]])
        after = AFTER_ITEM.match(request, ordered[-1][1])
        joined = bool(before and "and" not in before[0]) or len(ordered) > 1
        alike = [] if not joined else [(before, request[slice(*ordered[0])])]
        alike += [(after, request[slice(*ordered[-1])])]
        open_ended = len(ordered) > 1 and not any(
            re.search(r"\b(?:and|or|plus)\b|&", request[left[1] : right[0]]) for left, right in zip(ordered, ordered[1:])
        )
        alone = len(calls) == 1 and len(ordered) == 1  # with one call, "and" joins things, not actions
        last = LAST_ITEM.match(request, ordered[-1][1]) if open_ended or alone else None
        if last and not _touched(last.start(1), last.end(1), used) and not TAKEN_BACK.search(last[0]):
            yield Dropped(last[1], "item", parent)
            continue
        for match, neighbour in alike:
            if match and _alike(match[1], neighbour) and not _touched(match.start(1), match.end(1), used):
                if not TAKEN_BACK.search(request[max(0, match.start() - PLACES) : match.end() + PLACES]):
                    yield Dropped(match[1], "item", parent)


def _units(groundings: Sequence[Grounding], places: Sequence[Slot], request: str) -> Iterator[Dropped]:
    """Units that follow a number of the calls where the argument beside it that names the unit is left open."""
    for place in places:
        parent, _, name = place.path.rpartition(".")
        for item in groundings if UNIT_NAME.search(name) else ():
            if item.span and isinstance(item.value, int | float) and item.path.rpartition(".")[0] == parent:
                unit = re.search(r"[^\d\s.,-]+$", request[slice(*item.span)])
                if unit and units_named(unit[0]):
                    yield Dropped(unit[0], "unit", place.path)


def _touched(start: int, end: int, spans: Sequence[tuple[int, int]]) -> bool:
    return any(a < end and start < b for a, b in spans)


def _alike(one: str, other: str) -> bool:
    """Both numbers or codes, both with a capital, or (one word or two) both plain."""

    def form(text: str) -> str:
        if any(char.isdigit() for char in text):
            return "digits"
        return "capital" if text[:1].isupper() else "plain"

    return form(one) == form(other) and form(one) != "plain" and one.casefold() not in STOP


def _open_places(calls: Sequence[ToolCall], tools: Sequence[ToolSpec]) -> Iterator[Slot]:
    """Arguments that a call leaves out, and the item that a given list could still take."""
    by_name = {tool.name: tool for tool in tools}
    for number, call in enumerate(calls):
        tool = by_name[call.name]
        for path in leaves(tool):
            schema = schema_at(tool.parameters, path)
            given = _value_at(call.arguments, path)
            if isinstance(given, list) and given and isinstance(given[0], dict):
                yield from _open_in_items(f"{number}.{path}", given, schema, tool.parameters)
                continue
            if given is None or isinstance(given, list):
                if "array" in (schema.get("type"),):
                    item = plain_schema(schema.get("items") or {}, tool.parameters)
                    yield Slot(f"{number}.{path}", path.split(".")[-1], given[0] if given else None, item)
                elif given is None:
                    yield Slot(f"{number}.{path}", path.split(".")[-1], None, schema)


def _open_in_items(path: str, items: Sequence[Any], schema: dict[str, Any], root: dict[str, Any]) -> Iterator[Slot]:
    """What the objects of a list leave out, where another of them, or their schema, has it as a rule."""
    inner = plain_schema(schema.get("items") or {}, root)
    for place, item in enumerate(items):
        for name, part in (inner.get("properties") or {}).items():
            if isinstance(item, dict) and name not in item:
                yield Slot(f"{path}.{place}.{name}", name, None, plain_schema(part, root) if isinstance(part, dict) else {})


def _value_at(arguments: dict[str, Any], path: str) -> Any:
    held: Any = arguments
    for part in path.split("."):
        held = held.get(part) if isinstance(held, dict) else None
    return held


def _members(request: str, places: Sequence[Slot]) -> list[Mention]:
    """Members of the enums of open places that the request says in so many words."""
    found = []
    for place in places:
        for member in place.schema.get("enum") or ():
            text = str(member)
            span = said(re.sub(r"[_\-]+", " ", text), request) if len(text) > 2 and not isinstance(member, bool) else None
            if span:
                found.append(Mention(*span, "member", value=member, path=place.path))
    return found


def _vocabulary(calls: Sequence[ToolCall], tools: Sequence[ToolSpec]) -> set[str]:
    """Words of the called tools and of their parameters: "3D scan" states no 3."""
    by_name = {tool.name: tool for tool in tools}
    text = " ".join(
        f"{tool.name} {tool.description} {' '.join(tool.properties)}" for tool in (by_name[call.name] for call in calls)
    )
    return {word for word, _, _ in words_of(text)}


def _spoken_for(mention: Mention, request: str, groundings: Sequence[Grounding]) -> bool:
    """Whether an argument has the value though it was found at another place of the request."""
    text = folded(request[mention.start : mention.end])[0].strip("\"'“”«» ")
    values = {item.value for item in mention.heard}
    for item in groundings:
        if isinstance(item.value, str) and (text in folded(item.value)[0] or folded(item.value)[0] in text):
            return True
        if item.value in values or (isinstance(item.value, int | float) and any(v == abs(item.value) for v in values)):
            return True
        if isinstance(item.value, str) and any(str(value) in item.value for value in values):
            return True
    if mention.kind == "date":  # a range of dates is one stretch with several values
        return any(isinstance(g.value, str) and str(h.value).lstrip("-") in g.value for g in groundings for h in mention.heard)
    return False


def _is_context(mention: Mention, request: str, words: set[str]) -> bool:
    """Taken back, denied, part of a tool's own name, or too small a word to be a value."""
    text = folded(request[mention.start : mention.end])[0]
    if text.strip() in SMALL_WORDS or (mention.kind != "number" and len(text) < 2):
        return True
    if mention.kind in ("name", "code") and all(any(same_word(word, other) for other in words) for word, _, _ in words_of(text)):
        return True
    around = request[max(0, mention.start - PLACES) : mention.start] + " | " + request[mention.end : mention.end + PLACES]
    return bool(CORRECTED.search(around))


def _fits(mention: Mention, place: Slot, request: str) -> bool:
    """Whether an open place could hold the mention."""
    schema = place.schema
    kind = schema.get("type")
    if mention.kind == "member":
        return place.path == mention.path
    if "enum" in schema:
        return False
    if mention.kind == "number":
        if kind in ("integer", "number"):
            wanted = units_of_parameter(place.name, schema)
            return any(_plausible(item, wanted, schema) for item in mention.heard)
        return False
    form = schema.get("format")
    told = f"{place.name} {schema.get('description') or ''}".casefold()
    if mention.kind in ("time", "date"):
        if form in ("date", "time", "date-time"):
            return form == "date-time" or form == mention.kind
        return kind == "string" and mention.kind in told or (mention.kind == "date" and bool(re.search(r"\b(day|date|when)\b", told)))
    if kind != "string" or form in ("date", "time", "date-time"):
        return False
    if form in ("email", "uri"):
        return mention.kind == "address" and ("@" in request[mention.start : mention.end]) == (form == "email")
    return True


def _plausible(item: Heard, wanted: Sequence[Any], schema: dict[str, Any]) -> bool:
    """Whether a number, in its unit, could be the value of a parameter that wants another."""
    shared = {unit[0] for unit in item.units} & {unit[0] for unit in wanted}
    if item.units and wanted and not shared:
        return False
    if wanted and not item.units and not {"share", "money"} & {unit[0] for unit in wanted}:
        return False
    low, high = schema.get("minimum"), schema.get("maximum")
    if not shared and ((low is not None and item.value < low) or (high is not None and item.value > high)):
        return False
    return schema.get("type") != "integer" or bool(shared) or item.value == int(item.value)



