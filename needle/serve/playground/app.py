"""The playground's ASGI app: the page's own files, and what the page asks for as JSON.

| route | what |
|---|---|
| ``GET /``, ``/page/...``, ``/vendor/...`` | the page and its files, from the package; one of them is made (``tables.py``) |
| ``GET /api/state`` | model, example toolsets, corrections, training |
| ``POST /api/tools`` | ``{"text"}`` of a toolset -> tools as read, notes, findings, or an error with its place |
| ``POST /api/call`` | ``{"tools", "query", "system"?}`` -> calls, confidence, evidence, seconds |
| ``POST /api/check`` | ``{"tools", "query", "calls"}``, an answer of the browser -> violations, evidence |
| ``POST /api/corrections``, ``DELETE /api/corrections/ID`` | save a row, take one out |
| ``POST, GET, DELETE /api/training``, ``POST /api/model`` | fine-tune, watch, cancel; which model answers |
| ``GET /model/...`` | the exported model for the browser |
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from needle.errors import UserError
from needle.serve.batching import Batcher
from needle.serve.errors import ApiError, refused
from needle.serve.limits import Limits
from needle.serve.metrics import Metrics
from needle.serve.playground.desk import Desk
from needle.serve.playground.files import TYPES, examples, static
from needle.serve.playground.guard import Guard, read_json
from needle.serve.playground.tables import SCRIPT, script
from needle.tools import Request, ToolCall, ToolSpec

MODEL_FILES = frozenset(
    ("config.json", "needle.json", "tokenizer.json", "calibration.json", "prior.json", "encoder.onnx", "decoder.onnx", "model.safetensors")
)
"""What the browser may read of an exported model; the folder may hold more, and need not hold a calibration or a prior."""
Endpoint = Callable[[HttpRequest], Awaitable[Any]]


def create_playground(desk: Desk, limits: Limits | None = None) -> Starlette:
    """An app that shows the page and does with ``desk`` what the page asks for. For the loopback address only."""
    return _Playground(desk, limits or Limits()).app


class _Playground:
    def __init__(self, desk: Desk, limits: Limits) -> None:
        self.desk, self.limits = desk, limits
        self.batcher = Batcher(desk.caller, limits, Metrics())
        routes = [
            Route("/", static("page", "index.html")),
            Route(SCRIPT, _tables),
            Route("/page/{name:path}", static("page")),
            Route("/vendor/{name:path}", static("vendor")),
            Route("/model/{name:path}", self.model_file),
            Route("/api/state", _json(self.state)),
            Route("/api/tools", _json(self.tools), methods=["POST"]),
            Route("/api/call", _json(self.call), methods=["POST"]),
            Route("/api/check", _json(self.check), methods=["POST"]),
            Route("/api/corrections", _json(self.keep), methods=["POST"]),
            Route("/api/corrections/{id}", _json(self.forget), methods=["DELETE"]),
            Route("/api/training", _json(self.train), methods=["POST"]),
            Route("/api/training", _json(self.training), methods=["GET"]),
            Route("/api/training", _json(self.cancel), methods=["DELETE"]),
            Route("/api/model", _json(self.use), methods=["POST"]),
        ]
        handlers: dict[Any, Any] = {ApiError: _api_error, UserError: _user_error, HTTPException: _http_error, RecursionError: _too_deep}
        self.app = Starlette(routes=routes, exception_handlers=handlers, middleware=[Middleware(Guard)])

    async def state(self, request: HttpRequest) -> dict[str, Any]:
        kept = await asyncio.to_thread(self.desk.corrections)
        return {
            "model": self.desk.caller.name,
            "tools": [tool.to_dict() for tool in self.desk.tools],
            "examples": examples(),
            "corrections": kept,
            "training": await asyncio.to_thread(self.desk.training),
        }

    async def tools(self, request: HttpRequest) -> dict[str, Any]:
        body = await read_json(request, self.limits.body_bytes)
        return await asyncio.to_thread(_read_tools, str(body.get("text", "")))

    async def call(self, request: HttpRequest) -> dict[str, Any]:
        asked, _ = _request(await read_json(request, self.limits.body_bytes))
        result = await self.batcher.answer(asked, request.is_disconnected, explain=True)
        return {
            "calls": [call.to_dict() for call in result],
            "confidence": result.confidence,
            "evidence": [asdict(span) for span in result.evidence],
            "seconds": result.seconds,
            "usage": result.usage,
            "raw": result.raw,
            "error": result.error,
            "offered": result.offered,
            "tools": len(asked.tools),
            "violations": [] if result.error else _violations(list(result), asked.tools),
            "model": self.batcher.caller.name,
        }

    async def check(self, request: HttpRequest) -> dict[str, Any]:
        from needle.tools.grounding.evidence import find_evidence  # here: its tables load slowly

        body = await read_json(request, self.limits.body_bytes)
        asked, calls = _request(body)[0], _calls(body.get("calls"))
        evidence = await asyncio.to_thread(find_evidence, asked, calls)
        return {"violations": _violations(calls, asked.tools), "evidence": [asdict(span) for span in evidence]}

    async def keep(self, request: HttpRequest) -> dict[str, Any]:
        body = await read_json(request, self.limits.body_bytes)
        asked, toolset = _request(body)
        calls = _calls(body.get("calls"))
        if found := _violations(calls, asked.tools):
            words = "; ".join(f"{item['path']}: {item['message']}" for item in found)
            raise ApiError(422, f"not saved, the calls do not fit the tools: {words}", code="invalid_calls")
        answer = body.get("answer")
        answer = answer if isinstance(answer, dict) else {}
        id = await asyncio.to_thread(self.desk.keep, asked, calls, toolset, answer)
        return {"id": id} | await asyncio.to_thread(self.desk.corrections)

    async def forget(self, request: HttpRequest) -> dict[str, Any]:
        if not await asyncio.to_thread(self.desk.forget, request.path_params["id"]):
            raise ApiError(404, "there is no such correction any more", code="not_found")
        return await asyncio.to_thread(self.desk.corrections)

    async def train(self, request: HttpRequest) -> dict[str, Any]:
        minutes = (await read_json(request, self.limits.body_bytes)).get("minutes")
        if minutes is not None and (isinstance(minutes, bool) or not isinstance(minutes, int | float) or minutes <= 0):
            raise refused("minutes must be a number above 0", "minutes")
        await asyncio.to_thread(self.desk.train, minutes)
        return await self.training(request)

    async def training(self, request: HttpRequest) -> dict[str, Any]:
        return await asyncio.to_thread(self.desk.training)

    async def cancel(self, request: HttpRequest) -> dict[str, Any]:
        await asyncio.to_thread(self.desk.cancel)
        return await self.training(request)

    async def use(self, request: HttpRequest) -> dict[str, Any]:
        trained = (await read_json(request, self.limits.body_bytes)).get("trained")
        if not isinstance(trained, bool):
            raise refused("trained must be true or false", "trained")
        await asyncio.to_thread(self.desk.use, trained)
        self.batcher = Batcher(self.desk.caller, self.limits, Metrics())
        return await self.state(request)

    async def model_file(self, request: HttpRequest) -> Response:
        name = request.path_params["name"]
        if name not in MODEL_FILES:
            raise ApiError(404, f"there is nothing at {request.url.path}", code="not_found")
        folder: Path = await asyncio.to_thread(self.desk.browser_model)
        return await static(folder, name)(request)


def _json(endpoint: Endpoint) -> Callable[[HttpRequest], Awaitable[Response]]:
    async def answer(request: HttpRequest) -> Response:
        return JSONResponse(await endpoint(request))

    return answer


async def _tables(request: HttpRequest) -> Response:
    return Response(await asyncio.to_thread(script), media_type=TYPES[".js"])


def _read_tools(text: str) -> dict[str, Any]:
    from needle.tools.lint import lint_tools  # here: the validators load slowly
    from needle.tools.read import toolset_from_text

    try:
        tools, notes = toolset_from_text(text)
    except UserError as error:
        return {"error": str(error)}
    read = [tool.to_dict() for tool in tools]
    findings = [vars(finding) for finding in lint_tools(tools)]
    # "exact" keeps 5.0 apart from 5, which the model reads as different words and JavaScript does not tell apart
    return {"tools": read, "exact": json.dumps(read, ensure_ascii=False), "notes": notes, "findings": findings}


def _request(body: dict[str, Any]) -> tuple[Request, str]:
    """The request in a body, and the name of its toolset. Raises ``ApiError`` (400)."""
    query, system, toolset = body.get("query"), body.get("system"), body.get("toolset", "")
    if not isinstance(query, str) or not query.strip():
        raise refused("the request is empty; say what should be done", "query")
    if not isinstance(system, str | None) or not isinstance(toolset, str):
        raise refused("system and toolset must be text", "system")
    return Request(query, _tools(body.get("tools")), (system or "").strip() or None), toolset.strip()


def _tools(raw: Any) -> tuple[ToolSpec, ...]:
    from needle.tools.read import read_tools  # here: the validators load slowly

    if not isinstance(raw, list):
        raise refused("tools must be a list", "tools")
    try:
        return tuple(read_tools(raw))
    except UserError as error:
        raise refused(str(error), "tools") from error


def _calls(raw: Any) -> list[ToolCall]:
    if not isinstance(raw, list):
        raise refused("calls must be a list; [] where no tool fits", "calls")
    for call in raw:
        if not isinstance(call, dict) or not isinstance(call.get("name"), str) or not isinstance(call.get("arguments"), dict):
            raise refused('a call is {"name": ..., "arguments": {...}}', "calls")
    return [ToolCall(call["name"], call["arguments"]) for call in raw]


def _violations(calls: list[ToolCall], tools: tuple[ToolSpec, ...]) -> list[dict[str, Any]]:
    from needle.tools.validate import validate_calls  # here: the validators load slowly

    return [{"path": found.path, "message": found.message} for found in validate_calls(calls, tools)]


async def _api_error(request: HttpRequest, error: ApiError) -> Response:
    return error.response()


async def _user_error(request: HttpRequest, error: UserError) -> Response:
    return ApiError(409, str(error), code="not_possible").response()


async def _too_deep(request: HttpRequest, error: RecursionError) -> Response:
    return refused("the body is nested too deeply; send flatter JSON").response()


async def _http_error(request: HttpRequest, error: HTTPException) -> Response:
    return ApiError(error.status_code, f"there is nothing at {request.url.path}", code="not_found").response()
