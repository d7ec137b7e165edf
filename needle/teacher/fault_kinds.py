"""Every fault that a teacher endpoint is known to have, as the answer that shows it; ``faults.FaultApp`` plays them."""

from __future__ import annotations

import asyncio
import email.utils
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse

Handler = Callable[[dict[str, Any], str], Response]
"""From a request's body and its Authorization header to the answer."""


def error(
    status: int, code: str, message: str, headers: dict[str, str] | None = None, param: str | None = None
) -> JSONResponse:
    """An error as OpenAI writes it."""
    return JSONResponse({"error": {"message": message, "type": code, "code": code, "param": param}}, status, headers)


def completion(message: dict[str, Any], finish: str = "stop", **rest: Any) -> JSONResponse:
    """A chat completion with one choice."""
    choice = {"index": 0, "message": {"role": "assistant"} | message, "finish_reason": finish, "logprobs": None}
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    body = {
        "id": "chatcmpl-fault",
        "object": "chat.completion",
        "created": 0,
        "model": "fault",
        "choices": [choice],
        "usage": usage,
    }
    return JSONResponse(body | rest)


def limited(headers: dict[str, str], message: str = "slow down") -> Handler:
    """429 with the given headers."""
    return lambda body, key: error(429, "rate_limit_exceeded", message, headers)


def _call(name: str, arguments: str, number: int = 0) -> dict[str, Any]:
    return {"id": f"call_{number}", "type": "function", "function": {"name": name, "arguments": arguments}}


def _calling(arguments: str, finish: str = "tool_calls") -> Handler:
    return lambda body, key: completion({"content": None, "tool_calls": [_call(_first_tool(body), arguments)]}, finish)


def _first_tool(body: dict[str, Any]) -> str:
    tools = body.get("tools") or [{"function": {"name": "none"}}]
    return str(tools[0]["function"]["name"])


def _refusing(parameter: str) -> Handler:
    def handle(body: dict[str, Any], key: str) -> Response:
        if parameter in body:
            return error(400, "unsupported_parameter", f"Unsupported parameter: {parameter!r}", param=parameter)
        return completion({"content": "fine"})

    return handle


def _date(body: dict[str, Any], key: str) -> Response:
    return limited({"retry-after": email.utils.formatdate(time.time() + 1.5, usegmt=True)})(body, key)


def _google(body: dict[str, Any], key: str) -> Response:
    details = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "0.02s"}]
    return JSONResponse(
        [
            {
                "error": {
                    "code": 429,
                    "message": "quota for the minute",
                    "status": "RESOURCE_EXHAUSTED",
                    "details": details,
                }
            }
        ],
        429,
    )


async def _dripping() -> AsyncIterator[bytes]:
    for byte in json.dumps({"id": "slow", "choices": [], "padding": " " * 100_000}).encode():
        yield bytes([byte])
        await asyncio.sleep(0.02)


async def _never() -> AsyncIterator[bytes]:
    await asyncio.sleep(3600)
    yield b""


def _duplicate_ids(body: dict[str, Any], key: str) -> Response:
    calls = [_call(_first_tool(body), '{"room": "hall"}'), _call(_first_tool(body), '{"room": "kitchen"}')]
    return completion({"content": None, "tool_calls": calls}, "tool_calls")


FAULTS: dict[str, Handler] = {
    # the rate limit, in every form that a wait is asked for
    "rate_limit": limited({"retry-after": "0.01"}),
    "rate_limit_seconds": limited({"retry-after": "1"}),
    "rate_limit_ms": limited({"retry-after-ms": "20", "retry-after": "60"}),
    "rate_limit_date": _date,
    "rate_limit_reset": limited(
        {
            "x-ratelimit-limit-requests": "60",
            "x-ratelimit-remaining-requests": "0",
            "x-ratelimit-reset-requests": "20ms",
        }
    ),
    "rate_limit_minutes": limited({"retry-after": "2m5s"}),
    "rate_limit_words": limited({}, "Rate limit reached. Please try again in 20ms."),
    "rate_limit_google": _google,
    "rate_limit_bare": limited({}),
    "rate_limit_long": limited({"retry-after": "3600"}, "come back later"),
    # what asking again cannot mend
    "quota": lambda body, key: error(429, "insufficient_quota", "you exceeded your current quota"),
    "payment": lambda body, key: error(402, "payment_required", "no credit"),
    "auth": lambda body, key: error(401, "invalid_api_key", "incorrect API key provided"),
    "auth_echo": lambda body, key: error(401, "invalid_api_key", f"incorrect API key provided: {key}"),
    "forbidden": lambda body, key: error(403, "forbidden", "no access to this model"),
    "not_found": lambda body, key: error(404, "model_not_found", "the model does not exist"),
    "bad_request": lambda body, key: error(400, "invalid_request_error", "messages are too long"),
    "unprocessable": lambda body, key: error(422, "unprocessable", "this schema is not supported"),
    "content_filter": lambda body, key: error(400, "content_filter", "the request was filtered"),
    "no_temperature": _refusing("temperature"),
    "no_max_tokens": _refusing("max_tokens"),
    # what may pass
    "server_error": lambda body, key: error(500, "server_error", "internal error"),
    "bad_gateway": lambda body, key: HTMLResponse("<html><body>502 Bad Gateway</body></html>", 502),
    "gateway_timeout": lambda body, key: HTMLResponse("<html><body>504 Gateway Time-out</body></html>", 504),
    "overloaded": lambda body, key: error(503, "overloaded", "model is loading", {"retry-after": "0.01"}),
    "html": lambda body, key: HTMLResponse("<html><body>Welcome to nginx!</body></html>"),
    "no_choices": lambda body, key: JSONResponse({"object": "chat.completion", "choices": []}),
    "error_in_body": lambda body, key: JSONResponse({"error": {"message": "upstream is busy", "code": 502}}),
    "limit_in_body": lambda body, key: JSONResponse({"error": {"message": "upstream limits the rate", "code": 429}}),
    "cut_body": lambda body, key: Response(b'{"id": "chatcmpl-cut", "choices": [{"mess', media_type="application/json"),
    "hang": lambda body, key: StreamingResponse(_never(), media_type="application/json"),
    "trickle": lambda body, key: StreamingResponse(_dripping(), media_type="application/json"),
    # answers that are not well formed
    "truncated": _calling('{"room": "kit', "length"),
    "bad_arguments": _calling('{"room": kitchen}'),
    "list_arguments": _calling("[1, 2]"),
    "twice_argument": _calling('{"room": "hall", "room": "kitchen"}'),
    "nan_argument": _calling('{"brightness": NaN}'),
    "duplicate_ids": _duplicate_ids,
    "unknown_tool": lambda body, key: completion(
        {"content": None, "tool_calls": [_call("launch_rocket", "{}")]}, "tool_calls"
    ),
    "filtered": lambda body, key: completion({"content": ""}, "content_filter"),
    "empty": lambda body, key: completion({"content": ""}),
    "no_usage": lambda body, key: completion({"content": "fine"}, usage=None),
    # no fault, at the least cost
    "plain": lambda body, key: completion({"content": "fine"}),
}
"""Name of a fault to what is answered."""
