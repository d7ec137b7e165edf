"""What ``format`` means here: the date, time and other string formats that arguments are checked against.

The specification's ``time`` and ``date-time`` demand seconds and a zone (RFC 3339). Nobody says "wake me at 06:45:00Z",
and tools that declare ``"format": "time"`` take ``06:45``; so seconds and zone are optional here. Formats that are not
listed are notes for the reader and are not checked.
"""

from __future__ import annotations

import datetime
import ipaddress
import re
import uuid
from collections.abc import Callable
from urllib.parse import urlsplit

_TIME = re.compile(
    r"([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d+)?)?(Z|[+-]([01]\d|2[0-3]):?[0-5]\d)?", re.ASCII | re.IGNORECASE
)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_DURATION = re.compile(r"P(?!$)(\d+W|(\d+Y)?(\d+M)?(\d+D)?(T(?=\d)(\d+H)?(\d+M)?(\d+(\.\d+)?S)?)?)", re.ASCII)
_EMAIL = re.compile(r"[^@\s\"<>()\[\],;:\\]+@[^\W_]([\w-]*[^\W_])?(\.[^\W_]([\w-]*[^\W_])?)*")
_HOSTNAME = re.compile(
    r"(?=.{1,253}$)[a-z\d]([a-z\d-]{0,61}[a-z\d])?(\.[a-z\d]([a-z\d-]{0,61}[a-z\d])?)*", re.ASCII | re.IGNORECASE
)


def is_date(text: str) -> bool:
    """``2026-11-29``: a day that exists."""
    return bool(_DATE.fullmatch(text)) and _parses(datetime.date.fromisoformat, text)


def is_time(text: str) -> bool:
    """``06:45``, ``06:45:30``, ``06:45:30.5Z``, ``06:45+02:00``."""
    return bool(_TIME.fullmatch(text))


def is_date_time(text: str) -> bool:
    """A date and a time joined by ``T`` or a space: ``2026-11-29T06:45``."""
    return text[10:11] in ("T", "t", " ") and is_date(text[:10]) and is_time(text[11:])


def is_uri(text: str) -> bool:
    """An absolute address with a scheme and something after it, without spaces."""
    if not text or any(char.isspace() or char in '<>"' for char in text):
        return False
    scheme, colon, rest = text.partition(":")
    return bool(colon and rest and re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", scheme)) and _parses(urlsplit, text)


FORMATS: dict[str, Callable[[str], bool]] = {
    "date": is_date,
    "time": is_time,
    "date-time": is_date_time,
    "duration": lambda text: bool(_DURATION.fullmatch(text)) and text[-1] != "T",
    "email": lambda text: bool(_EMAIL.fullmatch(text)),
    "uri": is_uri,
    "url": is_uri,
    "uuid": lambda text: len(text) == 36 and _parses(uuid.UUID, text),
    "ipv4": lambda text: _parses(ipaddress.IPv4Address, text),
    "ipv6": lambda text: "%" not in text and _parses(ipaddress.IPv6Address, text),
    "hostname": lambda text: bool(_HOSTNAME.fullmatch(text)),
}
"""Format name to its check. One table for the reference validator and for the fast one."""

UNCHECKED = (
    "idn-email", "idn-hostname", "uri-reference", "iri", "iri-reference", "uri-template", "json-pointer",
    "relative-json-pointer", "regex",
)  # fmt: skip
"""Formats of the specification that one of the two validators would check on its own; switched off in both."""


def _parses(parse: Callable[[str], object], text: str) -> bool:
    try:
        parse(text)
    except ValueError:
        return False
    return True
