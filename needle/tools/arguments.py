"""A tool's arguments as dotted paths, each with one plain schema: what planning, phrasing and checking need."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Sequence
from typing import Any

from needle.tools.close import resolve
from needle.tools.spec import ToolSpec


def leaves(tool: ToolSpec) -> list[str]:
    """Dotted paths of a tool's arguments; nested objects with properties are opened."""
    found: list[str] = []
    pending = [(name, 0) for name in tool.properties]
    while pending:
        path, depth = pending.pop(0)
        inner = schema_at(tool.parameters, path).get("properties")
        if inner and depth < 3:
            pending = [(f"{path}.{name}", depth + 1) for name in inner] + pending
        else:
            found.append(path)
    return found


def schema_at(parameters: dict[str, Any], path: str) -> dict[str, Any]:
    """Schema of a dotted argument path; ``$ref`` into ``$defs`` is followed; empty when there is none."""
    schema = parameters
    for part in path.split("."):
        schema = plain_schema((schema.get("properties") or {}).get(part) or {}, parameters)
    return schema


def plain_schema(schema: dict[str, Any], root: dict[str, Any], depth: int = 0) -> dict[str, Any]:
    """A schema as one plain object.

    Local references are followed and ``allOf`` is merged; of ``anyOf``, ``oneOf`` and a list of types the first
    that is not null counts. ``depth`` bounds schemas that refer to themselves.
    """
    schema = schema if isinstance(schema, dict) else {}  # true: anything goes
    for _ in range(8 if depth < 8 else 0):
        if isinstance(schema.get("$ref"), str):
            target = resolve(schema["$ref"], root)
            schema = target if isinstance(target, dict) else {}
        elif branches := schema.get("anyOf") or schema.get("oneOf"):
            real = [branch for branch in branches if isinstance(branch, dict) and branch.get("type") != "null"]
            rest = {key: value for key, value in schema.items() if key not in ("anyOf", "oneOf")}
            schema = rest | (real[0] if real else {})
        elif parts := schema.get("allOf"):
            schema = {key: value for key, value in schema.items() if key != "allOf"}
            for part in parts:
                schema = schema | plain_schema(part, root, depth + 1)
        else:
            break
    kind = schema.get("type")
    if isinstance(kind, list):
        schema = schema | {"type": next((name for name in kind if name != "null"), "string")}
    return schema


def flat_arguments(arguments: dict[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    """``(dotted path, value)`` of every argument; nested objects are opened, lists are values."""
    for name, value in arguments.items():
        if isinstance(value, dict) and value:
            yield from flat_arguments(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def value_class(schema: dict[str, Any], value: Any = None) -> str:
    """Coarse kind of an argument: time, date, date-time, number, boolean, array, object, enum or text."""
    kind = schema.get("type")
    if schema.get("format") in ("time", "date", "date-time", "email", "uri"):
        return schema["format"]
    if isinstance(value, str) and re.fullmatch(r"\d\d:\d\d", value) or "HH:MM" in schema.get("description", ""):
        return "time"
    if (
        isinstance(value, str)
        and re.fullmatch(r"\d{4}-\d\d-\d\d", value)
        or "YYYY-MM-DD" in schema.get("description", "")
    ):
        return "date"
    if "enum" in schema:
        return "enum"
    return {"integer": "number", "number": "number", "boolean": "boolean", "array": "array", "object": "object"}.get(
        kind, "text"
    )


def listed_values(schema: dict[str, Any]) -> Sequence[Any]:
    """What an argument, or an item of its list, is one of; empty where that is open."""
    items = schema.get("items")
    return schema.get("enum") or (items.get("enum") if isinstance(items, dict) else None) or ()


def replaced(arguments: dict[str, Any], place: Sequence[str | int], value: Any) -> dict[str, Any]:
    """A copy of the arguments with another value at a place, given as keys and list indices from the outside."""
    changed = copy.deepcopy(arguments)
    inner: Any = changed
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    return changed
