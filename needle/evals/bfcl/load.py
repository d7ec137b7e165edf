"""Rows of the leaderboard's 13 single-turn categories as traces, from the ``bfcl-eval`` package or from a folder.

The package is only searched for, never imported: it needs some thirty others. Every row is kept, also one whose ground
truth breaks the schema of its own tool.
"""

from __future__ import annotations

import importlib.util
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from needle.errors import UserError
from needle.evals.bfcl.errata import fixed_facts
from needle.evals.bfcl.source import LANGUAGES, source_texts, text_tool
from needle.evals.datafiles import DataFiles, find_data
from needle.evals.fill import Extractor
from needle.tools.read import read_tools_with_notes
from needle.tools.spec import ToolCall, ToolSpec, fingerprint
from needle.traces.bfcl import LEFT_OUT
from needle.traces.formats import trace_from_dict
from needle.traces.trace import Trace

CATEGORIES = (
    "simple_python",
    "simple_java",
    "simple_javascript",
    "multiple",
    "parallel",
    "parallel_multiple",
    "irrelevance",
    "live_simple",
    "live_multiple",
    "live_parallel",
    "live_parallel_multiple",
    "live_irrelevance",
    "live_relevance",
)
"""The single-turn categories of version 4."""
ANSWERED = tuple(name for name in CATEGORIES if "relevance" not in name)
"""Categories with ground truth; the others only ask whether any call is made."""


def find_bfcl(folder: str | Path | None = None) -> DataFiles | None:
    """Where the rows are: ``folder``, ``NEEDLE_DATA``, or the installed package; None if nowhere."""
    found = find_data(("bfcl", "bfcl_eval/data", "data"), _file("simple_python"), folder)
    if found or folder:
        return found
    package = importlib.util.find_spec("bfcl_eval")
    places = package.submodule_search_locations if package else None
    data = Path(next(iter(places))) / "data" if places else None
    return DataFiles(data) if data and (data / _file("simple_python")).is_file() else None


def _file(category: str) -> str:
    return f"BFCL_v4_{category}.json"


def load_bfcl(data: DataFiles, part: str | None = None, notes: Counter[str] | None = None) -> list[Trace]:
    """All rows, or those of one category; ``notes`` counts what reading the tools lost or guessed, by tool.

    Raises ``UserError`` for a file that is missing or broken.
    """
    chosen = [part] if part else list(CATEGORIES)
    questions = data.read([_file(category) for category in chosen])
    answers = data.read([f"possible_answer/{_file(category)}" for category in chosen if category in ANSWERED])
    traces: list[Trace] = []
    shared: dict[str, ToolSpec] = {}
    for category in chosen:
        name = f"possible_answer/{_file(category)}"
        truths = {row["id"]: row["ground_truth"] for row in _rows(answers.get(name, ""), name)}
        for row in _rows(questions[_file(category)], _file(category)):
            if category in ANSWERED and row["id"] not in truths:
                raise UserError(f"{data.where}: no answer to {row['id']}; fetch the whole data set again")
            traces.append(read_row(row, category, truths.get(row["id"], []), shared, notes))
    return traces


def _rows(text: str, name: str) -> list[dict[str, Any]]:
    rows = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError as error:
                raise UserError(f"{name}:{number}: broken JSON ({error.msg}); fetch the data set again") from error
    return rows


