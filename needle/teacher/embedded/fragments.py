"""One value with the words around it: "in the kitchen", "to 40 percent", "saying i'm late", "on shuffle"."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from needle.teacher.embedded.lexicon import ABBREVIATIONS, CONTEXTS, FIRM, FLAGS, TARGETS
from needle.teacher.embedded.namings import NAMINGS
from needle.teacher.embedded.patterns import TIME_UNITS
from needle.teacher.embedded.text import kin, stem, words
from needle.teacher.embedded.values import ValueBank, surfaces
from needle.tools.arguments import schema_at, value_class
from needle.tools.spec import ToolSpec

PREPOSITIONS = frozenset(
    (
        "in at on to for from with by as until till per into onto about called named titled labelled saying that under"
    ).split()
)
NUMERIC = frozenset("to at for of by after with under over until in".split())
"""Words that may introduce a number."""
SPEECH = frozenset({"message", "text", "body", "content", "announcement", "note"})
"""Arguments that hold somebody's words: they come last, or in quotation marks."""


@dataclass(frozen=True)
class Fragment:
    """A value in words."""

    text: str
    """Introducing words, value, unit."""
    speech: bool = False
    """The value is somebody's words and runs to the end of the fragment."""
    open_end: bool = False
    """Ends in free text, to which any following word would seem to belong."""


def surface(tool: ToolSpec, path: str, value: Any, rng: random.Random) -> str | None:
    """A way of saying a value, the usual ones more often; None when there is none."""
    forms = surfaces(value, schema_at(tool.parameters, path), tool.parameters)
    return forms[int(len(forms) * rng.random() ** 1.5)] if forms else None


def is_speech(tool: ToolSpec, path: str) -> bool:
    """Whether an argument holds somebody's words."""
    return bool(SPEECH & set(words(path)[-1:])) and value_class(schema_at(tool.parameters, path)) == "text"


def ends_open(tool: ToolSpec, path: str) -> bool:
    """Whether a value of this argument is free text."""
    schema = schema_at(tool.parameters, path)
    return value_class(schema.get("items") or schema) == "text" and "enum" not in (schema.get("items") or schema)


def pair_units(tool: ToolSpec, arguments: Mapping[str, Any]) -> dict[str, str]:
    """Numbers that have their unit in a neighbouring argument: path of the number to path of the unit (``amount``
    and ``unit``)."""
    pairs = {}
    for path in arguments:
        parent, _, last = path.rpartition(".")
        if last in ("unit", "units") and value_class(schema_at(tool.parameters, path)) == "enum":
            near = [
                other
                for other in arguments
                if other.rpartition(".")[0] == parent and value_class(schema_at(tool.parameters, other)) == "number"
            ]
            if len(near) == 1:
                pairs[near[0]] = path
    return pairs


def fragment(
    tool: ToolSpec, path: str, value: Any, unit: str, values: ValueBank, rng: random.Random
) -> Fragment | None:
    """A value with the words around it, or None when it cannot be worded.

    Args:
        tool: the tool.
        path: the argument.
        value: its value.
        unit: the unit in words, where a neighbouring argument gives one; else empty.
        values: for the contexts that the traces teach.
        rng: the only source of variety.
    """
    schema = schema_at(tool.parameters, path)
    name = " ".join(ABBREVIATIONS.get(word, word) for word in words(path.rpartition(".")[2]))
    if isinstance(value, bool):
        yes, no = FLAGS.get(name, (f"with {name}", f"without {name}"))
        return Fragment(yes if value else no)
    said = surface(tool, path, value, rng)
    if said is None:
        return None
    if unit:
        parent = path.rpartition(".")[0] or path
        before = rng.choice(CONTEXTS.get(stem(words(parent)[-1]), (("for ", ""), ("of ", ""))))[0]
        return Fragment(f"{before}{said} {unit.removesuffix('s') if value == 1 else unit}")
    if is_speech(tool, path) and rng.random() < 0.25:
        return Fragment(f'{rng.choice(("saying ", "that says ", "with the words "))}"{said}"', speech=True)
    before, after = _context(path, schema, value, values.contexts(tool, path), rng)
    if before is None:
        if value_class(schema) in ("enum", "text") and name not in said:
            return Fragment(rng.choice((f"with {said} {name}", f"with {name} {said}", f"with the {name} {said}")))
        return Fragment(rng.choice((f"with {name} {said}", f"with the {name} {said}", f"and {name} {said}")))
    if said in ("all", "everywhere") and kin(path) & TARGETS:
        return Fragment("everywhere")
    if re.search(r"\b(the|my|a) $", before) and re.match(r"(the|my|a|an|our|\d)\b", said):
        before = re.sub(r"(the|my|a) $", "", before)
    if after and after.strip() in said:
        after = ""
    return Fragment(f"{before}{said}{after}", is_speech(tool, path), ends_open(tool, path) and not after)


def _context(
    path: str, schema: dict[str, Any], value: Any, learnt: list[tuple[str, str]], rng: random.Random
) -> tuple[str | None, str]:
    """Words before and after a value: learnt where the traces say enough, else by the parameter's name."""
    own = words(path.removesuffix(".name"))  # the name of a place is said as a place
    keys = [stem(word) for word in reversed(own)] + [schema.get("format") or ""]
    if schema.get("type") == "array" and "day" in keys:
        keys.insert(0, "day_array")
    number = isinstance(value, (int, float))
    for named in ("_".join(own[-3:]), "_".join(own[-2:]), own[-1] if own else ""):
        if named in NAMINGS and rng.random() < 0.85:
            return rng.choice(NAMINGS[named])
    firm = next((key for key in keys if key in FIRM), None)
    if firm is None and not _is_enum(schema):
        counts = Counter(
            (before, after) for before, after in learnt
            if before.split()[0] in (NUMERIC if number else PREPOSITIONS)
            and not before.endswith(("a ", "an "))
            and bool(after) <= number
        )  # fmt: skip
        most = max(counts.values(), default=0)
        usual = [pair for pair, count in sorted(counts.items()) if count >= max(2, 0.4 * most)]
        unit = next((word for word in words(path) if stem(word) in TIME_UNITS), "") if number else ""
        if usual and sum(counts.values()) >= 5:
            before, after = rng.choices(usual, [counts[pair] for pair in usual])[0]
            if isinstance(value, str) and value[:1].islower() and (before + "the ", "") in counts:
                before += "the "  # "in Ghent", but "in the kitchen"
            return before, f" {unit}" if unit and not after else after
    for key in [firm, *keys]:
        if key in CONTEXTS:
            return rng.choice(CONTEXTS[key])
    return None, ""


def _is_enum(schema: dict[str, Any]) -> bool:
    return "enum" in schema or "enum" in (schema.get("items") or {})
