"""``Agent``: a request in, functions called, their results out, with any ``Caller``.

    agent = needle.Agent(tools=[dim, set_alarm])
    for step in agent.run("wake me tomorrow at 7 and dim the hall"):      # or: await agent.arun(...)
        print(step.call, step.status, step.result if step.status == "done" else step.error)

Nothing is executed that does not fit the function's signature; an exception of one tool is reported with its call and
does not keep the others from running. Tools may be plain or async functions, in ``run`` and in ``arun``.
"""

from __future__ import annotations

import datetime
import threading
from collections.abc import Awaitable, Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal

from needle.errors import UserError
from needle.tools import Caller, CallResult, ToolCall
from needle.tools.bind import as_text, bind
from needle.tools.dates import clock_facts, takes_dates
from needle.tools.described import with_formats
from needle.tools.execute import execute, execute_async
from needle.tools.grounding.hearing import today_in
from needle.tools.settle import settle

Status = Literal["done", "failed", "invalid", "declined", "unsure", "dry"]
Confirm = Callable[[ToolCall, Mapping[str, Any]], bool | Awaitable[bool]]
Facts = str | Callable[[], str | Awaitable[str]]
Effect = tuple[Callable[..., Any], Mapping[str, Any], float | None]
"""Something to run, its arguments, and the seconds that it may take: what a conversation asks of whoever drives it."""


