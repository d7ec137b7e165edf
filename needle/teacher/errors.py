"""What can go wrong with a teacher call, sorted by the only question that matters: is it any use to ask again?

``PermanentError`` (wrong key, no such model, quota, bad request) is the person's to mend; it is never retried.
``TransientError`` (rate limit, server trouble, time-out, broken body) is retried with back-off, then given up.
"""

from __future__ import annotations

import email.utils
import time
from collections.abc import Mapping

import httpx2
import openai

from needle.errors import UserError

MAX_DETAIL = 160
"""Characters of an endpoint's own message that are repeated to the person."""


class PermanentError(UserError):
    """Asking again cannot help. ``reason``: auth, forbidden, not_found, quota, bad_request or content_filter."""

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
    """Asking again may help. ``reason``: rate_limit, server, timeout, connection or not_json."""

    def __init__(self, message: str, reason: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.retry_after = retry_after
        """Seconds that the endpoint asked us to wait, or None."""


def retry_after_seconds(headers: Mapping[str, str]) -> float | None:
    """Seconds of a ``Retry-After`` header in any of its forms (milliseconds, seconds, HTTP date), or None."""
    for header, divisor in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            return max(0.0, float(headers[header]) / divisor)
        except (KeyError, ValueError):
            continue
    parsed = email.utils.parsedate_tz(headers.get("retry-after") or "")
    return max(0.0, email.utils.mktime_tz(parsed) - time.time()) if parsed else None


def classify(error: Exception, where: str, model: str) -> PermanentError | TransientError:
    """Turn an exception of the SDK into ours.

    Args:
        error: what the SDK raised.
        where: the endpoint as the person named it, for the message.
        model: the model asked for.
    """
    if isinstance(error, openai.APIStatusError):
        return _classify_status(error, where, model)
    if isinstance(error, (openai.APITimeoutError, TimeoutError)):
        return TransientError(f"{where} did not answer in time", "timeout")
    if isinstance(error, (openai.APIConnectionError, httpx2.TransportError, OSError)):
        cause = error.__cause__ or error
        return TransientError(f"cannot reach {where} ({_short(str(cause) or type(cause).__name__)})", "connection")
    if isinstance(error, (openai.APIResponseValidationError, ValueError)):
        return TransientError(
            f"{where} answered with something that is no chat completion ({_short(str(error))})", "not_json"
        )
    raise error


def _classify_status(error: openai.APIStatusError, where: str, model: str) -> PermanentError | TransientError:
    status, code, detail = error.status_code, str(error.code or error.type or ""), _detail(error)
    if "insufficient_quota" in code or "billing" in code or status == 402:
        return PermanentError(
            f"{where}: the account has no quota left; add credit or use another key {detail}", "quota"
        )
    if status == 401:
        return PermanentError(
            f"{where} refused the key; set OPENAI_API_KEY (or NEEDLE_API_KEY) to a valid one {detail}", "auth"
        )
    if status == 403:
        return PermanentError(f"{where} does not allow this key to use model {model!r} {detail}", "forbidden")
    if status == 404:
        return PermanentError(
            f"{where} does not know model {model!r} or this path; check the model name and that the URL ends in "
            f"/v1 {detail}",
            "not_found",
        )
    if "content_filter" in code or "content_policy" in code:
        return PermanentError(f"{where} filtered the request {detail}", "content_filter")
    if status == 429:
        return TransientError(
            f"{where} limits the rate {detail}", "rate_limit", retry_after_seconds(error.response.headers)
        )
    if status in (408, 409) or status >= 500:
        return TransientError(
            f"{where} failed with status {status} {detail}", "server", retry_after_seconds(error.response.headers)
        )
    return PermanentError(f"{where} refused the request with status {status} {detail}", "bad_request", error.param)


def _detail(error: openai.APIStatusError) -> str:
    body = error.body if isinstance(error.body, dict) else {}
    message = body.get("message") or error.response.text
    return f"(it said: {_short(message)})" if message else ""


def _short(text: str) -> str:
    flat = " ".join(str(text).split())
    return flat if len(flat) <= MAX_DETAIL else flat[: MAX_DETAIL - 1] + "…"
