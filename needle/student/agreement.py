"""How well a whole answer fits its request: words that nothing in it accounts for, values that nobody said, words that are used twice.

A student writes from left to right and cannot see where a wrong first value leads: "unlock W9W9 with promo RIDE5" begun with ``RIDE5`` as the
code leaves ``W9W9`` for the promo, or over. Seen as a whole such an answer gives itself away. These are the features beside its
log-probability by which ``needle.student.prior`` weighs several answers (reranking of the n best: Collins, 2000, "Discriminative Reranking for
Natural Language Parsing").
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from needle.student.leaning import listed_texts, value_scores
from needle.student.stated import told_parameters
from needle.tools import Request, ToolCall
from needle.tools.grounding.ground import Slot, find_value, slots
from needle.tools.grounding.hearing import hear, today_in
from needle.tools.grounding.said import STOP
from needle.tools.grounding.units import converted, units_of_parameter
from needle.tools.retrieval import ToolIndex, searched, terms

FEATURES = ("none", "left", "left_share", "unsaid", "unsaid_truth", "shared", "shared_beside", "again", "unit", "listed", "beside", "disorder", "uneven")
"""Numbers of an answer: ``none`` 1 for no call; ``left`` words of the request that no value was made from and that no called tool has, and
``left_share`` their share; ``unsaid`` values that the request does not say, ``unsaid_truth`` truth values that no word of it tells; ``shared``
values made from words of another value of their call, ``shared_beside`` of another call of the same tool; ``again`` calls that were made before;
``unit`` numbers said with a unit that their parameter wants; ``listed`` listed values that have a word in common with the request; ``beside``
how near the values stand to words of their parameters; ``disorder`` calls whose values begin before those of the call before; ``uneven`` calls
with other arguments than the first call of their tool."""
NEAR = 12.0
"""Characters between a value and a word of its parameter after which the word counts 1/e; each value between them halves it."""
DESCRIBED = 0.5
"""What a word of a parameter's description counts beside one of its name."""
_WORD = re.compile(r"[^\W_]+")


class _Found(NamedTuple):
    """Where a value comes from."""

    start: int
    end: int
    call: int
    """Its place among the calls."""
    tool: str
    value: str
    literal: bool
    """Whether it stands there letter for letter."""
    slot: Slot

    def touches(self, start: int, end: int) -> bool:
        """Whether it has a character of a stretch of the request."""
        return self.start < end and start < self.end

    def shares(self, other: _Found) -> bool:
        """Whether two values are made of the same words: the same value twice, or texts that overlap. (Amount and unit, or two ends of a range, are not.)"""
        return self.touches(other.start, other.end) and (self.value == other.value or (self.literal and other.literal))


