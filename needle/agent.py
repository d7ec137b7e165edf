"""``Agent``: a request in, functions called, their results out. ``extract``: a Pydantic model filled from a text.

Both work with any ``Caller``.

    agent = needle.Agent(tools=[dim, set_alarm], system=lambda: f"Today is {date.today():%A, %Y-%m-%d}.")
    for step in agent.run("wake me tomorrow at 7 and dim the hall"):
        print(step.call, step.status, step.result if step.status == "done" else step.error)

    class Booking(BaseModel):
        "A table at a restaurant."
        guests: int
        day: date

    needle.extract("a table for four on 3 May 2026", Booking)     # Booking(guests=4, day=date(2026, 5, 3)), or None

Nothing is executed that does not fit the function's signature; an exception of one tool is reported with its call and
does not keep the others from running.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import to_json

from needle.errors import UserError
from needle.tools import Caller, CallResult, ToolCall
from needle.tools.functions import spec_from_function, spec_from_model

M = TypeVar("M", bound=BaseModel)
Status = Literal["done", "failed", "invalid", "declined", "dry"]
Confirm = Callable[[ToolCall, Mapping[str, Any]], bool]


@dataclass(frozen=True)
class Step:
    """One call and what became of it."""

    call: ToolCall
    """The call as the model wrote it."""
    status: Status
    """``done``; ``failed`` (the tool raised); ``invalid`` (not executed: the arguments do not fit); ``declined`` (the
    confirmation hook said no); ``dry`` (not executed: a dry run)."""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """The arguments converted to the types of the signature; empty when they do not fit."""
    result: Any = None
    """What the tool returned."""
    error: str | None = None
    """Why there is no result, in one line."""
    exception: Exception | None = None
    """What the tool raised."""


class Run(list[Step]):
    """The steps of one request, in the order of the calls (this *is* a list; empty means that no tool fits)."""

    def __init__(self, steps: Iterable[Step], answer: CallResult) -> None:
        super().__init__(steps)
        self.answer = answer
        """What the model said, with confidence and evidence where it gives them."""

    @property
    def error(self) -> str | None:
        """Why the model gave no calls that can be read (None: it answered)."""
        return self.answer.error

    @property
    def ok(self) -> bool:
        """Whether the model answered and every call was executed (or would have been, in a dry run)."""
        return self.error is None and all(step.status in ("done", "dry") for step in self)


class Agent:
    """Calls functions for requests, with a memory of the last turns. Not for use by several threads at once."""

    def __init__(
        self,
        tools: Iterable[Callable[..., Any]],
        model: Caller | str | Path | None = None,
        *,
        system: str | Callable[[], str] | None = None,
        confirm: Confirm | None = None,
        dry_run: bool = False,
        raise_errors: bool = False,
        turns: int = 4,
    ) -> None:
        """Take functions (``@needle.tool`` or plain) and a model.

        Args:
            tools: functions with type hints; their signatures become the tools.
            model: any ``Caller``, what ``--model`` names, or None for the bundled base.
            system: facts that hold (date, locale), or a function that says them anew for every request.
            confirm: asked before each execution with the call and its converted arguments; false declines it.
            dry_run: check and convert, but execute nothing.
            raise_errors: raise the exception of a tool (and ``UserError`` for what is invalid) instead of reporting it.
            turns: earlier requests that the model is shown; 0 makes every request a new conversation.

        Raises:
            UserError: a function that cannot be a tool, two tools of one name, or no such model.
        """
        self._tools = _bind(tools)
        self._specs = [tool.spec for tool in self._tools.values()]
        self._caller = as_caller(model)
        self.system, self.confirm, self.dry_run, self.raise_errors = system, confirm, dry_run, raise_errors
        if turns < 0:
            raise UserError(f"turns is {turns}; give 0 or more")
        self._most_turns = turns
        self._turns: list[list[dict[str, Any]]] = []

    def run(self, text: str, *, dry_run: bool | None = None) -> Run:
        """Ask the model and execute its calls, one after the other. A dry run is not remembered.

        Raises:
            UserError: the text is empty. With ``raise_errors``, also what would else be reported.
        """
        if not text.strip():
            raise UserError("the request is empty; say what should be done")
        dry = self.dry_run if dry_run is None else dry_run
        facts = self.system() if callable(self.system) else self.system
        answer = self._caller.call(text, self._specs, system=facts, messages=self.messages)
        if answer.error and self.raise_errors:
            raise UserError(f"no calls: {answer.error}")
        steps = [] if answer.error else [self._step(call, dry) for call in answer]
        if not dry and not answer.error:
            self._remember(text, steps)
        return Run(steps, answer)

    @property
    def messages(self) -> Sequence[dict[str, Any]]:
        """The turns that the next request is shown, in OpenAI's shape."""
        return [message for turn in self._turns for message in turn]

    def reset(self) -> None:
        """Forget the conversation."""
        self._turns.clear()

    def _step(self, call: ToolCall, dry: bool) -> Step:
        tool = self._tools.get(call.name)
        try:
            if tool is None:
                raise UserError(f"no tool is called {call.name!r}; there are: {', '.join(self._tools)}")
            arguments = tool.convert(call.arguments)
        except UserError as error:
            if self.raise_errors:
                raise
            return Step(call, "invalid", error=str(error))
        if dry:
            return Step(call, "dry", arguments)
        if self.confirm is not None and not self.confirm(call, arguments):
            return Step(call, "declined", arguments, error="declined")
        try:
            return Step(call, "done", arguments, tool.function(**arguments))
        except Exception as error:
            if self.raise_errors:
                raise
            words = " ".join(f"{type(error).__name__}: {error}".split())
            return Step(call, "failed", arguments, error=words, exception=error)

    def _remember(self, text: str, steps: Sequence[Step]) -> None:
        turn: list[dict[str, Any]] = [{"role": "user", "content": text}]
        names = [f"call_{number}" for number in range(len(steps))]
        calls = [
            {
                "id": name,
                "type": "function",
                "function": {"name": step.call.name, "arguments": _text(step.call.arguments)},
            }
            for name, step in zip(names, steps, strict=True)
        ]
        turn.append({"role": "assistant", "content": ""} | ({"tool_calls": calls} if calls else {}))
        for name, step in zip(names, steps, strict=True):
            content = _text(step.result) if step.error is None else f"error: {step.error}"
            turn.append({"role": "tool", "tool_call_id": name, "content": content})
        self._turns = [*self._turns, turn][-self._most_turns :] if self._most_turns else []


