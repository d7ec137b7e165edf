"""Keys, limits, bad bodies, counters: whatever a client sends, it gets JSON in OpenAI's shape and the server lives."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import socket
import string

import httpx2
import openai
import pytest
from serve_helpers import KEY, TOOLS, Spelled, get, post, run

from needle.errors import UserError
from needle.serve import Limits, create_app, serve

GOOD = {"model": "needle", "messages": [{"role": "user", "content": 'dim {"room": "hall"}'}], "tools": TOOLS}


def error_of(response: httpx2.Response) -> dict:
    """The error of a refusal, checked to be in OpenAI's shape."""
    body = response.json()
    assert set(body) == {"error"} and set(body["error"]) == {"message", "type", "param", "code"}, body
    assert isinstance(body["error"]["message"], str) and "\n" not in body["error"]["message"]
    return body["error"]


@pytest.mark.parametrize(("change", "param"), [
    ({"messages": None}, "messages"), ({"messages": []}, "messages"), ({"messages": [1]}, "messages[0]"),
    ({"messages": [{"role": "king", "content": "x"}]}, "messages[0].role"),
    ({"messages": [{"role": "user", "content": "  "}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]}, "messages[0].content"),
    ({"messages": [{"role": "system", "content": "x"}]}, "messages"),
    ({"messages": [{"role": "assistant", "tool_calls": [{}]}, *GOOD["messages"]]}, "messages[0].tool_calls[0]"),
    ({"tools": {}}, "tools"), ({"tools": [{"type": "custom"}]}, "tools[0]"), ({"tools": TOOLS * 300}, "tools"),
    ({"tools": [TOOLS[0], TOOLS[0]]}, "tools"),
    ({"tools": [{"type": "function", "function": {"name": "x", "parameters": {"type": "array"}}}]}, "tools"),
    ({"tool_choice": "sometimes"}, "tool_choice"), ({"tool_choice": 3}, "tool_choice"),
    ({"tool_choice": {"type": "function", "function": {"name": "fly"}}}, "tool_choice"),
    ({"tools": [], "tool_choice": "required"}, "tool_choice"),
    ({"stream": "yes"}, "stream"), ({"stream_options": 1}, "stream_options"),
    ({"parallel_tool_calls": 1}, "parallel_tool_calls"),
    ({"n": 2}, "n"), ({"model": 7}, "model"), ({"functions": []}, "functions"),
    ({"response_format": {"type": "json_object"}}, "response_format"),
])  # fmt: skip
def test_a_wrong_field_is_named(app, caller, change, param):
    response = post(app, json.dumps(GOOD | change).encode())
    assert response.status_code == 400 and error_of(response)["param"] == param
    assert error_of(response)["type"] == "invalid_request_error" and caller.batches == []


@pytest.mark.parametrize("depth", [60, 400, 3000])
@pytest.mark.parametrize("place", ["tools", "messages", "tool_choice", "x"])
def test_deep_nesting_is_an_answer_or_a_refusal(app, depth, place):
    deep = '{"type":"object","properties":{"a":' * depth + "{}" + "}}" * depth
    if place == "tools":
        deep = '[{"type":"function","function":{"name":"t","parameters":' + deep + "}}]"
    raw = json.dumps(GOOD)[:-1] + f',"{place}":{deep}' + "}"
    assert post(app, raw.encode()).status_code in (200, 400)


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"messages": NaN}', b"[" * 100_000,
                                 b"1" * 5000,
                                 b'{"messages": [{"role": "user", "content": "\\ud800"}]}'])  # fmt: skip
def test_a_body_that_is_no_json_object_is_refused(app, raw):
    response = post(app, raw)
    assert response.status_code == 400 and error_of(response)["message"]


def test_a_sampling_option_is_ignored_and_null_means_absent(app):
    options = {
        "temperature": 0.2,
        "seed": 3,
        "max_tokens": 9,
        "tool_choice": None,
        "n": None,
        "stream": None,
        "user": "me",
    }
    assert post(app, json.dumps(GOOD | options).encode()).status_code == 200


def test_unknown_places_methods_and_kinds_are_errors_in_shape(app):
    assert error_of(get(app, "/v1/embeddings"))["code"] == "not_found"
    assert error_of(get(app, "/v1/chat/completions"))["code"] == "method_not_allowed"
    response = post(app, json.dumps(GOOD).encode(), {"content-type": "text/plain"})
    assert response.status_code == 415 and error_of(response)["code"] == "not_json"


def test_a_body_that_is_too_large_is_refused_with_and_without_its_length(caller):
    app = create_app(caller, limits=Limits(body_bytes=300))
    assert post(app, b" " * 301).status_code == 413

    async def chunks():
        for _ in range(40):
            yield b" " * 10

    async def inside():
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://needle.test") as client:
            return await client.post(
                "/v1/chat/completions", content=chunks(), headers={"content-type": "application/json"}
            )

    response = asyncio.run(inside())
    assert response.status_code == 413 and error_of(response)["code"] == "too_large"


