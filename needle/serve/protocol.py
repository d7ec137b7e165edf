"""HTTP/1.1 as uvicorn speaks it, with an end to patience for clients that send their headers slowly, or never.

uvicorn closes connections that idle between two requests, not those that have begun one: a few hundred such clients
would take all connections (the "slowloris" attack). The body and the answer have limits of their own in ``app``.
"""

from __future__ import annotations

import asyncio

from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from needle.serve.errors import ApiError


class PatientProtocol(H11Protocol):
    """``H11Protocol`` that closes a connection whose request does not begin in time."""

    header_seconds = 10.0
    """From the opening of a connection, or from the first byte of a further request, to the end of its headers."""
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has come; one too many is told so, and its connection closed."""
        super().connection_made(transport)
        most, self.limit_concurrency = self.limit_concurrency, None  # uvicorn's own refusal is plain text
        if most is not None and len(self.connections) > most:
            self.app = _crowded
        self._timer = self.loop.call_later(self.header_seconds, self._give_up)

    def data_received(self, data: bytes) -> None:
        """Some bytes have come; headers are complete when a new request is under way after them."""
        before = self.cycle
        idle = before is None or before.response_complete
        if idle and self._timer is None:
            self._timer = self.loop.call_later(self.header_seconds, self._give_up)
        super().data_received(data)
        if self.cycle is not before:
            self._calm()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._calm()
        super().connection_lost(exc)

    def _calm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        self._timer = None
        if not self.transport.is_closing():
            self.transport.close()


async def _crowded(scope: Scope, receive: Receive, send: Send) -> None:
    words = "too many connections are open; try again in a moment"
    headers = {"Retry-After": "1", "Connection": "close"}
    await ApiError(503, words, code="crowded", headers=headers).response()(scope, receive, send)
