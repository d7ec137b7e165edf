"""Errors in OpenAI's shape; the status makes its SDK raise the right class and retry only where that helps."""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse

_TYPES = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}


class ApiError(Exception):
    """What a client is told instead of an answer."""

    def __init__(
        self, status: int, message: str, *, code: str, param: str | None = None, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        """HTTP status."""
        self.code = code
        """Stable word for programs."""
        self.param = param
        """Field of the body that is to blame, or None."""
        self.headers = headers or {}
        """Headers beside the body, such as ``Retry-After``."""

    def body(self) -> dict[str, Any]:
        """The error in OpenAI's shape."""
        kind = _TYPES.get(self.status, "invalid_request_error" if self.status < 500 else "server_error")
        words = " ".join(str(self).split())
        return {"error": {"message": words, "type": kind, "param": self.param, "code": self.code}}

    def response(self) -> JSONResponse:
        """The error as it goes over the wire."""
        return JSONResponse(self.body(), self.status, self.headers)


def refused(message: str, param: str | None = None, code: str = "invalid_value") -> ApiError:
    """A request that is wrong in itself: 400 with the field to blame."""
    return ApiError(400, message, code=code, param=param)
