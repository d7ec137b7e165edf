"""The one seam of the program: ``Caller`` turns a request and tools into calls, with the evidence for them.

The teacher, the student, an endpoint and the baselines all implement it, so each can be evaluated, served and compared.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

from needle.errors import UserError
from needle.tools.spec import ToolCall, ToolSpec


@dataclass(frozen=True)
class Choice:
    """How free the caller is: what OpenAI calls ``tool_choice`` and ``parallel_tool_calls``."""

    required: bool = False
    """Whether at least one call is due, also when no tool seems to fit."""
    only: str | None = None
    """Name of the one tool that may be called, and then must be; None for all of them."""
    most: int | None = None
    """Most calls in the answer; None for as many as the caller gives."""

    @property
    def forced(self) -> bool:
        """Whether an empty answer is ruled out."""
        return self.required or self.only is not None

    def check(self, tools: Sequence[ToolSpec]) -> None:
        """Raise ``UserError`` when nobody could choose so among ``tools``."""
        if self.most is not None and self.most < 1:
            raise UserError(f"at most {self.most} calls: allow at least one")
        if self.forced and not tools:
            raise UserError("a call is due, but there are no tools; offer at least one")
        if self.only is not None and self.only not in {tool.name for tool in tools}:
            raise UserError(f"the choice is {self.only!r}, which is none of the tools; name one of them")


FREE = Choice()
"""Any number of calls of any tools, or none."""


@dataclass(frozen=True)
class Request:
    """One question to a caller."""

    query: str
    """What the person said or typed."""
    tools: tuple[ToolSpec, ...]
    """The tools on offer, in order."""
    system: str | None = None
    """Facts that hold for the request (date, locale, place), or None."""
    messages: tuple[dict[str, Any], ...] = ()
    """Earlier turns in OpenAI's shape, oldest first; empty for a single turn."""
    choice: Choice = FREE
    """What may be answered. The student is bound to it by its grammar; an endpoint is told; baselines do not look at it."""


@dataclass(frozen=True)
class Evidence:
    """Where one argument came from."""

    path: str
    """``call index.argument path``, as in ``alternatives`` of an example row."""
    start: int
    """First character of the span in the request."""
    end: int
    """One past the last character of the span."""
    score: float
    """0 to 1; how sure the caller is of the span."""


class CallResult(list[ToolCall]):
    """The calls (this *is* a list of ``ToolCall``; empty means that no tool fits), with what stands behind them."""

    def __init__(
        self,
        calls: Iterable[ToolCall] = (),
        *,
        raw: str = "",
        error: str | None = None,
        infra_error: bool = False,
        confidence: float | None = None,
        calibrated: bool = False,
        unsure: bool = False,
        evidence: Sequence[Evidence] = (),
        offered: Sequence[str] | None = None,
        ranked: Sequence[str] | None = None,
        answered_by: str | None = None,
        fallback_error: str | None = None,
        signals: Mapping[str, float] | None = None,
        usage: dict[str, int] | None = None,
        seconds: float | None = None,
    ) -> None:
        super().__init__(calls)
        self.raw = raw
        """Model output as it came, before parsing."""
        self.error = error
        """Why the output could not be read as calls (None: it was well formed)."""
        self.infra_error = infra_error
        """True when the endpoint failed rather than the model."""
        self.confidence = confidence
        """Probability that the calls are right, where the caller estimates one."""
        self.calibrated = calibrated
        """Whether ``confidence`` was fitted to rows with known answers; if not, it is the raw probability of the output."""
        self.unsure = unsure
        """True when ``confidence`` is below the threshold that was asked for, or the answer failed, and nobody surer answered."""
        self.evidence = list(evidence)
        """Spans of the request behind the arguments, where known."""
        self.offered = None if offered is None else tuple(offered)
        """Names of the tools that the model was shown, where these are not all; None: it saw every tool of the request."""
        self.ranked = None if ranked is None else tuple(ranked)
        """Names of all tools of the request, the best fitting first, where only some were shown."""
        self.answered_by = answered_by
        """Name of the caller that gave this answer, where several could have."""
        self.fallback_error = fallback_error
        """Why the fallback that was asked gave no answer; None: it gave one, or was not asked."""
        self.signals = dict(signals or {})
        """What a confidence can be computed from (``needle.student.confidence.features``); empty where the caller tells nothing."""
        self.usage = usage or {}
        """``prompt_tokens`` and ``completion_tokens``, where known."""
        self.seconds = seconds
        """Wall-clock seconds for this answer."""


