"""Tools in, whatever their shape: OpenAI, MCP, bare, JSON Schema, flat parameters, Python functions, Pydantic models.

tools = load_toolset("data/toolsets/home.json")
tools = read_tools([{"name": "ping", "description": "...", "inputSchema": {...}}, my_function, MyModel])
tools, notes = read_tools_with_notes(bfcl_row["function"])     # notes: what the reading lost or guessed
"""

from __future__ import annotations

import json
import os
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import jsonschema_rs
from jsonschema import Draft202012Validator, SchemaError

from needle.errors import UserError
from needle.tools.close import resolve, subschemas
from needle.tools.openapi import is_openapi, openapi_tools
from needle.tools.shapes import normalise_parameters
from needle.tools.spec import ToolSpec
from needle.tools.validate import checker

MAX_NAME = 256
"""Longest tool name in characters."""
FORBIDDEN = '{}"\\'
"""Printable characters that a tool name must not have: they delimit names and calls in prompts."""
PARAMETER_KEYS = ("parameters", "inputSchema", "input_schema", "arguments")
KNOWN_KEYS = frozenset(("type", "name", "description", *PARAMETER_KEYS))


def read_tools(source: Iterable[Any]) -> list[ToolSpec]:
    """The tools of ``source``, in order, in our one shape.

    Items: ``ToolSpec``; Python functions; Pydantic model classes; dictionaries as ``{"type": "function", "function":
    {...}}`` (OpenAI chat), ``{"type": "function", "name", "parameters"}`` (OpenAI Responses), ``{"name", "description",
    "parameters"}``, ``{"name", "inputSchema"}`` (MCP), or a JSON Schema whose ``title`` is the name. Parameters may
    also be flat (``{"p": {"type", "description", "required": true}}``) or use Gorilla's types.

    Raises UserError: no name, a name that cannot be rendered, two tools of one name, a schema that is no schema of type
    object.
    """
    return read_tools_with_notes(source)[0]


def read_tools_with_notes(source: Iterable[Any]) -> tuple[list[ToolSpec], list[str]]:
    """``read_tools`` and a line for everything that the reading lost or guessed, say ``get_time: 'strict' dropped``."""
    if isinstance(source, (str, bytes, Mapping)) or not isinstance(source, Iterable):
        raise UserError(f"tools must be a list, not {type(source).__name__}; put the tool into a list")
    tools: list[ToolSpec] = []
    notes: list[str] = []
    seen: dict[str, int] = {}
    for number, item in enumerate(source, start=1):
        own: list[str] = []
        tool = _read_one(item, number, own)
        if tool.name in seen:
            raise UserError(
                f"tool {number}: {tool.name!r} is also the name of tool {seen[tool.name]}; rename or remove one"
            )
        seen[tool.name] = number
        tools.append(tool)
        notes += [f"{tool.name}: {note}" for note in own]
    return tools, notes