def _deliver(app, receive):
    """Status and headers of a POST whose body comes from ``receive``, as an ASGI server would hand it over."""
    sent: list[dict] = []

    async def send(message):
        sent.append(message)

    headers = [(b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "headers": headers, "query_string": b""}
    asyncio.run(app(scope, receive, send))
    return sent[0]["status"]


def test_a_body_that_never_comes_is_given_up(caller):
    async def receive():
        await asyncio.sleep(60)

    assert _deliver(create_app(caller, limits=Limits(body_seconds=0.01)), receive) == 408


def test_a_client_that_hangs_up_harms_nobody(app):
    parts = [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}]

    async def receive():
        return parts.pop(0)

    _deliver(app, receive)
    assert 'needle_requests_total{status="499"} 1' in get(app, "/metrics").text
    assert post(app, json.dumps(GOOD).encode()).status_code == 200


def test_a_client_that_hangs_up_while_it_waits_costs_no_answer(app, caller):
    parts = [{"type": "http.request", "body": json.dumps(GOOD).encode()}, {"type": "http.disconnect"}]

    async def receive():
        return parts.pop(0)

    assert _deliver(app, receive) == 499 and caller.batches == []
    assert 'needle_requests_total{status="499"} 1' in get(app, "/metrics").text
    assert post(app, json.dumps(GOOD).encode()).status_code == 200


def test_a_large_body_is_read_as_a_small_one(app, caller):
    facts = [{"role": "system", "content": "x" * 100_000}]
    assert post(app, json.dumps(GOOD | {"messages": facts + GOOD["messages"]}).encode()).status_code == 200
    assert caller.batches[0][0].system == facts[0]["content"]


def test_a_full_queue_sends_away_with_429_and_recovers(caller):
    app = create_app(caller, limits=Limits(queue=2, batch=1))
    caller.gate.clear()

    async def work(client):
        async def one():
            return await client.chat.completions.create(**GOOD)

        first = asyncio.create_task(one())
        while not caller.batches:
            await asyncio.sleep(0.001)
        waiting = [asyncio.create_task(one()) for _ in range(2)]
        while b'"waiting":2' not in (await client.get("http://needle.test/healthz", cast_to=httpx2.Response)).content:
            await asyncio.sleep(0.001)
        with pytest.raises(openai.RateLimitError, match="2 requests are waiting") as caught:
            await one()
        assert caught.value.response.headers["retry-after"] == "1" and caught.value.code == "queue_full"
        caller.gate.set()
        await asyncio.gather(first, *waiting)
        return await one()

    assert run(app, work).choices[0].finish_reason == "tool_calls"


def test_workers_share_what_waits_and_answer_at_once(caller):
    app = create_app(caller, limits=Limits(workers=2, window_seconds=0.02))
    caller.gate.clear()

    async def work(client):
        tasks = [asyncio.create_task(client.chat.completions.create(**GOOD)) for _ in range(6)]
        while len(caller.batches) < 2:
            await asyncio.sleep(0.001)
        caller.gate.set()
        return await asyncio.gather(*tasks)

    assert all(answer.choices[0].finish_reason == "tool_calls" for answer in run(app, work))
    assert len(caller.threads) == 2 and sum(map(len, caller.batches)) == 6 and max(map(len, caller.batches[:2])) <= 3


def test_an_answer_that_takes_too_long_is_504_and_is_not_retried(caller):
    app = create_app(caller, limits=Limits(answer_seconds=0.02))
    caller.gate.clear()

    async def work(client):
        client = client.with_options(max_retries=2)
        with pytest.raises(openai.InternalServerError, match="no answer within") as caught:
            await client.chat.completions.create(**GOOD)
        caller.gate.set()
        return caught.value

    error = run(app, work)
    assert error.status_code == 504 and error.code == "timeout"
    assert get(app, "/metrics").text.count('status="504"} 1') == 1


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer wrong", f"Basic {KEY}", f"Bearer {KEY}x", "Bearer \u00e9"])
def test_without_the_key_nothing_is_answered(caller, header):
    app = create_app(caller, key=KEY)
    headers = {"authorization": header.encode("latin-1")} if header else {}
    for response in (
        post(app, json.dumps(GOOD).encode(), headers),
        get(app, "/v1/models", headers),
        get(app, "/metrics", headers),
    ):
        assert response.status_code == 401 and error_of(response)["code"] == "invalid_api_key"
        assert KEY not in response.text
    assert get(app, "/healthz").status_code == 200 and caller.batches == []