@dataclass(frozen=True)
class Step:
    """One call and what became of it."""

    call: ToolCall
    """The call as the model wrote it, days and times settled (``Run.answer`` has it without)."""
    status: Status
    """``done``; ``failed`` (the tool raised, or took too long); ``invalid`` (not executed: the arguments do not fit);
    ``declined`` (the confirmation hook said no); ``unsure`` (not executed: the model's confidence is below the
    threshold); ``dry`` (not executed: a dry run)."""
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
    """Calls functions for requests, with a memory of the last turns.

    May be used by several threads and tasks at once: requests under way at the same time do not see one another. For
    people who should not share a memory there is ``session()``.
    """

    def __init__(
        self,
        tools: Iterable[Callable[..., Any]],
        model: Caller | str | Path | None = None,
        *,
        system: Facts | None = None,
        confirm: Confirm | None = None,
        dry_run: bool = False,
        raise_errors: bool = False,
        turns: int = 4,
        timeout: float | None = None,
        threshold: float = 0.0,
        clock: Callable[[], datetime.datetime] | None = datetime.datetime.now,
    ) -> None:
        """Take functions (``@needle.tool``, plain, async, ``needle.tools_from_mcp``) and a model.

        Args:
            tools: functions with type hints; their signatures become the tools.
            model: any ``Caller``, what ``--model`` names, or None for the bundled base.
            system: facts that hold (place, locale), or a function that says them anew for every request.
            confirm: asked before each execution with the call and its converted arguments; false declines it.
            dry_run: check and convert, but execute nothing.
            raise_errors: raise the exception of a tool (and ``UserError`` for what is invalid) instead of reporting it.
            turns: earlier requests that the model is shown; 0 makes every request a new conversation.
            timeout: most seconds of one execution; a ``Bound`` tool may have its own.
            threshold: nothing is executed where the model gives its answer less confidence than this (0 to 1).
            clock: says what time it is. Where a tool takes a date, the model is told, unless ``system`` does, and days
                that are counted from today are settled (``needle.tools.dates``), as are times of day that the request
                says (``needle.tools.times``). None: nothing of it.

        Raises:
            UserError: a function that cannot be a tool, two tools of one name, or no such model.
        """
        self._tools = bind(tools)
        self._specs = [tool.spec for tool in self._tools.values()]
        self._dated = takes_dates(with_formats(self._specs))
        self._caller = as_caller(model)
        self.system, self.confirm, self.dry_run, self.raise_errors = system, confirm, dry_run, raise_errors
        self.timeout, self.threshold, self.clock = timeout, threshold, clock
        if turns < 0:
            raise UserError(f"turns is {turns}; give 0 or more")
        if not 0 <= threshold <= 1:
            raise UserError(f"threshold is {threshold}; a confidence is between 0 and 1")
        if timeout is not None and timeout <= 0:
            raise UserError(f"timeout is {timeout}; give a number of seconds above 0, or None")
        self._most_turns = turns
        self._turns: tuple[tuple[dict[str, Any], ...], ...] = ()
        self._lock = threading.Lock()

    def run(self, text: str, *, dry_run: bool | None = None) -> Run:
        """Ask the model and execute its calls, one after the other. A dry run is not remembered.

        Raises:
            UserError: the text is empty. With ``raise_errors``, also what would else be reported.
        """
        work = self._conversation(text, dry_run)
        try:
            effect = next(work)
            while True:
                try:
                    value = execute(*effect)
                except Exception as error:
                    effect = work.throw(error)
                else:
                    effect = work.send(value)
        except StopIteration as stop:
            return stop.value

    async def arun(self, text: str, *, dry_run: bool | None = None) -> Run:
        """``run`` for async code: async tools are awaited, the model and plain tools run in threads."""
        work = self._conversation(text, dry_run)
        try:
            effect = next(work)
            while True:
                try:
                    value = await execute_async(*effect)
                except Exception as error:
                    effect = work.throw(error)
                else:
                    effect = work.send(value)
        except StopIteration as stop:
            return stop.value

    def session(self) -> Agent:
        """An agent of the same tools, model and settings with a memory of its own: one for each person."""
        other = object.__new__(type(self))
        other.__dict__ = self.__dict__ | {"_turns": (), "_lock": threading.Lock()}
        return other

    @property
    def messages(self) -> Sequence[dict[str, Any]]:
        """The turns that the next request is shown, in OpenAI's shape."""
        return [message for turn in self._turns for message in turn]

    def reset(self) -> None:
        """Forget the conversation."""
        with self._lock:
            self._turns = ()

    def _conversation(self, text: str, dry_run: bool | None) -> Generator[Effect, Any, Run]:
        """The steps of one request. Whatever may wait is yielded, so that ``run`` and ``arun`` differ in how they wait
        only."""
        if not text.strip():
            raise UserError("the request is empty; say what should be done")
        dry = self.dry_run if dry_run is None else dry_run
        facts = (yield self.system, {}, None) if callable(self.system) else self.system
        if self._dated and self.clock is not None and today_in(facts) is None:
            facts = f"{clock_facts(self.clock())} {facts or ''}".strip()
        ask = partial(self._caller.call, text, self._specs, system=facts, messages=self.messages)
        answer: CallResult = yield ask, {}, None
        if answer.error and self.raise_errors:
            raise UserError(f"no calls: {answer.error}")
        unsure = answer.unsure or (answer.confidence is not None and answer.confidence < self.threshold)
        idle: Status | None = "dry" if dry else "unsure" if unsure else None
        steps: list[Step] = []
        calls = [] if answer.error else settle(answer, self._specs, text, facts, times=self.clock is not None)
        for call in calls:
            steps.append((yield from self._step(call, idle)))
        if not dry and not answer.error:
            self._remember(text, steps)
        return Run(steps, answer)

    def _step(self, call: ToolCall, idle: Status | None) -> Generator[Effect, Any, Step]:
        tool = self._tools.get(call.name)
        try:
            if tool is None:
                raise UserError(f"no tool is called {call.name!r}; there are: {', '.join(self._tools)}")
            arguments = tool.convert(call.arguments)
        except UserError as error:
            if self.raise_errors:
                raise
            return Step(call, "invalid", error=str(error))
        if idle is not None:
            return Step(call, idle, arguments, error="unsure" if idle == "unsure" else None)
        if self.confirm is not None and not (yield partial(self.confirm, call, arguments), {}, None):
            return Step(call, "declined", arguments, error="declined")
        try:
            result = yield tool.function, arguments, self.timeout if tool.timeout is None else tool.timeout
            return Step(call, "done", arguments, result)
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
                "function": {"name": step.call.name, "arguments": as_text(step.call.arguments)},
            }
            for name, step in zip(names, steps, strict=True)
        ]
        turn.append({"role": "assistant", "content": ""} | ({"tool_calls": calls} if calls else {}))
        for name, step in zip(names, steps, strict=True):
            content = as_text(step.result) if step.error is None else f"error: {step.error}"
            turn.append({"role": "tool", "tool_call_id": name, "content": content})
        with self._lock:
            self._turns = (*self._turns, tuple(turn))[-self._most_turns :] if self._most_turns else ()


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
