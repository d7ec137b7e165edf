"""The embedded teacher: deterministic, varied, right about what it wrote, honest about what it did not."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from needle.errors import UserError
from needle.generate.plan import plan_for
from needle.generate.prompts import SKIP, label_body, read_written, write_body
from needle.teacher.embedded import EmbeddedTeacher
from needle.teacher.embedded.data import find_traces, read_rows
from needle.teacher.embedded.text import member_forms
from needle.teacher.wire import WireNames, read_answer, read_calls
from needle.tools.arguments import flat_arguments, schema_at
from needle.tools.grounding.ground import ground_calls
from needle.tools.spec import ToolCall, ToolSpec
from needle.tools.validate import validate_calls
from needle.traces.trace import KINDS

FORM = ToolSpec("file_claim", "File an insurance claim.", {"type": "object", "properties": {
    "policy": {"type": "string"}, "holder": {"type": "string", "description": "name of the person"},
    "damage": {"type": "number"}, "day": {"type": "string", "format": "date"}, "hurt": {"type": "boolean"}},
    "required": ["policy", "holder", "damage", "day"]})  # fmt: skip


def _answer(teacher, plan, tools) -> str:
    return teacher.complete(write_body(plan, tools, 1.0))["choices"][0]["message"]["content"]


def _write(teacher, plan, tools) -> str:
    return read_written(plan, _answer(teacher, plan, tools)).request


def _label(teacher, request, seed, tools, **around) -> list[ToolCall]:
    answer = read_answer(json.dumps(teacher.complete(label_body(request, tools, seed, **around))).encode())
    calls, problem = read_calls(answer, WireNames(tools))
    assert problem is None
    return calls


@pytest.mark.parametrize("learn", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_written_and_labelled_as_it_was_meant(kind, learn, tools, teacher, unlearned):
    tools = [*tools, FORM] if kind == "extraction" else tools
    speaker, skipped = (teacher if learn else unlearned), 0
    for index in range(30):
        plan = plan_for(kind, index, tools, seed=3)
        written, offered = read_written(plan, _answer(speaker, plan, tools)), plan.offered(tools)
        if written.request == SKIP:
            skipped += 1
            continue
        calls = _label(speaker, written.request, plan.seed, offered, facts=plan.facts, messages=written.messages)
        assert [call.name for call in calls] == [call.tool for call in plan.as_written.due], written
        assert validate_calls(calls, offered) == []
        around = " ".join([plan.facts or "", *(turn["content"] for turn in written.messages)])
        found = ground_calls(calls, offered, written.request, around)
        assert all(item.grounded for item in found), (written, calls)
    assert skipped <= 5


def test_a_corrected_request_says_the_wrong_value_first(tools, teacher):
    plans = [plan_for("corrected", index, tools, seed=1) for index in range(40)]
    said = [_write(teacher, plan, tools) for plan in plans if plan.calls[0].first]
    assert sum(any(mark in text for mark in ("no", "sorry", "mean", "actually", "rather", "scratch", "oops", "hang on"))
               for text in said if text != SKIP) == len([text for text in said if text != SKIP]) > 15  # fmt: skip


def test_days_are_counted_from_the_facts(tools, teacher):
    counted = [plan for plan in (plan_for("single", index, tools, seed=8) for index in range(300)) if plan.context == "relative"]
    said = [_write(teacher, plan, tools).lower() for plan in counted]
    assert len([text for text in said if text != "skip"]) >= 3
    assert all(re.search(r"day|tomorrow|week|skip", text) and not re.search(r"20\d\d", text) for text in said), said


def test_a_request_that_follows_turns_stands_on_them(tools, teacher):
    plans = [plan_for("single", index, tools, seed=6) for index in range(200)]
    for plan in plans:
        if plan.context in ("followup", "answer"):
            written = read_written(plan, _answer(teacher, plan, tools))
            assert written.request == SKIP or [turn["role"] for turn in written.messages] == ["user", "assistant"]


def test_passing_remarks_hold_the_distractor_and_no_call_does(tools, teacher):
    for index in range(150):
        plan = plan_for("single", index, tools, seed=12)
        if plan.distractor and (request := _write(teacher, plan, tools)) != SKIP:
            assert plan.distractor.lower() in request.lower()
            calls = _label(teacher, request, plan.seed, plan.offered(tools))
            assert len(calls) == 1


def test_same_plan_same_words_in_another_process_and_another_order(tools, teacher):
    plans = [plan_for(kind, index, tools, seed=1) for kind in ("single", "irrelevant") for index in range(10)]
    again = EmbeddedTeacher()
    assert [_write(again, plan, tools) for plan in reversed(plans)][::-1] == [
        _write(teacher, plan, tools) for plan in plans
    ]


def test_words_do_not_depend_on_the_hash_seed_of_the_process():
    code = (
        "import json; from needle.generate.plan import plan_for; from needle.generate.prompts import write_body; from needle.teacher.embedded import EmbeddedTeacher;"
        "from needle.tools.read import read_tools; tools = read_tools(json.load(open('data/toolsets/home.json'))); teacher = EmbeddedTeacher(learn=False);"
        "print([teacher.complete(write_body(plan_for('single', n, tools, 0), tools, 1.0))['choices'][0]['message']['content'] for n in range(60)])"
    )
    root = Path(__file__).parents[2]
    said = {
        subprocess.run(
            [sys.executable, "-c", code], cwd=root, env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(root)},
            capture_output=True, check=True,
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(said) == 1 and len(said.pop()) > 2000


def test_requests_are_various(tools, teacher):
    requests = {_write(teacher, plan_for("single", index, tools, seed=0), tools) for index in range(400)}
    assert len(requests) >= 360


def test_planned_values_and_mentions_are_kept_and_nothing_else_is_given(tools, teacher):
    by_name = {tool.name: tool for tool in tools}
    for index in range(60):
        plan = plan_for("single", index, tools, seed=9)
        request = _write(teacher, plan, tools)
        if plan.context in ("followup", "answer") or request == SKIP:
            continue
        (call,) = _label(teacher, request, plan.seed, tools)
        flat, wanted = dict(flat_arguments(call.arguments)), plan.calls[0]
        assert all(flat[path] == value for path, value in wanted.values.items() if path in flat)
        allowed = set(wanted.mention) | {path for path in flat if path.split(".")[0] in by_name[call.name].required}
        assert set(flat) <= allowed


def test_a_missing_value_is_not_in_the_request(tools, teacher):
    for index in range(60):
        plan = plan_for("missing", index, tools, seed=2)
        wanted = plan.calls[0]
        if plan.cut:
            continue
        schema = schema_at(next(tool for tool in tools if tool.name == wanted.tool).parameters, wanted.omit)
        request = _write(teacher, plan, tools).lower()
        for member in schema.get("enum") or ():
            assert not any(form in request.split() for form in member_forms(member, schema["enum"]))


def test_negated_requests_say_no(tools, teacher):
    for index in range(30):
        request = _write(teacher, plan_for("negated", index, tools, seed=2), tools).lower()
        said = any(word in request for word in ("n't", "not", "no need", "nobody", "leave it", "under no"))
        assert said or (request == SKIP.lower() and index % 10), request


@pytest.mark.parametrize(("request_", "calls"), [
    ("turn off the lights in the living room", [("set_lights", {"room": "living_room", "on": False})]),
    ("Lock the front door and turn on the lights in the hall.",
     [("lock_door", {"door": "FRONT", "locked": True}), ("set_lights", {"room": "hall", "on": True})]),
    ("set an alarm for half past six in the evening", [("set_alarm", {"time": "18:30"})]),
    ("don't lock the front door", []), ("who wrote Faust", []), ("set the thermostat in the kitchen", []),
])  # fmt: skip
def test_foreign_requests_go_to_the_matcher(request_, calls, tools, teacher):
    assert [(call.name, call.arguments) for call in _label(teacher, request_, None, tools)] == calls


def test_the_same_request_with_another_seed_is_foreign(tools, teacher):
    plan = plan_for("negated", 0, tools, seed=77)
    request = _write(teacher, plan, tools)
    assert _label(teacher, request, plan.seed, tools) == []
    assert isinstance(_label(teacher, request, plan.seed + 1, tools), list)


def test_tools_of_every_odd_shape_get_words_or_a_skip(unlearned):
    odd = [
        ToolSpec("x"),
        ToolSpec("q1", "", {"type": "object", "properties": {"x": {}, "y": {"type": "string",
        "pattern": "^[A-Z]{2}-\\d{4}$"}}, "required": ["y"]}),
        ToolSpec("Ns.deepThing", "", {"type": "object", "$defs": {"P": {"type": "object",
        "properties": {"n": {"type": "integer", "multipleOf": 7}},
                 "required": ["n"]}}, "properties": {"p": {"$ref": "#/$defs/P"}, "z": {"anyOf": [{"type": "null"},
                 {"type": "number"}]}}, "required": ["p"]}),
        ToolSpec("list_of_objects", "Do it", {"type": "object", "properties": {"o": {"type": "array",
        "items": {"type": "object"}}}, "required": ["o"]}),
        ToolSpec("range", "Pick", {"type": "object", "properties": {"n": {"type": "integer", "exclusiveMinimum": 0,
        "exclusiveMaximum": 3}}, "required": ["n"]}),
    ]  # fmt: skip
    written = 0
    for index in range(100):
        plan = plan_for("single", index, odd, seed=0)
        request = _write(unlearned, plan, odd)
        if request != SKIP:
            written += 1
            assert validate_calls(_label(unlearned, request, plan.seed, odd), odd) == []
    assert written >= 60


def test_malformed_plans_are_refused(teacher):
    for plan in ({"task": "write_request"}, {"task": "write_request", "tools": [1], "kind": "single"}):
        with pytest.raises(UserError):
            teacher.complete({"messages": [{"role": "user", "content": json.dumps(plan)}]})


def test_it_says_where_its_phrasing_comes_from(tmp_path, monkeypatch):
    path, said = find_traces()
    assert path is not None and path.name == "train.jsonl.gz" and str(path) in said
    monkeypatch.setenv("NEEDLE_DATA", str(tmp_path))
    path, said = find_traces()
    assert path is None and "schemas alone" in said and EmbeddedTeacher().source == said


def test_fast_reading_of_the_traces_equals_plain_reading(tmp_path):
    import gzip

    rows = [
        {"id": "1", "query": 'a,"tools":b', "tools": [{"name": "t"}], "calls": [], "kind": "chat", "toolset": "s"},
        {
            "id": "2",
            "query": "plain",
            "tools": [{"name": "t"}],
            "calls": [{"name": "t", "arguments": {"q": ',"calls":['}}],
            "kind": "single",
            "toolset": "s",
        },
        {"id": "3", "query": "x", "calls": [], "tools": [], "kind": "chat", "toolset": "s"},
    ]
    path = tmp_path / "t.jsonl.gz"
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row, separators=(",", ":")) + "\n" for row in rows)
    assert list(read_rows(path)) == rows