def test_with_the_key_the_sdk_is_answered_and_the_key_is_kept_nowhere(caller, caplog):
    caplog.set_level(logging.DEBUG, logger="needle")
    app = create_app(caller, key=KEY)
    assert run(app, lambda client: client.chat.completions.create(**GOOD), key=KEY).choices
    with pytest.raises(openai.AuthenticationError):
        run(app, lambda client: client.chat.completions.create(**GOOD), key="other")
    assert KEY not in caplog.text + get(app, "/metrics", {"authorization": f"Bearer {KEY}"}).text


def test_metrics_count_what_was_done(app):
    post(app, json.dumps(GOOD).encode())
    post(app, b"{")
    text = get(app, "/metrics").text
    for line in ('needle_requests_total{status="200"} 1', 'needle_requests_total{status="400"} 1',
                 "needle_calls_total 1",
                 'needle_tokens_total{kind="prompt"} 3', 'needle_request_seconds_bucket{le="+Inf"} 2',
                 "needle_batch_rows_sum 1", "needle_queue_length 0"):  # fmt: skip
        assert line in text.splitlines(), text


def _spoil(value, dice: random.Random, rate: float):
    """A copy of a JSON value with a few things swapped, dropped, doubled or blown up."""
    junk = [
        None,
        True,
        -1,
        2**70,
        1e308,
        "",
        "\x00",
        "\ud83d",
        "🦊" * 9,
        [],
        {},
        [[]],
        {"": None},
        {"$ref": "#/x"},
        "user",
        "(",
    ]
    if dice.random() < rate:
        return dice.choice(junk)
    if isinstance(value, dict):
        kept = {key: _spoil(item, dice, rate) for key, item in value.items() if dice.random() > rate / 2}
        extra = {dice.choice(["type", "name", "pattern", "enum", "$defs", "x"]): dice.choice(junk)}
        return kept | (extra if dice.random() < rate else {})
    if isinstance(value, list):
        return [_spoil(item, dice, rate) for item in value for _ in range(2 if dice.random() < rate else 1)]
    return value


def _garble(raw: bytes, dice: random.Random) -> bytes:
    kind, place = dice.randrange(4), dice.randrange(len(raw))
    if kind == 0:
        return raw[:place]
    if kind == 1:
        return raw[:place] + bytes(dice.randrange(256) for _ in range(5)) + raw[place + 5 :]
    if kind == 2:
        return "".join(dice.choice(string.printable) for _ in range(60)).encode()
    return raw[:place] + b'[{"a":' * 3000 + raw[place:]


def test_300_malformed_bodies_get_an_answer_or_an_error_in_shape(app):
    dice = random.Random(7)
    schema = {"type": "object", "properties": {"a": {"type": "string", "pattern": "^a+$"}, "b": {"enum": [1, "x"]},
              "c": {"type": "array", "items": {"$ref": "#/$defs/d"}}}, "required": ["a"],
              "$defs": {"d": {"type": "integer"}}}  # fmt: skip
    past = {"id": "1", "type": "function", "function": {"name": "t", "arguments": "{}"}}
    seed = {"model": "m", "messages": [{"role": "system", "content": "x"}, {"role": "user", "content": "hi"},
            {"role": "assistant", "content": None, "tool_calls": [past]},
            {"role": "tool", "content": "y", "tool_call_id": "1"},
            {"role": "user", "content": [{"type": "text", "text": "t {}"}]}],
            "tool_choice": "auto", "stream": False, "n": 1,
            "tools": [{"type": "function", "function": {"name": "t", "parameters": schema}}]}  # fmt: skip
    bodies = []
    for number in range(300):
        raw = json.dumps(_spoil(seed, dice, dice.choice([0.01, 0.03, 0.1]))).encode()
        bodies.append(_garble(raw, dice) if number % 3 == 0 else raw)

    async def inside():
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://needle.test") as client:
            kind = {"content-type": "application/json"}
            return [await client.post("/v1/chat/completions", content=body, headers=kind) for body in bodies]

    statuses = []
    for body, response in zip(bodies, asyncio.run(inside()), strict=True):
        assert response.status_code in (200, 400), (response.status_code, response.text, body[:500])
        if response.status_code == 400:
            error_of(response)
        statuses.append(response.status_code)
    assert statuses.count(200) > 10 and statuses.count(400) > 100, "the fuzz reaches both sides"


def test_limits_and_keys_that_make_no_sense_are_refused(caller):
    with pytest.raises(UserError, match="queue is 0"):
        Limits(queue=0)
    with pytest.raises(UserError, match="key of the server is empty"):
        create_app(caller, key=" ")


def test_an_address_that_is_taken_is_one_line_with_the_remedy():
    words = "cannot be taken .*; choose another --port"
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(UserError, match=words):
        serve(Spelled(), port=taken.getsockname()[1])
    with pytest.raises(UserError, match="port 70000 does not exist"):
        serve(Spelled(), port=70000)
