"""The official ``openai`` SDK against the app: what it sends is understood, what it gets is what it expects."""

from __future__ import annotations

import asyncio
import json

import openai
import pytest
from pydantic import BaseModel
from serve_helpers import TOOLS, run

import needle
from needle.serve import create_app
from needle.tools import Choice
from needle.tools.spec import ToolSpec

DIM = 'dim {"room": "hall", "percent": 10}'
BOTH = DIM + ' ; lock {"door": "front"}'


def ask(app, query, **options):
    messages = options.pop("messages", [{"role": "user", "content": query}])
    options = {"model": "needle", "tools": TOOLS} | options
    return run(app, lambda client: client.chat.completions.create(messages=messages, **options))


def calls_of(answer):
    return [(call.function.name, json.loads(call.function.arguments)) for call in answer.choices[0].message.tool_calls]


def test_calls_come_back_as_the_sdk_expects_them(app):
    answer = ask(app, DIM)
    assert calls_of(answer) == [("dim", {"room": "hall", "percent": 10})]
    assert answer.choices[0].finish_reason == "tool_calls" and answer.choices[0].message.content is None
    assert answer.object == "chat.completion" and answer.model == "needle" and answer.id.startswith("chatcmpl-")
    call = answer.choices[0].message.tool_calls[0]
    assert call.type == "function" and call.id.startswith("call_")


def test_usage_is_counted_and_confidence_and_evidence_ride_along(app):
    answer = ask(app, DIM)
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (5, 1)
    assert answer.usage.total_tokens == 6
    span = {"path": "0.room", "start": 0, "end": 3, "score": 0.5}
    assert answer.model_extra["needle"] == {"confidence": 0.75, "calibrated": False, "evidence": [span]}


def test_parallel_calls_keep_their_order_and_can_be_turned_off(app):
    assert [name for name, _ in calls_of(ask(app, BOTH))] == ["dim", "lock"]
    assert [name for name, _ in calls_of(ask(app, BOTH, parallel_tool_calls=False))] == ["dim"]


def test_no_fitting_tool_is_an_empty_list_and_stop(app):
    answer = ask(app, "how are you")
    assert answer.choices[0].message.tool_calls == [] and answer.choices[0].finish_reason == "stop"
    assert answer.choices[0].message.content == ""


def test_tool_choice_none_and_no_tools_do_not_ask_the_caller(app, caller):
    for options in ({"tool_choice": "none"}, {"tools": openai.NOT_GIVEN}, {"tools": []}):
        answer = ask(app, DIM, **options)
        assert answer.choices[0].message.tool_calls == [] and answer.choices[0].finish_reason == "stop"
    assert caller.batches == []


def test_tool_choice_and_parallel_calls_reach_the_caller_as_a_choice(app, caller):
    named = {"type": "function", "function": {"name": "lock"}}
    assert [name for name, _ in calls_of(ask(app, BOTH, tool_choice=named))] == ["lock"]
    assert [name for name, _ in calls_of(ask(app, BOTH, tool_choice="required"))] == ["dim", "lock"]
    ask(app, BOTH, tool_choice="required", parallel_tool_calls=False)
    ask(app, BOTH)
    choices = [Choice(only="lock"), Choice(required=True), Choice(required=True, most=1), Choice()]
    assert [request.choice for batch in caller.batches for request in batch] == choices
    assert [len(batch[0].tools) for batch in caller.batches] == [2] * 4, "the toolset stays the same: caches stay warm"


def test_a_student_is_bound_to_the_choice(tiny_base):
    app = create_app(needle.load(tiny_base))
    named = {"type": "function", "function": {"name": "lock"}}
    for query in ("how are you", "dim the hall and lock the door", "ß"):
        forced = calls_of(ask(app, query, tool_choice=named))
        assert forced and {name for name, _ in forced} == {"lock"}
        assert calls_of(ask(app, query, tool_choice="required"))
        assert len(calls_of(ask(app, query, tool_choice="required", parallel_tool_calls=False))) == 1


def test_system_earlier_turns_and_the_last_request_reach_the_caller(app, caller):
    past = {"id": "c1", "type": "function", "function": {"name": "dim", "arguments": "{}"}}
    messages = [
        {"role": "system", "content": "Today is Monday."},
        {"role": "developer", "content": [{"type": "text", "text": "Locale: de."}]},
        {"role": "user", "content": "dim it"},
        {"role": "assistant", "content": None, "tool_calls": [past]},
        {"role": "tool", "tool_call_id": "c1", "content": "done"},
        {"role": "user", "content": [{"type": "text", "text": DIM}]},
    ]
    assert calls_of(ask(app, "", messages=messages))
    request = caller.batches[0][0]
    assert (request.query, request.system) == (DIM, "Today is Monday.\nLocale: de.")
    assert request.messages == (
        {"role": "user", "content": "dim it"},
        {"role": "assistant", "content": "", "tool_calls": [past]},
        {"role": "tool", "content": "done", "tool_call_id": "c1"},
    )
    assert request.tools[0] == ToolSpec("dim", "To dim.", TOOLS[0]["function"]["parameters"])


def test_a_loop_that_sends_results_back_ends(app, caller):
    answer = ask(app, DIM)
    message = answer.choices[0].message
    messages = [
        {"role": "user", "content": DIM},
        message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "done"},
    ]
    assert ask(app, "", messages=messages).choices[0].finish_reason == "stop"
    assert len(caller.batches) == 1


def collect(app, query, **options):
    async def work(client):
        messages = [{"role": "user", "content": query}]
        stream = await client.chat.completions.create(model="x", messages=messages, tools=TOOLS, stream=True, **options)
        return [chunk async for chunk in stream]

    return run(app, work)


