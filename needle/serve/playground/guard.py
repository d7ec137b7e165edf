"""Keeps the playground to the person at this machine: whose page may ask, what it may load, how much it may send.

A server on the loopback address can still be reached by pages of other sites in the same browser, directly or after
their name has been rebound to 127.0.0.1 (DNS rebinding). So: the Host must be a name of this machine, an Origin must be
the page's own, and what changes anything needs a header that no form and no plain cross-site request can carry.
"""

from __future__ import annotations

from typing import Any

from starlette.requests import Request as HttpRequest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from needle.serve.errors import ApiError
from needle.serve.read import parse_body

HOSTS = frozenset(("localhost", "127.0.0.1", "[::1]"))
"""Names by which a browser reaches its own machine, without the port."""
MARK = "x-needle-playground"
"""Header of every request that changes something; a page of another site would need leave for it, and gets none."""
SAFE_METHODS = frozenset(("GET", "HEAD"))
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; "
    "connect-src 'self'; img-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-embedder-policy": "require-corp",
    "cache-control": "no-cache",
}
"""Sent with every answer: scripts and styles from this server only, nothing inline, in no frame, read by no other site."""


class Guard:
    """ASGI middleware: refuses what does not come from the page itself (403), and adds ``HEADERS`` to every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what may pass."""
        if scope["type"] != "http":
            return
        reason = _refusal(HttpRequest(scope))
        if reason is None:
            await self.app(scope, receive, _with_headers(send))
        else:
            response = ApiError(403, reason, code="forbidden").response()
            await response(scope, receive, _with_headers(send))


def _refusal(request: HttpRequest) -> str | None:
    host, origin = request.headers.get("host", ""), request.headers.get("origin")
    if _name(host) not in HOSTS:
        return f"the address {host!r} is not this machine's; open the page as http://127.0.0.1 with its port"
    if origin is not None and origin.casefold() != f"http://{host}".casefold():
        return f"a page of {origin!r} may not ask here"
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return "a page of another site may not ask here"
    if request.method not in SAFE_METHODS and request.headers.get(MARK) != "1":
        return f"a request that changes something needs the header {MARK}: 1"
    return None


def _name(host: str) -> str:
    """The host without its port."""
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdecimal() else host).casefold()


def _with_headers(send: Send) -> Send:
    async def wrapped(message: Message) -> None:
        if message["type"] == "http.response.start":
            own = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
            message = message | {"headers": [*message["headers"], *own]}
        await send(message)

    return wrapped


async def read_json(request: HttpRequest, most: int) -> dict[str, Any]:
    """The JSON object of a body of at most ``most`` bytes. Raises ``ApiError`` (400, 413, 415)."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise ApiError(415, "the body must be JSON; send Content-Type: application/json", code="not_json")
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > most:
            raise ApiError(413, f"the body is larger than {most} bytes; send less", code="too_large")
    return parse_body(bytes(body))