class Agreement:
    """One request, asked how several answers fit it. What was looked up once is kept."""

    def __init__(self, request: Request, index: ToolIndex) -> None:
        """``index``: word statistics of the tools of the request."""
        self.tools = request.tools
        """Those of the request."""
        self._tools = {tool.name: tool for tool in request.tools}
        self._query, self._today = request.query, today_in(request.system)
        self._text = searched(request.query, request.messages)
        self._facts = " ".join(filter(None, [request.system, *(str(turn.get("content") or "") for turn in request.messages)]))
        words = [match for match in _WORD.finditer(self._query) if match[0].lower() not in STOP]
        self._words = [(match.start(), match.end(), index.scores(match[0])) for match in words]
        self._units = [one for one in hear(self._query, self._today) if one.kind == "number" and one.units]
        self._places = {name: place for place, name in enumerate(self._tools)}
        self._looked: dict[tuple[str, ...], tuple[str, tuple[int, int] | None]] = {}
        self._stems = [(match.start(), match.end(), _stems(match[0])) for match in _WORD.finditer(self._query)]
        self._worth: dict[tuple[str, str, str], dict[str, float]] = {}

    def features(self, calls: Sequence[ToolCall]) -> np.ndarray:
        """``[len(FEATURES)]`` of an answer whose calls are among the tools."""
        found: list[_Found] = []
        counts = dict.fromkeys(FEATURES, 0.0)
        for slot in slots(calls, self.tools):
            self._count(slot, calls, found, counts)
        named = {self._places[call.name] for call in calls}
        left = sum(not self._accounted(word, found, named) for word in self._words)
        counts |= {"none": float(not calls), "left": left, "left_share": left / max(len(self._words), 1)}
        counts["again"] = sum(call in calls[:number] for number, call in enumerate(calls))
        counts["beside"] = sum(self._beside(one, found) for one in found if not isinstance(one.slot.value, bool))
        counts |= {"disorder": _disorder(found), "uneven": _uneven(calls)}
        return np.array([counts[name] for name in FEATURES], dtype=np.float32)

    def _count(self, slot: Slot, calls: Sequence[ToolCall], found: list[_Found], counts: dict[str, float]) -> None:
        """Add what one value says; where it comes from is put into ``found``."""
        number = int(slot.path.partition(".")[0])
        tool = calls[number].name
        how, span = self._look(slot)
        if span is not None:
            mine = _Found(*span, number, tool, str(slot.value).casefold(), how == "said", slot)
            if any(map(mine.shares, found)) and (elsewhere := self._elsewhere(slot, found)):
                mine = mine._replace(start=elsewhere[0], end=elsewhere[1])
            others = [one for one in found if mine.shares(one)]
            counts["shared"] += any(one.call == number for one in others)
            counts["shared_beside"] += any(one.call != number and one.tool == tool for one in others)
            found.append(mine)
        if isinstance(slot.value, bool):
            counts["unsaid_truth"] += span is None
            return
        counts["unsaid"] += not how
        if isinstance(slot.value, str):
            counts["listed"] += self._listed(slot, tool)
        elif span is not None:
            counts["unit"] += self._has_unit(slot, span)

    def _look(self, slot: Slot) -> tuple[str, tuple[int, int] | None]:
        """How the request or its facts say a value, and where the request does."""
        key = slot.name, repr(slot.value), repr(slot.schema)
        if key not in self._looked:
            how, span = find_value(slot, self._query, self._today)
            if not how and self._facts:
                how = find_value(slot, self._facts, self._today)[0]
            self._looked[key] = how, span
        return self._looked[key]

    def _elsewhere(self, slot: Slot, found: Sequence[_Found]) -> tuple[int, int] | None:
        """Where the request says a value beside the places of others ("2 rooms for 2 people")."""
        text = self._query
        for one in found:
            text = text[: one.start] + "\0" * (one.end - one.start) + text[one.end :]
        how, span = find_value(slot, text, self._today)
        return span if how in ("said", "normalised") else None

    def _listed(self, slot: Slot, tool: str) -> bool:
        key = slot.place[0] if slot.place else slot.name
        values = listed_texts(self._tools[tool].properties.get(str(key)))
        if len(values) < 2 or slot.value not in values:
            return False
        return value_scores(values, self._text)[values.index(slot.value)] > 0

    def _has_unit(self, slot: Slot, span: tuple[int, int]) -> bool:
        wanted = units_of_parameter(slot.name, slot.schema)
        said = [one for one in self._units if one.start < span[1] and span[0] < one.end]
        return any(converted(one.value, unit, want) is not None for one in said for unit in one.units for want in wanted)

    def _beside(self, one: _Found, found: Sequence[_Found]) -> float:
        """What the word of its parameter counts that stands nearest to a value; 0 where none is said."""
        worth, best = self._worth_of(one), 0.0
        for start, end, stems in self._stems:
            if one.touches(start, end) or not (mine := max((worth.get(stem, 0.0) for stem in stems), default=0.0)):
                continue
            first, last = (end, one.start) if end <= one.start else (one.end, start)
            between = sum(first <= other.start and other.end <= last for other in found if other is not one)
            best = max(best, mine * math.exp((first - last) / NEAR) * 0.5**between)
        return best

    def _worth_of(self, one: _Found) -> dict[str, float]:
        """What each stem of a value's parameter counts: less where other parameters of the tool have it too."""
        key = one.tool, one.slot.name, str(one.slot.schema.get("description") or "")
        if key not in self._worth:
            holders = Counter(stem for name, text in told_parameters(self._tools[one.tool]) for stem in {*_stems(name), *_stems(text)})
            described = {stem: DESCRIBED / max(holders[stem], 1) for stem in _stems(key[2])}
            self._worth[key] = described | {stem: 1 / holders[stem] if holders[stem] else DESCRIBED for stem in _stems(key[1])}
        return self._worth[key]

    def _accounted(self, word: tuple[int, int, Sequence[float]], found: Sequence[_Found], named: set[int]) -> bool:
        """Whether a value was made from a word, or a called tool has it."""
        start, end, scores = word
        return any(one.touches(start, end) for one in found) or any(scores[place] > 0 for place in named)


def _stems(text: str) -> frozenset[str]:
    return frozenset(term for term, _ in terms(text) if term[0] != "~")


def _disorder(found: Sequence[_Found]) -> int:
    """Calls that begin, by where their values stand, before the one before them."""
    begins: dict[int, int] = {}
    for one in found:
        begins[one.call] = min(one.start, begins.get(one.call, one.start))
    return sum(later < earlier for earlier, later in pairwise(begins[call] for call in sorted(begins)))


def _uneven(calls: Sequence[ToolCall]) -> int:
    """Calls with other arguments than the first of their tool: what is asked for several things at once is mostly asked alike."""
    first: dict[str, set[str]] = {}
    return sum(first.setdefault(call.name, set(call.arguments)) != set(call.arguments) for call in calls)
