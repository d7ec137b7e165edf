"""How long an endpoint asks us to wait, in every form that is in use: ``Retry-After`` in seconds, fractions or as an
HTTP date, ``retry-after-ms``, OpenAI's ``x-ratelimit-reset-*`` (``1m30s``), and a delay in the body of the error.
"""

from __future__ import annotations

import email.utils
import re
import time
from collections.abc import Mapping

_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)", re.I)
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_IN_BODY = re.compile(
    r'"?retry_?delay"?\s*[:=]\s*"?([\d.]+(?:ms|s|m|h))|try again in ((?:[\d.]+\s*(?:ms|s|m|h)\s*)+)', re.I
)
"""Google's ``RetryInfo`` and the sentence in OpenAI's message."""
RESETS = ("requests", "tokens")
"""What the rate-limit headers of OpenAI count."""


def duration(text: str) -> float | None:
    """Seconds of ``12``, ``0.5``, ``250ms``, ``6m0s`` or ``1h2m3.5s``; None for other text."""
    text = text.strip()
    if re.fullmatch(r"[+-]?\d+(\.\d*)?", text):
        return max(0.0, float(text))
    parts = _PART.findall(text)
    if not parts or _PART.sub("", text).strip():
        return None
    return sum(float(number) * _SECONDS[unit.lower()] for number, unit in parts)


def number(headers: Mapping[str, str], name: str) -> float | None:
    """A header that is a plain number, or None."""
    text = headers.get(name) or ""
    return float(text) if re.fullmatch(r"[+-]?\d+(\.\d*)?", text.strip()) else None


def retry_after_seconds(headers: Mapping[str, str], body: str = "") -> float | None:
    """Seconds to wait before asking again, or None when nothing says so.

    Args:
        headers: of the response, looked up in lower case.
        body: text of the error, for endpoints that say it there only.
    """
    if (milliseconds := number(headers, "retry-after-ms")) is not None:
        return max(0.0, milliseconds / 1000)
    said = headers.get("retry-after") or ""
    if (seconds := duration(said)) is not None:
        return seconds
    if parsed := email.utils.parsedate_tz(said):
        return max(0.0, email.utils.mktime_tz(parsed) - time.time())
    resets = [
        duration(headers.get(f"x-ratelimit-reset-{what}") or "")
        for what in RESETS
        if number(headers, f"x-ratelimit-remaining-{what}") == 0
    ]
    known = [reset for reset in resets if reset is not None]
    if known:
        return max(known)
    found = _IN_BODY.search(body)
    return duration(found[1] or found[2]) if found else None


def in_words(seconds: float) -> str:
    """A length of time for a message."""
    if seconds < 90:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.3g} min" if seconds < 5400 else f"{seconds / 3600:.3g} h"
