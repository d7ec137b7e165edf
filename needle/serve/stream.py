"""One answer on its way to a client that wants it as server-sent events: each piece goes out when it is decided."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from needle.serve.batching import Told
from needle.serve.errors import ApiError
from needle.serve.write import Writer
from needle.tools import CallResult, Delta
from needle.tools.caller import deltas


class AnswerStream:
    """Pieces of an answer that is being decided; made inside of a running event loop."""

    def __init__(self, answer: Callable[[Told], Awaitable[CallResult]]) -> None:
        """``answer`` starts at once and tells of its pieces."""
        self._pieces: asyncio.Queue[Delta | None] = asyncio.Queue()
        self._first: Delta | None = None
        self._task = asyncio.ensure_future(answer(self._pieces.put_nowait))
        self._task.add_done_callback(lambda _: self._pieces.put_nowait(None))

    async def begin(self) -> None:
        """Wait for the first piece, or for an answer without any: until then an error still has a status of its own.

        Raises:
            ApiError: there will be no answer.
        """
        try:
            self._first = await self._pieces.get()
            if self._first is None:
                self._task.result()
        except BaseException:
            self._task.cancel()
            raise

    async def events(self, writer: Writer) -> AsyncIterator[str]:
        """The events of the whole answer, after ``begin``. Who stops listening stops the answer, if it has not
        begun."""
        try:
            whole = self._first is None
            for line in writer.start(not whole or bool(self._task.result())):
                yield line
            async for piece in self._whole() if whole else self._as_they_come():
                for line in writer.piece(piece):
                    yield line
            for line in self._last(writer):
                yield line
        finally:
            self._task.cancel()

    async def _whole(self) -> AsyncIterator[Delta]:
        for piece in deltas(self._task.result()):
            yield piece

    async def _as_they_come(self) -> AsyncIterator[Delta]:
        piece = self._first
        while piece is not None:
            yield piece
            piece = await self._pieces.get()

    def _last(self, writer: Writer) -> list[str]:
        try:
            return list(writer.end(self._task.result()))
        except ApiError as error:
            return list(writer.failed(error))
