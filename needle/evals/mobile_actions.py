"""Mobile Actions: 961 requests to a phone with seven tools, one to three calls; the developer turn gives date and time.

Data: ``dataset.jsonl`` of hf.co/datasets/google/mobile-actions (CC-BY-4.0); rows with metadata ``eval`` are the test.
Published figures count a row as right if names and arguments are equal in order: mode ``strict``. The developer turn
becomes ``system``, word for word.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from needle.errors import UserError
from needle.evals.datafiles import DataFiles, find_data
from needle.evals.hub import HubFiles
from needle.traces.formats import trace_from_dict
from needle.traces.trace import Trace

FILE = "dataset.jsonl"
HUB = HubFiles("google/mobile-actions", "e920309bc2acbc2e99a5e3201cf37df2b9fd9151", "mobile-actions")

KNOWN = {FILE: "91d251ee958cfd295af6c4504c236a3a1ad19517de240c3bc680bacfcbf7e7d9"}
"""SHA-256 of that revision, as others have published it."""


def find_mobile_actions(folder: str | Path | None = None) -> DataFiles | None:
    """The file on this machine, or None; the hub is the other place."""
    return find_data(("mobile-actions", "mobile_actions"), FILE, folder)


def load_mobile_actions(
    data: DataFiles | HubFiles, part: str | None = None, seed: int = 0
) -> tuple[list[Trace], list[str]]:
    """Rows of the test and the lines that could not be used, in words. Raises ``UserError`` when none is usable."""
    traces: list[Trace] = []
    problems: list[str] = []
    shared: dict[str, Any] = {}
    for number, line in enumerate(data.read([FILE])[FILE].split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            if row.get("metadata") == "eval":
                traces.append(_trace(row, f"eval-{number}", shared))
        except (ValueError, TypeError, AttributeError, KeyError, UserError) as error:
            problems.append(f"{FILE}:{number}: {str(error).splitlines()[0]}")
    if not traces:
        first = f"; first problem: {problems[0]}" if problems else ""
        raise UserError(f"{data.where}: no row with metadata eval in {FILE}{first}")
    return traces, problems


def _trace(row: dict[str, Any], name: str, shared: dict[str, Any]) -> Trace:
    tools = without_nulls(row["tools"])
    messages = without_nulls(row["messages"])
    key = json.dumps(tools)
    read = trace_from_dict(
        {"id": name, "tools": shared.get(key, tools), "messages": messages, "toolset": "mobile-actions"}
    )
    shared.setdefault(key, read.tools)
    count = len(read.calls)
    kind = {0: "no call", 1: "1 call"}.get(count, f"{count} calls")
    return Trace(
        id=name, query=read.query, tools=read.tools, calls=read.calls, kind=kind, toolset=read.toolset,
        domain="phone", system=read.system, messages=read.messages,
    )  # fmt: skip


def without_nulls(value: Any) -> Any:
    """The value without keys that hold null: a table of rows fills these in where a row has none."""
    if isinstance(value, dict):
        return {key: without_nulls(one) for key, one in value.items() if one is not None}
    return [without_nulls(one) for one in value] if isinstance(value, list) else value
