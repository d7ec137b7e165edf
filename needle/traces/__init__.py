"""Examples: the ``Trace`` record, files in and out, splits, statistics."""

from needle.traces.formats import trace_from_dict
from needle.traces.read import Problem, check_trace, read_traces
from needle.traces.split import split_by_request, split_by_toolset, split_files, split_traces, write_split
from needle.traces.trace import KINDS, Trace
from needle.traces.write import write_rows, write_traces

__all__ = [
    "KINDS",
    "Problem",
    "Trace",
    "check_trace",
    "read_traces",
    "split_by_request",
    "split_by_toolset",
    "split_files",
    "split_traces",
    "trace_from_dict",
    "write_rows",
    "write_split",
    "write_traces",
]
