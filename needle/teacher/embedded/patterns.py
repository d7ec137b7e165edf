"""Patterns: recorded requests with their argument values cut out, carried over to a tool that is alike.

"living room to 21.5" with ``{"room": "living room", "temp_c": 21.5}`` becomes ``{room} to {temp_c}``, and says for
another thermostat "office to 19". A pattern is kept only when every argument of the recorded call is accounted for
and nothing that is left in it belongs to the old toolset alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from needle.teacher.embedded.bank import Bank, BankTool, tool_tokens
from needle.teacher.embedded.lexicon import ASKING, ENDING, MAKING, VERBS
from needle.teacher.embedded.text import UNIT, content, kin, locate, stem, words
from needle.tools.arguments import flat_arguments, schema_at, value_class
from needle.tools.grounding.wording import readings
from needle.tools.likeness import OPPOSITES
from needle.tools.spec import ToolSpec

NEAREST = 40
FLOOR = 0.42
"""Recorded tools below this similarity lend no phrasing."""
COMMON = 130
"""A word that occurs in requests of so many toolsets belongs to none of them."""
MAX_WORDS = 16
ON_OFF = frozenset({"on", "enabled", "enable", "power", "active", "state", "activate"})
TIME_UNITS = frozenset(
    {"second", "sec", "minute", "min", "hour", "day", "week", "month", "year", "percent", "degree", "night", "km", "kg"}
)
"""Words that say in what a number is measured."""
TAKEN_BACK = frozenset(
    {"actually", "sorry", "mean", "rather", "wait", "instead", "unless", "except", "but", "again", "same"}
)


@dataclass(frozen=True)
class Pattern:
    """A request with slots."""

    parts: tuple[str, ...]
    """Text before, between and after the slots; one more than there are slots."""
    slots: tuple[str, ...]
    """Argument paths of the wanted tool, in order of mention."""
    fixed: dict[str, Any] = field(hash=False)
    """Arguments that the wording itself settles (a boolean, an enum member)."""
    score: float = 0.0
    """Similarity of the tool that it came from."""

    def fill(self, surface: dict[str, str]) -> str:
        """The request with a surface form for each slot."""
        text = self.parts[0]
        for slot, after in zip(self.slots, self.parts[1:], strict=True):
            form = surface[slot]
            if text.lower().endswith("the ") and form.lower().startswith("the "):
                form = form[4:]
            text += form + after
        return text


def patterns_for(tool: ToolSpec, bank: Bank, leaves: list[str]) -> list[Pattern]:
    """Patterns for a tool, nearest first, each wording once.

    Args:
        tool: the wanted tool.
        bank: recorded traces.
        leaves: argument paths of the wanted tool that a request may mention.
    """
    tokens = tool_tokens(tool.name, tool.description)
    vocabulary = set(tokens) | {
        word
        for path in leaves
        for word in content(path) + content(schema_at(tool.parameters, path).get("description", ""))
    }
    found: dict[tuple[str, ...], Pattern] = {}
    for score, source in bank.similar(tokens, NEAREST, FLOOR):
        if _opposed(set(words(tool.name)), set(words(source.name))) or purpose(words(tool.name)) != purpose(
            words(source.name)
        ):
            continue
        for request, arguments in source.examples:
            pattern = _carry_over(tool, leaves, source, request, arguments, score)
            if pattern and _at_home(pattern, vocabulary, tool, bank):
                found.setdefault(tuple(part.lower() for part in pattern.parts), pattern)
    return list(found.values())


def _carry_over(
    tool: ToolSpec, leaves: list[str], source: BankTool, request: str, arguments: dict[str, Any], score: float
) -> Pattern | None:
    spans: list[tuple[int, int, str]] = []
    fixed: dict[str, Any] = {}
    for path, value in flat_arguments(arguments):
        target = _counterpart(tool, leaves, source, path, value, score)
        if target is None or target in fixed or any(target == slot for _, _, slot in spans):
            return None
        schema = schema_at(source.parameters, path)
        span = locate(value, schema, request)
        if span is None:
            if not _same_meaning(schema_at(tool.parameters, target), value, path, target):
                return None
            fixed[target] = value
        else:
            spans.append((*span, target))
    spans.sort()
    if any(first[1] > second[0] for first, second in zip(spans, spans[1:])):
        return None
    edges = [0, *(edge for start, end, _ in spans for edge in (start, end)), len(request)]
    parts = tuple(request[start:end] for start, end in zip(edges[::2], edges[1::2]))
    return Pattern(parts, tuple(slot for _, _, slot in spans), fixed, score)


def _counterpart(
    tool: ToolSpec, leaves: list[str], source: BankTool, path: str, value: Any, score: float
) -> str | None:
    """The wanted tool's argument that means the same, or None."""
    schema = schema_at(source.parameters, path)
    kind = value_class(schema, value)
    own, best = kin(path), (0.0, "")
    alike = [leaf for leaf in leaves if value_class(schema_at(tool.parameters, leaf)) == kind]
    for leaf in alike:
        theirs = kin(leaf)
        exact = set(words(path)) == set(words(leaf))
        shared = 1.0 if exact else 0.5 * bool(own & theirs)
        described = set(content(schema_at(tool.parameters, leaf).get("description", "")))
        best = max(best, (shared + 0.3 * bool(own & described), leaf))
    if best[0] >= 0.3:
        return best[1]
    rivals = [
        other
        for other in source.parameters.get("properties") or {}
        if value_class(schema_at(source.parameters, other)) == kind
    ]
    return alike[0] if len(alike) == 1 and len(rivals) == 1 and score >= 0.6 and kind != "boolean" else None


