"""Streams: calls go out as they are decided, failures keep their status as long as they can, hang-ups cost nothing."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Sequence

import openai
import pytest
from serve_helpers import TOOLS, get, run

from needle.serve import Limits, create_app
from needle.tools import Caller, CallResult, Delta, Request, ToolCall
from needle.tools.caller import Watch

PIECES = [Delta(0, "dim", '{"room":'), Delta(0, None, '"hall"}'), Delta(1, "lock", "{"), Delta(1, None, "}")]


class Telling(Caller):
    """Tells its calls piece by piece; from ``stop`` on only when it is allowed to."""

    def __init__(self, stop: int = 99, error: str | None = None, breaks: bool = False) -> None:
        self.stop, self.error, self.breaks = stop, error, breaks
        self.gate = threading.Event()
        self.asked = 0

    def answer(self, requests: Sequence[Request]) -> list[CallResult]:
        self.asked += len(requests)
        calls = [ToolCall("dim", {"room": "hall"}), ToolCall("lock", {})]
        return [
            CallResult(calls, error=self.error, confidence=0.75, usage={"prompt_tokens": 3, "completion_tokens": 4})
            for _ in requests
        ]

    def answer_watched(self, requests: Sequence[Request], watch: Watch) -> list[CallResult]:
        for number, piece in enumerate(PIECES):
            if number == self.stop:
                if self.breaks:
                    raise RuntimeError("in the middle")
                assert self.gate.wait(20)
            for place in range(len(requests)):
                watch(place, piece)
        return self.answer(requests)


QUESTION = {"model": "m", "messages": [{"role": "user", "content": "x"}], "tools": TOOLS}


async def pieces_of(stream, sink: list) -> list:
    async for chunk in stream:
        for choice in chunk.choices:
            for piece in choice.delta.tool_calls or []:
                sink.append((piece.index, piece.function.name, piece.function.arguments))
    return sink


def test_a_call_is_out_before_the_next_is_decided():
    caller = Telling(stop=2)

    async def work(client):
        sink: list = []
        stream = await client.chat.completions.create(stream=True, **QUESTION)
        reading = asyncio.create_task(pieces_of(stream, sink))
        while len(sink) < 3:
            await asyncio.sleep(0.002)
        first = list(sink)
        caller.gate.set()
        return first, await reading

    first, whole = run_live(create_app(caller), work)
    assert first == [(0, "dim", ""), (0, None, '{"room":'), (0, None, '"hall"}')]
    assert whole == [*first, (1, "lock", ""), (1, None, "{"), (1, None, "}")] and caller.asked == 1


def run_live(app, work):
    """As ``run``, over a socket: the transport without one hands over whole answers only."""
    import socket

    import httpx2
    import uvicorn

    from needle.serve.run import settings

    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(settings(app, Limits()))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()

    async def inside():
        http = httpx2.AsyncClient(trust_env=False)
        base = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        async with openai.AsyncOpenAI(api_key="none", base_url=base, max_retries=0, http_client=http) as client:
            return await work(client)

    try:
        return asyncio.run(inside())
    finally:
        server.should_exit = True
        thread.join(20)


@pytest.mark.parametrize(("options", "names"), [
    ({"parallel_tool_calls": False}, ["dim"]), ({"tool_choice": {"type": "function", "function": {"name": "lock"}}}, ["lock"]), ({}, ["dim", "lock"]),
])  # fmt: skip
def test_pieces_of_calls_that_were_not_asked_for_stay_here(options, names):
    async def work(client):
        return await pieces_of(await client.chat.completions.create(stream=True, **QUESTION | options), [])

    pieces = run(create_app(Telling()), work)
    assert [name for _, name, _ in pieces if name] == names and sorted({index for index, _, _ in pieces}) == list(
        range(len(names))
    )


def test_usage_and_confidence_come_last():
    async def work(client):
        stream = await client.chat.completions.create(stream=True, stream_options={"include_usage": True}, **QUESTION)
        return [chunk async for chunk in stream]

    *_, finish, usage = run(create_app(Telling()), work)
    assert finish.choices[0].finish_reason == "tool_calls" and finish.model_extra["needle"] == {
        "confidence": 0.75,
        "calibrated": False,
    }
    assert usage.usage.total_tokens == 7 and usage.choices == []


@pytest.mark.parametrize(
    ("caller", "error"), [(Telling(error="truncated"), "truncated"), (Telling(stop=2, breaks=True), "the model failed")]
)
def test_a_failure_after_the_first_piece_is_an_error_in_the_stream_and_the_request_is_not_asked_again(caller, error):
    async def work(client):
        stream = await client.chat.completions.create(stream=True, **QUESTION)
        with pytest.raises(openai.APIError, match=error):
            await pieces_of(stream, [])

    run(create_app(caller), work)
    assert caller.asked <= 1


def test_a_failure_before_the_first_piece_keeps_its_status(app):
    async def work(client):
        for query, kind in (("too long", openai.UnprocessableEntityError), ("break", openai.InternalServerError)):
            with pytest.raises(kind):
                await client.chat.completions.create(
                    stream=True, **QUESTION | {"messages": [{"role": "user", "content": query}]}
                )

    run(app, work)


def test_a_stream_is_counted_when_it_has_ended():
    app = create_app(Telling())

    async def work(client):
        await pieces_of(await client.chat.completions.create(stream=True, **QUESTION), [])

    run(app, work)
    text = get(app, "/metrics").text
    assert 'needle_requests_total{status="200"} 1' in text and 'status="0"' not in text


FLAT = [{"type": "function", "strict": False, **tool["function"]} for tool in TOOLS]


def test_the_responses_api_gives_the_same_calls_whole_and_streamed():
    async def work(client):
        asked = {"model": "needle", "input": "x", "tools": FLAT, "instructions": "Today is Monday."}
        whole = await client.responses.create(**asked)
        async with client.responses.stream(**asked) as stream:
            kinds = [event.type async for event in stream]
            final = await stream.get_final_response()
        return whole, kinds, final

    whole, kinds, final = run(create_app(Telling()), work)
    for answer in (whole, final):
        assert [(item.type, item.name, json.loads(item.arguments)) for item in answer.output] == [
            ("function_call", "dim", {"room": "hall"}),
            ("function_call", "lock", {}),
        ]
        assert (
            answer.status == "completed"
            and answer.usage.total_tokens == 7
            and answer.model_extra["needle"]["confidence"] == 0.75
        )
    assert kinds[0] == "response.created" and kinds[-1] == "response.completed"
    assert kinds.count("response.function_call_arguments.delta") == 4 and kinds.count("response.output_item.done") == 2


def test_a_conversation_of_the_responses_api_reaches_the_caller(app, caller):
    async def work(client):
        items = [
            {"role": "user", "content": [{"type": "input_text", "text": "dim it"}]},
            {"type": "function_call", "call_id": "c1", "name": "dim", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": "done"},
            {"role": "user", "content": 'lock {"door": "front"}'},
        ]
        choice = {"type": "function", "name": "lock"}
        return await client.responses.create(
            model="m", input=items, tools=FLAT, instructions="Locale: de.", tool_choice=choice
        )

    answer = run(app, work)
    assert [(item.name, item.arguments) for item in answer.output] == [("lock", '{"door": "front"}')]
    request = caller.batches[0][0]
    assert (request.system, request.choice.only, len(request.messages), len(request.tools)) == (
        "Locale: de.",
        "lock",
        3,
        2,
    )


@pytest.mark.parametrize("change", [
    {"previous_response_id": "resp_1"}, {"background": True}, {"input": 3}, {"input": [{"type": "reasoning"}]}, {"instructions": 3},
    {"text": {"format": {"type": "json_object"}}}, {"tools": "x"}, {"tools": [3]}, {"tool_choice": {"type": "function"}},
])  # fmt: skip
def test_what_the_responses_api_cannot_do_here_is_refused(app, change):
    with pytest.raises(openai.BadRequestError):
        run(app, lambda client: client.responses.create(**{"model": "m", "input": "x", "tools": FLAT} | change))


def test_several_models_are_told_apart_by_name():
    other = Telling()
    app = create_app({"small": Telling(), "large": other})

    async def work(client):
        answer = await client.chat.completions.create(**QUESTION | {"model": "large"})
        with pytest.raises(openai.NotFoundError, match="no model 'm'; there are: small, large"):
            await client.chat.completions.create(**QUESTION)
        return answer.model, [model.id async for model in client.models.list()]

    assert run(app, work) == ("large", ["small", "large"]) and other.asked == 1


def test_pages_of_other_sites_may_ask_only_when_they_are_named(caller):
    origin = {"origin": "https://example.com"}
    assert "access-control-allow-origin" not in get(create_app(caller), "/healthz", origin).headers
    app = create_app(caller, origins=["https://example.com"])
    assert get(app, "/healthz", origin).headers["access-control-allow-origin"] == "https://example.com"
    assert "access-control-allow-origin" not in get(app, "/healthz", {"origin": "https://evil.example"}).headers
