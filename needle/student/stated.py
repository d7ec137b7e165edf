"""What a request says of a number or text that is being written: whether it stands there, with a unit that fits, and not used yet.

A small student that copies a value now and then runs past its end (4500000 for 450000), writes a number that nobody said, or takes the one
that another argument has already. Where an argument is open (a number, a text without listed values) each token it might write gets features from the request itself,
and ``needle.student.prior`` weighs them beside the student. Numbers in words, times and dates are heard by ``needle.tools.grounding``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import numpy as np

from needle.tools import Request, ToolSpec
from needle.tools.arguments import plain_schema
from needle.tools.grounding.hearing import Heard, hear, today_in
from needle.tools.grounding.said import folded, standing
from needle.tools.grounding.units import converted, units_of_parameter
from needle.tools.retrieval import ToolIndex, searched

FEATURES = ("said", "unit", "fresh", "asked")
"""What a token of an open value is judged by, 0 or 1: the value, as far as it is written, stands in the request; a number stands there with a unit
that the parameter wants; a number, or a text that ends here, is not yet the value of another argument of the call. The last, where the token goes
on to a further argument: log(1 + lexical score) of the parameter that has most words in common with the request."""
NUMBER = re.compile(r'"((?:[^"\\]|\\.)*)":(?:\[(?:-?[\d.]+,)*)?(-?[\d.]*)$')
"""A number that is being written, alone or in an array: its key, and the digits so far."""
KEPT = 256
"""Lists of names whose words are kept counted."""
_DIGITS = re.compile(r"-?[\d.]*")
_USED = re.compile(r'[^",:{}\[\]]+')


@lru_cache(maxsize=KEPT)
def word_index(entries: tuple[tuple[str, str], ...]) -> ToolIndex:
    """Word statistics of names and what is said of them: the parameters of a tool, the listed values of a parameter."""
    return ToolIndex([ToolSpec(name, description, {}) for name, description in entries])


def told_parameters(tool: ToolSpec) -> list[tuple[str, str]]:
    """Name and description of each parameter of a tool."""
    return [(key, str((schema.get("description") if isinstance(schema, dict) else "") or "")) for key, schema in tool.properties.items()]


class OpenValue(NamedTuple):
    """A value that is being written."""

    number: bool
    """Whether it is a number; else a text."""
    key: str
    """Its parameter."""
    schema: dict[str, Any]
    """What the parameter takes."""
    begun: str
    """What is written of it."""
    used: frozenset[str]
    """What earlier arguments of the call are, in small letters."""
    tool: ToolSpec
    """Whose parameter it is."""
    listed: bool = False
    """Whether it is an item of an array."""


def open_number(written: str, tool: ToolSpec) -> re.Match[str] | None:
    """The argument at whose number the text of a call stands: its key, and the digits so far; None where no number may be written."""
    found = NUMBER.search(written)
    return found if found is not None and _takes_numbers(tool, found[1]) else None


def _takes_numbers(tool: ToolSpec, key: str) -> bool:
    schema = plain_schema(tool.properties.get(key) or {}, tool.parameters)
    items = schema.get("items")
    kinds = schema.get("type"), items.get("type") if isinstance(items, dict) else None
    return "enum" not in schema and bool({"integer", "number"} & {kind for kind in kinds if isinstance(kind, str)})


def used_in(written: str) -> frozenset[str]:
    """The pieces that a call's text is made of so far, in small letters."""
    return frozenset(_USED.findall(folded(written)[0]))


def plain_number(value: float) -> str:
    """A number as it is written in a call; empty for one too large to be a number there."""
    try:
        value = round(float(value), 6)
        return str(int(value)) if value == int(value) else repr(value)
    except (OverflowError, ValueError):
        return ""


def _goes_on(value: OpenValue, token: str, later: dict[str, float]) -> float:
    """What is asked for most of the parameters to which a token goes on; 0 for one that does not leave the value, or ends the call."""
    rest = token[_DIGITS.match(token).end() :] if value.number else token.partition('"')[2]  # type: ignore[union-attr]
    if value.listed:
        rest = rest.removeprefix("]") if rest.startswith("]") else ""
    if not rest.startswith(","):
        return 0.0
    begun = rest[1:].lstrip('"')
    return max((asked for key, asked in later.items() if key.startswith(begun)), default=0.0)


class Stated:
    """One request, asked about tokens of open values."""

    def __init__(self, request: Request) -> None:
        self._query = searched(request.query, request.messages) + " "
        self._system = request.system
        self._numbers: dict[tuple[str, str], dict[str, bool]] = {}
        self._asked: dict[str, dict[str, float]] = {}

    @cached_property
    def _heard(self) -> tuple[Heard, ...]:
        return hear(self._query, today_in(self._system))

    @cached_property
    def _moments(self) -> tuple[str, ...]:
        """Times, dates and numbers as texts."""
        texts = (plain_number(one.value or 0) if one.kind == "number" else str(one.value) for one in self._heard if one.kind != "month")
        return tuple(text for text in texts if text)

    def numbers(self, key: str, schema: dict[str, Any]) -> dict[str, bool]:
        """The numbers that a parameter may be meant to have, as they are written, and whether their unit is one that it wants."""
        name = key, str(schema.get("description") or "")
        if name not in self._numbers:
            wanted, found = units_of_parameter(key, schema), dict[str, bool]()
            for one in self._heard:
                if one.kind == "number" and one.value is not None:
                    fits = [value for said in one.units for unit in wanted if (value := converted(one.value, said, unit)) is not None]
                    for value in fits or [one.value]:
                        if text := plain_number(abs(value)):
                            found[text] = found.get(text, False) or bool(fits)
            self._numbers[name] = found
        return self._numbers[name]

    def later(self, value: OpenValue) -> dict[str, float]:
        """How much each parameter behind the one that is written is asked for: log(1 + lexical score) of its name and description."""
        tool = value.tool
        if tool.name not in self._asked:
            texts = told_parameters(tool)
            scores = word_index(tuple(texts)).scores(self._query)
            self._asked[tool.name] = {key: math.log1p(score) for (key, _), score in zip(texts, scores, strict=True)}
        keys = list(self._asked[tool.name].items())
        return dict(keys[list(tool.properties).index(value.key) + 1 :])

    def features(self, value: OpenValue, tokens: Sequence[str]) -> np.ndarray:
        """``[N, len(FEATURES)]``: the features of the texts of ``N`` tokens that may come next."""
        judge, later = self._number if value.number else self._text, self.later(value)
        return np.array([(*judge(value, token), _goes_on(value, token, later)) for token in tokens], dtype=np.float32)

    def _number(self, value: OpenValue, token: str) -> tuple[bool, bool, bool]:
        body = _DIGITS.match(token)[0]  # type: ignore[index]  # it matches nothing as well
        ends = len(body) < len(token)
        written = (value.begun + body).lstrip("-")
        known = self.numbers(value.key, value.schema)
        hits = [text for text in known if (text == written if ends else text.startswith(written))]
        return bool(hits), any(known[text] for text in hits), any(text not in value.used for text in hits)

    def _text(self, value: OpenValue, token: str) -> tuple[bool, bool, bool]:
        body, ends, _ = token.partition('"')
        written = folded(value.begun + body)[0].lstrip()
        if not written:
            return not ends, False, False
        said = standing(self._folded, written, ends=bool(ends)) >= 0 or any(
            text == written if ends else text.startswith(written) for text in self._moments
        )
        return said, False, said and bool(ends) and written.strip() not in value.used

    @cached_property
    def _folded(self) -> str:
        return folded(self._query)[0]
