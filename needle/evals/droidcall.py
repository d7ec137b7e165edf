"""DroidCall: 200 requests to an Android phone over 24 tools, one to many calls, some using another's result.

Data: ``DroidCall_test.jsonl`` and ``annotated_api.jsonl`` of hf.co/datasets/mllmTeam/DroidCall (Xie et al. 2024, MIT).
The published protocol offers the tools that a row needs and others drawn at random, four in all; so it is done here, by
the seed, in random order. The publisher compares texts without case, lists in any order and, for parameters marked as
semantic, by meaning (BERTScore above 0.85). The headline mode follows with ``casefold``, ``set`` and, for the last,
``fuzzy:0.85``, which is similarity in characters and stricter; mode ``strict`` is plain equality.
"""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

from needle.errors import UserError
from needle.evals.datafiles import DataFiles, find_data
from needle.evals.hub import HubFiles
from needle.tools.read import read_tools
from needle.tools.spec import ToolCall, ToolSpec, fingerprint
from needle.traces.formats import calls_from
from needle.traces.trace import Trace

ROWS, TOOLS = "DroidCall_test.jsonl", "annotated_api.jsonl"
HUB = HubFiles("mllmTeam/DroidCall", "42563ae614280d2891d57f1e7057c4bc50dd27bd", "droidcall")
KNOWN = {
    ROWS: "d7e40ce794c98984befb872d2d71ee28511938c0baef881b14098575cda151f2",
    TOOLS: "29c4791f7a496e587af74b1a1398864bd6c6de9db767cb97606525d62ec05951",
}
"""SHA-256 of that revision, as others have published it."""
OFFERED = 4
"""Tools on offer, unless a row needs more."""
_SPEC_KEYS = ("name", "description", "arguments")
_PARAMETER_KEYS = ("type", "description", "required", "default")


def find_droidcall(folder: str | Path | None = None) -> DataFiles | None:
    """The files on this machine, or None; the hub is the other place."""
    return find_data(("droidcall", "DroidCall"), ROWS, folder)


def load_droidcall(data: DataFiles | HubFiles, part: str | None = None, seed: int = 0) -> tuple[list[Trace], list[str]]:
    """Rows and the lines that could not be used, in words. Raises ``UserError`` when tools or all rows are broken."""
    texts = data.read([ROWS, TOOLS])
    try:
        raw = [json.loads(line) for line in texts[TOOLS].split("\n") if line.strip()]
        tools = {tool.name: tool for tool in read_tools(map(_plain, raw))}
        rules = comparators_of(raw)
    except (ValueError, TypeError, KeyError, AttributeError, UserError) as error:
        raise UserError(f"{data.where}: {TOOLS} is not in its published form ({error}); fetch it again") from error
    traces: list[Trace] = []
    problems: list[str] = []
    for number, line in enumerate(texts[ROWS].split("\n"), 1):
        if line.strip():
            try:
                traces.append(_trace(json.loads(line), f"test-{number}", tools, rules, seed))
            except (ValueError, TypeError, AttributeError, KeyError, UserError) as error:
                problems.append(f"{ROWS}:{number}: {type(error).__name__}: {str(error).splitlines()[0]}")
    if not traces:
        raise UserError(f"{data.where}: no usable row in {ROWS}; first problem: {next(iter(problems), 'it is empty')}")
    return traces, problems


def _plain(tool: dict[str, Any]) -> dict[str, Any]:
    """The tool without notes of the annotators, which would tell a model how it is scored."""
    arguments = {
        name: {
            key: schema[key]
            for key in _PARAMETER_KEYS
            if key in schema and not (key == "default" and schema[key] is None)
        }
        for name, schema in tool["arguments"].items()
    }
    return {key: tool[key] for key in _SPEC_KEYS} | {"arguments": arguments}


def comparators_of(tools: list[dict[str, Any]]) -> dict[str, str]:
    """Comparator by ``tool.parameter``, after the publisher's ``match_type`` (strict where there is none)."""
    rules = {}
    for tool in tools:
        for name, schema in tool["arguments"].items():
            kind = str(schema.get("match_type", "strict"))
            listed = re.search(r"\blist\b", str(schema.get("type", "")), re.IGNORECASE) is not None
            strict = "set" if listed else "casefold"
            rules[f"{tool['name']}.{name}"] = {"ignore": "ignore", "semantic": "fuzzy:0.85"}.get(kind, strict)
    return rules


def _trace(row: dict[str, Any], name: str, tools: dict[str, ToolSpec], rules: dict[str, str], seed: int) -> Trace:
    calls = calls_from(row["answers"])
    strange = next((call.name for call in calls if call.name not in tools), None)
    if strange is not None:
        raise UserError(f"no tool is called {strange!r}")
    needed = list(dict.fromkeys(call.name for call in calls))
    chance = random.Random(f"{seed}\0{name}")
    others = sorted(tools.keys() - set(needed))
    offered = needed + chance.sample(others, max(0, min(OFFERED - len(needed), len(others))))
    chance.shuffle(offered)
    chosen = tuple(tools[one] for one in offered)
    return Trace(
        id=name,
        query=row["query"],
        tools=chosen,
        calls=calls,
        kind=_kind(calls),
        toolset=fingerprint(sorted(chosen, key=lambda tool: tool.name)),
        domain="phone",
        meta={"scoring": {"comparators": {key: rule for key, rule in rules.items() if key.split(".")[0] in needed}}},
    )


def _kind(calls: tuple[ToolCall, ...]) -> str:
    nested = any(re.search(r"#\d+\b", json.dumps(call.arguments)) for call in calls)
    return "nested" if nested else "no call" if not calls else "1 call" if len(calls) == 1 else "2+ calls"
