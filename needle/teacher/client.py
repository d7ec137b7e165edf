"""``Teacher``: one async client for any OpenAI-compatible endpoint, the embedded one included.

    async with Teacher(TeacherConfig(base_url="http://localhost:8000/v1", model="qwen3")) as teacher:
        answer = await teacher.complete({"messages": [{"role": "user", "content": "hello"}]})

Each call has a total deadline (the SDK's time-out is per read: a body that trickles outlives it), permanent errors
are raised at once with the remedy, transient ones are retried with back-off. The rate limit is shared by all teachers
of the same endpoint (``needle.teacher.limits``); a wait that the endpoint asks for holds for all of them.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Self

import httpx2

from needle.teacher.config import TeacherConfig, check_capabilities
from needle.teacher.content import tools_in_content
from needle.teacher.endpoint import NO_KEY, check_url, fill_headers, find_key, header_secrets, is_embedded, open_client
from needle.teacher.errors import DROPPABLE, RENAMED, Asked, PermanentError, TransientError, by_status, classify
from needle.teacher.limits import Limiter, Ticket, limiter_for
from needle.teacher.strict import strict_tools
from needle.teacher.wire import Answer, ErrorBody, read_answer

BYTES_A_TOKEN = 2.5
"""Fewer bytes than any usual tokenizer needs for a token of JSON or English, so that estimates err upwards."""
SHORT = 6
"""Characters below which a key is a dummy such as "x", which need not be struck out of messages."""
MOST_OUTPUT = 1000
"""Output tokens that a call without ``max_tokens`` is taken to need."""


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
    cached_tokens: int = 0
    """Those of the input tokens that were in the endpoint's prompt cache."""

    def count(self, used: Mapping[str, int]) -> None:
        """Add the tokens of an answer."""
        for name in ("prompt_tokens", "completion_tokens", "cached_tokens"):
            setattr(self, name, getattr(self, name) + used.get(name, 0))


