"""Strict schemas: closed, all required, and back again to arguments that are left out."""

from __future__ import annotations

import json

import httpx2
import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from needle.errors import UserError
from needle.teacher.caller import EndpointCaller
from needle.teacher.client import Teacher
from needle.teacher.config import Capabilities, TeacherConfig
from needle.teacher.fault_kinds import completion
from needle.teacher.strict import strict_parameters, strict_tools, without_nulls
from needle.tools.caller import Request
from needle.tools.spec import ToolCall, ToolSpec

PLAIN = {
    "string": ({"type": "string", "minLength": 1}, st.text(min_size=1)), "integer": ({"type": "integer", "default": 3}, st.integers(-9, 9)),
    "enum": ({"enum": ["a", "b"]}, st.sampled_from("ab")), "typed": ({"type": "string", "enum": ["a"], "description": "d"}, st.just("a")),
    "const": ({"const": 1}, st.just(1)), "ref": ({"$ref": "#/$defs/kind"}, st.just("k")),
    "null": ({"type": ["string", "null"]}, st.none() | st.text()), "any": ({"anyOf": [{"type": "integer"}, {"type": "boolean"}]}, st.booleans()),
    "list": ({"type": "array", "items": {"type": "integer"}}, st.lists(st.integers(0, 3), max_size=2)),
}  # fmt: skip


@st.composite
def objects(draw, depth=0):
    """A schema of an object, a value that it accepts, and that value as a strict endpoint writes it."""
    properties, required, value, written = {}, [], {}, {}
    for name in draw(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=4, unique=True)):
        if depth < 2 and draw(st.integers(0, 3)) == 0:
            properties[name], inner, inner_written = draw(objects(depth=depth + 1))
        else:
            properties[name], values = PLAIN[draw(st.sampled_from(sorted(PLAIN)))]
            inner = inner_written = draw(values)
        needed = draw(st.booleans())
        if needed:
            required.append(name)
        if needed or draw(st.booleans()):
            value[name], written[name] = inner, inner_written
        elif properties[name] == PLAIN["null"][0]:
            value[name] = written[name] = None  # what may be null cannot be told from what is left out
        else:
            written[name] = None
    return {"type": "object", "properties": properties, "required": required}, value, written


@settings(max_examples=30, deadline=None)
@given(objects())
def test_what_is_left_out_comes_back_left_out(drawn):
    schema, value, written = drawn
    schema |= {"$defs": {"kind": {"type": "string", "enum": ["k"]}}}
    strict = strict_parameters(schema)
    jsonschema.Draft202012Validator.check_schema(strict)
    jsonschema.validate(value, schema)
    jsonschema.validate(written, strict)
    assert without_nulls(written, schema) == value and without_nulls(value, schema) == value
    text = json.dumps(strict)
    assert "default" not in text and "minLength" not in text
    if value != written:
        assert not jsonschema.Draft202012Validator(strict).is_valid(value), "strict means that nothing is left out"


@pytest.mark.parametrize("inner", [
    {"oneOf": [{"type": "string"}]}, {"allOf": [{"type": "string"}]}, {"type": "object"}, {"type": "object", "additionalProperties": {"type": "string"}},
    {}, True, {"type": "array"}, {"type": "object", "properties": {"x": {"type": "string"}}, "additionalProperties": True}, {"description": "anything"},
])  # fmt: skip
def test_what_cannot_be_said_is_sent_as_it_is(inner):
    parameters = {"type": "object", "properties": {"a": inner, "b": {"type": "string"}}}
    assert strict_parameters(parameters) is None
    tool = {"type": "function", "function": {"name": "f", "parameters": parameters}}
    assert strict_tools([tool]) == [tool]


def test_a_tool_without_arguments_can_be_strict():
    (tool,) = strict_tools([{"type": "function", "function": {"name": "f"}}])
    assert tool["function"]["strict"] and tool["function"]["parameters"]["additionalProperties"] is False


def test_a_strict_teacher_sends_strict_tools_and_reads_calls_as_one_makes_them(tools):
    seen = []

    async def app(scope, receive, send):
        seen.append(json.loads((await receive())["body"]))
        call = {"function": {"name": "set_lights", "arguments": '{"room": "hall", "on": true, "brightness": null}'}}
        await completion({"content": None, "tool_calls": [call]})(scope, receive, send)

    def ask(**settings):
        config = TeacherConfig(base_url="http://localhost:9/v1", model="m", **settings)
        (result,) = EndpointCaller(config=config, transport=httpx2.ASGITransport(app)).answer([Request("lights on in the hall", tuple(tools))])
        return result, {tool["function"]["name"]: tool["function"].get("strict") for tool in seen[-1]["tools"]}

    assert ask(strict=True) == ([ToolCall("set_lights", {"room": "hall", "on": True})], dict.fromkeys(ask()[1], True))
    assert ask()[0] == [ToolCall("set_lights", {"room": "hall", "on": True, "brightness": None})]


@pytest.mark.parametrize(("settings", "capability"), [({"strict": True}, "strict"), ({"top_logprobs": 5}, "logprobs_with_tools")])
def test_a_setting_that_cannot_be_kept_is_refused_before_anything_is_sent(settings, capability):
    config = TeacherConfig(base_url="http://localhost:9/v1", model="m", capabilities=Capabilities(**{capability: False}), **settings)
    with pytest.raises(UserError, match=capability.split("_")[0]):
        Teacher(config)
    assert TeacherConfig(strict=True).identity != TeacherConfig().identity


def test_nulls_of_unknown_tools_and_places_are_kept():
    assert without_nulls({"x": None}, {"type": "object", "properties": {}}) == {"x": None}
    spec = ToolSpec("f", "", {"type": "object", "properties": {"a": {"type": "array", "items": {"type": "object", "properties": {"b": {"type": "string"}}}}}})
    assert without_nulls({"a": [{"b": None}, {"b": "x"}]}, spec.parameters) == {"a": [{}, {"b": "x"}]}