def load_toolset(path: str | os.PathLike[str]) -> list[ToolSpec]:
    """The tools of a JSON file: a list of tools, an object with a list under ``tools``, or an OpenAPI document.

    Raises UserError, one line with the file and the remedy, for everything that is wrong with the file or a tool in it.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; give a JSON file with a list of tools") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not a text file in UTF-8; give a JSON file with a list of tools") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); give a JSON file with a list of tools") from error
    try:
        return toolset_from_text(text)[0]
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def toolset_from_text(text: str) -> tuple[list[ToolSpec], list[str]]:
    """The tools in the text of such a file, and a line for everything that the reading lost or guessed.

    Raises UserError, one line with the place and the remedy.
    """
    if not text.strip():
        raise UserError("the file is empty; put a JSON list of tools into it")
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(
            f"broken JSON at line {error.lineno}, column {error.colno} ({error.msg}); mend it there"
        ) from error
    except RecursionError as error:
        raise UserError("JSON nested too deeply; give a list of tools") from error
    if isinstance(data, dict) and isinstance(data.get("tools"), list):
        data = data["tools"]
    if is_openapi(data):
        data = openapi_tools(data)
    if not isinstance(data, list):
        raise UserError('not a list of tools; write [{"name": ..., "parameters": ...}, ...] or {"tools": [...]}')
    if not data:
        raise UserError("the list of tools is empty; add at least one tool")
    return read_tools_with_notes(data)


def _read_one(item: Any, number: int, notes: list[str]) -> ToolSpec:
    if isinstance(item, ToolSpec):
        spec = item
    elif isinstance(item, Mapping):
        spec = _from_mapping(dict(item), number, notes)
    elif isinstance(item, type) or callable(item):
        from needle.tools.functions import (
            spec_from_function,
            spec_from_model,
        )  # here: Pydantic is only needed for these

        spec = spec_from_model(item) if isinstance(item, type) else spec_from_function(item)
    else:
        raise UserError(
            f"tool {number}: a {type(item).__name__} is no tool; give an object with name, description and parameters"
        )
    check_spec(spec, f"tool {number}")
    return spec


def _from_mapping(item: dict[str, Any], number: int, notes: list[str]) -> ToolSpec:
    where = f"tool {number}"
    inner = item.get("function")
    if isinstance(inner, Mapping):
        item = dict(inner)
    elif (
        "name" not in item
        and isinstance(item.get("title"), str)
        and ("properties" in item or item.get("type") == "object")
    ):
        raw = {key: value for key, value in item.items() if key not in ("title", "description", "$schema")}
        return ToolSpec(item["title"], item.get("description") or "", normalise_parameters(raw, notes))
    elif isinstance(item.get("type"), str) and item["type"] not in ("function", "custom") and "name" not in item:
        raise UserError(f"{where}: a hosted tool ({item['type']!r}) has no name and no schema; leave it out")
    name, description = item.get("name"), item.get("description")
    if not isinstance(name, str):
        raise UserError(
            f'{where}: no name; add a string under "name"'
            if name is None
            else f"{where}: the name is not a string; write it as text"
        )
    if description is not None and not isinstance(description, str):
        raise UserError(f"{where} ({name!r}): the description is not text; write a sentence")
    key = next((key for key in PARAMETER_KEYS if item.get(key) is not None), "parameters")
    raw = item.get(key)
    if isinstance(raw, str):
        try:
            raw = json.loads(raw)
        except json.JSONDecodeError as error:
            raise UserError(f"{where} ({name!r}): {key} is text that is no JSON; write a JSON Schema object") from error
    notes += [f"{extra!r} dropped" for extra in item if extra not in KNOWN_KEYS]
    return ToolSpec(name, description or "", normalise_parameters(raw, notes))


def check_spec(tool: ToolSpec, where: str) -> None:
    """Raise UserError unless the name can be rendered and the parameters are a JSON Schema of type object."""
    name, schema = tool.name, tool.parameters
    if not name.strip():
        raise UserError(f"{where}: the name is empty; give the tool a name")
    if len(name) > MAX_NAME:
        raise UserError(f"{where} ({name[:40]!r}...): the name has {len(name)} characters; use at most {MAX_NAME}")
    bad = next(
        (char for char in name if char in FORBIDDEN or unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp")),
        None,
    )
    if bad is not None or name != name.strip():
        what = f"the character {bad!r}" if bad else "a space at its edge"
        raise UserError(f"{where} ({name[:40]!r}): the name has {what}; use letters, digits, '_', '-' or '.'")
    where = f"{where} ({name!r})"
    if not isinstance(schema, dict):
        raise UserError(
            f"{where}: parameters are a {type(schema).__name__}; write a JSON Schema object with type object"
        )
    problem = _schema_problem(schema)
    if problem:
        raise UserError(f"{where}: {problem}; see json-schema.org, draft 2020-12")
    if schema.get("type") != "object":
        raise UserError(
            f"{where}: parameters have type {schema.get('type')!r}; a tool's parameters must be of type 'object'"
        )


def _schema_problem(schema: dict[str, Any]) -> str | None:
    """What makes this no usable schema, or None. The fast validator decides; the reference one finds the words."""
    try:
        fine = jsonschema_rs.meta.is_valid({key: value for key, value in schema.items() if key != "$schema"})
    except (ValueError, TypeError, jsonschema_rs.ReferencingError):
        fine = False
    if not fine:
        try:
            Draft202012Validator.check_schema(schema)
        except SchemaError as error:
            place = ".".join(map(str, error.absolute_path)) or "the top"
            return f"parameters are no JSON Schema: at {place}: {error.message[:200]}"
        except (TypeError, RecursionError) as error:
            return f"parameters are no JSON Schema: {error}"
    problem = _dangling_ref(schema)
    if problem:
        return problem
    try:
        checker(ToolSpec("it", "", schema))
    except UserError as error:  # such as a regular expression that is none
        return str(error)
    return None


def _dangling_ref(root: dict[str, Any]) -> str | None:
    stack: list[dict[str, Any]] = [root]
    while stack:
        schema = stack.pop()
        ref = schema.get("$ref")
        if isinstance(ref, str) and not ref.startswith("#"):
            return f"$ref {ref!r} leaves the tool; copy what it points at into $defs"
        if isinstance(ref, str) and (ref == "#" or ref.startswith("#/")) and resolve(ref, root) is None:
            return f"$ref {ref!r} points at nothing; add it to $defs"
        stack += subschemas(schema)
    return None
