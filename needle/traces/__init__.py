"""Examples: the ``Trace`` record, files in and out, conversion, splits, statistics, dataset card.

``Trace`` and ``KINDS`` are imported at once; what reads and checks files only when it is asked for, because it needs
jsonschema, which a bare training machine may lack.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from needle.traces.trace import KINDS, NO_CALL, Trace

if TYPE_CHECKING:
    from needle.traces.card import CardText, dataset_card, load_card_text, write_card
    from needle.traces.contamination import ContaminationReport, drop_contaminated
    from needle.traces.convert import convert_traces
    from needle.traces.formats import format_of, trace_from_dict
    from needle.traces.read import Problem, check_trace, read_traces, trace_files
    from needle.traces.split import split_by_request, split_by_toolset, split_files, split_traces, template, write_split
    from needle.traces.stats import TraceStats, trace_stats
    from needle.traces.write import dump_json, write_rows, write_traces

_WHERE = {
    **dict.fromkeys(("CardText", "dataset_card", "load_card_text", "write_card"), "card"),
    **dict.fromkeys(("ContaminationReport", "drop_contaminated"), "contamination"),
    **dict.fromkeys(("convert_traces",), "convert"),
    **dict.fromkeys(("format_of", "trace_from_dict"), "formats"),
    **dict.fromkeys(("Problem", "check_trace", "read_traces", "trace_files"), "read"),
    **dict.fromkeys(
        ("split_by_request", "split_by_toolset", "split_files", "split_traces", "template", "write_split"), "split"
    ),
    **dict.fromkeys(("TraceStats", "trace_stats"), "stats"),
    **dict.fromkeys(("dump_json", "write_rows", "write_traces"), "write"),
}

__all__ = [
    "KINDS",
    "NO_CALL",
    "CardText",
    "ContaminationReport",
    "Problem",
    "Trace",
    "TraceStats",
    "check_trace",
    "convert_traces",
    "dataset_card",
    "drop_contaminated",
    "dump_json",
    "format_of",
    "load_card_text",
    "read_traces",
    "split_by_request",
    "split_by_toolset",
    "split_files",
    "split_traces",
    "template",
    "trace_files",
    "trace_from_dict",
    "trace_stats",
    "write_card",
    "write_rows",
    "write_split",
    "write_traces",
]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
