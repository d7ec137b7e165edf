"""Deduplication that knows what a slot is: the same wording with other values and other calls is a good row, a copy
is not.

Ordinary near-duplicate filters throw such rows away. Here three things are refused: the same request again; the
same calls in the same wording (values masked); and more than ``cap`` rows of one wording.
"""

from __future__ import annotations

import dataclasses
import re
from collections import Counter

from needle.teacher.embedded.lexicon import PREFIXES, SUFFIXES
from needle.traces.split import template
from needle.traces.trace import Trace
from needle.traces.write import dump_json

FRAME = re.compile(
    "^(?:"
    + "|".join(re.escape(item.strip(" ,")) for items in PREFIXES.values() for item in items if item.strip())
    + r")[ ,]+"
    "|[ ,]+(?:"
    + "|".join(re.escape(item.strip(" ,")) for items in SUFFIXES.values() for item in items if item.strip())
    + r")\W*$",
    re.IGNORECASE,
)
"""Polite openings and endings: with another of them it is still the same wording."""


def wording(trace: Trace) -> str:
    """The request with its values masked and polite frames taken off: what must not be in two parts of a split."""
    text = trace.query
    for start, end in sorted((tuple(span) for span in trace.meta.get("spans", {}).values()), reverse=True):
        text = f"{text[:start]}0{text[end:]}"
    for _ in range(3):
        text = FRAME.sub("", text).strip()
    return template(dataclasses.replace(trace, query=text))


class Deduplicator:
    """Remembers what has been accepted."""

    def __init__(self, cap: int) -> None:
        """``cap``: rows that may share a wording."""
        self._cap = cap
        self._requests: set[str] = set()
        self._copies: set[tuple[str, str]] = set()
        self._wordings: Counter[str] = Counter()

    def refuse(self, trace: Trace) -> str | None:
        """Reason code when the row repeats an accepted one, else None; then it counts as accepted."""
        request = " ".join(re.findall(r"\w+", trace.query.casefold()))
        form = wording(trace)
        calls = dump_json([call.to_dict() for call in trace.calls])
        if request in self._requests:
            return "duplicate_request"
        if trace.calls and (form, calls) in self._copies:
            return "duplicate_calls"
        if self._wordings[form] >= self._cap:
            return "template_cap"
        self._requests.add(request)
        self._copies.add((form, calls))
        self._wordings[form] += 1
        return None