class Teacher:
    """Async client. Use as ``async with``; one instance belongs to one event loop."""

    def __init__(
        self,
        config: TeacherConfig,
        *,
        transport: httpx2.AsyncBaseTransport | None = None,
        key: Callable[[], Awaitable[str]] | None = None,
    ) -> None:
        """Open an endpoint.

        Args:
            config: which one, and how patient to be.
            transport: replaces the network (an in-process app); for the embedded teacher it is made here.
            key: gives the key of each request, for keys that rotate or live shortly; None: the environment variable.

        Raises:
            UserError: bad address, no key for a remote endpoint, or a setting that the endpoint is known not to
            support.
        """
        check_capabilities(config, config.needs)
        self.config = config
        self.usage = Usage()
        self.left_out: set[str] = set()
        """Parameters that the endpoint refused and that are no longer sent (or sent under their newer name)."""
        base_url = check_url(config.base_url)
        fixed = NO_KEY if key else find_key(base_url, key_env=config.key_env)
        headers = fill_headers(config.headers)
        secrets = {
            secret for secret in (fixed, *header_secrets(config.headers)) if len(secret) >= SHORT and secret != NO_KEY
        }
        self.asked = Asked(config.where, config.model, config.key_env or Asked.key_name, secrets)
        self._embedded = None
        if is_embedded(base_url) and transport is None:
            from needle.teacher.embedded import EmbeddedTeacher, make_app  # here: only this path needs the pattern bank

            self._embedded = EmbeddedTeacher()
            transport = httpx2.ASGITransport(make_app(self._embedded))

        async def fresh_key() -> str:
            assert key is not None
            secret = await key()
            self.asked.secrets.add(secret)
            return secret

        self.client = open_client(base_url, fresh_key if key else fixed, config.attempt_s, transport, headers)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.client.close()

    @property
    def where(self) -> str:
        """The endpoint in words, for messages."""
        return self.config.where

    async def complete(self, body: dict[str, Any], *, on_resend: Callable[[], None] | None = None) -> Answer:
        """Ask for one chat completion.

        Args:
            body: parameters of the endpoint (``messages``, ``tools``, ``temperature`` ...); the model is added here.
            on_resend: called before an attempt that may be billed beside an earlier one of the same call; what it
                raises (no money left, say) ends the call. Without it no slow call is hedged.

        Raises:
            PermanentError: (a ``UserError``) asking again cannot help; ``Starved`` when the rate limit lets nothing
            through.
            TransientError: attempts or the deadline are used up.
        """
        loop, limiter = asyncio.get_running_loop(), limiter_for(self.config)
        left, failures, again = self.config.deadline_s, 0, False
        while True:
            sent = self.wire_body(body)
            ticket = await limiter.acquire(*(estimate_tokens(sent) if limiter.counts_tokens else (0, 0)))
            started = loop.time()
            try:
                work = self._attempt(sent, min(self.config.attempt_s, left), limiter, ticket, again)
                return await (
                    self._hedged(work, sent, left, limiter, on_resend) if self.config.hedge_s and on_resend else work
                )
            except PermanentError as error:
                if not self._adapt(error, sent):
                    raise
                continue
            except TransientError as error:
                last = error
            again = True
            left -= loop.time() - started
            left, failures = await self._wait_after(last, left, failures, limiter)
            if on_resend and last.maybe_billed:
                on_resend()

    def recall(self, body: dict[str, Any]) -> None:
        """A stored answer to ``body`` is used in place of a call. The embedded teacher, which remembers what it
        wrote, rereads it."""
        if self._embedded is not None:
            self._embedded.complete(body)

    async def list_batches(self, most: int = 100) -> list[dict[str, Any]]:
        """The newest batches of the account, as the endpoint describes them.

        Raises:
            openai.APIError: as the SDK does, also where there is no batch API.
        """
        response = await self.client.get(f"/batches?limit={most}", cast_to=httpx2.Response)
        data = response.json().get("data")
        if not isinstance(data, list):
            raise ValueError("no list of batches")
        return data

    async def _wait_after(
        self, error: TransientError, left: float, failures: int, limiter: Limiter
    ) -> tuple[float, int]:
        """Wait as the error asks, or raise it when attempts or deadline are used up. Returns seconds left and
        failures."""
        if error.reason in ("rate_limit", "overloaded"):
            limiter.pushed_back(error.retry_after)
            failures += error.reason == "overloaded"
            if failures >= self.config.max_attempts or left <= 0:
                raise error
            return left, failures  # the limiter makes everybody wait, which does not count as time of this call
        failures += 1
        wait = error.retry_after if error.retry_after is not None else self._backoff(failures - 1)
        if failures >= self.config.max_attempts or wait >= left:
            raise error
        if error.retry_after is not None:
            limiter.pause(wait)
            return left, failures
        await asyncio.sleep(wait)
        return left - wait, failures

    async def _attempt(
        self, sent: dict[str, Any], seconds: float, limiter: Limiter, ticket: Ticket, again: bool
    ) -> Answer:
        self.usage.requests += 1
        self.usage.retries += again
        used: Mapping[str, int] | None = {}
        try:
            async with asyncio.timeout(max(seconds, 0.001)):
                response = await self.client.post("/chat/completions", cast_to=httpx2.Response, body=sent)
            answer = self._read(response)
            limiter.answered(response.headers)
            used = answer.usage
        except Exception as error:
            ours = classify(error, self.asked)
            used = {} if ours.maybe_billed else None
            raise ours from (None if self.asked.repeats_secret(error) else error)
        finally:
            limiter.release(ticket, used)
        self.usage.count(answer.usage)
        return answer

    async def _hedged(
        self,
        work: Coroutine[Any, Any, Answer],
        sent: dict[str, Any],
        left: float,
        limiter: Limiter,
        on_resend: Callable[[], None],
    ) -> Answer:
        """An attempt, and beside it a second one when it is slow and the owner of the money allows it; the first
        answer counts."""
        tasks, hedge_s = {asyncio.create_task(work)}, self.config.hedge_s
        try:
            done, _ = await asyncio.wait(tasks, timeout=hedge_s)
            if not done and _allowed(on_resend):
                ticket = await limiter.acquire(*(estimate_tokens(sent) if limiter.counts_tokens else (0, 0)))
                tasks.add(
                    asyncio.create_task(
                        self._attempt(sent, min(self.config.attempt_s, left - hedge_s), limiter, ticket, True)
                    )
                )
            waiting = set(tasks)
            while True:
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                answered = [task for task in done if task.exception() is None]
                if answered or not waiting:
                    return (answered or list(done))[0].result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _read(self, response: httpx2.Response) -> Answer:
        try:
            return read_answer(response.content)
        except ErrorBody as error:  # gateways put the trouble of the provider behind them into a body with status 200
            raise by_status(error.status, error.body, self.asked, response.headers) from None

    def wire_body(self, body: dict[str, Any]) -> dict[str, Any]:
        """The body as this endpoint takes it."""
        config = self.config
        if config.tools_in_content:
            body = tools_in_content(body, json_schema=config.capabilities.json_schema is True)
        elif config.strict and body.get("tools"):
            body = body | {"tools": strict_tools(body["tools"])}
        sent = {"model": config.model, **config.extra_body}
        for name, value in body.items():
            if name not in self.left_out:
                sent[name] = value
            elif name in RENAMED:
                sent[RENAMED[name]] = value
        if config.top_logprobs:
            sent |= {"logprobs": True, "top_logprobs": config.top_logprobs}
        return sent

    def _adapt(self, error: PermanentError, sent: dict[str, Any]) -> bool:
        """Leave out an optional parameter that the endpoint refused by name (reasoning models refuse ``temperature``),
        or call it as newer endpoints do."""
        name = error.parameter
        if (
            error.reason != "bad_request"
            or name not in sent
            or name not in DROPPABLE | RENAMED.keys()
            or name in self.left_out
        ):
            return False
        self.left_out.add(name)
        return True

    def _backoff(self, attempt: int) -> float:
        # jitter keeps many clients apart; it shapes waiting only, never data, so it needs no seed
        return min(self.config.backoff_s * 2**attempt, 20.0) * (1 - 0.25 * random.random())


def _allowed(on_resend: Callable[[], None]) -> bool:
    try:
        on_resend()
    except Exception:  # no money for a second attempt is no reason to give up the first
        return False
    return True


def estimate_tokens(body: Mapping[str, Any]) -> tuple[int, int]:
    """Input tokens of a call and the most output tokens that it may give, both rather too many."""
    most = body.get("max_completion_tokens") or body.get("max_tokens") or MOST_OUTPUT
    return int(len(json.dumps(body, ensure_ascii=False).encode()) / BYTES_A_TOKEN) + 1, int(most) * int(
        body.get("n") or 1
    )
