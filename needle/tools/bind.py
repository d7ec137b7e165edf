"""Tools that can be executed: a spec, what runs it, and what turns the JSON arguments of a call into Python values.

    bound = bind([dim, Bound(spec, send_to_my_hub)])["dim"]
    bound.function(**bound.convert({"room": "hall", "percent": "10"}))

A function is checked and converted by its type hints; ``Bound`` with a spec of its own (a tool of an MCP server, of an
OpenAPI document) by its JSON Schema, and gets the arguments as they are.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from needle.errors import UserError
from needle.tools.functions import spec_from_function
from needle.tools.spec import ToolCall, ToolSpec


class Bound:
    """A tool bound to what executes it; callable like that, and a tool wherever tools are taken."""

    def __init__(self, spec: ToolSpec, function: Callable[..., Any], *, timeout: float | None = None) -> None:
        """Bind ``function``, plain or async, which takes the arguments of ``spec`` by name.

        ``timeout`` is the most seconds that one execution may take; None leaves it to the agent.
        """
        self.spec, self.function, self.timeout = spec, function, timeout
        self.__name__, self.__doc__ = spec.name, spec.description

    def __call__(self, **arguments: Any) -> Any:
        """What the function gives (of an async one: what is to be awaited)."""
        return self.function(**arguments)

    def convert(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments, if they fit the schema. Raises UserError with all that does not, in one line."""
        from needle.tools.validate import validate_calls  # here: the validators load slowly

        found = validate_calls([ToolCall(self.spec.name, dict(arguments))], [self.spec])
        if found:
            words = (f"{violation.path.partition('.')[2] or 'it'}: {violation.message}" for violation in found)
            raise UserError(f"{self.spec.name}: {'; '.join(' '.join(word.split()) for word in words)}")
        return dict(arguments)


class BoundFunction(Bound):
    """A Python function with a converter for each argument."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(spec_from_function(function), function)
        self._adapters: dict[str, TypeAdapter[Any]] = {}
        self._needed: list[str] = []
        self._rest: TypeAdapter[Any] | None = None
        for parameter in inspect.signature(function, eval_str=True).parameters.values():
            hint = Any if parameter.annotation is parameter.empty else parameter.annotation
            if parameter.kind is parameter.VAR_KEYWORD:
                self._rest = TypeAdapter(hint)
                continue
            self._adapters[parameter.name] = TypeAdapter(hint)
            if parameter.default is parameter.empty:
                self._needed.append(parameter.name)

    def convert(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments in the types of the signature. Raises UserError with all that does not fit, in one line."""
        problems = [f"{name}: missing" for name in self._needed if name not in arguments]
        converted: dict[str, Any] = {}
        for name, value in arguments.items():
            adapter = self._adapters.get(name, self._rest)
            if adapter is None:
                problems.append(f"{name}: no such argument")
                continue
            try:
                # As JSON: then strict types and dates, sets and tuples are read as they are written by a model.
                converted[name] = adapter.validate_json(json.dumps(value))
            except ValidationError as error:
                problems.append(complaint(error, name))
        if problems:
            raise UserError(f"{self.spec.name}: {'; '.join(problems)}")
        return converted


def bind(tools: Iterable[Callable[..., Any]]) -> dict[str, Bound]:
    """Tools by name: functions (plain, async, methods, callable objects) and ``Bound``.

    Raises:
        UserError: a class or a mere spec, a function that cannot be a tool, two tools of one name, or none at all.
    """
    bound: dict[str, Bound] = {}
    for item in tools:
        if isinstance(item, type) or not callable(item):
            kind = getattr(item, "__name__", type(item).__name__)
            raise UserError(f"{kind} cannot be executed; give functions as tools, or Bound(spec, function)")
        tool = item if isinstance(item, Bound) else BoundFunction(item)
        if tool.spec.name in bound:
            raise UserError(
                f"two tools are called {tool.spec.name!r}; give one another name with @needle.tool(name=...)"
            )
        bound[tool.spec.name] = tool
    if not bound:
        raise UserError("the agent has no tools; give it at least one function")
    return bound


def complaint(error: ValidationError, where: str = "") -> str:
    """What Pydantic found, in one line: ``days.0: Input should be 'mon' or 'tue' (got 'someday')``."""
    lines = []
    for item in error.errors(include_url=False, include_context=False):
        place = ".".join(filter(None, [where, *map(str, item["loc"])])) or "it"
        got = "" if item["type"] == "missing" else f" (got {as_text(item['input'])[:60]})"
        lines.append(f"{place}: {item['msg']}{got}")
    return " ".join("; ".join(lines).split())


def as_text(value: Any) -> str:
    """A value as JSON when it is data (dates and models are, too), else as Python shows it."""
    try:
        return to_json(value).decode()
    except ValueError:
        return repr(value)
