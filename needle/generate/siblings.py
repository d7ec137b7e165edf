"""Tools that are easily mistaken for one another: hard negatives, found by name, description and parameters.

siblings(tool, tools)        # [Sibling("delete_alarm", "verb", 0.59), ...], nearest first
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from needle.teacher.embedded.lexicon import VERBS
from needle.tools.likeness import NEAR, TWIN, alike, telling_words
from needle.tools.spec import ToolSpec


@dataclass(frozen=True)
class Sibling:
    """A look-alike of a tool."""

    name: str
    """Its name."""
    how: str
    """``verb`` (same object, other verb), ``object`` (same verb, other object), ``parameters`` or ``wording``."""
    score: float
    """Likeness, 0 to 1."""


def siblings(tool: ToolSpec, tools: Sequence[ToolSpec]) -> list[Sibling]:
    """Look-alikes among ``tools``, nearest first; twins, which might do the same, are none."""
    found = []
    for other in tools:
        if other.name == tool.name or alike(tool, other) >= TWIN:
            continue
        score, how = alike(tool, other), ""
        (verb, things), (its_verb, its_things) = _parts(tool), _parts(other)
        if things and things & its_things and verb != its_verb:
            how = "verb"
        elif verb and verb == its_verb:
            how = "object"
        elif _parameters_alike(tool, other) >= 0.6:
            how = "parameters"
        elif score >= NEAR:
            how = "wording"
        if how:
            found.append(Sibling(other.name, how, round(max(score, 0.5 * _parameters_alike(tool, other)), 4)))
    return sorted(found, key=lambda item: (-item.score, item.name))


def twins(tool: ToolSpec, tools: Sequence[ToolSpec]) -> list[str]:
    """Names of other tools that might do what this one does."""
    return [other.name for other in tools if other.name != tool.name and alike(tool, other) >= TWIN]


def _parts(tool: ToolSpec) -> tuple[str, frozenset[str]]:
    """Verb and object words of a name."""
    words = re.findall(r"[a-z]+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])|_", " ", tool.name).lower())
    verb = next((word for word in words if word in VERBS), "")
    return verb, telling_words(" ".join(word for word in words if word != verb))


def _parameters_alike(one: ToolSpec, other: ToolSpec) -> float:
    a, b = set(one.properties), set(other.properties)
    return len(a & b) / len(a | b) if len(a) > 1 and len(b) > 1 else 0.0
