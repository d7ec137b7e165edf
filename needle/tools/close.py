"""The stricter reading of a schema: keys that it does not name are refused, at every depth.

JSON Schema lets unknown keys pass unless told otherwise. ``close_schema`` tells it: each object that lists
``properties`` and does not say ``additionalProperties`` itself is closed. A nested ``{"type": "object"}`` that lists
nothing stays a free-form object.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

IN_PLACE_LISTS = ("allOf", "anyOf", "oneOf")
IN_PLACE = ("if", "then", "else")
ONE = ("items", "additionalProperties", "contains", "unevaluatedItems", "unevaluatedProperties")
LISTS = ("prefixItems",)
MAPS = ("properties", "patternProperties", "$defs", "definitions")
SHARED = ("$defs", "definitions")
SAYS = ("additionalProperties", "unevaluatedProperties")


def close_schema(parameters: dict[str, Any]) -> dict[str, Any]:
    """A copy of a tool's parameters that refuses unknown keys at the top and in every object that lists properties."""
    root = {"properties": {}} | parameters
    return _close(root, root, in_place=False)


def subschemas(schema: Any, in_place: bool | None = None) -> Iterator[dict[str, Any]]:
    """Direct subschemas: all, or those for the same value (``in_place=True``), or those for other places (False)."""
    if not isinstance(schema, dict):
        return
    found: list[Any] = []
    if in_place is not False:
        found += [branch for key in IN_PLACE_LISTS for branch in schema.get(key) or ()]
        found += [schema.get(key) for key in (*IN_PLACE, "not")] + list((schema.get("dependentSchemas") or {}).values())
    if in_place is not True:
        found += [schema.get(key) for key in ONE] + [item for key in LISTS for item in schema.get(key) or ()]
        found += [item for key in MAPS for item in (schema.get(key) or {}).values()]
    yield from (item for item in found if isinstance(item, dict))


def map_schema(schema: dict[str, Any], change: Callable[[Any, bool], Any]) -> dict[str, Any]:
    """A copy with ``change(subschema, in_place)`` in place of each direct subschema; other keywords stay."""
    result = dict(schema)
    for key, value in schema.items():
        if key in IN_PLACE or key == "not":
            result[key] = change(value, True)
        elif key in ONE:
            result[key] = change(value, False)
        elif key in (*IN_PLACE_LISTS, *LISTS) and isinstance(value, list):
            result[key] = [change(item, key not in LISTS) for item in value]
        elif key in (*MAPS, "dependentSchemas") and isinstance(value, dict):
            # A shared definition is closed where it is used: there its neighbours are known.
            result[key] = {
                name: change(item, key in SHARED or key == "dependentSchemas") for name, item in value.items()
            }
    return result


def _close(schema: Any, root: dict[str, Any], in_place: bool) -> Any:
    if not isinstance(schema, dict):
        return schema
    closed = map_schema(schema, lambda item, same: _close(item, root, same))
    for key in ("anyOf", "oneOf"):
        if isinstance(closed.get(key), list):
            closed[key] = [_open_if_free(branch) for branch in closed[key]]
    if in_place or any(key in schema for key in SAYS):
        return closed
    if any(key in schema for key in (*IN_PLACE_LISTS, *IN_PLACE, "$ref", "$dynamicRef", "dependentSchemas")):
        # Only "unevaluated" sees what the branches and the referenced schema name.
        named = any("properties" in part for part in same_place(schema, root))
        return closed | ({"unevaluatedProperties": False} if named else {})
    return closed | ({"additionalProperties": False} if "properties" in schema else {})


def _open_if_free(branch: Any) -> Any:
    """In ``anyOf`` a free-form object must say so, or closing the whole would close it too."""
    free = isinstance(branch, dict) and branch.get("type") == "object" and "properties" not in branch
    return branch | {"additionalProperties": True} if free and not any(key in branch for key in SAYS) else branch


def same_place(schema: Any, root: dict[str, Any], seen: frozenset[str] = frozenset()) -> Iterator[dict[str, Any]]:
    """The schema and all that apply to the same value: its branches and what they refer to inside ``root``."""
    if not isinstance(schema, dict):
        return
    yield schema
    ref = schema.get("$ref")
    if isinstance(ref, str) and ref not in seen:
        yield from same_place(resolve(ref, root), root, seen | {ref})
    for branch in subschemas(schema, in_place=True):
        yield from same_place(branch, root, seen)


def resolve(ref: str, root: dict[str, Any]) -> Any:
    """What a ``#/...`` reference points at inside ``root``, or None."""
    if not ref.startswith("#"):
        return None
    node: Any = root
    for step in ref[1:].split("/")[1:]:
        step = step.replace("~1", "/").replace("~0", "~")
        if isinstance(node, list) and step.isdigit() and int(step) < len(node):
            node = node[int(step)]
        elif isinstance(node, dict) and step in node:
            node = node[step]
        else:
            return None
    return node
