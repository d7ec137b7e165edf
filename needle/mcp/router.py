"""An MCP server with one tool before many: it hears a request in words, picks the tools of the servers behind it, and
calls them.

A large model that is given fifty tools pays for their descriptions with every request; behind the router it sees two:
``do``, which executes, and ``plan``, which only says what would be executed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from pydantic_core import to_json

from needle.tools import CallResult, ToolCall

NAMES_SHOWN = 40
"""Names of tools in the description of the router, at most."""


class _Step(Protocol):
    call: ToolCall
    status: str
    arguments: Mapping[str, Any]
    result: Any
    error: str | None


class _Run(Protocol):
    answer: CallResult
    error: str | None
    ok: bool

    def __iter__(self) -> Any: ...


class Runner(Protocol):
    """What the router asks: ``needle.Agent``."""

    async def arun(self, text: str, *, dry_run: bool | None = None) -> _Run:
        """Pick and execute the calls of one request."""


def router(agent: Runner, names: Sequence[str], *, version: str = "") -> Any:
    """An ``MCPServer`` of the official SDK with the tools ``do`` and ``plan``; run it over stdio or HTTP.

    Args:
        agent: picks and executes; should have no memory of earlier requests (``turns=0``), since clients share it.
        names: the tools behind it, for its description.
    """
    from mcp.server.mcpserver import MCPServer
    from mcp_types import CallToolResult, TextContent

    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    shown = ", ".join(names[:NAMES_SHOWN]) + more
    instructions = f"Carries out requests with these tools: {shown}."
    server = MCPServer("needle", instructions=instructions, version=version, log_level="WARNING")

    async def answer(request: str, execute: bool) -> CallToolResult:
        if not request.strip():
            return CallToolResult(content=[TextContent(type="text", text="the request is empty")], is_error=True)
        run = await agent.arun(request, dry_run=not execute)
        report = _report(run)
        text = TextContent(type="text", text=_words(report))
        return CallToolResult(content=[text], structured_content=report, is_error=not run.ok)

    async def do(request: str) -> Any:
        return await answer(request, True)

    async def plan(request: str) -> Any:
        return await answer(request, False)

    carries = f"Carry out a request that is said in words, with these tools: {shown}. One request may need several."
    plans = "Say which tools would be called for a request, with which arguments; nothing is executed."
    server.add_tool(do, description=carries, structured_output=False)
    server.add_tool(plan, description=plans, structured_output=False)
    return server


def _report(run: _Run) -> dict[str, Any]:
    """The run as JSON: what was called, with what result; ``error`` when the model gave no answer."""
    steps = [
        {"tool": step.call.name, "arguments": step.call.arguments, "status": step.status}
        | ({"result": _plain(step.result)} if step.status == "done" else {})
        | ({"error": step.error} if step.error else {})
        for step in run
    ]
    known = {"confidence": run.answer.confidence} if run.answer.confidence is not None else {}
    return {"steps": steps} | known | ({"error": run.error} if run.error else {})


def _plain(value: Any) -> Any:
    try:
        return json.loads(to_json(value))
    except ValueError:
        return repr(value)


def _words(report: dict[str, Any]) -> str:
    if report.get("error"):
        return f"no calls: {report['error']}"
    return json.dumps(report["steps"], ensure_ascii=False) if report["steps"] else "no tool fits this request"
