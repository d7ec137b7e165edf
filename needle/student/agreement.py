"""How well a whole answer fits its request: words that nothing in it accounts for, values that nobody said, words that are used twice.

A student writes from left to right and cannot see where a wrong first value leads: "unlock W9W9 with promo RIDE5" begun with ``RIDE5`` as the
code leaves ``W9W9`` for the promo, or over. Seen as a whole such an answer gives itself away. These are the features beside its
log-probability by which ``needle.student.prior`` weighs several answers (reranking of the n best: Collins, 2000, "Discriminative Reranking for
Natural Language Parsing").
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from needle.student.leaning import listed_texts, value_scores
from needle.tools import Request, ToolCall
from needle.tools.grounding.ground import Slot, find_value, slots
from needle.tools.grounding.hearing import hear, today_in
from needle.tools.grounding.said import STOP
from needle.tools.grounding.units import converted, units_of_parameter
from needle.tools.retrieval import ToolIndex, searched

FEATURES = ("none", "left", "left_share", "unsaid", "unsaid_truth", "shared", "shared_beside", "again", "unit", "listed")
"""Numbers of an answer: ``none`` 1 for no call; ``left`` words of the request that no value was made from and that no called tool has, and
``left_share`` their share; ``unsaid`` values that the request does not say, ``unsaid_truth`` truth values that no word of it tells; ``shared``
values made from words of another value of their call, ``shared_beside`` of another call of the same tool; ``again`` calls that were made before;
``unit`` numbers said with a unit that their parameter wants; ``listed`` listed values that have a word in common with the request."""
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

    def shares(self, other: _Found) -> bool:
        """Whether two values are made of the same words: the same value twice, or texts that overlap. (Amount and unit, or two ends of a range, are not.)"""
        return self.start < other.end and other.start < self.end and (self.value == other.value or (self.literal and other.literal))


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
        return np.array([counts[name] for name in FEATURES], dtype=np.float32)

    def _count(self, slot: Slot, calls: Sequence[ToolCall], found: list[_Found], counts: dict[str, float]) -> None:
        """Add what one value says; where it comes from is put into ``found``."""
        number = int(slot.path.partition(".")[0])
        tool = calls[number].name
        how, span = self._look(slot)
        if span is not None:
            mine = _Found(*span, number, tool, str(slot.value).casefold(), how == "said")
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

    def _accounted(self, word: tuple[int, int, Sequence[float]], found: Sequence[_Found], named: set[int]) -> bool:
        """Whether a value was made from a word, or a called tool has it."""
        start, end, scores = word
        return any(one.start < end and start < one.end for one in found) or any(scores[place] > 0 for place in named)
