"""Toolsets larger than the context: the model is shown the tools that fit the request, and the answer says which."""

from __future__ import annotations

from dataclasses import replace

import pytest
from student_helpers import tiny_model

from needle.errors import UserError
from needle.student.caller import StudentCaller
from needle.student.modeling.engine import TorchEngine
from needle.tools import Request, ToolSpec
from needle.tools.caller import Choice

TOPICS = "weather music lights doors alarms invoices flights hotels recipes parcels trains taxis notes mail maps stocks".split()
TOOLS = tuple(
    ToolSpec(f"get_{topic}", f"Everything about {topic}.", {"type": "object", "properties": {"what": {"type": "string", "maxLength": 4}}})
    for topic in TOPICS
)


@pytest.fixture(scope="module")
def engine() -> TorchEngine:
    return TorchEngine(tiny_model(max_source_tokens=96, max_target_tokens=40))


def test_what_does_not_fit_is_cut_to_the_best_tools_and_said(engine, tokenizer):
    caller = StudentCaller(engine, tokenizer)
    (result,) = caller.answer([Request("any trains and hotels", TOOLS)])
    assert result.error is None and {"get_trains", "get_hotels"} <= set(result.offered) and 1 < len(result.offered) < len(TOOLS)
    assert list(result.offered) == [tool.name for tool in TOOLS if tool.name in result.offered]
    assert {call.name for call in result} <= set(result.offered) and result.usage["prompt_tokens"] <= 96
    assert "get_trains" in caller.show_prompt(Request("any trains", TOOLS)) and caller.prompt_length(Request("any trains", TOOLS)) == 96


def test_a_set_that_fits_is_shown_whole_unless_fewer_are_asked_for(engine, tokenizer):
    request = Request("any trains", TOOLS[:3])
    assert StudentCaller(engine, tokenizer).answer([request])[0].offered is None
    assert len(StudentCaller(engine, tokenizer, most_tools=2).answer([request])[0].offered) == 2
    with pytest.raises(UserError, match="at least one"):
        StudentCaller(engine, tokenizer, most_tools=0)


def test_a_large_set_can_be_prepared_and_is_answered_the_same(engine, tokenizer):
    caller = StudentCaller(engine, tokenizer)
    ready = caller.prepare(TOOLS)
    assert len(ready) == len(TOOLS) and ready.tokens > 96
    whole, prepared = caller.call("any trains", TOOLS), caller.call("any trains", ready)
    assert prepared == whole and prepared.offered == whole.offered


def test_a_tool_that_is_chosen_is_always_shown(engine, tokenizer):
    request = Request("any trains", TOOLS, choice=Choice(only="get_stocks"))
    (result,) = StudentCaller(engine, tokenizer).answer([request])
    assert "get_stocks" in result.offered and {call.name for call in result} == {"get_stocks"}


def test_one_tool_that_is_too_long_is_refused_as_before(engine, tokenizer):
    long = replace(TOOLS[0], description="word " * 200)
    (result,) = StudentCaller(engine, tokenizer).answer([Request("any weather", (long,))])
    assert "the limit is 96" in result.error and result.offered is None
