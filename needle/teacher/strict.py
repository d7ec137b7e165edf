"""Tool schemas for ``strict`` endpoints, and the way back.

OpenAI's strict mode takes a part of JSON Schema in which every property is required and objects are closed, so that an
optional argument is written as ``null``. That is not how a tool is called, so ``without_nulls`` turns it back into an
argument that is left out. Schemas that cannot be said in that part are sent as they are.
"""

from __future__ import annotations

from typing import Any

from needle.tools.close import resolve

OTHER = frozenset(
    "oneOf allOf not if then else patternProperties prefixItems dependentRequired dependentSchemas "
    "unevaluatedProperties propertyNames contains $dynamicRef".split()
)
"""Keywords that strict endpoints refuse and that cannot be left out without changing the shape of a value."""
KEPT = frozenset(
    "type enum const properties items anyOf $ref $defs definitions description pattern format minimum maximum "
    "exclusiveMinimum exclusiveMaximum multipleOf minItems maxItems".split()
)
"""Keywords that are sent; all others are checked afterwards only, as every answer is."""
SHAPES = frozenset({"type", "enum", "const", "anyOf", "$ref", "properties"})


class _Inexpressible(Exception):
    """Not in the strict part of JSON Schema."""


def strict_parameters(parameters: dict[str, Any]) -> dict[str, Any] | None:
    """The parameters of a tool for ``strict``, with optional arguments as nullable ones; None where it cannot be
    said."""
    try:
        return _strict(parameters, at_root=True)
    except _Inexpressible:
        return None


def strict_tools(tools: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The ``tools`` parameter with ``strict`` set wherever a tool's schema can be said."""
    made = []
    for tool in tools:
        parameters = strict_parameters(tool["function"].get("parameters") or {"type": "object", "properties": {}})
        made.append(
            tool
            if parameters is None
            else {**tool, "function": {**tool["function"], "parameters": parameters, "strict": True}}
        )
    return made


def without_nulls(value: Any, schema: Any, root: dict[str, Any] | None = None) -> Any:
    """A value without the nulls of optional properties that may not be null by their own schema.

    Args:
        value: JSON value.
        schema: the tool's own schema of it, not the strict one.
        root: the schema that references point into; None: ``schema`` itself.
    """
    root = schema if root is None else root
    schema = _followed(schema, root)
    if isinstance(value, list):
        return [without_nulls(item, schema.get("items") or {}, root) for item in value]
    if not isinstance(value, dict):
        return value
    for branch in schema.get("anyOf") or ():
        if isinstance(branch, dict) and set(value) <= (_followed(branch, root).get("properties") or {}).keys():
            return without_nulls(value, branch, root)
    properties, required = schema.get("properties") or {}, schema.get("required") or ()
    return {
        name: without_nulls(item, properties.get(name) or {}, root)
        for name, item in value.items()
        if item is not None or name in required or name not in properties or _may_be_null(properties[name], root)
    }


def _strict(schema: Any, at_root: bool = False) -> dict[str, Any]:
    if not isinstance(schema, dict) or OTHER & schema.keys() or not SHAPES & schema.keys():
        raise _Inexpressible
    made = {name: value for name, value in schema.items() if name in KEPT}
    for name in ("$defs", "definitions"):
        if name in made:
            made[name] = {key: _strict(inner) for key, inner in made[name].items()}
    if "anyOf" in made:
        made["anyOf"] = [branch if branch == {"type": "null"} else _strict(branch) for branch in made["anyOf"]]
    kinds = schema["type"] if isinstance(schema.get("type"), list) else [schema.get("type")]
    if "array" in kinds:
        made["items"] = _strict(schema.get("items"))
    if "object" in kinds or "properties" in schema:
        properties = schema.get("properties") or {}
        if schema.get("additionalProperties") not in (None, False) or not (properties or at_root):
            raise _Inexpressible
        required = schema.get("required") or ()
        made["properties"] = {
            name: _strict(inner) if name in required else _nullable(_strict(inner))
            for name, inner in properties.items()
        }
        made |= {"required": list(properties), "additionalProperties": False}
    return made


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    if "anyOf" in schema:
        return {**schema, "anyOf": [*schema["anyOf"], {"type": "null"}]}
    if "type" not in schema or "const" in schema:
        described = {"description": schema["description"]} if "description" in schema else {}
        return {
            **described,
            "anyOf": [{name: value for name, value in schema.items() if name != "description"}, {"type": "null"}],
        }
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    more = {"enum": [*schema["enum"], None]} if "enum" in schema and None not in schema["enum"] else {}
    return {**schema, "type": [*kinds, *(() if "null" in kinds else ("null",))], **more}


def _followed(schema: Any, root: dict[str, Any]) -> dict[str, Any]:
    for _ in range(8):
        if not (isinstance(schema, dict) and isinstance(schema.get("$ref"), str)):
            break
        schema = resolve(schema["$ref"], root)
    return schema if isinstance(schema, dict) else {}


def _may_be_null(schema: Any, root: dict[str, Any]) -> bool:
    schema = _followed(schema, root)
    if any(_may_be_null(branch, root) for name in ("anyOf", "oneOf") for branch in schema.get(name) or ()):
        return True
    if "const" in schema or "enum" in schema:
        return None in schema.get("enum", [schema.get("const", 0)])
    kinds = schema.get("type")
    return kinds == "null" or isinstance(kinds, list) and "null" in kinds or not SHAPES & schema.keys()
