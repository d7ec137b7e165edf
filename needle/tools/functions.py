"""Python functions and Pydantic models as tools: signature, type hints and docstring become a ``ToolSpec``.

    @tool
    def dim(room: Literal["kitchen", "hall"], percent: Annotated[int, Field(ge=0, le=100)] = 50) -> None:
        '''Dim the lights of a room.

        Args:
            room: Which room.
            percent: Brightness.
        '''
    dim.spec.parameters["required"] == ["room"]

Pydantic turns the types into JSON Schema (enums, dataclasses, TypedDicts, dates, nested models), so whatever it knows
is known here.
"""

from __future__ import annotations

import functools
import inspect
import json
import re
import typing
from collections.abc import Callable
from typing import Any, TypeVar, overload

from pydantic import BaseModel, TypeAdapter
from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError

from needle.errors import UserError
from needle.tools.close import map_schema
from needle.tools.shapes import inline_root_ref
from needle.tools.spec import ToolSpec

F = TypeVar("F", bound=Callable[..., Any])

_SECTION = re.compile(
    r"(args|arguments|parameters|params|attributes|returns?|yields?|raises|examples?|notes?|warnings?|todo)\s*:",
    re.IGNORECASE,
)
_ENTRY = re.compile(r"\*{0,2}(?P<name>\w+)\s*(\([^)]*\))?\s*:\s*(?P<text>.*)")


@overload
def tool(function: F) -> F:
    """``@tool``: the function's own name and docstring."""


@overload
def tool(*, name: str | None = None, description: str | None = None) -> Callable[[F], F]:
    """``@tool(name=...)``: a name or description of its own."""


def tool(function: F | None = None, *, name: str | None = None, description: str | None = None) -> F | Callable[[F], F]:
    """Make a function a tool: it stays callable and gains ``.spec``. Bare, or with a name or description of its own.

    Methods are decorated in their class; a method of an object (``tool(hub.dim)``) comes back wrapped, as it takes no attributes.
    """

    def attach(target: F) -> F:
        spec = spec_from_function(target, name=name, description=description)
        if inspect.ismethod(target):
            inner = target

            @functools.wraps(inner)
            def target(*given: Any, **named: Any) -> Any:  # type: ignore[misc]
                return inner(*given, **named)

        target.spec = spec  # type: ignore[attr-defined]
        return target

    return attach if function is None else attach(function)


def spec_from_function(
    function: Callable[..., Any], *, name: str | None = None, description: str | None = None
) -> ToolSpec:
    """The tool that a function is. A spec that ``@tool`` has attached is taken as it is.

    Description: the docstring up to its first section. Arguments: described by ``Annotated[T, "text"]``,
    ``Field(description=...)`` or the docstring, in that order; required unless they have a default; ``T | None = None``
    is an optional ``T``, since leaving it out says the same. ``**kwargs`` allows further arguments. Raises UserError
    for ``*args``, positional-only arguments and types that have no JSON Schema.
    """
    attached = getattr(function, "spec", None)
    if isinstance(attached, ToolSpec) and name is None and description is None:
        return attached
    source = _source(function)
    name = name or getattr(source, "__name__", type(source).__name__)
    summary, described = _docstring(_documentation(source))
    hints = _hints(source, name)
    properties: dict[str, Any] = {}
    required: list[str] = []
    parameters: dict[str, Any] = {"type": "object", "properties": properties}
    arguments = _arguments(function)
    schemas, definitions = _schemas({p.name: _annotation(p, hints) for p in arguments if p.kind not in _VARIADIC}, name)
    for parameter in arguments:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.POSITIONAL_ONLY):
            raise UserError(
                f"function {name}: argument {parameter.name!r} cannot be given by name; make it an ordinary one"
            )
        if parameter.kind is parameter.VAR_KEYWORD:
            parameters["additionalProperties"] = True
            continue
        schema = _with_default(schemas[parameter.name], parameter.default)
        text = schema.pop("description", None) or described.get(parameter.name)
        head = {"type": schema.get("type"), "description": text}
        properties[parameter.name] = {
            key: value for key, value in (head | schema).items() if value is not None or key == "default"
        }
        if parameter.default is parameter.empty:
            required.append(parameter.name)
    parameters |= ({"required": required} if required else {}) | ({"$defs": definitions} if definitions else {})
    return ToolSpec(name, summary if description is None else description, parameters)


def spec_from_model(model: type[BaseModel], *, name: str | None = None) -> ToolSpec:
    """The tool whose arguments are the fields of a Pydantic model; its docstring is the description.

    Raises UserError for a class that is no Pydantic model or has a field without JSON Schema.
    """
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        raise UserError(f"class {getattr(model, '__name__', model)!r} is no tool; give a function or a Pydantic model")
    try:
        schema = inline_root_ref(_untitled(model.model_json_schema()))
    except PydanticUserError as error:
        raise UserError(
            f"model {model.__name__}: no JSON Schema for a field ({_first_line(error)}); change its type"
        ) from error
    properties = {
        key: _with_default(value, None if value.get("default", 0) is None else inspect.Parameter.empty)
        for key, value in schema.get("properties", {}).items()
    }
    schema = {key: value for key, value in schema.items() if key != "description"} | {"properties": properties}
    schema = {"type": schema.get("type")} | schema
    documented = inspect.cleandoc(model.__doc__) if model.__doc__ else ""
    summary, described = _docstring(documented)
    for key, text in described.items():
        if key in properties:
            properties[key].setdefault("description", text)
    return ToolSpec(name or model.__name__, summary, schema)


