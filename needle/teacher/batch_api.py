"""The five calls of OpenAI's Batch API that are needed, each patient with an endpoint that is away for a while."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import openai

from needle.errors import UserError
from needle.teacher.client import Teacher
from needle.teacher.errors import PermanentError, TransientError, classify

T = TypeVar("T")
TAG = "needle"
"""Metadata field by which a batch is found again whose number was never received."""
MOST_LISTED = 2_000
"""Batches that are looked through for a tag, newest first."""


class BatchApi:
    """Files and batches of one endpoint. Every method raises ``PermanentError``, or ``TransientError`` when the
    endpoint was away for ``starvation_s`` of the config."""

    def __init__(self, teacher: Teacher) -> None:
        """``teacher``: whose connection is used."""
        self._teacher = teacher

    def ours(self, error: Exception) -> Exception:
        """An exception of the SDK as ours."""
        if isinstance(error, openai.NotFoundError):
            return PermanentError(
                f"{self._teacher.where} has no batches at this address, or has forgotten this one", "not_found"
            )
        return error if isinstance(error, UserError) else classify(error, self._teacher.asked)

    async def create(self, content: bytes, tag: str) -> Any:
        """Send a file of questions and start a batch over it; a batch with this tag that was made although its answer
        got lost is taken instead of a second one."""
        files, batches = self._teacher.client.files, self._teacher.client.batches
        sent = await self._patiently(lambda: files.create(file=("needle.jsonl", content), purpose="batch"))
        tried = False

        async def start() -> Any:
            nonlocal tried
            if tried and (found := await self._look_for(tag)):
                return found
            tried = True
            return await batches.create(
                input_file_id=sent.id, endpoint="/v1/chat/completions", completion_window="24h", metadata={TAG: tag}
            )

        return await self._patiently(start)

    async def find(self, tag: str) -> Any:
        """The batch with a tag, or None."""
        return await self._patiently(lambda: self._look_for(tag))

    async def state(self, batch_id: str) -> Any:
        """A batch as it is now."""
        return await self._patiently(lambda: self._teacher.client.batches.retrieve(batch_id))

    async def content(self, file_id: str) -> bytes:
        """A file."""
        return (await self._patiently(lambda: self._teacher.client.files.content(file_id))).content

    async def _look_for(self, tag: str) -> Any:
        seen = 0
        async for batch in self._teacher.client.batches.list(limit=100):
            seen += 1
            if (batch.metadata or {}).get(TAG) == tag:
                return batch
            if seen >= MOST_LISTED:
                break
        return None

    async def _patiently(self, call: Callable[[], Awaitable[T]]) -> T:
        loop, config = asyncio.get_running_loop(), self._teacher.config
        ends, attempt = loop.time() + config.starvation_s, 0
        while True:
            try:
                return await call()
            except Exception as error:
                ours = self.ours(error)
                if not isinstance(ours, TransientError):
                    raise ours from None
                wait = ours.retry_after if ours.retry_after is not None else min(config.backoff_s * 2**attempt, 20.0)
                attempt += 1
                if loop.time() + wait > ends:
                    raise ours from None
                await asyncio.sleep(wait)
