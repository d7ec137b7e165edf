"""Traces as a student sees them: with the formats that descriptions tell, and values in these formats."""

from __future__ import annotations

from dataclasses import replace

from needle.tools.described import as_standard, with_formats
from needle.traces.trace import Trace


def standard(trace: Trace) -> Trace:
    """The trace over ``with_formats`` of its tools; the trace itself where that changes nothing, or a value is not written as its description tells."""
    tools = with_formats(trace.tools)
    calls = None if tools is trace.tools or trace.alternatives else as_standard(trace.calls, trace.tools)
    return trace if calls is None else replace(trace, tools=tools, calls=tuple(calls))
