"""The ASGI app: routes, the key, the limits; what it reads and writes is in ``read`` and ``write``."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from needle.errors import UserError
from needle.serve.batching import CLIENT_GONE, Batcher, Gone
from needle.serve.errors import ApiError
from needle.serve.limits import Limits
from needle.serve.metrics import Metrics
from needle.serve.read import Question, Reader
from needle.serve.write import completion, events
from needle.tools import Caller, CallResult

Endpoint = Callable[[HttpRequest], Awaitable[Response]]
STARTED = int(time.time())
UNREAD = {"Connection": "close"}
"""Header of refusals before the end of the body: what still comes is not the next request."""
SMALL = 1 << 16
"""Bytes of a body that is read at once: some 20 µs for a known toolset, less than a tenth of what a thread costs."""


def create_app(
    caller: Caller, *, key: str | None = None, limits: Limits | None = None, name: str = "needle"
) -> Starlette:
    """An app that answers ``POST /v1/chat/completions`` with the calls of ``caller``.

    Args:
        caller: who answers; it is entered by one thread at a time.
        key: when given, every route but ``/healthz`` wants it as ``Authorization: Bearer``. Only its hash is kept.
        limits: bounds of size, time and queue.
        name: id of the model for clients.

    Raises:
        UserError: the key is empty.
    """
    return _Server(caller, key, limits or Limits(), name).app


class _Server:
    def __init__(self, caller: Caller, key: str | None, limits: Limits, name: str) -> None:
        if key is not None and not key.strip():
            raise UserError("the key of the server is empty; give one, or none at all")
        self._key = hashlib.sha256(key.encode()).digest() if key is not None else None
        self.limits, self.name = limits, name
        self.metrics, self.reader = Metrics(), Reader(limits)
        self.batcher = Batcher(caller, limits, self.metrics)
        routes = [
            Route("/v1/chat/completions", self._guarded(self.complete), methods=["POST"]),
            Route("/v1/models", self._guarded(self.models), methods=["GET"]),
            Route("/v1/models/{model:path}", self._guarded(self.one_model), methods=["GET"]),
            Route("/metrics", self._guarded(self.show_metrics), methods=["GET"]),
            Route("/healthz", self.health, methods=["GET"]),
        ]
        handlers: dict[Any, Any] = {ApiError: _api_error, HTTPException: _http_error, Exception: _bug}
        self.app = Starlette(routes=routes, exception_handlers=handlers)

    def _guarded(self, endpoint: Endpoint) -> Endpoint:
        async def checked(request: HttpRequest) -> Response:
            self._check_key(request)
            return await endpoint(request)

        return checked

    def _check_key(self, request: HttpRequest) -> None:
        """Hashes are compared, in constant time, so that neither the key nor its length can be guessed step by step."""
        if self._key is None:
            return
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        digest = hashlib.sha256(given.strip().encode("latin-1")).digest()
        if scheme.lower() != "bearer" or not hmac.compare_digest(digest, self._key):
            words = "the key is missing or wrong; send Authorization: Bearer with the server's key"
            raise ApiError(401, words, code="invalid_api_key", headers={"WWW-Authenticate": "Bearer"})

    async def complete(self, request: HttpRequest) -> Response:
        began, status = time.perf_counter(), 500
        try:
            response = await self._complete(request)
            status = response.status_code
            return response
        except ApiError as error:
            status = error.status
            raise
        except ClientDisconnect:
            status = CLIENT_GONE
            return Response(status_code=CLIENT_GONE)
        finally:
            self.metrics.request(status, time.perf_counter() - began)

    async def _complete(self, request: HttpRequest) -> Response:
        self.batcher.check_room()
        raw = await self._body(request)
        small = len(raw) <= SMALL
        question = self.reader.read(raw) if small else await asyncio.to_thread(self.reader.read, raw)
        result = await self._answer(question, request.is_disconnected)
        if question.stream:
            headers = {"Cache-Control": "no-cache"}
            return StreamingResponse(events(question, result, self.name), 200, headers, "text/event-stream")
        return JSONResponse(completion(question, result, self.name))

    async def _answer(self, question: Question, gone: Gone) -> CallResult:
        if question.request is None:
            return CallResult()
        result = await self.batcher.answer(question.request, gone)
        if result.infra_error:
            words = f"the endpoint behind this server gave no answer: {result.error}"
            raise ApiError(502, words, code="upstream_failed", headers={"x-should-retry": "false"})
        if result.error:
            # The same request would fail again: a status that the SDK does not retry.
            raise ApiError(422, f"no calls for this request: {result.error}", code="no_answer")
        self.metrics.result(result)
        return result

    async def _body(self, request: HttpRequest) -> bytes:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":  # also keeps web pages of others from posting here without asking
            raise ApiError(415, "the body must be JSON; send Content-Type: application/json", code="not_json")
        most = self.limits.body_bytes
        words = f"the body is larger than {most} bytes; offer fewer tools or turns"
        too_large = ApiError(413, words, code="too_large", headers=UNREAD)
        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > most:
            raise too_large
        body = bytearray()
        try:
            async with asyncio.timeout(self.limits.body_seconds):
                async for part in request.stream():
                    body += part
                    if len(body) > most:
                        raise too_large
        except TimeoutError:
            words = f"the body did not arrive within {self.limits.body_seconds:g} seconds"
            raise ApiError(408, words, code="too_slow", headers={"x-should-retry": "false"} | UNREAD) from None
        return bytes(body)

    def _model(self) -> dict[str, Any]:
        return {"id": self.name, "object": "model", "created": STARTED, "owned_by": "needle"}

    async def models(self, request: HttpRequest) -> Response:
        return JSONResponse({"object": "list", "data": [self._model()]})

    async def one_model(self, request: HttpRequest) -> Response:
        wanted = request.path_params["model"]
        if wanted != self.name:
            raise ApiError(404, f"there is no model {wanted!r}; this one is {self.name!r}", code="model_not_found")
        return JSONResponse(self._model())

    async def show_metrics(self, request: HttpRequest) -> Response:
        kind = "text/plain; version=0.0.4; charset=utf-8"
        return PlainTextResponse(self.metrics.text(len(self.batcher)), headers={"Content-Type": kind})

    async def health(self, request: HttpRequest) -> Response:
        return JSONResponse({"status": "ok", "waiting": len(self.batcher)})


async def _api_error(request: HttpRequest, error: ApiError) -> Response:
    return error.response()


async def _http_error(request: HttpRequest, error: HTTPException) -> Response:
    words = {404: f"there is nothing at {request.url.path}", 405: f"{request.method} is not for {request.url.path}"}
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "http_error")
    headers = dict(error.headers or {})
    return ApiError(
        error.status_code, words.get(error.status_code, error.detail), code=code, headers=headers
    ).response()


async def _bug(request: HttpRequest, error: Exception) -> Response:
    return ApiError(500, "the server failed; its log says why", code="internal_error").response()
