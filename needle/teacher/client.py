"""``Teacher``: one async client for any OpenAI-compatible endpoint, the embedded one included.

    async with Teacher(TeacherConfig(base_url="http://localhost:8000/v1", model="qwen3")) as teacher:
        answer = await teacher.complete({"messages": [{"role": "user", "content": "hello"}]})

Each call has a total deadline (the SDK's time-out is per read: a body that trickles outlives it), permanent errors
are raised at once with the remedy, transient ones are retried with back-off that honours every form of Retry-After.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from typing import Any, Self

import httpx2

from needle.teacher.config import TeacherConfig
from needle.teacher.endpoint import check_url, fill_headers, find_key, is_embedded, open_client
from needle.teacher.errors import PermanentError, TransientError, classify
from needle.teacher.wire import Answer, read_answer

DROPPABLE = frozenset({"temperature", "seed", "parallel_tool_calls", "max_tokens", "max_completion_tokens", "top_p"})
"""Parameters that may be left out when an endpoint says that it does not support them."""


@dataclass
class Usage:
    """What has been used so far, retries included."""

    requests: int = 0
    """Attempts sent."""
    retries: int = 0
    """Attempts beyond the first of a call."""
    prompt_tokens: int = 0
    """Input tokens as counted by the endpoint."""
    completion_tokens: int = 0
    """Output tokens as counted by the endpoint."""


class Teacher:
    """Async client. Use as ``async with``; one instance belongs to one event loop."""

    def __init__(self, config: TeacherConfig, *, transport: httpx2.AsyncBaseTransport | None = None) -> None:
        """``transport`` replaces the network (an in-process app); for the embedded teacher it is made here.

        Raises:
            UserError: bad address, or no key for a remote endpoint.
        """
        self.config = config
        self.usage = Usage()
        base_url = check_url(config.base_url)
        key = find_key(base_url, key_env=config.key_env)
        self._embedded = None
        if is_embedded(base_url) and transport is None:
            from needle.teacher.embedded import EmbeddedTeacher, make_app  # here: only this path needs the pattern bank

            self._embedded = EmbeddedTeacher()
            transport = httpx2.ASGITransport(make_app(self._embedded))
        self._client = open_client(base_url, key, config.attempt_s, transport, fill_headers(config.headers))
        self._unsupported: set[str] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._client.close()

    @property
    def where(self) -> str:
        """The endpoint in words, for messages."""
        return self.config.where

    async def complete(self, body: dict[str, Any]) -> Answer:
        """Ask for one chat completion.

        Args:
            body: parameters of the endpoint (``messages``, ``tools``, ``temperature`` ...); the model is added here.

        Raises:
            PermanentError: (a ``UserError``) asking again cannot help.
            TransientError: attempts or the deadline are used up.
        """
        last: TransientError | None = None
        loop = asyncio.get_running_loop()
        ends = loop.time() + self.config.deadline_s
        for attempt in range(self.config.max_attempts):
            try:
                return await self._attempt(body, ends - loop.time(), retry=attempt > 0)
            except TransientError as error:
                last = error
            wait = last.retry_after if last.retry_after is not None else self._backoff(attempt)
            if attempt + 1 == self.config.max_attempts or loop.time() + wait >= ends:
                break
            await asyncio.sleep(wait)
        assert last is not None
        raise last

    def recall(self, body: dict[str, Any]) -> None:
        """A stored answer to ``body`` is used in place of a call. The embedded teacher, which remembers what it
        wrote, rereads it."""
        if self._embedded is not None:
            self._embedded.complete(body)

    async def _attempt(self, body: dict[str, Any], seconds_left: float, retry: bool) -> Answer:
        self.usage.requests += 1
        self.usage.retries += retry
        sent = {name: value for name, value in body.items() if name not in self._unsupported}
        try:
            async with asyncio.timeout(min(self.config.attempt_s, max(seconds_left, 0.001))):
                response = await self._client.chat.completions.with_raw_response.create(model=self.config.model, **sent)
                answer = read_answer(response.content)
        except Exception as error:
            ours = classify(error, self.where, self.config.model)
            if isinstance(ours, PermanentError) and self._drop_parameter(ours):
                return await self._attempt(body, seconds_left, retry)  # at most once for each droppable parameter
            raise ours from error
        self.usage.prompt_tokens += answer.usage.get("prompt_tokens", 0)
        self.usage.completion_tokens += answer.usage.get("completion_tokens", 0)
        return answer

    def _drop_parameter(self, error: PermanentError) -> bool:
        """Leave out an optional parameter that the endpoint refused by name (reasoning models refuse
        ``temperature``)."""
        if error.reason != "bad_request" or error.parameter not in DROPPABLE or error.parameter in self._unsupported:
            return False
        self._unsupported.add(error.parameter)
        return True

    def _backoff(self, attempt: int) -> float:
        # jitter keeps many clients apart; it shapes waiting only, never data, so it needs no seed
        return min(self.config.backoff_s * 2**attempt, 20.0) * (1 - 0.25 * random.random())