def read_row(
    row: Mapping[str, Any],
    category: str,
    truth: list[dict[str, Any]],
    shared: dict[str, ToolSpec] | None = None,
    notes: Counter[str] | None = None,
) -> Trace:
    """One question with its ground truth as a ``Trace``; ``meta["scoring"]`` is what the leaderboard's verdict needs.

    ``shared`` keeps tools that were read before, for rows with the same ones.
    """
    tools = row["function"]
    specs = [_spec(tools, category, due) for due in truth]
    written = [_written(due, spec, category) for due, spec in zip(truth, specs, strict=True)]
    trace = trace_from_dict({**row, "function": _tools(tools, category, shared, notes), "ground_truth": written})
    calls, alternatives = _settle(trace, written, specs)
    facts = {"category": category, "truth": truth, "specs": specs}
    scoring: dict[str, Any] = {"bfcl": facts | fixed_facts(row["id"], truth, specs)}
    if category == "live_relevance":  # no call is named as right: any will do, this one stands for them
        calls, scoring["any_call"] = (_some_call(trace),), True
    return replace(
        trace,
        calls=calls,
        alternatives=alternatives,
        kind=category,
        toolset=fingerprint(trace.tools),
        meta={"scoring": scoring},
    )


def _tools(
    raw: Sequence[Mapping[str, Any]],
    category: str,
    shared: dict[str, ToolSpec] | None,
    notes: Counter[str] | None,
) -> tuple[ToolSpec, ...]:
    """Tools as a model sees them; the live rows repeat a third of theirs, and reading one is the cost of loading."""
    shared = {} if shared is None else shared
    read = []
    for tool in raw:
        shown = text_tool(tool, LANGUAGES[category]) if category in LANGUAGES else tool
        key = json.dumps(shown)
        if key not in shared:
            (shared[key],), found = read_tools_with_notes([shown])
            if notes is not None:
                notes.update(dict.fromkeys(found, 1))
        read.append(shared[key])
    return tuple(read)


def _spec(tools: Sequence[Mapping[str, Any]], category: str, due: Mapping[str, Any]) -> dict[str, Any] | None:
    """Name, required parameters and types of the tool that a due call is checked against; None if not on offer."""
    by_name = "multiple" in category or "parallel" in category
    tool = next((tool for tool in tools if not by_name or tool["name"] in due), None)
    if tool is None:
        return None
    parameters = tool["parameters"]
    types = {
        name: [schema["type"], (schema.get("items") or {}).get("type")]
        for name, schema in parameters["properties"].items()
    }
    return {"name": tool["name"], "required": parameters["required"], "types": types}


def _written(due: Mapping[str, Any], spec: Mapping[str, Any] | None, category: str) -> Mapping[str, Any]:
    """A due call as a model is to write it: source text in the Java and JavaScript categories, else as it stands."""
    if category not in LANGUAGES or spec is None:
        return due
    ((name, accepted),) = due.items()
    texts = {
        parameter: source_texts(values, spec["types"][parameter], category) + [LEFT_OUT] * (LEFT_OUT in values)
        for parameter, values in accepted.items()
    }
    return {name: texts}


def _settle(
    trace: Trace, written: Sequence[Mapping[str, Any]], specs: Sequence[Mapping[str, Any] | None]
) -> tuple[tuple[ToolCall, ...], dict[str, list[Any]]]:
    """Calls and alternatives of the trace with the omit mark read as the leaderboard reads it.

    Where the mark comes first the argument is left out and the values after it are allowed beside that. A required
    argument is never left out: its empty text is a value.
    """
    alternatives = dict(trace.alternatives)
    calls = []
    for index, (call, due, spec) in enumerate(zip(trace.calls, written, specs, strict=True)):
        arguments = dict(call.arguments)
        ((_, accepted),) = due.items()
        for name, values in accepted.items():
            path = f"{index}.{name}"
            others = [value for value in alternatives.pop(path, ()) if value is not None]
            omittable = LEFT_OUT in values
            if spec and name in spec["required"]:
                if omittable:
                    arguments.setdefault(name, LEFT_OUT)
            elif omittable and values[0] == LEFT_OUT:
                others = [value for value in (arguments.pop(name, None), *others) if value is not None]
            elif omittable:
                others.append(None)
            if others:
                alternatives[path] = others
        calls.append(replace(call, arguments=arguments))
    return tuple(calls), alternatives


def _some_call(trace: Trace) -> ToolCall:
    tool = trace.tools[0]
    return ToolCall(tool.name, Extractor(trace.query).fill(tool))
