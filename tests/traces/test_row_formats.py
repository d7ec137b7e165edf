"""Rows of every known format become the same trace; rows that cannot be read say why."""

import json

import pytest

from needle.errors import UserError
from needle.tools import ToolCall, ToolSpec
from needle.traces import Trace, format_of, trace_from_dict

TOOL = ToolSpec(
    "set_timer",
    "Start a timer.",
    {
        "type": "object",
        "properties": {"minutes": {"type": "integer"}, "label": {"type": "string"}},
        "required": ["minutes"],
    },
)
BARE = TOOL.to_dict()
ENVELOPE = {"type": "function", "function": BARE}
CALL = {"name": "set_timer", "arguments": {"minutes": 5, "label": "tea"}}
QUERY = "five minutes for tea"
OPENAI_CALL = {
    "id": "c1",
    "type": "function",
    "function": {"name": "set_timer", "arguments": json.dumps(CALL["arguments"])},
}
USER = {"role": "user", "content": QUERY}
HERMES_SYSTEM = f"You call functions. <tools> {json.dumps([ENVELOPE])} </tools> Answer between tags."
GOLD = [{"set_timer": {"minutes": [5, 5.0], "label": ["tea", "Tea", ""]}}]

ROWS = {
    "needle": {"query": QUERY, "tools": [BARE], "calls": [CALL]},
    "needle as text": {"query": QUERY, "tools": json.dumps([BARE]), "calls": json.dumps([CALL])},
    "xlam": {"query": QUERY, "tools": json.dumps([BARE]), "answers": json.dumps([CALL])},
    "xlam with lists": {"query": QUERY, "tools": [BARE], "answers": [CALL]},
    "openai": {"messages": [USER, {"role": "assistant", "tool_calls": [OPENAI_CALL]}], "tools": [ENVELOPE]},
    "openai with a result": {
        "messages": [
            USER,
            {"role": "assistant", "tool_calls": [OPENAI_CALL]},
            {"role": "tool", "tool_call_id": "c1", "content": "ok"},
            {"role": "assistant", "content": "Done."},
        ],
        "tools": [ENVELOPE],
    },
    "openai with parts": {
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": QUERY}]},
            {"role": "assistant", "content": None, "tool_calls": [OPENAI_CALL]},
        ],
        "tools": [ENVELOPE],
    },
    "openai before tools": {
        "messages": [USER, {"role": "assistant", "function_call": OPENAI_CALL["function"]}],
        "functions": [BARE],
    },
    "hermes": {
        "conversations": [
            {"from": "system", "value": HERMES_SYSTEM},
            {"from": "human", "value": QUERY},
            {"from": "gpt", "value": f"<tool_call>\n{json.dumps(CALL)}\n</tool_call>"},
            {"from": "tool", "value": "<tool_response>ok</tool_response>"},
            {"from": "gpt", "value": "Done."},
        ]
    },
    "hermes in Python's way": {
        "conversations": [
            {"from": "system", "value": f"<tools> {[ENVELOPE]} </tools>"},
            {"from": "human", "value": QUERY},
            {"from": "gpt", "value": f"<tool_call>\n{CALL}\n</tool_call>"},
        ]
    },
    "hermes with a field": {
        "conversations": [
            {"from": "human", "value": QUERY},
            {"from": "gpt", "value": f"Sure.<tool_call>{json.dumps(CALL)}</tool_call>"},
        ],
        "tools": json.dumps([ENVELOPE]),
    },
    "bfcl": {"id": "", "question": [[USER]], "function": [BARE], "ground_truth": GOLD},
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_every_format_gives_the_same_example(row):
    trace = trace_from_dict(row)
    assert trace.query == QUERY
    assert trace.tools == (TOOL,)
    assert trace.calls == (ToolCall(**CALL),)
    assert (trace.kind, trace.system, trace.messages) == ("single", None, ())


@pytest.mark.parametrize("name", ROWS)
def test_the_format_is_recognised(name):
    assert format_of(ROWS[name]) == name.split()[0]


def test_our_rows_survive_unchanged():
    trace = Trace(
        id="a-1",
        query=QUERY,
        tools=(TOOL,),
        calls=(ToolCall(**CALL),),
        kind="single",
        toolset="a-x",
        domain="time",
        system="Today is Monday.",
        alternatives={"0.label": ["Tea", None]},
        messages=({"role": "user", "content": "hi"},),
        meta={"seed": 3},
    )
    assert trace_from_dict(json.loads(json.dumps(trace.to_dict()))) == trace


