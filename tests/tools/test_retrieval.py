"""The tools that fit a request are found among many by their words."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

from needle.tools import ToolSpec
from needle.tools.retrieval import ToolIndex, terms
from needle.traces.formats import trace_from_dict

ROWS = Path(__file__).parents[2] / "data" / "traces" / "validation.jsonl.gz"


def _tool(name: str, description: str = "", **parameters: dict) -> ToolSpec:
    return ToolSpec(name, description, {"type": "object", "properties": parameters})


TOOLS = (
    _tool("set_light", "Brightness of a lamp.", room={"type": "string", "enum": ["kitchen", "hall"]}),
    _tool("setThermostat", "Target temperature.", degrees={"type": "number", "description": "in Celsius"}),
    _tool("create_invoice", "Bill a customer.", amount={"type": "number"}),
    _tool("play", "Start music.", genre={"type": "string"}),
)


def test_names_descriptions_parameters_and_listed_values_are_all_words_of_a_tool():
    first = {query: TOOLS[ToolIndex(TOOLS).order(query)[0]].name for query in (
        "start some music", "in the kitchen please", "22 celsius", "invoicing Ana for 40", "thermo down", "any genre", "lamps",
    )}  # fmt: skip
    assert first == {
        "start some music": "play", "in the kitchen please": "set_light", "22 celsius": "setThermostat", "invoicing Ana for 40": "create_invoice",
        "thermo down": "setThermostat", "any genre": "play", "lamps": "set_light",
    }  # fmt: skip


def test_a_request_without_a_shared_word_scores_nothing_and_the_order_stays():
    index = ToolIndex(TOOLS)
    assert index.scores("zzz qqq") == [0.0] * 4 and index.order("zzz qqq") == [0, 1, 2, 3] and ToolIndex(()).order("x") == []
    assert [tool.name for tool in index.best("music in the hall", 2)] == ["set_light", "play"]


def test_a_schema_that_takes_anything_says_nothing():
    tool = _tool("find", any=True, list={"type": "array", "items": True}, inner={"type": "object", "properties": {"deep": True}})
    assert ToolIndex([tool]).scores("deep")[0] > 0 and ToolIndex([tool]).scores("true") == [0.0]


def test_words_are_split_at_the_joints_of_identifiers_and_empty_words_left_out():
    known = dict(terms("getStatus_code of the X2"))
    assert dict(terms("get code status")).keys() <= known.keys() and not {"of", "the"} & known.keys()


def test_the_right_tools_of_recorded_requests_are_mostly_among_the_first_ten_of_a_hundred():
    with gzip.open(ROWS, "rt", encoding="utf-8") as file:
        rows = [trace_from_dict(json.loads(line)) for line in list(file)[::40]]
    tools = {tool.name: tool for row in rows for tool in row.tools}
    index = ToolIndex(list(tools.values())[:100])
    held = {tool.name for tool in index.tools}
    asked = [row for row in rows if row.calls and all(call.name in held for call in row.calls)]
    hits = sum({call.name for call in row.calls} <= {tool.name for tool in index.best(row.query, 10)} for row in asked)
    assert len(asked) > 10 and hits >= 0.75 * len(asked)
