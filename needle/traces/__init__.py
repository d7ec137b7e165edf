"""Examples: the ``Trace`` record, files in and out, statistics."""

from needle.traces.trace import KINDS, Trace

__all__ = ["KINDS", "Trace"]
