"""When2Call: whether to call, to ask for what is missing, or to say that no tool fits; made from user-written requests.

Data: ``when2call_test_mcq.jsonl`` (3,652 rows) and ``when2call_test_llm_judge.jsonl`` (300 of them) of
github.com/NVIDIA/When2Call and hf.co/datasets/nvidia/When2Call (Ross et al. 2025, arXiv 2504.18851). Rows come from the
BFCL's live categories, so a model's scores on both are not independent. Published figures choose among four written
answers by likelihood, or by a judge; here a model answers freely and ``decisions`` of a run shows what it did. Its
macro-F1 needs prose beside calls: a model of calls alone can be held to ``must_call`` and ``abstention`` only. Where a
call is due the gold call is the written one; its values are one choice among several that the source accepts.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from needle.errors import UserError
from needle.evals.datafiles import DataFiles, find_data
from needle.evals.hub import HubFiles
from needle.tools.read import read_tools
from needle.tools.spec import ToolSpec, fingerprint
from needle.traces.formats import calls_from
from needle.traces.trace import Trace

PARTS = {"mcq": "when2call_test_mcq.jsonl", "judge": "when2call_test_llm_judge.jsonl"}
"""Parts and their files; the second is a subset of the first."""
ANSWERS = ("tool_call", "request_for_info", "cannot_answer", "direct")
HUB = HubFiles("nvidia/When2Call", "0582f7749df63a96fdc3070932e83e72396ace53", "when2call")


def find_when2call(folder: str | Path | None = None) -> DataFiles | None:
    """The files on this machine, or None; the hub is the other place."""
    names = ("when2call", "When2Call", "When2Call/data/test")
    return next(filter(None, (find_data(names, file, folder) for file in PARTS.values())), None)


def load_when2call(data: DataFiles | HubFiles, part: str | None = None, seed: int = 0) -> tuple[list[Trace], list[str]]:
    """Rows of one part (``judge`` or ``mcq``, the default) and the lines that could not be used, in words."""
    file = PARTS[part or "mcq"]
    name = file if isinstance(data, DataFiles) else f"test/{file}"
    traces: list[Trace] = []
    problems: list[str] = []
    shared: dict[str, tuple[ToolSpec, ...]] = {}
    for number, line in enumerate(data.read([name])[name].split("\n"), 1):
        if line.strip():
            try:
                traces.append(_trace(json.loads(line), shared))
            except (ValueError, TypeError, AttributeError, KeyError, UserError) as error:
                problems.append(f"{file}:{number}: {type(error).__name__}: {str(error).splitlines()[0]}")
    if not traces:
        raise UserError(f"{data.where}: no usable row in {file}; first problem: {next(iter(problems), 'it is empty')}")
    return traces, problems


def _trace(row: dict[str, Any], shared: dict[str, tuple[ToolSpec, ...]]) -> Trace:
    answer = row["correct_answer"]
    if answer not in ANSWERS:
        raise UserError(f"correct_answer {answer!r} is none of {', '.join(ANSWERS)}")
    key = json.dumps(row["tools"])
    if key not in shared:
        shared[key] = tuple(read_tools([json.loads(one) if isinstance(one, str) else one for one in row["tools"]]))
    tools = shared[key]
    calls = calls_from(row["answers"]["tool_call"]) if answer == "tool_call" else ()
    if calls and not {call.name for call in calls} <= {tool.name for tool in tools}:
        raise UserError(f"the call is of {calls[0].name!r}, which is not on offer")
    return Trace(
        id=row["uuid"],
        query=row["question"],
        tools=tools,
        calls=calls,
        kind=answer,
        toolset=fingerprint(tools) if tools else "",
        domain=str(row.get("source", "")),
        meta={"scoring": {"due": "ask"}} if answer == "request_for_info" else {},
    )
