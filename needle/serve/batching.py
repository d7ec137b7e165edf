"""Requests that come at the same time go to the caller together, in one worker thread, from a queue with an end.

An idle server waits a moment for company (``Limits.window_seconds``). A busy one waits for those that it has just
answered, who tend to come back with their next request, for a small part of the time that an answer takes: else two
groups of clients would take turns in half-full batches for ever. The worker task lives only while there is work: it
needs no start and no stop.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby

from needle.serve.errors import ApiError
from needle.serve.limits import Limits
from needle.serve.metrics import Metrics
from needle.serve.pace import Pace
from needle.tools import Caller, CallResult, Delta, Request

Gone = Callable[[], Awaitable[bool]]
CLIENT_GONE = 499
"""Status that the metrics count, and nobody receives, when a client hung up before its answer."""
PATIENCE = 0.1
"""Part of the time of the last batch that is spent on waiting for those who were in it."""
log = logging.getLogger("needle.serve")


Told = Callable[[Delta], None]
"""Gets the pieces of an answer on the event loop, as they are decided."""


@dataclass(frozen=True)
class _Waiting:
    request: Request
    future: asyncio.Future[CallResult]
    gone: Gone
    told: Told | None
    explain: bool


class Batcher:
    """The queue before one caller. Belongs to one event loop at a time; the caller is entered by ``limits.workers``
    threads at once, by one unless more are allowed."""

    def __init__(self, caller: Caller, limits: Limits, metrics: Metrics) -> None:
        self.caller, self.limits, self.metrics = caller, limits, metrics
        self._waiting: deque[_Waiting] = deque()
        self._workers: set[asyncio.Task[None]] = set()
        self._threads = ThreadPoolExecutor(limits.workers, thread_name_prefix="needle-serve")
        self._pace = Pace()
        self._busy: list[int] = []
        """Sizes of the batches that are being answered."""
        self._expected, self._patient_until = 0, 0.0
        """How many requests the next batches may come to, and the moment (of the loop's clock) until which to wait."""

    def __len__(self) -> int:
        return len(self._waiting)

    def check_room(self) -> None:
        """Raise ``ApiError`` (429) when the queue is full."""
        if len(self._waiting) >= self.limits.queue:
            words = f"{len(self._waiting)} requests are waiting already; try again in a moment"
            raise ApiError(429, words, code="queue_full", headers={"Retry-After": "1"})

    async def answer(self, request: Request, gone: Gone, told: Told | None = None, explain: bool = False) -> CallResult:
        """The caller's answer. Raises ``ApiError``: 429 queue full, 504 too slow, 500 broken.

        ``gone`` tells whether the client has hung up; then its request does not reach the caller. ``told`` gets the
        pieces, where the caller decides one after the other. ``explain``: with evidence, and then without pieces.
        """
        self.check_room()
        future: asyncio.Future[CallResult] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(request, future, gone, None if explain else told, explain))
        if len(self._workers) < self.limits.workers:
            self._workers.add(worker := asyncio.create_task(self._work()))
            worker.add_done_callback(self._workers.discard)
        try:
            return await asyncio.wait_for(future, self.limits.answer_seconds)
        except TimeoutError:
            words = f"no answer within {self.limits.answer_seconds:g} seconds; send less, or try when it is quieter"
            raise ApiError(504, words, code="timeout", headers={"x-should-retry": "false"}) from None

    async def _gather(self) -> None:
        """Wait for the first moment, and then for those who are expected, until patience ends."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        while len(self._waiting) < self.limits.batch:
            now = loop.time()
            late = now >= self._patient_until or len(self._waiting) >= self._expected
            if late and now - began >= self.limits.window_seconds:
                return
            await asyncio.sleep(min(self.limits.window_seconds, 0.001))

    async def _take(self) -> list[_Waiting]:
        """The next batch: a fair share of those who wait, for each thread that is free."""
        free = max(1, self.limits.workers - len(self._busy))
        share = self._pace.best(min(self.limits.batch, -(-max(1, len(self._waiting)) // free)))
        batch: list[_Waiting] = []
        while self._waiting and len(batch) < share:
            one = self._waiting.popleft()
            left = await one.gone()
            if one.future.done():  # it has waited too long
                continue
            if left:
                one.future.set_exception(ApiError(CLIENT_GONE, "the client has hung up", code="client_gone"))
            else:
                batch.append(one)
        return batch

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            await self._gather()
            batch = await self._take()
            if not batch:
                continue
            self.metrics.batch(len(batch))
            self._busy.append(len(batch))
            began = loop.time()
            results = await loop.run_in_executor(self._threads, self._ask, batch, loop)
            self._busy.remove(len(batch))
            self._pace.note(len(batch), loop.time() - began)
            self._expected = -(-(len(batch) + sum(self._busy) + len(self._waiting)) // self.limits.workers)
            self._patient_until = loop.time() + PATIENCE * (loop.time() - began)
            for one, result in zip(batch, results, strict=True):
                if one.future.done():
                    continue
                if isinstance(result, ApiError):
                    one.future.set_exception(result)
                else:
                    one.future.set_result(result)

    def _ask(self, batch: list[_Waiting], loop: asyncio.AbstractEventLoop) -> list[CallResult | ApiError]:
        """Ask for all at once; when the caller breaks, each alone, so that one request cannot spoil its neighbours'."""
        begun: set[int] = set()

        def watch(place: int, delta: Delta) -> None:
            begun.add(place)
            if (told := batch[place].told) is not None:
                loop.call_soon_threadsafe(told, delta)

        requests = [one.request for one in batch]
        try:
            if len({_kind(one) for one in batch}) > 1:
                return self._ask_apart(batch, loop)
            if batch[0].explain:
                results = self.caller.answer_explained(requests)
            elif any(one.told for one in batch):
                results = self.caller.answer_watched(requests, watch)
            else:
                results = self.caller.answer(requests)
            assert len(results) == len(requests), f"{len(results)} answers to {len(requests)} requests"
            return list(results)
        except Exception:
            if len(batch) > 1:  # who has had pieces already cannot be answered anew
                return [
                    _broken() if place in begun and one.told else self._ask([one], loop)[0]
                    for place, one in enumerate(batch)
                ]
            log.exception("the caller broke")
            return [_broken()]

    def _ask_apart(self, batch: list[_Waiting], loop: asyncio.AbstractEventLoop) -> list[CallResult | ApiError]:
        """Each kind for itself, those first who want no evidence, which costs time: an answer does not depend on how its neighbours are told."""
        order = sorted(range(len(batch)), key=lambda place: _kind(batch[place]))
        groups = [[batch[place] for place in part] for _, part in groupby(order, key=lambda place: _kind(batch[place]))]
        answers = [answer for group in groups for answer in self._ask(group, loop)]
        return [answers[order.index(place)] for place in range(len(batch))]


def _kind(one: _Waiting) -> tuple[bool, bool]:
    """How a request is answered: with evidence; told piece by piece."""
    return one.explain, one.told is not None and not one.explain


def _broken() -> ApiError:
    headers = {"x-should-retry": "false"}
    return ApiError(500, "the model failed; the server's log says why", code="model_failed", headers=headers)
