"""An answer in words: arguments with what they came from, and what a reader should know."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from needle.cli import app
from needle.commands.explain import explanation, notes
from needle.tools import CallResult, Evidence, ToolCall

QUERY = "dim the kitchen to ten, twice"
ANSWER = CallResult(
    [ToolCall("light", {"room": "kitchen", "by": {"level": 10}, "tags": [], "on": True}), ToolCall("stop", {})],
    confidence=0.43, evidence=[Evidence("0.room", 8, 15, 0.97), Evidence("0.by.level", 19, 22, 0.5)],
)  # fmt: skip


def test_every_argument_has_a_line_with_its_words_or_says_that_it_has_none():
    lines = explanation(QUERY, ANSWER)
    assert lines[0] == "light" and lines[-2] == "stop" and lines[-1] == "confidence 43 % (raw probability, not calibrated)"
    assert [line.split("  ")[-1].strip() for line in lines[1:5]] == [
        'from "kitchen" at 8 (97 %)', 'from "ten" at 19 (50 %)', "not from words of the request", "not from words of the request",
    ]  # fmt: skip
    assert explanation("hello", CallResult(confidence=0.9, calibrated=True)) == ["no call", "confidence 90 %"]


def test_what_is_unsure_escalated_or_cut_down_is_said_and_nothing_else():
    assert notes(ANSWER) == []
    assert notes(CallResult(unsure=True, confidence=0.31)) == ["unsure: confidence 31 %; check the calls before they are executed"]
    assert notes(CallResult(unsure=True, fallback_error="no such host"))[-1] == "the fallback gave no answer: no such host"
    assert notes(CallResult(answered_by="large", usage={"escalated": 1})) == ["answered by large"]
    assert notes(CallResult(offered=["a", "b"]))[0].endswith("the 2 that fit the request best were offered: a, b")
    assert notes(CallResult(offered=[f"tool_{number}" for number in range(200)]))[0].endswith("tool_18, tool_19 and 180 more")


@pytest.fixture
def tools(tmp_path):
    lock = {"name": "lock", "description": "Lock a door.", "parameters": {"type": "object", "properties": {"door": {"type": "string"}}, "required": ["door"]}}
    (tmp_path / "tools.json").write_text(json.dumps([lock]))
    return str(tmp_path / "tools.json")


def test_run_explains_the_calls_of_any_caller_and_refuses_a_threshold_that_is_none(tools):
    done = CliRunner().invoke(app, ["run", "lock the cellar", "--tools", tools, "--model", "baseline:never", "--explain"])
    assert done.exit_code == 0 and done.output.strip() == "no call"
    called = CliRunner().invoke(app, ["run", "lock the cellar", "--tools", tools, "--model", "baseline:first-tool", "--threshold", "0.5", "--fallback", "baseline:never", "--explain"])
    assert called.exit_code == 0 and 'door: "' in called.output and 'from "' in called.output
    wrong = CliRunner().invoke(app, ["run", "lock the cellar", "--tools", tools, "--model", "baseline:never", "--threshold", "7"])
    assert wrong.exit_code != 0 and "probability" in str(wrong.exception)