class _Tool:
    """A function with its spec and a converter for each argument."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function, self.spec = function, spec_from_function(function)
        if inspect.iscoroutinefunction(function):
            raise UserError(f"function {self.spec.name}: an async function; wrap it in one that runs it")
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
                problems.append(_complaint(error, name))
        if problems:
            raise UserError(f"{self.spec.name}: {'; '.join(problems)}")
        return converted


def _bind(tools: Iterable[Callable[..., Any]]) -> dict[str, _Tool]:
    bound: dict[str, _Tool] = {}
    for item in tools:
        if isinstance(item, type) or not callable(item):
            raise UserError(
                f"{getattr(item, '__name__', type(item).__name__)} cannot be executed; give functions as tools"
            )
        tool = _Tool(item)
        if tool.spec.name in bound:
            raise UserError(
                f"two tools are called {tool.spec.name!r}; give one another name with @needle.tool(name=...)"
            )
        bound[tool.spec.name] = tool
    if not bound:
        raise UserError("the agent has no tools; give it at least one function")
    return bound


def extract(
    text: str, kind: type[M], model: Caller | str | Path | None = None, *, system: str | None = None
) -> M | None:
    """The first ``kind`` that the text speaks of, or None when the model finds none.

    Args:
        text: where to look.
        kind: a Pydantic model; its docstring and the descriptions of its fields tell the caller what they mean.
        model: any ``Caller``, what ``--model`` names, or None for the bundled base.
        system: facts that hold, such as the date.

    Raises:
        UserError: what was found does not fit the model, the model gave no readable answer, or the text is empty.
    """
    if not text.strip():
        raise UserError("the text is empty; there is nothing to extract")
    spec = spec_from_model(kind)
    answer = as_caller(model).call(text, [spec], system=system)
    if answer.error:
        raise UserError(f"nothing extracted: {answer.error}")
    call = next((call for call in answer if call.name == spec.name), None)
    if call is None:
        return None
    try:
        return kind.model_validate_json(json.dumps(call.arguments))
    except ValidationError as error:
        raise UserError(f"{kind.__name__}: what was found does not fit: {_complaint(error)}") from error


def _complaint(error: ValidationError, where: str = "") -> str:
    """What Pydantic found, in one line: ``days.0: Input should be 'mon' or 'tue' (got 'someday')``."""
    lines = []
    for item in error.errors(include_url=False, include_context=False):
        place = ".".join(filter(None, [where, *map(str, item["loc"])])) or "it"
        got = "" if item["type"] == "missing" else f" (got {_text(item['input'])[:60]})"
        lines.append(f"{place}: {item['msg']}{got}")
    return " ".join("; ".join(lines).split())


def as_caller(model: Caller | str | Path | None) -> Caller:
    """The caller itself, or the one that a name stands for; models that are loaded here are kept for the next time.

    Raises:
        UserError: no such model.
    """
    if isinstance(model, Caller):
        return model
    if model is not None and not isinstance(model, str | Path):
        raise UserError(f"model is a {type(model).__name__}; give a Caller, the name of a model, or None")
    return _load(None if model is None else str(model))


@lru_cache(maxsize=2)
def _load(model: str | None) -> Caller:
    from needle.models import open_caller

    return open_caller(model)


def _text(value: Any) -> str:
    """A value as JSON when it is data (dates and models are, too), else as Python shows it."""
    try:
        return to_json(value).decode()
    except ValueError:
        return repr(value)
