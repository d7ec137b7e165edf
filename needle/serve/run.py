"""From an app to a listening server: ``serve(caller)`` runs until it is interrupted, then lets answers finish."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Mapping, Sequence

import uvicorn
from starlette.types import ASGIApp

from needle.errors import UserError
from needle.serve.app import create_app
from needle.serve.limits import Limits
from needle.serve.protocol import PatientProtocol
from needle.tools import Caller

PORT = 8377
LOOPBACK = ("127.0.0.1", "::1", "localhost")
"""Hosts that only this machine can reach."""
FINISH_SECONDS = 10
"""Seconds that requests under way have to finish after an interrupt."""


def serve(
    caller: Caller | Mapping[str, Caller],
    *,
    host: str = LOOPBACK[0],
    port: int = PORT,
    key: str | None = None,
    limits: Limits | None = None,
    name: str = "needle",
    origins: Sequence[str] = (),
    announce: Callable[[str], None] = print,
) -> None:
    """Answer over HTTP until Ctrl-C. ``announce`` gets the address once it is open; port 0 takes a free one.

    The other arguments are those of ``create_app``.

    Raises:
        UserError: the key is empty, or the address cannot be taken.
    """
    limits = limits or Limits()
    app = create_app(caller, key=key, limits=limits, name=name, origins=origins)
    listen(app, host=host, port=port, limits=limits, announce=lambda url: announce(f"{url}/v1"))


def listen(
    app: ASGIApp,
    *,
    host: str = LOOPBACK[0],
    port: int = PORT,
    limits: Limits | None = None,
    announce: Callable[[str], None] = print,
) -> None:
    """Serve an app until Ctrl-C. ``announce`` gets its address once it is open. Raises UserError when that is taken."""
    listener = _listen(host, port)
    shown = f"[{host}]" if ":" in host else host
    announce(f"http://{shown}:{listener.getsockname()[1]}")
    with listener, contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(settings(app, limits or Limits())).run(sockets=[listener])


def settings(app: ASGIApp, limits: Limits) -> uvicorn.Config:
    """How uvicorn is run: no log of requests, slow clients closed, answers under way finished at the end."""
    return uvicorn.Config(
        app,
        http=type("Protocol", (PatientProtocol,), {"header_seconds": limits.header_seconds}),
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        lifespan="off",
        limit_concurrency=limits.connections,
        timeout_graceful_shutdown=FINISH_SECONDS,
    )


def _listen(host: str, port: int) -> socket.socket:
    if not 0 <= port <= 65535:
        raise UserError(f"port {port} does not exist; give one from 1 to 65535, or 0 for any free one")
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise UserError(f"{host}:{port} cannot be taken ({error.strerror}); choose another --port or --host") from error