@dataclass(frozen=True)
class Delta:
    """A piece of an answer that is still being written."""

    call: int
    """Place of the call in the answer, from 0."""
    name: str | None
    """Name of the tool, with the first piece of its call; None with the others."""
    arguments: str
    """Further text of the arguments; the pieces of a call, joined, are a JSON object."""


Watch = Callable[[int, Delta], None]
"""Told of each piece with the place of its request; may be called from another thread."""


def deltas(calls: Iterable[ToolCall]) -> Iterator[Delta]:
    """Whole calls as pieces, one each."""
    for place, call in enumerate(calls):
        yield Delta(place, call.name, json.dumps(call.arguments, ensure_ascii=False))


class Caller(ABC):
    """Anything that answers requests with calls."""

    name: str = "caller"
    parallel: bool = False
    """Whether several threads may ask at once and gain by it."""

    @abstractmethod
    def answer(self, requests: Sequence[Request]) -> list[CallResult]:
        """Answer each request, in order. A request that fails yields a result with ``error`` set; it never raises for one row."""

    def answer_watched(self, requests: Sequence[Request], watch: Watch) -> list[CallResult]:
        """``answer``, telling ``watch`` of the pieces as they are decided.

        A caller that decides all at once tells nothing; one that tells of an answer tells all of it.
        """
        return self.answer(requests)

    def call(
        self,
        query: str,
        tools: Iterable[Any],
        *,
        system: str | None = None,
        messages: Sequence[dict[str, Any]] = (),
        choice: Choice = FREE,
        explain: bool = False,
    ) -> CallResult:
        """Answer one request; ``tools`` may be specs, dictionaries in any known shape, functions or Pydantic models.

        ``explain``: fill ``evidence``, the words of the request behind each argument.
        Raises ``UserError`` for an empty request, tools that cannot be read, and a choice that they do not have.
        """
        requests = [_request(query, tools, system, messages, choice)]
        return (self.answer_explained(requests) if explain else self.answer(requests))[0]

    def answer_explained(self, requests: Sequence[Request]) -> list[CallResult]:
        """``answer`` with ``evidence``: from the text of the requests, unless the caller knows better where it looked."""
        from needle.tools.grounding.evidence import explain  # here: that package imports this module

        results = self.answer(requests)
        explain(requests, results)
        return results

    def stream(
        self,
        query: str,
        tools: Iterable[Any],
        *,
        system: str | None = None,
        messages: Sequence[dict[str, Any]] = (),
        choice: Choice = FREE,
    ) -> Iterator[Delta | CallResult]:
        """Pieces of the calls as they are decided, and the whole result last. Arguments and errors as for ``call``.

        The model works in a thread of its own; who stops reading does not stop it.
        """
        from needle.tools.execute import in_thread

        pieces: SimpleQueue[Delta | None] = SimpleQueue()
        asked = [_request(query, tools, system, messages, choice)]
        work = in_thread(self.answer_watched, {"requests": asked, "watch": lambda _, piece: pieces.put(piece)})
        work.add_done_callback(lambda _: pieces.put(None))
        told = False
        while (piece := pieces.get()) is not None:
            told = True
            yield piece
        result = work.result()[0]
        if not told:
            yield from deltas(result)
        yield result

    async def acall(self, query: str, tools: Iterable[Any], **options: Any) -> CallResult:
        """``call`` for async code: the model works in a thread, the loop goes on."""
        from needle.tools.execute import execute_async

        return await execute_async(self.call, {"query": query, "tools": tools, **options})


def _request(query: str, tools: Iterable[Any], system: str | None, messages: Sequence[dict[str, Any]], choice: Choice) -> Request:
    """What a person gives, as a request. Raises ``UserError`` for an empty one, tools that cannot be read, and a choice that they do not have."""
    from needle.tools.read import read_tools  # here: the reader imports this package

    if not isinstance(query, str):
        raise UserError(f"the request is {type(query).__name__}, not text")
    if not query.strip():
        raise UserError("the request is empty; say what should be done")

    specs = tuple(read_tools(tools))
    choice.check(specs)
    return Request(query, specs, system, tuple(messages), choice)
