"""The tools of several MCP servers as one toolset whose tools can be executed."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from needle.errors import UserError
from needle.mcp.connection import CALL_SECONDS, Connection, Server
from needle.tools.bind import Bound
from needle.tools.spec import ToolSpec

_VARIABLE = re.compile(r"\$\{(\w+)\}")


class McpTools(list[Bound]):
    """Tools that call their servers (this *is* a list of functions for ``needle.Agent``); ``with`` ends the servers."""

    def __init__(self, tools: Sequence[Bound], connections: Sequence[Connection]) -> None:
        super().__init__(tools)
        self._connections = list(connections)

    def close(self) -> None:
        """End the sessions, and the servers that were started here."""
        for connection in self._connections:
            connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def tools_from_mcp(*servers: Server | str | Sequence[str], timeout: float = CALL_SECONDS) -> McpTools:
    """Start or reach MCP servers and take their tools.

    Args:
        servers: an address (``https://...``), a command line (``"python weather.py"``), a command as a list, or a
        ``Server``, which
            may have environment variables and HTTP headers.
        timeout: most seconds of one call.

    Raises:
        UserError: no server, one that cannot be reached or offers a tool that cannot be read, or the SDK is not
        installed.
    """
    places = [Server.of(server) for server in servers]
    if not places:
        raise UserError("no MCP server is named; give the command that starts one, or its address")
    connections = [Connection(place, timeout) for place in places]
    try:
        with ThreadPoolExecutor(len(connections)) as pool:  # servers take seconds to start
            offers = list(pool.map(_specs, connections))
        return McpTools(_bound(connections, offers), connections)
    except BaseException:
        for connection in connections:
            connection.close()
        raise


def _specs(connection: Connection) -> list[ToolSpec]:
    from needle.tools.read import read_tools  # here: the validators load slowly

    try:
        return read_tools(connection.tools())
    except UserError as error:
        name = connection.server.name
        raise error if name in str(error) else UserError(f"MCP server {name}: {error}") from error


def _bound(connections: Sequence[Connection], offers: Sequence[Sequence[ToolSpec]]) -> list[Bound]:
    """Every tool under its name; where two servers have one name, that of the server goes before it."""
    count = Counter(spec.name for offer in offers for spec in offer)
    bound: list[Bound] = []
    for connection, offer in zip(connections, offers, strict=True):
        for spec in offer:
            name = spec.name if count[spec.name] == 1 else f"{_plain(connection.server.name)}_{spec.name}"
            call = partial(_call, connection, spec.name)
            bound.append(Bound(ToolSpec(name, spec.description, spec.parameters), call))
    return bound


def _call(connection: Connection, tool: str, /, **arguments: Any) -> Any:
    return connection.call(tool, arguments)


def _plain(name: str) -> str:
    return re.sub(r"\W+", "_", name).strip("_") or "server"


def read_servers(path: Path) -> list[Server]:
    """The servers of a file ``{"mcpServers": {name: {"command", "args", "env"} or {"url", "headers"}}}``, as other
    programs write it.

    ``${NAME}`` in values of ``env`` and ``headers`` stands for that environment variable.

    Raises:
        UserError: the file cannot be read, or an entry has neither a command nor an address.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file") from error
    except ValueError as error:
        raise UserError(f"{path}: not JSON ({error})") from error
    entries = data.get("mcpServers", data.get("servers")) if isinstance(data, dict) else None
    if not isinstance(entries, dict) or not entries:
        raise UserError(f'{path}: no servers; write {{"mcpServers": {{"name": {{"command": ..., "args": [...]}}}}}}')
    return [_read_server(f"{path}: {name}", name, entry) for name, entry in entries.items()]


def _read_server(where: str, name: str, entry: Any) -> Server:
    command, url = (entry.get("command"), entry.get("url")) if isinstance(entry, dict) else (None, None)
    if isinstance(url, str) and url:
        return Server(name, url=url, headers=_filled(where, entry.get("headers") or {}))
    if not isinstance(command, str) or not command:
        raise UserError(f"{where}: neither a command nor a url")
    arguments = entry.get("args") or []
    if not isinstance(arguments, list) or not all(isinstance(word, str) for word in arguments):
        raise UserError(f"{where}: args must be a list of words")
    return Server(name, command=(command, *arguments), env=_filled(where, entry.get("env") or {}))


def _filled(where: str, values: Mapping[str, Any]) -> dict[str, str]:
    def value(match: re.Match[str]) -> str:
        if match[1] not in os.environ:
            raise UserError(f"{where}: the environment has no variable {match[1]}")
        return os.environ[match[1]]

    return {key: _VARIABLE.sub(value, str(text)) for key, text in values.items()}
