"""Foreign parameter descriptions as JSON Schema: Gorilla types, Python type names, flat parameters (Needle, xLAM).

Every change that loses or guesses something is put into words in ``notes``.
"""

from __future__ import annotations

import re
from typing import Any

from needle.tools.close import map_schema, resolve
from needle.tools.spec import EMPTY_PARAMETERS

JSON_TYPES = frozenset(("string", "integer", "number", "boolean", "array", "object", "null"))

TYPE_NAMES = {
    **{name: name for name in JSON_TYPES},
    **dict.fromkeys(("str", "char", "character"), "string"),
    **dict.fromkeys(("int", "long", "short", "byte", "bigint"), "integer"),
    **dict.fromkeys(("float", "double", "decimal", "numeric"), "number"),
    **dict.fromkeys(("bool",), "boolean"),
    **dict.fromkeys(("list", "tuple", "set", "frozenset", "sequence", "iterable", "arraylist"), "array"),
    **dict.fromkeys(("dict", "dictionary", "mapping", "map", "hashmap", "json"), "object"),
    **dict.fromkeys(("none", "nonetype"), "null"),
}
"""Names of types in BFCL, xLAM and hand-written tools, in lower case, to JSON Schema's."""

ANY = ("any", "object | any", "unknown")
_NUMERAL = re.compile(r"-?\d{1,15}(\.\d{1,15})?")
LOSSY = {
    "tuple": "the fixed length of the tuple",
    "set": "that the items are unique",
    "frozenset": "that the items are unique",
    "char": "that it is one character",
    "character": "that it is one character",
}


def normalise_parameters(raw: Any, notes: list[str]) -> Any:
    """JSON Schema for whatever stands where parameters belong; ``notes`` gains a line for each thing lost or guessed.

    What cannot be understood is returned as it is, for the schema check to refuse.
    """
    if raw is None or raw == {}:
        return dict(EMPTY_PARAMETERS)
    if not isinstance(raw, dict):
        return raw
    if is_flat(raw):
        raw = _from_flat(raw, notes)
    schema = normalise_schema(raw, notes, "")
    if "type" not in schema and ("properties" in schema or "$ref" not in schema):
        schema = {"type": "object"} | schema
    return inline_root_ref(schema)


def is_flat(raw: dict[str, Any]) -> bool:
    """Whether this is ``{name: {type, description, required?}}`` or ``{name: type}`` rather than JSON Schema."""
    if isinstance(raw.get("type"), (str, list)) or any(key.startswith("$") for key in raw):
        return False
    properties = raw.get("properties")
    if isinstance(properties, dict) and all(isinstance(value, dict) for value in properties.values()):
        return False
    return all(
        _is_type_name(value) if isinstance(value, str) else isinstance(value, dict) and ("type" in value or "description" in value)
        for value in raw.values()
    )


def _is_type_name(text: str) -> bool:
    """Whether a text is the name of a type (``string``, ``List[int]``, ``str, optional``), and no description."""
    return bool(re.fullmatch(r"[\w.]+(\[.*\])?(,?\s*optional)?", text.strip())) and _python_type(text, [], "") is not None


def _from_flat(raw: dict[str, Any], notes: list[str]) -> dict[str, Any]:
    properties, required, guessed = {}, [], []
    bare = [name for name, entry in raw.items() if isinstance(entry, str)]
    if bare:
        notes.append(f"{', '.join(bare)}: only the name of a type in place of a schema, read as that type")
    for name, entry in raw.items():
        entry = {"type": entry} if isinstance(entry, str) else dict(entry)
        wanted = entry.pop("required", None) if not isinstance(entry.get("required"), list) else None
        if wanted is None:
            wanted = "default" not in entry and "optional" not in str(entry.get("type", "")).lower()
            guessed.append(name)
        if wanted:
            required.append(name)
        properties[name] = entry
    if guessed:
        notes.append(
            f"no word on whether {', '.join(guessed)} must be given: required unless it has a default or says optional"
        )
    return {"type": "object", "properties": properties, "required": required}


def normalise_schema(schema: Any, notes: list[str], where: str) -> Any:
    """One schema and everything below it, foreign types translated, ``required: true`` inside a property hoisted."""
    if not isinstance(schema, dict):
        return schema
    schema = {
        key: value for key, value in schema.items() if not (value is None and key in ("required", "properties", "enum"))
    }
    if isinstance(schema.get("items"), list):
        schema["prefixItems"] = schema.pop("items")
    if isinstance(schema.get("type"), str) and schema["type"] not in JSON_TYPES:
        schema = _translate_type(schema, notes, where)
    schema = _possible_enum(schema, notes, where)
    if schema.pop("nullable", False) is True and isinstance(schema.get("type"), str):
        schema["type"] = [schema["type"], "null"]
    properties = schema.get("properties")
    if isinstance(properties, dict):
        schema = _hoist_required(schema, properties)
        schema["properties"] = {
            name: normalise_schema(value, notes, f"{where}.{name}".lstrip("."))
            for name, value in schema["properties"].items()
        }
    rest = {key: value for key, value in schema.items() if key != "properties"}
    rest = map_schema(rest, lambda item, _: normalise_schema(item, notes, where))
    return {key: schema[key] if key == "properties" else rest[key] for key in schema}