def _same_meaning(schema: dict[str, Any], value: Any, path: str, target: str) -> bool:
    """Whether an argument that no words show may be kept as it is: same members, or both on and off."""
    if isinstance(value, bool):
        same = words(path)[-1:] == words(target)[-1:]
        return schema.get("type") == "boolean" and (
            same or bool(ON_OFF & set(words(path)) and ON_OFF & set(words(target)))
        )
    return value in (schema.get("enum") or ())


def _at_home(pattern: Pattern, vocabulary: set[str], tool: ToolSpec, bank: Bank) -> bool:
    """Whether the words that are left fit the wanted tool: none of the old toolset's own, no stray number, no
    opposite."""
    rest = " ".join(pattern.parts)
    left = set(words(rest))
    if not left or len(rest.split()) > MAX_WORDS or readings(rest) or left & TAKEN_BACK or "\n" in rest:
        return False
    name = set(words(tool.name))
    if _opposed(name, left) or ("off" in left and "off" not in name and not pattern.fixed):
        return False
    if {stem(word) for word in left} & TIME_UNITS - vocabulary:
        return False
    aim = purpose(words(tool.name))
    if "no" in left or (aim != "ask" and left & ASKING) or (aim == "make" and left & ENDING):
        return False
    strange = [
        word for word in content(rest) if word not in vocabulary and word not in VERBS and bank.spread[word] < COMMON
    ]
    # a wording without any word of the tool is kept only where its slots carry the meaning
    return not strange and (
        bool(set(content(rest)) & vocabulary - UNIT) or (len(pattern.slots) >= 2 and pattern.score > 0.6)
    )


def purpose(name: Sequence[str]) -> str:
    """Whether a tool makes, ends or asks something, by the first telling word of its name; empty when none tells."""
    for word in name:
        for group, members in (("end", ENDING), ("ask", ASKING), ("make", MAKING)):
            if word in members:
                return group
    return ""


def _opposed(wanted: set[str], given: set[str]) -> bool:
    for one, other in OPPOSITES:
        for mine, theirs in ((one, other), (other, one)):
            if mine in wanted and theirs in given and mine not in given and theirs not in wanted:
                return True
    return False
