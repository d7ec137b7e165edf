"""Days and times of calls put right by the words of the request: ``needle.tools.dates`` and ``needle.tools.times``, in whatever form they are written."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from needle.tools.dates import settle_dates
from needle.tools.described import as_described, as_standard, with_formats
from needle.tools.spec import ToolCall, ToolSpec
from needle.tools.times import settle_times


def settle(calls: Sequence[ToolCall], tools: Sequence[ToolSpec], text: str, facts: str | datetime.date | None, *, times: bool = True) -> list[ToolCall]:
    """The calls with days (``settle_dates``) and, with ``times``, times (``settle_times``) put right; what is beyond doubt alone is changed."""
    standard = as_standard(calls, tools)
    if standard is None:  # a value is not written as its description tells, so nobody knows how to write another
        return _settled(calls, tools, text, facts, times)
    return as_described(_settled(standard, with_formats(tools), text, facts, times), tools)


def _settled(calls: Sequence[ToolCall], tools: Sequence[ToolSpec], text: str, facts: str | datetime.date | None, times: bool) -> list[ToolCall]:
    settled = settle_dates(calls, tools, text, facts)
    return settle_times(settled, tools, text) if times else settled
