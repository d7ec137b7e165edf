"""A small server that misbehaves on request, for tests: every fault that a teacher endpoint is known to have.

    app = FaultApp(["rate_limit", "ok"])                # one fault an answer, in order; the last one goes on for ever
    EndpointCaller(config=..., transport=httpx2.ASGITransport(app.asgi)).answer(requests)
    uvicorn.run(app.asgi, port=8123)                    # or over a socket

``ok`` hands the request to the embedded teacher, so that a whole generation can run against it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from needle.teacher.embedded.brain import EmbeddedTeacher

Handler = Callable[[dict[str, Any]], Awaitable[Response]]


class FaultApp:
    """Plays a script of faults. ``seen`` holds every body received, ``keys`` every Authorization header."""

    def __init__(self, script: Sequence[str], teacher: EmbeddedTeacher | None = None) -> None:
        """``script``: names of ``FAULTS``, or ``ok``; the last one repeats. ``teacher``: who answers ``ok``."""
        unknown = [name for name in script if name != "ok" and name not in FAULTS]
        assert script and not unknown, f"no such fault: {unknown}"
        self._script = list(script)
        self._teacher = teacher or EmbeddedTeacher(learn=False)
        self.seen: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.asgi = Starlette(routes=[Route("/v1/chat/completions", self._complete, methods=["POST"])])

    async def _complete(self, request: Request) -> Response:
        body = json.loads(await request.body())
        name = self._script[min(len(self.seen), len(self._script) - 1)]
        self.seen.append(body)
        self.keys.append(request.headers.get("authorization", ""))
        if name == "ok":
            return JSONResponse(self._teacher.complete(body))
        return await FAULTS[name](body)


def _error(
    status: int, code: str, message: str, headers: dict[str, str] | None = None, param: str | None = None
) -> JSONResponse:
    return JSONResponse({"error": {"message": message, "type": code, "code": code, "param": param}}, status, headers)


def _completion(message: dict[str, Any], finish: str = "stop") -> JSONResponse:
    choice = {"index": 0, "message": {"role": "assistant"} | message, "finish_reason": finish, "logprobs": None}
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    return JSONResponse(
        {
            "id": "chatcmpl-fault",
            "object": "chat.completion",
            "created": 0,
            "model": "fault",
            "choices": [choice],
            "usage": usage,
        }
    )


def _call(name: str, arguments: str) -> dict[str, Any]:
    return {
        "content": None,
        "tool_calls": [{"id": "call_0", "type": "function", "function": {"name": name, "arguments": arguments}}],
    }


def _answering(make: Callable[[dict[str, Any]], Response]) -> Handler:
    async def handle(body: dict[str, Any]) -> Response:
        return make(body)

    return handle


async def _hang(body: dict[str, Any]) -> Response:
    await asyncio.sleep(3600)
    return Response()


def _first_tool(body: dict[str, Any]) -> str:
    tools = body.get("tools") or [{"function": {"name": "none"}}]
    return str(tools[0]["function"]["name"])


FAULTS: dict[str, Handler] = {
    "rate_limit": _answering(lambda body: _error(429, "rate_limit_exceeded", "slow down", {"retry-after": "0.01"})),
    "rate_limit_long": _answering(
        lambda body: _error(429, "rate_limit_exceeded", "come back later", {"retry-after": "3600"})
    ),
    "quota": _answering(lambda body: _error(429, "insufficient_quota", "you exceeded your current quota")),
    "auth": _answering(lambda body: _error(401, "invalid_api_key", "incorrect API key provided")),
    "forbidden": _answering(lambda body: _error(403, "forbidden", "no access to this model")),
    "not_found": _answering(lambda body: _error(404, "model_not_found", "the model does not exist")),
    "bad_request": _answering(lambda body: _error(400, "invalid_request_error", "messages are too long")),
    "no_temperature": _answering(
        lambda body: (
            _error(400, "unsupported_parameter", "temperature is not supported", param="temperature")
            if "temperature" in body
            else _completion({"content": "fine"})
        )
    ),
    "content_filter": _answering(lambda body: _error(400, "content_filter", "the request was filtered")),
    "server_error": _answering(lambda body: _error(500, "server_error", "internal error")),
    "html": _answering(lambda body: HTMLResponse("<html><body>Welcome to nginx!</body></html>")),
    "no_choices": _answering(lambda body: JSONResponse({"object": "chat.completion", "choices": []})),
    "truncated": _answering(lambda body: _completion(_call(_first_tool(body), '{"room": "kit'), finish="length")),
    "bad_arguments": _answering(lambda body: _completion(_call(_first_tool(body), '{"room": kitchen}'))),
    "list_arguments": _answering(lambda body: _completion(_call(_first_tool(body), "[1, 2]"))),
    "unknown_tool": _answering(lambda body: _completion(_call("launch_rocket", "{}"))),
    "empty": _answering(lambda body: _completion({"content": ""})),
    "hang": _hang,
}
"""Name of a fault to what is answered."""
