"""Bad clients of a listening server: garbage, half requests, slow ones, hang-ups. It answers in shape and goes on."""

from __future__ import annotations

import json
import logging
import random
import socket
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import httpx2
import pytest
import uvicorn
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from serve_helpers import TOOLS, Spelled

from needle.serve import Limits, create_app
from needle.serve.run import settings as server_settings

GOOD = {"model": "needle", "messages": [{"role": "user", "content": 'dim {"room": "hall"}'}], "tools": TOOLS}
LIMITS = Limits(body_bytes=1 << 18)
PLAIN = settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["user", "function", "dim"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6) | st.sampled_from(
        ["role", "content", "type", "function", "name", "parameters", "properties", "$ref", "enum", "tool_calls"]),
        inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@dataclass(frozen=True)
class Live:
    """A listening server."""

    port: int
    caller: Spelled
    server: uvicorn.Server
    http: httpx2.Client

    def fine(self) -> bool:
        """Whether it still answers, both the small question and the large one."""
        return (
            self.http.get("/healthz").json()["status"] == "ok"
            and self.http.post("/v1/chat/completions", json=GOOD).status_code == 200
        )

    def socket(self) -> socket.socket:
        """A bare connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)


def start(limits: Limits) -> tuple[Live, threading.Thread]:
    listener, caller = socket.create_server(("127.0.0.1", 0)), Spelled()
    port = listener.getsockname()[1]
    server = uvicorn.Server(server_settings(create_app(caller, limits=limits), limits))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    http = httpx2.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=20)
    return Live(port, caller, server, http), thread


@pytest.fixture(scope="module")
def live() -> Iterator[Live]:
    live, thread = start(LIMITS)
    yield live
    live.server.should_exit = True
    thread.join(20)


@pytest.fixture(autouse=True)
def _no_traceback(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Nothing that a client sends is a bug of the server."""
    with caplog.at_level(logging.WARNING):
        yield
    assert not [record for record in caplog.records if record.exc_info or "Traceback" in record.getMessage()]


def in_shape(response: httpx2.Response) -> bool:
    """An answer, or a refusal in OpenAI's shape."""
    if response.status_code == 200:
        return "choices" in response.json()
    return response.status_code in (400, 422) and set(response.json()["error"]) == {"message", "type", "param", "code"}


@PLAIN
@given(
    st.dictionaries(
        st.sampled_from(["messages", "tools", "tool_choice", "stream", "n", "model", "stream_options", "x"]),
        JSON,
        max_size=3,
    )
)
def test_any_value_in_any_field_is_answered_or_refused_in_shape(live, change):
    body = GOOD | change
    body.pop("stream", None) if body.get("stream") is True else None
    response = live.http.post(
        "/v1/chat/completions", content=json.dumps(body).encode(), headers={"content-type": "application/json"}
    )
    assert in_shape(response), response.text


@PLAIN
@given(st.binary(max_size=300), st.integers(0, 400), st.booleans())
def test_any_bytes_spliced_into_a_body_are_answered_or_refused_in_shape(live, junk, place, cut):
    raw = json.dumps(GOOD).encode()
    raw = raw[:place] + junk + (b"" if cut else raw[place:])
    assert in_shape(live.http.post("/v1/chat/completions", content=raw, headers={"content-type": "application/json"}))


def request_bytes(body: bytes, length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {size}\r\n\r\n"
    return head.encode() + body


def test_garbage_half_requests_and_hang_ups_leave_the_server_well(live):
    dice, whole = random.Random(3), request_bytes(json.dumps(GOOD).encode())
    for number in range(60):
        with live.socket() as connection:
            kind = number % 4
            if kind == 0:
                connection.sendall(dice.randbytes(dice.randrange(1, 2000)))
            elif kind == 1:
                connection.sendall(whole[: dice.randrange(len(whole))])
            elif kind == 2:
                connection.sendall(whole)  # and gone before the answer
            else:
                connection.sendall(b"GET /healthz HTTP/1.1\r\n" + b"x-filler: y\r\n" * 20_000)
            if dice.random() < 0.5:  # a reset instead of a goodbye
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert live.fine()


def closed_within(connection: socket.socket, seconds: float) -> bytes:
    """What came until the server closed the connection."""
    connection.settimeout(seconds)
    found = b""
    while chunk := connection.recv(4096):
        found += chunk
    return found


def test_slow_clients_are_closed():
    live, thread = start(Limits(header_seconds=0.3, body_seconds=0.3))
    half = [live.socket() for _ in range(3)]
    half[1].sendall(b"POST /v1/chat")
    half[2].sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")  # well behaved once, then silent in its second request
    answered = b""
    while not answered.endswith(b"}"):  # head and body may come apart
        answered += half[2].recv(4096)
    half[2].sendall(b"GET /hea")
    assert answered.startswith(b"HTTP/1.1 200")
    assert [closed_within(connection, 20) for connection in half] == [b"", b"", b""]
    with live.socket() as connection:
        connection.sendall(request_bytes(b'{"model', 5000))
        assert b" 408 " in closed_within(connection, 20).split(b"\r\n")[0]
    live.server.should_exit = True
    thread.join(20)


def test_deep_and_huge_bodies_are_refused_in_shape(live):
    for raw, status in (
        (b"[" * 200_000, 400),
        (b'{"a":' * 40_000, 400),
        (b" " * (LIMITS.body_bytes + 1), 413),
        (b'{"messages": "' + b"x" * 200_000 + b'"}', 400),
    ):
        response = live.http.post("/v1/chat/completions", content=raw, headers={"content-type": "application/json"})
        assert response.status_code == status and "error" in response.json()
    assert live.fine()


def test_one_connection_too_many_is_told_in_shape_and_there_is_room_again_later():
    live, thread = start(Limits(connections=2))
    held = [live.socket() for _ in range(2)]
    for connection in held:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 200")
    response = live.http.post("/v1/chat/completions", json=GOOD)
    assert response.status_code == 503 and response.json()["error"]["code"] == "crowded"
    for connection in held:
        connection.close()
    while live.http.get("/healthz").status_code != 200:
        time.sleep(0.01)
    live.server.should_exit = True
    thread.join(20)


def test_an_answer_under_way_is_finished_before_the_server_ends():
    live, thread = start(Limits())
    live.caller.gate.clear()
    answers: list[httpx2.Response] = []
    asking = threading.Thread(target=lambda: answers.append(live.http.post("/v1/chat/completions", json=GOOD)))
    asking.start()
    while not live.caller.batches:
        time.sleep(0.005)
    live.server.should_exit = True
    time.sleep(0.2)
    live.caller.gate.set()
    asking.join(20)
    thread.join(20)
    assert (
        answers[0].status_code == 200
        and answers[0].json()["choices"][0]["finish_reason"] == "tool_calls"
        and not thread.is_alive()
    )
