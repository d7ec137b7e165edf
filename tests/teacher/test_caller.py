"""``EndpointCaller``: native tools out, calls in, faults where they belong."""

from __future__ import annotations

import asyncio

import httpx2
import pytest

from needle.errors import UserError
from needle.teacher.caller import EndpointCaller
from needle.teacher.client import TeacherConfig
from needle.teacher.embedded import EmbeddedTeacher, make_app
from needle.teacher.faults import FaultApp
from needle.teacher.wire import MAX_NAME, WireNames, read_calls, tools_to_wire
from needle.tools.caller import FREE, Choice, Request
from needle.tools.spec import ToolCall, ToolSpec


@pytest.fixture(autouse=True)
def _without_recorded_traces(monkeypatch, no_traces):
    """The embedded teacher then starts at once."""
    monkeypatch.setenv("NEEDLE_DATA", no_traces)


CONFIG = TeacherConfig(base_url="http://localhost:9/v1", model="m", backoff_s=0.001, max_attempts=2)


def _answer(script: list[str], tools, count: int = 1, **settings):
    app = FaultApp(script)
    caller = EndpointCaller(config=CONFIG, transport=httpx2.ASGITransport(app.asgi), **settings)
    return caller.answer([Request("turn on the lights in the hall", tuple(tools))] * count), app, caller


@pytest.mark.parametrize(("fault", "word"), [
    ("bad_arguments", "malformed"), ("list_arguments", "malformed"), ("truncated", "truncated"),
])  # fmt: skip
def test_malformed_answers_are_errors_of_the_model(fault, word, tools):
    (result,), _, _ = _answer([fault], tools)
    assert result == [] and result.error.startswith(word) and not result.infra_error and result.raw


@pytest.mark.parametrize(
    ("fault", "word"), [("server_error", "server"), ("html", "not_json"), ("bad_request", "bad_request")]
)
def test_failures_of_the_endpoint_are_infra_errors(fault, word, tools):
    (result,), _, _ = _answer([fault], tools)
    assert result.infra_error and result.error.startswith(word)


@pytest.mark.parametrize("fault", ["auth", "quota", "not_found"])
def test_what_fails_for_every_request_stops_at_once(fault, tools):
    with pytest.raises(UserError):
        _answer([fault], tools, count=50, concurrency=2)


def test_an_unknown_tool_is_passed_on_for_validation(tools):
    (result,), _, _ = _answer(["unknown_tool"], tools)
    assert result == [ToolCall("launch_rocket", {})] and result.error is None


def test_one_failure_does_not_disturb_its_neighbours(tools):
    results, _, caller = _answer(["bad_arguments", "ok"], tools, count=6, concurrency=1)
    assert [bool(result.error) for result in results] == [True] + [False] * 5
    assert caller.usage.requests == 6 and caller.usage.prompt_tokens > 0 and results[1].usage["completion_tokens"] > 0


def test_tools_are_sent_natively_and_names_come_back(tools):
    names = WireNames(tools)
    assert (
        names.out("calendar.add_event") == "calendar_add_event"
        and names.back("calendar_add_event") == "calendar.add_event"
    )
    (_,), app, _ = _answer(["ok"], tools)
    sent = app.seen[0]["tools"]
    assert sent == tools_to_wire(tools, names) and all(item["type"] == "function" for item in sent)


def test_a_choice_is_sent_under_the_names_of_the_wire(tools):
    name = "calendar.add_event"
    caller, function = EndpointCaller(config=CONFIG), {"type": "function", "function": {"name": "calendar_add_event"}}
    for choice, sent in ((FREE, {}), (Choice(required=True), {"tool_choice": "required"}), (Choice(only=name), {"tool_choice": function}),
                         (Choice(most=1), {"parallel_tool_calls": False})):  # fmt: skip
        body = caller.body_of(Request("add it", tuple(tools), choice=choice), WireNames(tools))
        assert {key: value for key, value in body.items() if key in ("tool_choice", "parallel_tool_calls")} == sent


def test_wire_names_are_unique_short_and_plain():
    tools = [ToolSpec(name) for name in ("a.b", "a_b", "a b", "x" * 100, "x" * 101, "é")]
    names = WireNames(tools)
    out = [names.out(tool.name) for tool in tools]
    assert len(set(out)) == len(out) and all(len(name) <= MAX_NAME and name.replace("_", "a").isascii() for name in out)
    assert [names.back(name) for name in out] == [tool.name for tool in tools]


def test_answers_come_in_order_whatever_the_concurrency(tools):
    queries = ["turn on the lights in the hall", "lock the back door", "who was Hamlet", "weather in Oslo"] * 3
    requests = [Request(query, tuple(tools)) for query in queries]
    one, many = EndpointCaller(concurrency=1).answer(requests), EndpointCaller(concurrency=8).answer(requests)
    assert [list(result) for result in one] == [list(result) for result in many]
    assert one[0] == [ToolCall("set_lights", {"room": "hall", "on": True})] and one[2] == []


def test_it_works_inside_a_running_loop(tools):
    async def notebook():
        return EndpointCaller().call("lock the back door", tools)

    assert asyncio.run(notebook()) == [ToolCall("lock_door", {"door": "BACK", "locked": True})]


def test_no_requests_need_no_endpoint():
    assert EndpointCaller("http://localhost:9/v1", "m").answer([]) == []


def test_system_and_earlier_turns_are_sent(tools):
    app = FaultApp(["ok"])
    earlier = ({"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"})
    EndpointCaller(config=CONFIG, transport=httpx2.ASGITransport(app.asgi)).answer(
        [Request("lock up", tuple(tools), "It is May.", earlier)]
    )
    assert [message["role"] for message in app.seen[0]["messages"]] == ["system", "user", "assistant", "user"]


def test_the_embedded_app_lists_its_model_and_refuses_nonsense():
    async def work():
        transport = httpx2.ASGITransport(make_app(EmbeddedTeacher(learn=False)))
        async with httpx2.AsyncClient(transport=transport, base_url="http://x") as client:
            models = await client.get("/v1/models")
            bad = [
                await client.post("/v1/chat/completions", content=content)
                for content in (
                    b"{",
                    b"{}",
                    b'{"messages": []}',
                    b'{"messages": [{"role": "user", "content": "x"}], "tools": [{}]}',
                )
            ]
        return models.json(), [response.status_code for response in bad]

    models, statuses = asyncio.run(work())
    assert models["data"][0]["id"] == "embedded-teacher" and statuses == [400] * 4


def test_arguments_as_an_object_are_read_too():
    from needle.teacher.wire import read_answer

    raw = b'{"choices": [{"message": {"tool_calls": [{"function": {"name": "f", "arguments": {"a": 1}}}]}}]}'
    assert read_calls(read_answer(raw), WireNames([ToolSpec("f")])) == ([ToolCall("f", {"a": 1})], None)
