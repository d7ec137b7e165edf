"""What makes a toolset hard to call, found before any money is spent on it.

for finding in lint_tools(load_toolset("tools.json")):
    print(finding.severity, finding.code, finding.message)
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import combinations
from typing import Any

from needle.tools.close import IN_PLACE, IN_PLACE_LISTS, map_schema
from needle.tools.spec import ToolSpec

SEVERITIES = ("error", "warning", "info")

NAME_ALIKE = 0.85
"""Share of characters that two names have in common, in order, from which they are called look-alikes."""
WORD_ALIKE = 0.8
"""As ``NAME_ALIKE``, for the one word in which two names differ; up to here the difference is plain."""
TEXT_ALIKE = 0.8
"""Share of words that two descriptions have in common from which they are called look-alikes."""


@dataclass(frozen=True)
class Finding:
    """One thing to mend, or to know."""

    severity: str
    """``error`` (calls cannot be right), ``warning`` (calls will often be wrong) or ``info``."""
    code: str
    """Stable name of the kind of finding."""
    tools: tuple[str, ...]
    """Names of the tools concerned."""
    message: str
    """What is wrong and what to do, in words."""


def lint_tools(tools: Sequence[ToolSpec]) -> list[Finding]:
    """All findings, errors first, otherwise in the order of the tools.

    Codes: ``duplicate_name``, ``required_not_property`` (errors); ``missing_description``, ``look_alike_name``,
    ``look_alike_description``, ``untyped_parameter``, ``enum_of_one`` (warnings); ``same_parameters``,
    ``undescribed_parameter`` (info).
    """
    found = [finding for tool in tools for finding in _one_tool(tool)]
    found += [finding for a, b in combinations(tools, 2) for finding in _pair(a, b)]
    return sorted(found, key=lambda finding: SEVERITIES.index(finding.severity))


def _one_tool(tool: ToolSpec) -> Iterator[Finding]:
    if not tool.description.strip():
        yield Finding(
            "warning",
            "missing_description",
            (tool.name,),
            f"{tool.name} has no description; say in a sentence what it does",
        )
    for path, schema in _objects(tool.parameters, ""):
        composed = any(key in schema for key in (*IN_PLACE_LISTS, *IN_PLACE, "$ref", "patternProperties"))
        for key in schema.get("required") or ():
            if key not in (schema.get("properties") or {}) and not composed:
                message = (
                    f"{tool.name}: {_join(path, key)} is required but is no property; add it or drop it from required"
                )
                yield Finding("error", "required_not_property", (tool.name,), message)
        for key, value in (schema.get("properties") or {}).items():
            yield from _parameter(tool.name, _join(path, key), value)


def _parameter(tool: str, path: str, schema: Any) -> Iterator[Finding]:
    if not isinstance(schema, dict) or not any(
        key in schema for key in ("type", "enum", "const", "$ref", *IN_PLACE_LISTS)
    ):
        yield Finding(
            "warning", "untyped_parameter", (tool,), f"{tool}: {path} has no type, so any value passes; give it one"
        )
    if isinstance(schema, dict) and len(schema.get("enum") or ()) == 1:
        yield Finding(
            "warning",
            "enum_of_one",
            (tool,),
            f"{tool}: {path} can only be {schema['enum'][0]!r}; drop the parameter or add values",
        )
    if isinstance(schema, dict) and not schema.get("description") and not schema.get("enum"):
        yield Finding("info", "undescribed_parameter", (tool,), f"{tool}: {path} has no description")


def _pair(a: ToolSpec, b: ToolSpec) -> Iterator[Finding]:
    names = (a.name, b.name)
    if a.name == b.name:
        yield Finding("error", "duplicate_name", names, f"two tools are called {a.name}; rename or remove one")
        return
    if SequenceMatcher(None, _flat(a.name), _flat(b.name), autojunk=False).ratio() >= NAME_ALIKE and not _opposites(
        a.name, b.name
    ):
        yield Finding(
            "warning",
            "look_alike_name",
            names,
            f"{a.name} and {b.name} are nearly the same name; rename one by what it does differently",
        )
    if _overlap(a.description, b.description) >= TEXT_ALIKE:
        yield Finding(
            "warning",
            "look_alike_description",
            names,
            f"{a.name} and {b.name} are described alike; say when to use which",
        )
    if a.properties and _bare(a.properties) == _bare(b.properties):
        yield Finding(
            "info",
            "same_parameters",
            names,
            f"{a.name} and {b.name} take the same parameters; consider one tool with a choice",
        )


def _objects(schema: Any, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object schema below ``schema`` with the path of the parameter that holds it."""
    if not isinstance(schema, dict):
        return
    yield path, schema
    for key, value in (schema.get("properties") or {}).items():
        yield from _objects(value, _join(path, key))
    if isinstance(schema.get("items"), dict):
        yield from _objects(schema["items"], _join(path, "[]"))
    for name, definition in (schema.get("$defs") or {}).items():
        yield from _objects(definition, name)
    for key in IN_PLACE_LISTS:
        # Branches say part of what the whole says; only their nested objects are looked at.
        for branch in schema.get(key) or ():
            yield from list(_objects(branch, path))[1:]


def _bare(properties: dict[str, Any]) -> str:
    """Parameters without their descriptions, as comparable text."""

    def strip(schema: Any, _: bool = False) -> Any:
        if not isinstance(schema, dict):
            return schema
        return {
            key: value
            for key, value in map_schema(schema, strip).items()
            if key not in ("description", "title", "default", "examples")
        }

    return json.dumps({name: strip(value) for name, value in properties.items()}, sort_keys=True)


def _flat(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).casefold()


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text).casefold().replace("_", " "))


def _opposites(a: str, b: str) -> bool:
    """Names that differ in one plainly different word of several (``lock_door``, ``unlock_door``) say what differs."""
    one, two = _words(a), _words(b)
    if len(one) != len(two) or len(one) < 2:
        return False
    differing = [(x, y) for x, y in zip(one, two, strict=True) if x.rstrip("s") != y.rstrip("s")]
    if len(differing) != 1:
        return False
    x, y = differing[0]
    return x.endswith(y) or y.endswith(x) or SequenceMatcher(None, x, y, autojunk=False).ratio() <= WORD_ALIKE


def _overlap(a: str, b: str) -> float:
    one, two = set(_words(a)), set(_words(b))
    return len(one & two) / len(one | two) if one and two else 0.0


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
