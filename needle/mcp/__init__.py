"""The Model Context Protocol: tools of MCP servers for an agent, and a router that is itself a server before them.

    with needle.tools_from_mcp("python weather.py", "https://tools.example.com/mcp") as tools:
        needle.Agent(tools).run("will it rain in Leeds tomorrow")

    needle mcp --server "python weather.py" --server https://tools.example.com/mcp

``connection`` holds one server, ``toolset`` the tools of several, ``router`` offers them as one tool. Needs the
official SDK: ``pip install "needle-distill[mcp]"``.
"""

from needle.mcp.connection import McpError, Server
from needle.mcp.toolset import McpTools, read_servers, tools_from_mcp

__all__ = ["McpError", "McpTools", "Server", "read_servers", "tools_from_mcp"]
