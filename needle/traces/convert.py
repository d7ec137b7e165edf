"""Traces in other projects' formats: OpenAI fine-tuning rows, and the query/tools/answers rows of xLAM and Needle.

count, problems, lost = convert_traces("data/traces/train.jsonl.gz", "train_openai.jsonl", to="openai")
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from typing import Any

from needle.errors import UserError
from needle.tools.spec import ToolSpec
from needle.traces.read import Problem, read_traces
from needle.traces.trace import Trace
from needle.traces.write import check_target, dump_json, write_rows


def convert_traces(
    source: str | os.PathLike[str], target: str | os.PathLike[str], to: str = "needle"
) -> tuple[int, list[Problem], dict[str, int]]:
    """Read any known format and write one of ``WRITERS``: ``needle`` (ours), ``openai``, ``xlam``, ``needle-v1``.

    Returns the number of rows written, the rows left out on reading, and what the target format cannot hold (word ->
    number of rows). Raises UserError for an unknown format and as ``read_traces`` and ``write_rows`` do.
    """
    if to not in WRITERS:
        raise UserError(f"unknown format {to!r}; use one of {', '.join(WRITERS)}")
    check_target(target, source)
    traces, problems = read_traces(source)
    lost = Counter(loss for trace in traces for loss in _losses(trace, to))
    write_rows(target, map(WRITERS[to], traces))
    return len(traces), problems, dict(lost)


def to_openai(trace: Trace) -> dict[str, Any]:
    """A row for OpenAI fine-tuning: ``messages`` that end with the assistant's ``tool_calls``, and ``tools``.

    A row without calls ends with an assistant turn without text: the format has no other way to say that nothing is to
    be called.
    """
    answer: dict[str, Any] = {"role": "assistant", "content": ""}
    if trace.calls:
        functions = [{"name": call.name, "arguments": dump_json(call.arguments)} for call in trace.calls]
        answer = {
            "role": "assistant",
            "tool_calls": [
                {"id": f"call_{number}", "type": "function", "function": function}
                for number, function in enumerate(functions)
            ],
        }
    system = [{"role": "system", "content": trace.system}] if trace.system else []
    messages = [*system, *trace.messages, {"role": "user", "content": trace.query}, answer]
    return {"messages": messages, "tools": [{"type": "function", "function": tool.to_dict()} for tool in trace.tools]}


def to_xlam(trace: Trace) -> dict[str, Any]:
    """``query``, ``tools``, ``answers``, the last two as JSON text; parameters stay JSON Schema."""
    return _query_row(trace, [tool.to_dict() for tool in trace.tools])


def to_needle_v1(trace: Trace) -> dict[str, Any]:
    """As ``to_xlam`` with the flat parameters of Needle 1; keywords that it does not know are kept beside them."""
    return _query_row(trace, [tool.to_dict() | {"parameters": flat_parameters(tool)} for tool in trace.tools])


def flat_parameters(tool: ToolSpec) -> dict[str, Any]:
    """``{name: {type, description, required}}``; what a nested object requires is lost, for the word is taken."""
    flat = {}
    for name, schema in tool.properties.items():
        schema = schema if isinstance(schema, dict) else {}
        rest = {key: value for key, value in schema.items() if key not in ("type", "description", "required")}
        kind = schema.get("type", "string" if "enum" in schema else "object")
        flat[name] = {
            "type": kind,
            "description": schema.get("description", ""),
            "required": name in tool.required,
            **rest,
        }
    return flat


def _query_row(trace: Trace, tools: list[dict[str, Any]]) -> dict[str, Any]:
    answers = dump_json([call.to_dict() for call in trace.calls])
    return {"id": trace.id, "query": trace.query, "tools": dump_json(tools), "answers": answers}


def _losses(trace: Trace, to: str) -> list[str]:
    if to == "needle":
        return []
    lost = [name for name in ("alternatives", "meta") if getattr(trace, name)] + ["kind, toolset, domain"]
    if to == "openai":
        return lost
    lost += [name for name in ("system", "messages") if getattr(trace, name)]
    nested = any(
        isinstance(schema, dict) and schema.get("required")
        for tool in trace.tools
        for schema in tool.properties.values()
    )
    shared = any("$defs" in tool.parameters for tool in trace.tools)
    return lost + (
        ["required keys of nested objects"] * nested + ["shared definitions"] * shared if to == "needle-v1" else []
    )


WRITERS: dict[str, Callable[[Trace], dict[str, Any]]] = {
    "needle": Trace.to_dict,
    "openai": to_openai,
    "xlam": to_xlam,
    "needle-v1": to_needle_v1,
}
