"""A small MCP server of the official SDK, as a program of its own: weather, notes, and tools that go wrong."""

import os
import sys

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

server = MCPServer("weather", log_level="ERROR")


@server.tool()
def forecast(city: str, days: int = 1) -> str:
    """The weather of a city."""
    return f"{city}: rain for {days}"


@server.tool()
def distance(start: str, end: str) -> dict[str, int]:
    """Kilometres between two places."""
    return {"km": len(start) * len(end)}


@server.tool()
def setting(name: str) -> str:
    """An environment variable of the server."""
    return os.environ.get(name, "not set")


@server.tool()
def break_down() -> str:
    """Raise."""
    raise ToolError("the mast fell over")


@server.tool()
def leave() -> str:
    """End the process in the middle of the call."""
    os._exit(3)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[1]))
    else:
        server.run("stdio")
