"""What can go wrong with a teacher call, sorted by the only question that matters: is it any use to ask again?

``PermanentError`` (wrong key, no such model, quota, bad request) is the person's to mend; it is never retried.
``TransientError`` (rate limit, server trouble, time-out, broken body) is retried with back-off, then given up.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx2
import openai

from needle.errors import UserError
from needle.teacher.waits import retry_after_seconds

MAX_DETAIL = 160
"""Characters of an endpoint's own message that are repeated to the person."""
DROPPABLE = frozenset({"temperature", "seed", "parallel_tool_calls", "top_p"})
"""Parameters that may be left out when an endpoint says that it does not support them."""
RENAMED = {"max_tokens": "max_completion_tokens"}
"""Parameters that newer endpoints want under another name; leaving them out would lift the cap on the output."""
OVERLOADED = (429, 503, 529)
"""Statuses that ask for fewer requests at a time."""
GAVE_UP_WAITING = (408, 504, 524)
"""Statuses of a gateway that did not wait for the model, which may have answered (and billed) all the same. Other
errors of a server are answers by themselves, and no provider that we know bills them."""
_PARAMETER = re.compile(r"(?:unsupported|not support\w*|unknown|unrecognized|unexpected|extra|not permitted)", re.I)


class PermanentError(UserError):
    """Asking again cannot help. ``reason``: auth, forbidden, not_found, quota, bad_request, content_filter or
    starved."""

    maybe_billed = False
    """The endpoint turned the request away, so it costs nothing."""

    def __init__(self, message: str, reason: str, parameter: str | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.parameter = parameter
        """The request parameter that the endpoint refused, where it says so."""

    @property
    def stops_job(self) -> bool:
        """True when every further request would fail in the same way; a refusal of one request does not stop the
        rest."""
        return self.reason not in ("bad_request", "content_filter")


class TransientError(Exception):
    """Asking again may help. ``reason``: rate_limit, overloaded, server, timeout, connection or not_json."""

    def __init__(self, message: str, reason: str, retry_after: float | None = None, maybe_billed: bool = True) -> None:
        super().__init__(message)
        self.reason = reason
        self.retry_after = retry_after
        """Seconds that the endpoint asked us to wait, or None."""
        self.maybe_billed = maybe_billed
        """The endpoint may have made (and billed) an answer all the same."""


@dataclass(frozen=True)
class Asked:
    """Who was asked, for messages."""

    where: str
    """The endpoint as the person named it."""
    model: str
    """The model asked for."""
    key_name: str = "OPENAI_API_KEY (or NEEDLE_API_KEY)"
    """Variables that the key comes from."""
    secrets: set[str] = field(default_factory=set, hash=False)
    """Never repeated, also when the endpoint does."""

    def repeats_secret(self, error: BaseException) -> bool:
        """A traceback of ``error`` would show a secret."""
        return any(secret in f"{error!r} {error}" for secret in self.secrets)

    def detail(self, text: object) -> str:
        """What the endpoint said, on one line, short and without secrets."""
        flat = " ".join(str(text or "").split())
        for secret in self.secrets:
            flat = flat.replace(secret, "***")
        return flat if len(flat) <= MAX_DETAIL else flat[: MAX_DETAIL - 1] + "…"


def classify(error: Exception, asked: Asked) -> PermanentError | TransientError:
    """Turn an exception of the SDK (or of reading the body) into ours."""
    if isinstance(error, PermanentError | TransientError):
        return error
    if isinstance(error, openai.APIStatusError):
        body = error.body if isinstance(error.body, dict) else {}
        return by_status(error.status_code, body, asked, error.response.headers, error.response.text)
    where = asked.where
    cause = error.__cause__ or error
    connecting = isinstance(cause, httpx2.ConnectError | httpx2.ConnectTimeout)
    if isinstance(error, openai.APITimeoutError | TimeoutError) and not connecting:
        return TransientError(f"{where} did not answer in time", "timeout")
    if isinstance(error, openai.APIConnectionError | httpx2.TransportError | OSError):
        said = asked.detail(str(cause) or type(cause).__name__)
        return TransientError(
            f"cannot reach {where} ({said})", "connection", maybe_billed=not (connecting and _never_sent(cause))
        )
    if isinstance(error, openai.APIResponseValidationError | ValueError):
        return TransientError(
            f"{where} answered with something that is no chat completion ({asked.detail(error)})", "not_json"
        )
    raise error


def _never_sent(cause: BaseException) -> bool:
    """No connection came about. The aiohttp transport of the SDK also calls it a connect time-out when the server hung
    up after the request."""
    return isinstance(cause, httpx2.ConnectError) or type(cause.__cause__).__name__ not in (
        "ServerDisconnectedError",
        "ClientConnectionError",
        "ClientConnectionResetError",
        "ClientOSError",
    )


def by_status(
    status: int, body: Mapping[str, Any], asked: Asked, headers: Mapping[str, str] | None = None, text: str = ""
) -> PermanentError | TransientError:
    """The error of a status and the ``error`` object that came with it.

    Args:
        status: HTTP status, or the ``code`` that a gateway puts into a body with status 200.
        body: with ``message``, ``code``, ``type``, ``param`` where there are any.
        asked: who was asked.
        headers: of the response.
        text: the whole body.
    """
    where, model = asked.where, asked.model
    code = f"{body.get('code') or ''} {body.get('type') or ''}".lower()
    message = body.get("message") or text
    detail = f"(it said: {asked.detail(message)})" if message else ""
    if "insufficient_quota" in code or "billing" in code or status == 402:
        return PermanentError(
            f"{where}: the account has no quota left; add credit or use another key {detail}", "quota"
        )
    if status == 401:
        return PermanentError(f"{where} refused the key; set {asked.key_name} to a valid one {detail}", "auth")
    if "content_filter" in code or "content_policy" in code or "moderation" in code:
        return PermanentError(f"{where} filtered the request {detail}", "content_filter")
    if status == 403:
        return PermanentError(f"{where} does not allow this key to use model {model!r} {detail}", "forbidden")
    if status == 404:
        return PermanentError(
            f"{where} does not know model {model!r} or this path; check the model name and that the URL ends in "
            f"/v1 {detail}",
            "not_found",
        )
    wait = retry_after_seconds(headers or {}, text)
    if status == 429:
        return TransientError(f"{where} limits the rate {detail}", "rate_limit", wait, maybe_billed=False)
    if status in OVERLOADED:
        return TransientError(
            f"{where} is overloaded (status {status}) {detail}", "overloaded", wait, maybe_billed=False
        )
    if status in (408, 409) or status >= 500:
        return TransientError(
            f"{where} failed with status {status} {detail}", "server", wait, maybe_billed=status in GAVE_UP_WAITING
        )
    return PermanentError(
        f"{where} refused the request with status {status} {detail}", "bad_request", _parameter(body, str(message))
    )


def _parameter(body: Mapping[str, Any], message: str) -> str | None:
    """The parameter that was refused: named by ``param``, or, where it is missing, by the message."""
    if body.get("param"):
        return str(body["param"])
    if not _PARAMETER.search(message):
        return None
    return next((name for name in (*RENAMED, *sorted(DROPPABLE)) if re.search(rf"\b{name}\b", message)), None)
