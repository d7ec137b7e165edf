"""``EndpointCaller``: any OpenAI-compatible endpoint as a ``Caller``, so that it can be evaluated beside the
student.

caller = EndpointCaller("http://localhost:8000/v1", "qwen3")      # or EndpointCaller("embedded") calls =
caller.call("dim the kitchen to 10", tools)
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from typing import Any

import httpx2

from needle.teacher.client import Teacher, TeacherConfig, Usage
from needle.teacher.errors import PermanentError, TransientError
from needle.teacher.wire import WireNames, read_calls, tools_to_wire
from needle.tools.caller import Caller, CallResult, Choice, Request
from needle.tools.execute import run_sync

class EndpointCaller(Caller):
    """Sends native ``tools`` and reads ``tool_calls``; many requests at a time, answers in order."""

    def __init__(
        self,
        base_url: str = "embedded",
        model: str = "embedded-teacher",
        *,
        concurrency: int = 8,
        temperature: float | None = 0.0,
        config: TeacherConfig | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        """``config`` overrides ``base_url`` and ``model`` and sets the deadlines; ``transport`` replaces the
        network."""
        self.config = config or TeacherConfig(base_url=base_url, model=model)
        self.name = f"{self.config.base_url}#{self.config.model}"
        self.concurrency = concurrency
        self.temperature = temperature
        self.usage = Usage()
        """Tokens and requests of all answers so far."""
        self._transport = transport

    @property
    def settings(self) -> dict[str, Any]:
        """What decides the answers beside endpoint and model."""
        extra = dict(self.config.extra_body)
        return {"temperature": self.temperature} | ({"extra_body": extra} if extra else {})

    def body_of(self, request: Request, names: WireNames) -> dict[str, Any]:
        """The parameters that are sent."""
        body: dict[str, Any] = {"messages": messages_of(request)}
        if request.tools:
            body["tools"] = tools_to_wire(request.tools, names)
            body |= choice_of(request.choice, names)
        if self.temperature is not None:
            body["temperature"] = self.temperature
        return body

    def show_prompt(self, request: Request) -> str:
        """The parameters that are sent, as JSON."""
        return json.dumps(self.body_of(request, WireNames(request.tools)), indent=1, ensure_ascii=False)

    def answer(self, requests: Sequence[Request]) -> list[CallResult]:
        """Answer each request, in order.

        A failed transport gives a result with ``infra_error``; arguments that are no JSON give ``error``.

        Raises:
            UserError: what would fail for every request (wrong key, no quota, unknown model).
        """
        return run_sync(self._answer_all(list(requests)))

    async def _answer_all(self, requests: list[Request]) -> list[CallResult]:
        gate = asyncio.Semaphore(self.concurrency)
        async with Teacher(self.config, transport=self._transport) as teacher:

            async def bounded(request: Request) -> CallResult:
                async with gate:
                    return await self._answer_one(teacher, request)

            tasks = [asyncio.create_task(bounded(request)) for request in requests]
            try:
                results = await asyncio.gather(*tasks)
            except BaseException:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                raise
            finally:
                self._count(teacher.usage)
        return list(results)

    async def _answer_one(self, teacher: Teacher, request: Request) -> CallResult:
        started = time.perf_counter()
        names = WireNames(request.tools)
        body = self.body_of(request, names)
        try:
            answer = await teacher.complete(body)
        except TransientError as error:
            return CallResult(error=f"{error.reason}: {error}", infra_error=True, seconds=time.perf_counter() - started)
        except PermanentError as error:
            if error.stops_job:
                raise
            return CallResult(error=f"{error.reason}: {error}", infra_error=True, seconds=time.perf_counter() - started)
        calls, problem = read_calls(answer, names, nulls_left_out=self.config.strict)
        return CallResult(
            [] if problem else calls,
            raw=answer.raw.decode(errors="replace"),
            error=problem,
            usage=answer.usage,
            seconds=time.perf_counter() - started,
        )

    def _count(self, usage: Usage) -> None:
        for field in ("requests", "retries", "prompt_tokens", "completion_tokens", "cached_tokens"):
            setattr(self.usage, field, getattr(self.usage, field) + getattr(usage, field))


def choice_of(choice: Choice, names: WireNames) -> dict[str, Any]:
    """``tool_choice`` and ``parallel_tool_calls``, where the choice is not free; names as they go over the wire."""
    sent: dict[str, Any] = {"parallel_tool_calls": False} if choice.most == 1 else {}
    if choice.only is not None:
        sent["tool_choice"] = {"type": "function", "function": {"name": names.out(choice.only)}}
    elif choice.required:
        sent["tool_choice"] = "required"
    return sent


def messages_of(request: Request) -> list[dict[str, Any]]:
    """Chat messages of a request: system facts, earlier turns, the query."""
    system = [{"role": "system", "content": request.system}] if request.system else []
    return [*system, *request.messages, {"role": "user", "content": request.query}]
