"""Answers read from bytes: calls native and in text, malformed ones with a reason, usage, token probabilities."""

from __future__ import annotations

import asyncio
import json
import math

import httpx2
import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from needle.teacher.caller import EndpointCaller
from needle.teacher.client import Teacher, TeacherConfig
from needle.teacher.config import Capabilities
from needle.teacher.content import answer_schema, read_content_calls, tools_in_content
from needle.teacher.fault_kinds import FAULTS, completion
from needle.teacher.faults import FaultApp
from needle.teacher.logprobs import read_logprobs
from needle.teacher.wire import ErrorBody, WireNames, read_answer, read_calls, tools_to_wire
from needle.tools.caller import Request
from needle.tools.spec import ToolCall, ToolSpec

WITHOUT = Capabilities(native_tools=False)


def _read(fault, tools):
    body = {"tools": tools_to_wire(tools, WireNames(tools))}
    return read_calls(read_answer(FAULTS[fault](body, "").body), WireNames(tools))


@pytest.mark.parametrize(("fault", "problem"), [
    ("truncated", "truncated"), ("bad_arguments", "are not JSON"), ("list_arguments", "no JSON object"), ("twice_argument", "comes twice"),
    ("nan_argument", "NaN is no JSON"), ("duplicate_ids", "share an id"), ("filtered", "filtered"), ("empty", None), ("unknown_tool", None),
])  # fmt: skip
def test_every_malformed_answer_has_its_reason(fault, problem, tools):
    calls, said = _read(fault, tools)
    assert (said is None) if problem is None else problem in said, said


def test_an_error_in_a_body_with_status_200_is_an_error():
    with pytest.raises(ErrorBody) as caught:
        read_answer(FAULTS["limit_in_body"]({}, "").body)
    assert caught.value.status == 429
    inside = completion({}, choices=[{"message": {"content": ""}, "finish_reason": "error", "error": {"code": 502, "message": "upstream"}}])
    with pytest.raises(ErrorBody, match="upstream"):
        read_answer(inside.body)


def test_cached_tokens_are_counted():
    usage = {"prompt_tokens": 100, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 64}}
    assert read_answer(completion({"content": "x"}, usage=usage).body).usage == {"prompt_tokens": 100, "completion_tokens": 5, "cached_tokens": 64}
    for uncounted in (None, {}, {"prompt_tokens": 0, "completion_tokens": 0}, {"prompt_tokens": None}, [1]):
        assert read_answer(completion({"content": "x"}, usage=uncounted).body).usage == {}


def test_tools_go_into_the_prompt_of_an_endpoint_without_them_and_names_come_back(tools):
    reply = json.dumps({"calls": [{"name": "calendar_add_event", "arguments": {"title": "Zoë", "when": {"date": "2026-05-01"}}}]}, ensure_ascii=False)
    seen = []

    async def app(scope, receive, send):
        seen.append(json.loads((await receive())["body"]))
        await completion({"content": f"<think>hm</think>\n```json\n{reply}\n```"})(scope, receive, send)

    config = TeacherConfig(base_url="http://localhost:9/v1", model="m", capabilities=WITHOUT)
    earlier = (
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "1", "content": "done"},
    )
    (result,) = EndpointCaller(config=config, transport=httpx2.ASGITransport(app)).answer([Request("add Zoë", tuple(tools), "It is May.", earlier)])
    assert result == [ToolCall("calendar.add_event", {"title": "Zoë", "when": {"date": "2026-05-01"}})]
    (sent,) = seen
    assert not {"tools", "tool_choice"} & sent.keys() and "It is May." in sent["messages"][0]["content"]
    assert all(name in sent["messages"][0]["content"] for name in ("calendar_add_event", "set_lights", "brightness"))
    assert not any("tool_calls" in message or message["role"] == "tool" for message in sent["messages"])


def test_calls_in_text_are_recognised_only_in_their_own_form():
    assert read_content_calls('{"calls": []}') == [] and read_content_calls("I cannot do that.") is None
    assert read_content_calls('Here: {"calls": []}') is None and read_content_calls('{"answer": 1}') is None
    assert read_content_calls('{"calls": [{"name": "f"}]} Done!') == [("f", "{}")]
    for broken in ('{"calls": [{"name": ', '{"calls": {"name": "f"}}', '{"calls": [1]}'):
        with pytest.raises(ValueError):
            read_content_calls(broken)
    answer = read_answer(completion({"content": '{"calls": [{"name": '}).body)
    assert "calls in the text are not JSON" in read_calls(answer, WireNames([]))[1]


