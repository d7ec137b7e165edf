"""A caller that does what the request spells out, and clients of its app: the official SDK and bare HTTP."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Sequence
from typing import Any

import httpx2
import openai
from starlette.applications import Starlette

from needle.tools import Caller, CallResult, Evidence, Request, ToolCall

KEY = "correct horse battery staple"


class Spelled(Caller):
    """``"dim {...} ; lock {...}"`` gives these calls, as far as the tools are on offer; other words give none."""

    name = "spelled"

    def __init__(self) -> None:
        self.batches: list[list[Request]] = []
        self.threads: set[str] = set()
        self.gate = threading.Event()
        """Cleared, it holds every answer back."""
        self.gate.set()

    def answer(self, requests: Sequence[Request]) -> list[CallResult]:
        self.batches.append(list(requests))
        self.threads.add(threading.current_thread().name)
        assert self.gate.wait(20)
        if any(request.query == "break" for request in requests):
            raise RuntimeError("secret details")
        return [self._one(request) for request in requests]

    def _one(self, request: Request) -> CallResult:
        if request.query in ("too long", "unreachable"):
            return CallResult(error=request.query, infra_error=request.query == "unreachable")
        offered, calls = {tool.name for tool in request.tools}, []
        for piece in request.query.split(" ; "):
            name, _, arguments = piece.partition(" ")
            if name in offered:
                calls.append(ToolCall(name, json.JSONDecoder().raw_decode(arguments or "{}")[0]))
        usage = {"prompt_tokens": len(request.query.split()), "completion_tokens": len(calls)}
        return CallResult(
            calls, usage=usage, confidence=0.75, evidence=[Evidence("0.room", 0, 3, 0.5)] if calls else []
        )


def tool(name: str, **properties: Any) -> dict[str, Any]:
    """A tool as the SDK sends it."""
    parameters = {"type": "object", "properties": properties}
    return {"type": "function", "function": {"name": name, "description": f"To {name}.", "parameters": parameters}}


TOOLS = [tool("dim", room={"type": "string"}, percent={"type": "integer"}), tool("lock", door={"type": "string"})]


def run(app: Starlette, work: Callable[[openai.AsyncOpenAI], Any], key: str = "none") -> Any:
    """What ``work(client)`` gives, with a client of the official SDK that speaks to ``app`` in this process."""

    async def inside() -> Any:
        http = httpx2.AsyncClient(transport=httpx2.ASGITransport(app))
        async with openai.AsyncOpenAI(
            api_key=key, base_url="http://needle.test/v1", max_retries=0, http_client=http
        ) as client:
            return await work(client)

    return asyncio.run(inside())


def post(
    app: Starlette, content: bytes, headers: dict[str, str] | None = None, path: str = "/v1/chat/completions"
) -> httpx2.Response:
    """A bare POST."""

    async def inside() -> httpx2.Response:
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://needle.test") as client:
            return await client.post(
                path, content=content, headers={"content-type": "application/json"} | (headers or {})
            )

    return asyncio.run(inside())


def get(app: Starlette, path: str, headers: dict[str, str] | None = None) -> httpx2.Response:
    """A bare GET."""

    async def inside() -> httpx2.Response:
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://needle.test") as client:
            return await client.get(path, headers=headers)

    return asyncio.run(inside())
