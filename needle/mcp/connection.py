"""One MCP server, reached from plain code: its session lives on an event loop in a thread of its own.

A server that has ended is started again by the next call; the call that noticed it fails and is not repeated, since it
may have had an effect already.
"""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

from needle.errors import UserError

START_SECONDS = 30.0
"""Seconds that a server may take to start and to say what it offers."""
CALL_SECONDS = 60.0
"""Seconds that one call of a tool may take."""
_PAGES = 100


class McpError(RuntimeError):
    """What an MCP server, or the way to it, says instead of a result."""


@dataclass(frozen=True)
class Server:
    """Where an MCP server is: a command to start, or an address."""

    name: str
    """What it is called in messages, and before the names of tools that two servers have."""
    command: tuple[str, ...] = ()
    """Program and arguments of a server that speaks over its standard input and output."""
    url: str | None = None
    """Address of one that speaks over HTTP."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Environment variables for the command, beside the few that the SDK passes on."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """HTTP headers, such as ``Authorization``; never shown."""

    @classmethod
    def of(cls, given: Server | str | Sequence[str]) -> Server:
        """From an address, a command line, or a command as a list. Raises ``UserError`` when it is none of them."""
        if isinstance(given, Server):
            return given
        if isinstance(given, str) and given.startswith(("http://", "https://")):
            return cls(given.split("://", 1)[1].split("/", 1)[0].rpartition("@")[2], url=given)
        try:
            words = tuple(shlex.split(given) if isinstance(given, str) else given)
        except ValueError as error:
            raise UserError(f"MCP server {given!r}: {error}; quote the command as in a shell") from error
        if not words or not all(isinstance(word, str) for word in words):
            raise UserError("an MCP server is an address (https://...) or a command that starts it; this one is empty")
        return cls(os.path.splitext(os.path.basename(words[-1]))[0] or "server", command=words)


class Connection:
    """A session with one server. Thread-safe; ``close`` ends the server that was started here."""

    def __init__(self, server: Server, timeout: float = CALL_SECONDS) -> None:
        """Nothing is started before the first use. ``timeout`` bounds each call, in seconds.

        Raises:
            UserError: the SDK is not installed.
        """
        if find_spec("mcp") is None:
            raise UserError('MCP servers need the official SDK: pip install "needle-distill[mcp]"')
        self.server, self.timeout = server, timeout
        self._lock = threading.Lock()
        self._open: _Session | None = None

    def tools(self) -> list[dict[str, Any]]:
        """What the server offers, in MCP's shape (``name``, ``description``, ``inputSchema``).

        Raises:
            UserError: the server cannot be reached.
        """
        try:
            return self._session().ask("list")
        except McpError as error:
            raise UserError(f"MCP server {self.server.name}: {error}; check its command or address") from error

    def call(self, tool: str, arguments: Mapping[str, Any]) -> Any:
        """Call a tool: its structured result if it has one, else its text, else its content blocks as dictionaries.

        Raises:
            McpError: the tool failed, took too long, or the server is gone.
        """
        return self._session().ask("call", tool, dict(arguments))

    def close(self) -> None:
        """End the session, and the server if it was started here. A later call starts anew."""
        with self._lock:
            if self._open is not None:
                self._open.close()
            self._open = None

    def _session(self) -> _Session:
        with self._lock:
            if self._open is None or not self._open.is_alive():
                session = _Session(self.server, self.timeout)
                session.start()
                session.opened()
                self._open = session
            return self._open


class _Session(threading.Thread):
    """The thread of one session: opens it, serves what is asked, ends with the first sign that the server is gone."""

    def __init__(self, server: Server, timeout: float) -> None:
        super().__init__(name=f"needle-mcp-{server.name}", daemon=True)
        self.server, self.timeout = server, timeout
        self._ready: Future[None] = Future()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ending: asyncio.Event | None = None
        self._client: Any = None

    def run(self) -> None:
        try:
            asyncio.run(self._live())
        except BaseException as error:
            if not self._ready.done():
                self._ready.set_exception(McpError(_reason(error)))

    def opened(self) -> None:
        """Wait until the session is open. Raises ``UserError`` when it cannot be."""
        try:
            self._ready.result(START_SECONDS)
        except TimeoutError:
            self.close()
            raise UserError(f"MCP server {self.server.name}: no answer within {START_SECONDS:g} seconds") from None
        except McpError as error:
            words = f"MCP server {self.server.name}: {error}; check its command or address"
            raise UserError(words) from error.__cause__

    async def _live(self) -> None:
        from mcp import Client

        self._loop, self._ending = asyncio.get_running_loop(), asyncio.Event()
        async with Client(_transport(self.server), read_timeout_seconds=self.timeout) as self._client:
            self._ready.set_result(None)
            await self._ending.wait()

    def close(self) -> None:
        if self._loop is not None and self._ending is not None and self.is_alive():
            self._loop.call_soon_threadsafe(self._ending.set)
            self.join(10)

    def ask(self, what: str, *arguments: Any) -> Any:
        """``list``, or ``call`` with a name and arguments, from any thread."""
        assert self._loop is not None, "the session is open"
        work = self._list() if what == "list" else self._call(*arguments)
        try:
            return asyncio.run_coroutine_threadsafe(work, self._loop).result(self.timeout + START_SECONDS)
        except McpError:
            raise
        except Exception as error:
            if _is_gone(error):
                self.close()
            raise McpError(_reason(error)) from error

    async def _list(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        cursor: str | None = None
        for _ in range(_PAGES):
            page = await self._client.list_tools(cursor=cursor)
            found += [
                {"name": tool.name, "description": tool.description or "", "inputSchema": tool.input_schema}
                for tool in page.tools
            ]
            cursor = page.next_cursor
            if cursor is None:
                break
        return found

    async def _call(self, tool: str, arguments: dict[str, Any]) -> Any:
        result = await self._client.call_tool(tool, arguments)
        blocks = [block.model_dump(mode="json", exclude_none=True) for block in result.content]
        text = "\n".join(block["text"] for block in blocks if block.get("type") == "text")
        if result.is_error:
            raise McpError(" ".join(text.split()) or "the tool failed and does not say why")
        value = result.structured_content
        if value is not None:  # the SDK's servers wrap what is no object
            return value["result"] if isinstance(value, dict) and value.keys() == {"result"} else value
        return text if all(block.get("type") == "text" for block in blocks) else blocks


def _transport(server: Server) -> Any:
    from mcp import StdioServerParameters
    from mcp.client.streamable_http import streamable_http_client

    if server.url is None:
        program, *arguments = server.command
        return StdioServerParameters(command=program, args=arguments, env=dict(server.env) or None)
    if not server.headers:
        return server.url
    import httpx2

    return streamable_http_client(
        server.url, http_client=httpx2.AsyncClient(headers=dict(server.headers), timeout=CALL_SECONDS)
    )


def _is_gone(error: Exception) -> bool:
    from mcp import MCPError
    from mcp_types import CONNECTION_CLOSED

    return not isinstance(error, MCPError) or error.code == CONNECTION_CLOSED


def _reason(error: BaseException) -> str:
    """The first line of the innermost error: groups of tasks wrap what went wrong."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, FileNotFoundError):
        return f"there is no program {json.dumps(str(error.filename))}"
    message = getattr(error, "message", None) or str(error)
    return " ".join(str(message).split())[:300] or type(error).__name__
