"""The HTTP face of the embedded teacher: ``POST /v1/chat/completions`` and ``GET /v1/models`` as the OpenAI SDK
expects them."""

from __future__ import annotations

import json
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from needle.errors import UserError
from needle.teacher.embedded.brain import MODEL, EmbeddedTeacher


def make_app(teacher: EmbeddedTeacher) -> Starlette:
    """An ASGI app around one teacher; its answers depend on the request's body only (and on what the teacher wrote
    before)."""

    async def complete(request: Request) -> JSONResponse:
        try:
            body: dict[str, Any] = json.loads(await request.body())
            if not isinstance(body, dict) or not isinstance(body.get("messages"), list) or not body["messages"]:
                raise UserError("messages must be a list with at least one message")
            return JSONResponse(teacher.complete(body))
        except (UserError, json.JSONDecodeError) as error:
            message = {"message": str(error), "type": "invalid_request_error", "code": "bad_request", "param": None}
            return JSONResponse({"error": message}, status_code=400)

    async def models(request: Request) -> JSONResponse:
        return JSONResponse(
            {"object": "list", "data": [{"id": MODEL, "object": "model", "created": 0, "owned_by": "needle"}]}
        )

    return Starlette(
        routes=[
            Route("/v1/chat/completions", complete, methods=["POST"]),
            Route("/v1/models", models, methods=["GET"]),
        ]
    )
