"""The ASGI app: routes, the key, the limits; what it reads and writes is in ``read`` and ``write``."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from needle.errors import UserError
from needle.serve.batching import CLIENT_GONE, Batcher, Gone, Told
from needle.serve.errors import ApiError
from needle.serve.limits import Limits
from needle.serve.metrics import Metrics
from needle.serve.read import Question, Reader
from needle.serve.responses import ResponseWriter, to_chat
from needle.serve.stream import AnswerStream
from needle.serve.write import ChatWriter, Writer
from needle.tools import Caller, CallResult

Endpoint = Callable[[HttpRequest], Awaitable[Response]]
Translate = Callable[[dict[str, Any]], dict[str, Any]]
STREAMED = 0
"""In place of a status while the answer is still going out: it is counted at its end."""
STARTED = int(time.time())
UNREAD = {"Connection": "close"}
"""Header of refusals before the end of the body: what still comes is not the next request."""
READ_OUT = 4
"""A body that is too large is read (and dropped) up to so many times its limit: a client that is cut off while it writes never sees why."""
SMALL = 1 << 16
"""Bytes of a body that is read at once: some 20 µs for a known toolset, less than a tenth of what a thread costs."""


def create_app(
    caller: Caller | Mapping[str, Caller],
    *,
    key: str | None = None,
    limits: Limits | None = None,
    name: str = "needle",
    origins: Sequence[str] = (),
) -> Starlette:
    """An app that answers ``POST /v1/chat/completions`` and ``POST /v1/responses`` with the calls of ``caller``.

    Args:
        caller: who answers, or several by the name that a request's ``model`` gives (without one: the first). Each is
            entered by ``limits.workers`` threads at once, one by default.
        key: when given, every route but ``/healthz`` wants it as ``Authorization: Bearer``. Only its hash is kept.
        limits: bounds of size, time and queue; each caller has a queue of its own.
        name: id of a single model for clients; it then answers whatever model they name.
        origins: web pages that may ask from a browser, such as ``https://example.com`` (CORS); none by default.

    Raises:
        UserError: the key is empty, or there is no caller.
    """
    return _Server(caller, key, limits or Limits(), name, origins).app


class _Server:
    def __init__(
        self, caller: Caller | Mapping[str, Caller], key: str | None, limits: Limits, name: str, origins: Sequence[str]
    ) -> None:
        if key is not None and not key.strip():
            raise UserError("the key of the server is empty; give one, or none at all")
        self._key = hashlib.sha256(key.encode()).digest() if key is not None else None
        callers = dict(caller) if isinstance(caller, Mapping) else {name: caller}
        if not callers:
            raise UserError("there is no model to serve; give at least one")
        self.limits, self.metrics, self.reader = limits, Metrics(), Reader(limits)
        self.batchers = {name: Batcher(one, limits, self.metrics) for name, one in callers.items()}
        routes = [
            Route("/v1/chat/completions", self._guarded(self.complete), methods=["POST"]),
            Route("/v1/responses", self._guarded(self.respond), methods=["POST"]),
            Route("/v1/models", self._guarded(self.models), methods=["GET"]),
            Route("/v1/models/{model:path}", self._guarded(self.one_model), methods=["GET"]),
            Route("/metrics", self._guarded(self.show_metrics), methods=["GET"]),
            Route("/healthz", self.health, methods=["GET"]),
        ]
        handlers: dict[Any, Any] = {ApiError: _api_error, HTTPException: _http_error, Exception: _bug}
        browsers = [Middleware(CORSMiddleware, allow_origins=list(origins), allow_methods=["*"], allow_headers=["*"])]
        self.app = Starlette(routes=routes, exception_handlers=handlers, middleware=browsers if origins else [])

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
        return await self._counted(request, dict, ChatWriter)

    async def respond(self, request: HttpRequest) -> Response:
        return await self._counted(request, to_chat, ResponseWriter)

    async def _counted(self, request: HttpRequest, translate: Translate, writer: type[Writer]) -> Response:
        began, status = time.perf_counter(), 500
        try:
            response = await self._reply(request, translate, writer, began)
            status = STREAMED if isinstance(response, StreamingResponse) else response.status_code
            return response
        except ApiError as error:
            status = error.status
            raise
        except ClientDisconnect:
            status = CLIENT_GONE
            return Response(status_code=CLIENT_GONE)
        finally:
            if status != STREAMED:
                self.metrics.request(status, time.perf_counter() - began)

    async def _reply(self, request: HttpRequest, translate: Translate, writer: type[Writer], began: float) -> Response:
        min(self.batchers.values(), key=len).check_room()
        raw = await self._body(request)
        read = partial(self.reader.read, raw, translate)
        question = read() if len(raw) <= SMALL else await asyncio.to_thread(read)
        name, batcher = self._chosen(question)
        writes, answer = writer(question, name), partial(self._answer, question, batcher, request.is_disconnected)
        if not question.stream:
            return JSONResponse(writes.whole(await answer()))
        stream = AnswerStream(answer)
        await stream.begin()
        lines = self._until_the_end(stream.events(writes), began)
        return StreamingResponse(lines, 200, {"Cache-Control": "no-cache"}, "text/event-stream")

    async def _until_the_end(self, lines: AsyncIterator[str], began: float) -> AsyncIterator[str]:
        """The lines; a stream is counted when its last one has gone out."""
        try:
            async for line in lines:
                yield line
        finally:
            self.metrics.request(200, time.perf_counter() - began)

    def _chosen(self, question: Question) -> tuple[str, Batcher]:
        """The model that answers: the one that was named, or the only one there is."""
        name = question.model if len(self.batchers) > 1 and question.model else next(iter(self.batchers))
        if name not in self.batchers:
            words = f"there is no model {name!r}; there are: {', '.join(self.batchers)}"
            raise ApiError(404, words, code="model_not_found", param="model")
        return name, self.batchers[name]

    async def _answer(self, question: Question, batcher: Batcher, gone: Gone, told: Told | None = None) -> CallResult:
        if question.request is None:
            return CallResult()
        result = await batcher.answer(question.request, gone, told, question.explain)
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
        large = declared.isdecimal() and int(declared) > most
        body, seen = bytearray(), 0
        if large and int(declared) > READ_OUT * most:
            raise too_large
        try:
            async with asyncio.timeout(self.limits.body_seconds):
                async for part in request.stream():
                    seen += len(part)
                    large = large or seen > most
                    body = bytearray() if large else body + part
                    if seen > READ_OUT * most:
                        raise too_large
        except TimeoutError:
            words = f"the body did not arrive within {self.limits.body_seconds:g} seconds"
            raise ApiError(408, words, code="too_slow", headers={"x-should-retry": "false"} | UNREAD) from None
        if large:
            raise too_large
        return bytes(body)

    async def models(self, request: HttpRequest) -> Response:
        return JSONResponse({"object": "list", "data": [_model(name) for name in self.batchers]})

    async def one_model(self, request: HttpRequest) -> Response:
        wanted = request.path_params["model"]
        if wanted not in self.batchers:
            words = f"there is no model {wanted!r}; there are: {', '.join(self.batchers)}"
            raise ApiError(404, words, code="model_not_found")
        return JSONResponse(_model(wanted))

    async def show_metrics(self, request: HttpRequest) -> Response:
        kind = "text/plain; version=0.0.4; charset=utf-8"
        return PlainTextResponse(self.metrics.text(self._waiting()), headers={"Content-Type": kind})

    async def health(self, request: HttpRequest) -> Response:
        return JSONResponse({"status": "ok", "waiting": self._waiting()})

    def _waiting(self) -> int:
        return sum(map(len, self.batchers.values()))


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": STARTED, "owned_by": "needle"}


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
