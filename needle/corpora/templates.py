"""Sentence templates of Home Assistant, one random sentence at a time.

``[x]`` may be left out, ``(a|b)`` chooses, ``(a;b)`` takes all in any order, ``<rule>`` stands for another template, ``{list}`` or
``{list:slot}`` for a value of a list, which is what a call carries.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from typing import Any

_PIECE = re.compile(r"\{([\w]+)(?::([\w]+))?\}|<([\w]+)>|([\[(])|([^\[\](){}<>|;]+)|(.)")
DEPTH = 14
"""Templates within templates before a sentence is given up."""


class Unsayable(Exception):
    """The template names a rule or list that is not known."""


class Sampler:
    """Draws sentences. ``rules``: template by name; ``value(list, rng)``: (words, value) for a list."""

    def __init__(self, rules: Mapping[str, str], value: Callable[[str, random.Random], tuple[str, Any]]) -> None:
        self.rules, self.value = rules, value

    def draw(self, template: str, rng: random.Random, rules: Mapping[str, str] | None = None) -> tuple[str, dict[str, Any]]:
        """(sentence, slot -> value). Raises ``Unsayable`` for what is not known, and when a slot would be filled twice."""
        slots: dict[str, Any] = {}
        text = self._expand(template, rng, {**self.rules, **(rules or {})}, slots, 0)
        text = re.sub(r"\b(the|my|our|all) (the|my|our)\b", r"\2", re.sub(r"\s+", " ", text))
        return text.strip(), slots

    def _expand(self, template: str, rng: random.Random, rules: Mapping[str, str], slots: dict[str, Any], depth: int) -> str:
        if depth > DEPTH:
            raise Unsayable("too deep")
        options = _split(template, "|")
        if len(options) > 1:
            return self._expand(rng.choice(options), rng, rules, slots, depth + 1)
        parts = _split(template, ";")
        if len(parts) > 1:
            return " ".join(self._expand(part, rng, rules, slots, depth + 1) for part in rng.sample(parts, len(parts)))
        out, place = "", 0
        while place < len(template):
            piece = _PIECE.match(template, place)
            assert piece is not None
            name, slot, rule, opening, literal, _ = piece.groups()
            place = piece.end()
            if opening:
                end = _closing(template, piece.start())
                if opening == "(" or rng.random() < 0.5:
                    out += self._expand(template[place:end], rng, rules, slots, depth + 1)
                place = end + 1
            elif rule:
                if rule not in rules:
                    raise Unsayable(f"no rule {rule}")
                out += self._expand(rules[rule], rng, rules, slots, depth + 1)
            elif name:
                words, value = self.value(name, rng)
                if (slot or name) in slots:
                    raise Unsayable("a slot twice")
                slots[slot or name] = value
                out += words
            elif literal:
                out += literal
        return out


def _split(template: str, mark: str) -> list[str]:
    parts, depth, start = [], 0, 0
    for place, char in enumerate(template):
        depth += (char in "[({<") - (char in "])}>")
        if char == mark and depth == 0:
            parts.append(template[start:place])
            start = place + 1
    return [*parts, template[start:]]


def _closing(template: str, start: int) -> int:
    depth = 0
    for place in range(start, len(template)):
        depth += (template[place] in "[(") - (template[place] in "])")
        if depth == 0:
            return place
    raise Unsayable("bracket left open")