def _possible_enum(schema: dict[str, Any], notes: list[str], where: str) -> dict[str, Any]:
    """A list of values none of which has the type that is asked for, as it was meant: those of an array's items, numbers written as texts."""
    kind, listed = schema.get("type"), schema.get("enum")
    if not isinstance(listed, list) or not listed or not all(isinstance(value, str | int | float) for value in listed):
        return schema
    spot, items = where or "the parameters", schema.get("items", {})
    if kind == "array" and isinstance(items, dict) and "enum" not in items:
        notes.append(f"{spot}: the listed values of an array became those of its items")
        rest = {key: value for key, value in schema.items() if key != "enum"}
        return {**rest, "items": {**items, "enum": listed}}
    if kind in ("integer", "number") and all(isinstance(value, str) and _NUMERAL.fullmatch(value) for value in listed):
        notes.append(f"{spot}: listed numbers that were written as texts became numbers")
        return {**schema, "enum": [int(value) if "." not in value else float(value) for value in listed]}
    return schema


def _hoist_required(schema: dict[str, Any], properties: dict[str, Any]) -> dict[str, Any]:
    flags = {
        name: value["required"]
        for name, value in properties.items()
        if isinstance(value, dict) and isinstance(value.get("required"), bool)
    }
    if not flags:
        return dict(schema)
    kept = {
        name: {k: v for k, v in value.items() if k != "required"} if name in flags else value
        for name, value in properties.items()
    }
    required = dict.fromkeys([*(schema.get("required") or []), *(name for name, flag in flags.items() if flag)])
    return {**schema, "properties": kept, "required": list(required)}


def _translate_type(schema: dict[str, Any], notes: list[str], where: str) -> dict[str, Any]:
    name = schema["type"]
    spot = where or "the parameters"
    translated = _python_type(name, notes, spot)
    if translated is None:
        return schema
    rest = {key: value for key, value in schema.items() if key != "type"}
    return translated | rest if "type" in translated else rest | translated


def _python_type(name: str, notes: list[str], where: str) -> dict[str, Any] | None:
    """Schema for a type name such as ``float``, ``List[int]``, ``str, optional``; None if unknown."""
    text = re.sub(r",?\s*\boptional\b(?!\[)", "", name.strip().lower().replace("typing.", "")).strip()
    head, bracket, inner = text.partition("[")
    inner = inner.removesuffix("]") if bracket else ""
    if text in ANY:
        notes.append(f"{where}: type {name!r} became no type at all")
        return {}
    if head in ("optional", "union") or "|" in text:
        members = [
            part
            for part in re.split(r"[|,]", inner if head in ("optional", "union") else text)
            if part.strip() not in ("none", "null")
        ]
        if len(members) == 1:
            return _python_type(members[0], notes, where)
        notes.append(f"{where}: the union {name!r} became no type at all")
        return {}
    if head not in TYPE_NAMES:
        return None
    if head in LOSSY:
        notes.append(f"{where}: type {name!r} became {TYPE_NAMES[head]}; lost: {LOSSY[head]}")
    if TYPE_NAMES[head] == "array" and inner:
        parts = {part.strip() for part in inner.split(",")} - {"..."}
        item = (
            _python_type(inner if len(parts) > 1 and "[" in inner else parts.pop(), notes, where)
            if len(parts) == 1 or "[" in inner
            else None
        )
        return {"type": "array"} | ({"items": item} if item else {})
    if TYPE_NAMES[head] == "object" and "," in inner:
        value = _python_type(inner.split(",", 1)[1], notes, where)
        return {"type": "object", "additionalProperties": value or True}
    return {"type": TYPE_NAMES[head]}


def inline_root_ref(schema: dict[str, Any]) -> dict[str, Any]:
    """``{"$ref": "#/$defs/X", ...}`` with X written out at the root, where ``properties`` are looked for."""
    ref = schema.get("$ref")
    target = resolve(ref, schema) if isinstance(ref, str) else None
    if not isinstance(target, dict) or "type" in schema:
        return schema
    return {**target, **{key: value for key, value in schema.items() if key != "$ref"}}