def test_earlier_turns_and_system_facts_are_kept():
    messages = [
        {"role": "developer", "content": "Today is Monday."},
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "Hi."},
        USER,
        {"role": "assistant", "content": "For how long?"},
    ]
    trace = trace_from_dict({"messages": messages, "tools": [ENVELOPE]})
    assert trace.system == "Today is Monday."
    assert [turn["content"] for turn in trace.messages] == ["hello", "Hi."]
    assert (trace.query, trace.calls, trace.kind) == (QUERY, (), "irrelevant")


def test_several_calls_keep_their_order():
    second = {"name": "set_timer", "arguments": {"minutes": 9}}
    trace = trace_from_dict({"query": QUERY, "tools": [BARE], "answers": [CALL, second]})
    assert [call.arguments["minutes"] for call in trace.calls] == [5, 9] and trace.kind == "parallel"


def test_bfcl_alternatives_are_the_other_acceptable_values():
    assert trace_from_dict(ROWS["bfcl"]).alternatives == {"0.minutes": [5.0], "0.label": ["Tea", None]}


def test_bfcl_nested_values_and_left_out_arguments():
    tool = {
        "name": "f",
        "parameters": {
            "type": "dict",
            "properties": {
                "at": {"type": "dict", "properties": {"city": {"type": "string"}, "zip": {"type": "string"}}},
                "xs": {"type": "array", "items": {"type": "integer"}},
                "note": {"type": "string"},
                "rows": {"type": "array", "items": {"type": "dict", "properties": {"k": {"type": "integer"}}}},
            },
        },
    }
    truth = [
        {
            "f": {
                "at": [{"city": ["Oslo", "OSL"], "zip": ["", "1"]}],
                "xs": [[1, 2]],
                "note": [""],
                "rows": [[{"k": [1, 2]}]],
            }
        }
    ]
    trace = trace_from_dict({"id": "simple_1", "question": [[USER]], "function": [tool], "ground_truth": truth})
    assert trace.calls[0].arguments == {"at": {"city": "Oslo", "zip": "1"}, "xs": [1, 2], "rows": [{"k": 1}]}
    assert trace.alternatives == {"0.at.city": ["OSL"], "0.at.zip": [None], "0.rows.0.k": [2]}
    assert trace.tools[0].properties["at"]["type"] == "object"


def test_bfcl_irrelevance_rows_need_no_answer_and_others_do():
    row = {"id": "live_irrelevance_3", "question": [[USER]], "function": [BARE]}
    assert trace_from_dict(row).calls == ()
    with pytest.raises(UserError, match="possible_answer"):
        trace_from_dict({**row, "id": "live_simple_3"})


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"text": "hello"}, "unknown row format"),
        ([], "JSON object"),
        ({"query": "", "tools": [BARE], "calls": []}, "request is empty"),
        ({"query": 3, "tools": [BARE], "calls": []}, "request is empty or no text"),
        ({"query": "x", "tools": [BARE], "calls": {"a": 1}}, "call 0 has no name"),
        ({"query": "x", "tools": [BARE], "calls": 3}, "not a list"),
        ({"query": "x", "tools": [BARE], "calls": "[{"}, "no JSON"),
        ({"query": "x", "tools": [BARE], "calls": [{"name": "set_timer", "arguments": [1]}]}, "not an object"),
        ({"query": "x", "tools": [BARE], "calls": [{"name": "set_timer", "arguments": "{"}]}, "arguments of call 0"),
        ({"query": "x", "tools": [BARE, BARE], "calls": []}, "also the name of tool 1"),
        ({"query": "x", "tools": [{}], "calls": []}, "no name"),
        ({"query": "x", "tools": [BARE], "calls": [CALL], "alternatives": {"label": ["x"]}}, "alternatives"),
        ({"query": "x", "tools": [BARE], "calls": [CALL], "alternatives": {"1.label": ["x"]}}, "alternatives"),
        ({"query": "x", "tools": [BARE], "calls": [CALL], "messages": ["hi"]}, "messages"),
        ({"query": "x", "tools": [BARE], "calls": [CALL], "id": [1]}, "id is not text"),
        ({"messages": [USER]}, "no assistant turn"),
        ({"messages": "hi"}, "no JSON"),
        ({"conversations": [1]}, "not a list of turns"),
        ({"question": [[USER], [USER]], "function": [BARE], "ground_truth": []}, "turn"),
        ({"question": [[USER]], "function": [BARE], "ground_truth": [{"a": {}, "b": {}}]}, "ground_truth"),
    ],
)
def test_a_row_that_cannot_be_read_says_why(row, words):
    with pytest.raises(UserError) as caught:
        trace_from_dict(row)
    assert words in str(caught.value) and "\n" not in str(caught.value)
