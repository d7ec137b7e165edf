"""Seal-Tools: both test sets with five candidate tools a row, one to many calls, scored as ordered exact match.

Data: ``test_in_domain.jsonl`` and ``test_out_domain.jsonl`` (requests and calls) and the files of the same names in
``with_candidates/`` (tools on offer), Wu et al. 2024, github.com/fairyshine/Seal-Tools. Published candidates stand in
the order of a retriever, the right tool mostly first, and rows easy ones first: candidates are shuffled here, and a
sample is stratified by number of calls. Rows that refer to results of earlier calls (``API_call_0``) stay in, and so
do those whose calls break their own schemas (numbers as text, mostly).
"""

from __future__ import annotations

import ast
import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from needle.errors import UserError
from needle.evals.datafiles import DataFiles, find_data
from needle.tools.read import read_tools
from needle.tools.spec import ToolCall, ToolSpec, fingerprint
from needle.traces.trace import Trace

PARTS = {"in-domain": "test_in_domain", "out-of-domain": "test_out_domain"}
"""Parts of the suite and the stems of their files."""
_OPENS, _CLOSES = "api_list = ", "\ntask_instruction = "


def find_seal_tools(folder: str | Path | None = None) -> DataFiles | None:
    """Where the data are, or None."""
    return find_data(("seal-tools", "seal_tools", "sealtools"), "with_candidates/test_in_domain.json", folder)


def load_seal_tools(data: DataFiles, part: str | None = None, seed: int = 0) -> list[Trace]:
    """All rows of one test set or both; ``seed`` shuffles each row's candidates. Raises ``UserError`` for bad files."""
    traces: list[Trace] = []
    shared: dict[str, ToolSpec] = {}
    for name in [part] if part else list(PARTS):
        rows_file, tools_file = f"{PARTS[name]}.jsonl", f"with_candidates/{PARTS[name]}.json"
        texts = data.read([rows_file, tools_file])
        try:
            prompts = {row["id"]: row["conversations"][0]["value"] for row in json.loads(texts[tools_file])}
            rows = [json.loads(line) for line in texts[rows_file].splitlines() if line.strip()]
            traces += [_trace(row, name, _candidates(prompts[row["id"]]), seed, shared) for row in rows]
        except (ValueError, SyntaxError, KeyError, TypeError, AttributeError) as error:
            problem = f"{type(error).__name__}: {error}".splitlines()[0]
            raise UserError(
                f"{data.where}: {PARTS[name]} is not in its published form ({problem}); fetch it again"
            ) from error
    return traces


def _candidates(prompt: str) -> list[dict[str, Any]]:
    """The tools inside a published prompt, which are written there as Python."""
    start = prompt.index(_OPENS) + len(_OPENS)
    return ast.literal_eval(prompt[start : prompt.rindex(_CLOSES)])


def _trace(
    row: Mapping[str, Any], part: str, candidates: Sequence[Mapping[str, Any]], seed: int, shared: dict[str, ToolSpec]
) -> Trace:
    tools = [_tool(candidate, shared) for candidate in candidates]
    random.Random(f"{seed}\0{row['id']}").shuffle(tools)
    calls = tuple(ToolCall(call["api"], dict(call["parameters"])) for call in row["calling"])
    number = {1: "1 call", 2: "2-3 calls", 3: "2-3 calls"}.get(len(calls), "4+ calls")
    fields = (str(tool.get("field", "")) for tool in candidates if calls and tool["api_name"] == calls[0].name)
    return Trace(
        id=row["id"],
        query=row["query"],
        tools=tuple(tools),
        calls=calls,
        kind=f"{part}, {number}",
        toolset=fingerprint(sorted(tools, key=lambda tool: tool.name)),
        domain=next(fields, ""),
    )


def _tool(raw: Mapping[str, Any], shared: dict[str, ToolSpec]) -> ToolSpec:
    key = json.dumps(raw)
    if key not in shared:
        properties = {name: _parameter(schema) for name, schema in raw["parameters"].items()}
        parameters = {"type": "object", "properties": properties, "required": raw["required"]}
        tool = {"name": raw["api_name"], "description": raw["api_description"], "parameters": parameters}
        shared[key] = read_tools([tool])[0]
    return shared[key]


def _parameter(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Type and description; examples, units and the like are no words of JSON Schema and join the description."""
    known = {key: schema[key] for key in ("type", "default") if key in schema}
    more = [f"{key}: {value}" for key, value in schema.items() if key not in ("type", "default", "description")]
    return known | {"description": " ".join([str(schema.get("description", "")), *(f"({text})" for text in more)])}
