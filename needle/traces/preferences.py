"""Preference pairs: of one request the right calls and wrong ones that a teacher gave, each with the reason.

    rows, _ = read_traces("out/home")
    write_rows("pairs.jsonl", preference_pairs(rows))

They come free with generation: a label that was repaired or outvoted is a near miss, the best kind of negative
(When2Call, arXiv 2504.18851; Magnet, arXiv 2503.07826). The shape is that of conversational preference data as
``trl`` reads it: ``prompt``, ``chosen``, ``rejected``, ``tools``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from needle.tools.spec import ToolCall
from needle.traces.browse import Entry
from needle.traces.trace import NO_CALL, Trace
from needle.traces.write import dump_json


def preference_pairs(rows: Iterable[Trace]) -> Iterator[dict[str, Any]]:
    """Pairs from accepted rows whose lineage keeps a rejected label: repaired ones (reason: the faults) and outvoted ones."""
    for trace in rows:
        rejected = trace.meta.get("rejected")
        if rejected is not None and rejected != [call.to_dict() for call in trace.calls]:
            reason = ", ".join(trace.meta.get("repaired") or ["outvoted"])
            yield _pair(trace, [ToolCall(call["name"], call["arguments"]) for call in rejected], reason)


def planned_pairs(refused: Iterable[Entry], tools: Mapping[str, Trace]) -> Iterator[dict[str, Any]]:
    """Pairs from refused rows that were planned without a call and got one. Only the plan says that no call is right: weaker.

    ``tools``: for a toolset's name any row that has its tools.
    """
    for entry in refused:
        row = entry.row
        like = tools.get(str(row.get("toolset", "")))
        if entry.reasons == ["expected_no_call"] and row.get("kind") in NO_CALL and like and row.get("calls"):
            trace = Trace(row["id"], row["query"], like.tools, (), row["kind"], row["toolset"], system=row.get("system"), messages=tuple(row.get("messages") or ()))
            yield _pair(trace, [ToolCall(call["name"], call["arguments"]) for call in row["calls"]], "expected_no_call")


def _pair(trace: Trace, rejected: Sequence[ToolCall], reason: str) -> dict[str, Any]:
    system = [{"role": "system", "content": trace.system}] if trace.system else []
    return {
        "id": trace.id,
        "prompt": [*system, *trace.messages, {"role": "user", "content": trace.query}],
        "chosen": [_turn(trace.calls)],
        "rejected": [_turn(rejected)],
        "tools": [{"type": "function", "function": tool.to_dict()} for tool in trace.tools],
        "reason": reason,
        "kind": trace.kind,
        "toolset": trace.toolset,
    }


def _turn(calls: Sequence[ToolCall]) -> dict[str, Any]:
    """An assistant's turn in OpenAI's shape; without calls an empty text."""
    if not calls:
        return {"role": "assistant", "content": ""}
    made = [
        {"id": f"call_{number}", "type": "function", "function": {"name": call.name, "arguments": dump_json(call.arguments)}}
        for number, call in enumerate(calls)
    ]
    return {"role": "assistant", "content": None, "tool_calls": made}
