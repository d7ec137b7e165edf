"""OpenAPI (3.x) and Swagger (2.0) documents as tools: one for each operation.

Parameters of path, query and header and the properties of a JSON body become the arguments of one object; an argument of the body whose
name is taken gets ``body_`` in front. Schemas that are shared stay shared, under ``$defs``. Facts: the OpenAPI Specification 3.1 and 2.0.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from needle.errors import UserError

METHODS = ("get", "post", "put", "patch", "delete")
SHARED = ("#/components/schemas/", "#/definitions/")
UNSAID = frozenset({"example", "examples", "xml", "externalDocs", "discriminator", "deprecated"})
"""Keywords that say nothing about which values are valid."""
OF_SWAGGER = ("type", "format", "enum", "items", "default", "minimum", "maximum", "pattern", "minLength", "maxLength")
"""Keywords of a Swagger 2 parameter that belong to its schema."""
NOT_ASKED = frozenset({"authorization", "content-type", "accept"})
"""Headers that the client sets."""


def is_openapi(data: Any) -> bool:
    """Whether a JSON document describes an HTTP interface."""
    return isinstance(data, Mapping) and isinstance(data.get("paths"), Mapping) and ("openapi" in data or "swagger" in data)


def openapi_tools(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """``{"name", "description", "parameters"}`` of every operation. Raises ``UserError`` for references that lead outside or nowhere."""
    tools: list[dict[str, Any]] = []
    for path, item in document["paths"].items():
        for method in METHODS:
            if isinstance(item, Mapping) and isinstance(item.get(method), Mapping):
                tools.append(_tool(document, path, method, item))
    if not tools:
        raise UserError("the OpenAPI document has no operation; it should have paths with get, post, put, patch or delete")
    return tools


def _tool(document: Mapping[str, Any], path: str, method: str, item: Mapping[str, Any]) -> dict[str, Any]:
    operation = item[method]
    name = operation.get("operationId") or "_".join([method, *re.findall(r"[A-Za-z0-9]+", path)])
    said = [str(operation.get(key) or "").strip() for key in ("summary", "description")]
    description = " ".join(dict.fromkeys(filter(None, said)))
    properties: dict[str, Any] = {}
    required: list[str] = []
    for key, schema, needed in (*_parameters(document, item, operation), *_body(document, operation)):
        while key in properties:
            key = f"body_{key}"
        properties[key] = schema
        required += [key] if needed else []
    parameters: dict[str, Any] = {"type": "object", "properties": properties} | ({"required": required} if required else {})
    used: dict[str, Any] = {}
    parameters = _local(parameters, document, used)
    return {"name": name, "description": description, "parameters": parameters | ({"$defs": used} if used else {})}


Argument = tuple[str, dict[str, Any], bool]
"""Name, schema, whether it is required."""


def _parameters(document: Mapping[str, Any], item: Mapping[str, Any], operation: Mapping[str, Any]) -> Iterator[Argument]:
    """Those of path, query and header; what an operation says goes before what its path says."""
    found: dict[tuple[str, str], Mapping[str, Any]] = {}
    for raw in (*(item.get("parameters") or ()), *(operation.get("parameters") or ())):
        one = _resolved(raw, document)
        found[str(one.get("name")), str(one.get("in"))] = one
    for (name, place), one in found.items():
        if place not in ("path", "query", "header", "formData") or (place == "header" and name.lower() in NOT_ASKED):
            continue
        schema = dict(_schema(one.get("schema") or {key: one[key] for key in OF_SWAGGER if key in one} or {"type": "string"}, f"parameter {name}"))
        if one.get("description") and "$ref" not in schema:
            schema["description"] = one["description"]
        yield name, schema, place == "path" or one.get("required") is True


def _schema(value: Any, whose: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise UserError(f"the OpenAPI document: {whose} should be described by an object, not {value!r:.60}")
    return value


def _body(document: Mapping[str, Any], operation: Mapping[str, Any]) -> Iterator[Argument]:
    """The properties of a JSON body, or the body as one argument where it is no object."""
    swagger = [one for raw in operation.get("parameters") or () if (one := _resolved(raw, document)).get("in") == "body"]
    body = _resolved(operation.get("requestBody") or (swagger[0] if swagger else {}), document)
    content = body.get("content") or {}
    media = next((content[kind] for kind in content if "json" in kind), next(iter(content.values()), {}))
    schema = body.get("schema") or media.get("schema")
    if not schema:
        return
    parts = list(_objects(schema, document))
    if not any(part.get("properties") for part in parts):
        yield "body", dict(schema), body.get("required") is True
        return
    needed = {name for part in parts for name in part.get("required") or ()} if body.get("required") or not swagger else set()
    for part in parts:
        for name, one in _schema(part.get("properties") or {}, "'properties' of a body").items():
            if not (isinstance(one, Mapping) and one.get("readOnly")):
                yield name, one, name in needed


def _objects(schema: Any, document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The object schemas that together describe a body."""
    schema = _resolved(schema, document)
    yield schema
    for part in schema.get("allOf") or ():
        yield from _objects(part, document)


def _resolved(node: Any, document: Mapping[str, Any]) -> Mapping[str, Any]:
    """The node itself, or what it refers to."""
    for _ in range(20):
        if not isinstance(node, Mapping) or "$ref" not in node:
            return node if isinstance(node, Mapping) else {}
        node = _target(str(node["$ref"]), document)
    raise UserError("the OpenAPI document has references that run in a circle")


def _target(reference: str, document: Mapping[str, Any]) -> Any:
    if not reference.startswith("#/"):
        raise UserError(f"the OpenAPI document refers to another file ({reference}); bundle it into one file first")
    node: Any = document
    for step in reference[2:].split("/"):
        step = step.replace("~1", "/").replace("~0", "~")
        if not isinstance(node, Mapping) or step not in node:
            raise UserError(f"the OpenAPI document refers to {reference}, which it does not have")
        node = node[step]
    return node


def _local(node: Any, document: Mapping[str, Any], used: dict[str, Any], named: bool = False) -> Any:
    """A schema as JSON Schema: shared schemas collected in ``used``, ``nullable`` as a type. ``named``: keys are names, not keywords."""
    if isinstance(node, list):
        return [_local(item, document, used) for item in node]
    if not isinstance(node, Mapping):
        return node
    if isinstance(node.get("$ref"), str) and not named:
        return {"$ref": f"#/$defs/{_share(node['$ref'], document, used)}"}
    made = {
        key: _local(value, document, used, named=key in ("properties", "patternProperties", "$defs") and not named)
        for key, value in node.items()
        if named or (key not in UNSAID and key != "nullable" and not str(key).startswith("x-"))
    }
    if not named and node.get("nullable") is True and isinstance(made.get("type"), str):
        made["type"] = [made["type"], "null"]
    return made


def _share(reference: str, document: Mapping[str, Any], used: dict[str, Any]) -> str:
    """Name under ``$defs`` of a shared schema, which is taken over with all that it refers to."""
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", next((reference.removeprefix(p) for p in SHARED if reference.startswith(p)), reference[2:]))
    if name not in used:
        used[name] = {}  # before its parts, which may refer back to it
        used[name] = _local(_target(reference, document), document, used)
    return name