def test_a_stream_spells_the_same_calls_piece_by_piece(app):
    chunks = collect(app, BOTH)
    names, arguments = {}, {}
    for delta in (chunk.choices[0].delta for chunk in chunks):
        for piece in delta.tool_calls or []:
            names[piece.index] = names.get(piece.index, "") + (piece.function.name or "")
            arguments[piece.index] = arguments.get(piece.index, "") + piece.function.arguments
    assert names == {0: "dim", 1: "lock"}
    assert {key: json.loads(text) for key, text in arguments.items()} == {
        0: {"room": "hall", "percent": 10},
        1: {"door": "front"},
    }
    assert chunks[0].choices[0].delta.role == "assistant" and len({chunk.id for chunk in chunks}) == 1
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None] * (len(chunks) - 1) + ["tool_calls"]
    assert all(chunk.usage is None and chunk.object == "chat.completion.chunk" for chunk in chunks)


def test_a_stream_counts_usage_when_asked(app):
    chunks = collect(app, DIM, stream_options={"include_usage": True})
    assert chunks[-1].choices == [] and chunks[-1].usage.total_tokens == 6
    assert all(chunk.usage is None for chunk in chunks[:-1])


def test_a_stream_without_calls_says_stop(app):
    chunks = collect(app, "how are you")
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None, "stop"]


def test_the_sdks_own_stream_helper_reads_the_answer(app):
    async def work(client):
        messages = [{"role": "user", "content": BOTH}]
        async with client.chat.completions.stream(model="needle", messages=messages, tools=TOOLS) as stream:
            async for _ in stream:
                pass
            return await stream.get_final_completion()

    assert calls_of(run(app, work)) == [("dim", {"room": "hall", "percent": 10}), ("lock", {"door": "front"})]


class dim(BaseModel):  # noqa: N801  (the SDK takes the name of the tool from it)
    """Dim."""

    room: str
    percent: int


def test_the_sdks_parse_helper_gives_typed_arguments_of_strict_tools(app):
    async def work(client):
        messages = [{"role": "user", "content": DIM}]
        tools = [openai.pydantic_function_tool(dim)]
        assert tools[0]["function"]["strict"] is True
        parsed = await client.chat.completions.parse(model="m", messages=messages, tools=tools)
        raw = await client.chat.completions.with_raw_response.create(model="m", messages=messages, tools=tools)
        return parsed.choices[0].message.tool_calls[0].function.parsed_arguments, raw

    arguments, raw = run(app, work)
    assert arguments == dim(room="hall", percent=10)
    assert raw.headers["content-type"] == "application/json" and raw.parse().object == "chat.completion"


def test_evidence_comes_when_it_is_asked_for_also_in_a_stream(tiny_base):
    app, named = create_app(needle.load(tiny_base)), {"type": "function", "function": {"name": "dim"}}
    plain = ask(app, "dim the hall", tool_choice=named)
    told = ask(app, "dim the hall", tool_choice=named, extra_body={"needle": {"explain": True}})
    assert calls_of(plain) == calls_of(told) and "evidence" not in plain.model_extra["needle"]
    chunks = collect(app, "dim the hall", tool_choice=named, extra_body={"needle": {"explain": True}})
    assert chunks[-1].model_extra["needle"].get("evidence") == told.model_extra["needle"].get("evidence")
    with pytest.raises(openai.BadRequestError, match="needle must be an object"):
        ask(app, DIM, extra_body={"needle": {"speed": 3}})


def test_the_model_is_listed_and_found(app):
    async def work(client):
        return [model.id async for model in client.models.list()], (await client.models.retrieve("needle")).id

    assert run(app, work) == (["needle"], "needle")
    with pytest.raises(openai.NotFoundError, match="no model 'other'"):
        run(app, lambda client: client.models.retrieve("other"))


@pytest.mark.parametrize(("query", "error", "words"), [
    ("too long", openai.UnprocessableEntityError, "too long"),
    ("unreachable", openai.InternalServerError, "unreachable"),
    ("break", openai.InternalServerError, "the model failed"),
])  # fmt: skip
def test_a_caller_that_cannot_answer_is_an_error_of_the_sdk(app, query, error, words):
    with pytest.raises(error, match=words) as caught:
        ask(app, query)
    assert "secret details" not in str(caught.value)
    assert calls_of(ask(app, DIM)), "the server goes on"


def test_requests_at_the_same_time_are_answered_together_and_not_mixed_up(app, caller):
    caller.gate.clear()

    async def work(client):
        async def one(number):
            query = f'dim {{"percent": {number}}}'
            return await client.chat.completions.create(
                model="m", messages=[{"role": "user", "content": query}], tools=TOOLS
            )

        tasks = [asyncio.create_task(one(number)) for number in range(9)]
        while not caller.batches:
            await asyncio.sleep(0.001)
        caller.gate.set()
        return await asyncio.gather(*tasks)

    answers = run(app, work)
    assert [calls_of(answer) for answer in answers] == [[("dim", {"percent": number})] for number in range(9)]
    assert len(caller.batches) <= 3 and sum(map(len, caller.batches)) == 9
    assert len(caller.threads) == 1


def test_one_request_that_breaks_the_caller_does_not_spoil_the_others(app, caller):
    async def work(client):
        queries = [DIM, "break", BOTH]
        asked = [
            client.chat.completions.create(model="m", messages=[{"role": "user", "content": query}], tools=TOOLS)
            for query in queries
        ]
        return await asyncio.gather(*asked, return_exceptions=True)

    first, broken, last = run(app, work)
    assert calls_of(first) and len(calls_of(last)) == 2 and isinstance(broken, openai.InternalServerError)