def test_choices_are_said_in_words_and_the_form_is_enforced_where_it_can_be():
    tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
    body = {"messages": [{"role": "user", "content": "x"}], "tools": [tool], "tool_choice": "required", "parallel_tool_calls": False, "seed": 3}
    sent = tools_in_content(body, json_schema=True)
    assert "At least one call. At most one call." in sent["messages"][0]["content"] and sent["seed"] == 3
    schema = sent["response_format"]["json_schema"]["schema"]
    jsonschema.validate({"calls": [{"name": "f", "arguments": {"a": 1}}]}, schema)
    assert not jsonschema.Draft202012Validator(schema).is_valid({"calls": [{"name": "g", "arguments": {}}]})
    named = tools_in_content(body | {"tool_choice": {"type": "function", "function": {"name": "f"}}})
    assert "Call 'f' and nothing else" in named["messages"][0]["content"]
    assert "tools" not in tools_in_content(body | {"tool_choice": "none"}) and body["messages"] == [{"role": "user", "content": "x"}]


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["f", "g"]), st.dictionaries(st.text(), JSON)), max_size=4), st.booleans(), st.booleans())
def test_whatever_is_called_in_text_is_read_back(calls, fenced, ascii_only):
    text = json.dumps({"calls": [{"name": name, "arguments": arguments} for name, arguments in calls]}, ensure_ascii=ascii_only)
    jsonschema.validate(json.loads(text), answer_schema([{"name": "f"}, {"name": "g"}]))
    answer = read_answer(completion({"content": f"```json\n{text}\n```" if fenced else text}).body)
    read, problem = read_calls(answer, WireNames([ToolSpec("f"), ToolSpec("g")]))
    assert problem is None and read == [ToolCall(name, arguments) for name, arguments in calls]


def _with_logprobs(items):
    choice = {"index": 0, "message": {"content": "hé"}, "finish_reason": "stop", "logprobs": {"content": items}}
    return completion({}, choices=[choice]).body


def test_token_probabilities_keep_bytes_and_the_mass_that_is_left():
    top = [{"token": "h", "bytes": [104], "logprob": math.log(0.6)}, {"token": "H", "bytes": [72], "logprob": math.log(0.3)}]
    half = [{"token": "\\xc3", "bytes": [195], "logprob": math.log(0.9)}]
    raw = _with_logprobs([{**top[0], "top_logprobs": top}, {"token": "\\xc3", "bytes": [195], "logprob": math.log(0.05), "top_logprobs": half}, {"token": "z", "logprob": -0.1}])
    first, second, third = read_answer(raw).logprobs
    assert (first.token, first.residual) == (b"h", pytest.approx(0.1)) and first.alternatives[1] == (b"H", pytest.approx(math.log(0.3)))
    assert second.token == b"\xc3" and second.residual == pytest.approx(0.1), "an alternative with the same bytes counts once"
    assert third.residual == pytest.approx(1 - math.exp(-0.1)) and third.alternatives == ()


@pytest.mark.parametrize("items", [
    None, [], [{"token": "a"}], [{"token": "a", "logprob": 0.5}], [{"token": "a", "logprob": -9999.0}],
    [{"token": "a", "logprob": 0.0, "top_logprobs": [{"token": "b", "logprob": -9999.0}]}],
    [{"token": "a", "logprob": -0.1, "top_logprobs": [{"token": "b", "logprob": -0.1}]}], [{"token": "a", "logprob": float("nan")}],
])  # fmt: skip
def test_probabilities_that_cannot_be_true_are_none(items):
    assert read_logprobs(json.dumps({"choices": [{"message": {"content": "a"}, "logprobs": {"content": items}}]}).encode()) is None


def test_probabilities_are_asked_for_when_the_config_says_so():
    app = FaultApp(["plain"])
    config = TeacherConfig(base_url="http://localhost:9/v1", model="m", top_logprobs=5)

    async def work():
        async with Teacher(config, transport=httpx2.ASGITransport(app.asgi)) as teacher:
            return await teacher.complete({"messages": [{"role": "user", "content": "x"}]})

    assert asyncio.run(work()).logprobs is None and (app.seen[0]["logprobs"], app.seen[0]["top_logprobs"]) == (True, 5)