def _source(function: Callable[..., Any]) -> Callable[..., Any]:
    """What name, docstring and hints are read from: of ``functools.partial`` the function inside."""
    while isinstance(function, functools.partial):
        function = function.func
    return function


def _documentation(source: Callable[..., Any]) -> str:
    """The docstring; of an object that can be called that of its class, or of its ``__call__``."""
    if inspect.isroutine(source):
        return inspect.getdoc(source) or ""
    return type(source).__doc__ or inspect.getdoc(type(source).__call__) or ""


def _arguments(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """The parameters that a caller gives: without ``self`` of a function that is being decorated inside of a class."""
    arguments = list(inspect.signature(function).parameters.values())
    inside = "." in getattr(function, "__qualname__", "").rpartition("<locals>.")[2]
    if inside and inspect.isfunction(function) and arguments and arguments[0].name in ("self", "cls"):
        return arguments[1:]
    return arguments


_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def _untitled(schema: Any, _: bool = False) -> Any:
    """The schema without Pydantic's titles, at every depth: they repeat names, cost prompt tokens and say nothing."""
    if not isinstance(schema, dict):
        return schema
    return {key: value for key, value in map_schema(schema, _untitled).items() if key != "title"}


def _hints(function: Callable[..., Any], name: str) -> dict[str, Any]:
    target = function if inspect.isroutine(function) else getattr(function, "__call__", function)  # noqa: B004
    try:
        return typing.get_type_hints(target, include_extras=True)
    except (NameError, TypeError) as error:
        raise UserError(
            f"function {name}: a type hint cannot be resolved ({error}); import or spell out the type"
        ) from error


def _annotation(parameter: inspect.Parameter, hints: dict[str, Any]) -> Any:
    """The type of an argument; without a hint that of its default; ``Annotated[T, "text"]`` as Pydantic wants it."""
    if parameter.name not in hints:
        simple = isinstance(parameter.default, (bool, int, float, str))
        return type(parameter.default) if simple else Any
    return hints[parameter.name]


def _schemas(annotations: dict[str, Any], name: str) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """JSON Schema of each annotation, and the definitions that they share."""
    inputs = []
    for key, annotation in annotations.items():
        try:
            inputs.append((key, "validation", TypeAdapter(annotation)))
        except (PydanticSchemaGenerationError, PydanticUserError) as error:
            raise UserError(
                f"function {name}: argument {key!r} has no JSON Schema ({_first_line(error)}); use plain types"
            ) from error
    try:
        found, shared = TypeAdapter.json_schemas(inputs)
    except PydanticUserError as error:
        raise UserError(
            f"function {name}: an argument has a type without JSON Schema ({_first_line(error)}); use plain types"
        ) from error
    schemas = {key: _untitled(schema) for (key, _), schema in found.items()}
    for key, annotation in annotations.items():
        texts = [item for item in getattr(annotation, "__metadata__", ()) if isinstance(item, str)]
        if texts:
            schemas[key]["description"] = texts[0]
    return schemas, {key: _untitled(value) for key, value in shared.get("$defs", {}).items()}


def _with_default(schema: dict[str, Any], default: Any) -> dict[str, Any]:
    """The schema with its default; ``T or null`` with default null becomes plain ``T``."""
    if default is inspect.Parameter.empty:
        return schema
    if default is None:
        branches = schema.get("anyOf", [])
        real = [branch for branch in branches if branch != {"type": "null"}]
        if len(real) < len(branches):
            rest = {key: value for key, value in schema.items() if key not in ("anyOf", "default")}
            return (real[0] if len(real) == 1 else {"anyOf": real}) | rest
        return schema
    try:
        shown = TypeAdapter(type(default)).dump_python(default, mode="json")
        json.dumps(shown, allow_nan=False)
        return schema | {"default": shown}
    except (PydanticSchemaGenerationError, ValueError, TypeError):
        return schema  # a default that is no JSON value cannot be shown; the argument is optional all the same


def _docstring(text: str) -> tuple[str, dict[str, str]]:
    """Summary (all before the first section) and argument texts (entries of ``Args``) of a Google-style docstring."""
    lines = text.splitlines()
    start = next((i for i, line in enumerate(lines) if _SECTION.fullmatch(line.strip())), len(lines))
    summary = " ".join(" ".join(lines[:start]).split())
    entries: dict[str, str] = {}
    inside, current = False, None
    for line in lines[start:]:
        if line and not line[0].isspace():
            section = _SECTION.fullmatch(line.strip())
            inside = bool(section) and section[1].lower() in ("args", "arguments", "parameters", "params", "attributes")
            base = None
            continue
        if not inside or not line.strip():
            continue
        indent = len(line) - len(line.lstrip())
        base = indent if base is None else base
        entry = _ENTRY.fullmatch(line.strip()) if indent <= base else None
        if entry:
            current = entry["name"]
            entries[current] = entry["text"]
        elif current:
            entries[current] = f"{entries[current]} {line.strip()}".strip()
    return summary, entries


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
