"""The fault server: every fault ends in its own reason, in-process and as a process that can be killed; no key comes out."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
import subprocess
import sys
import time
import traceback
import urllib.request
from pathlib import Path

import httpx2

from needle.teacher.client import Teacher, TeacherConfig
from needle.teacher.errors import PermanentError, TransientError
from needle.teacher.fault_kinds import FAULTS
from needle.teacher.faults import FaultApp
from needle.teacher.profiles import teacher_facts
from needle.teacher.wire import WireNames, read_calls, tools_to_wire

ROOT = Path(__file__).parents[2]
PATIENT = {"backoff_s": 0.001, "max_attempts": 2, "deadline_s": 2, "attempt_s": 0.2, "starvation_s": 0.3}
ENDS = {
    "rate_limit": "starved", "rate_limit_seconds": "starved", "rate_limit_ms": "starved", "rate_limit_date": "starved",
    "rate_limit_reset": "starved", "rate_limit_minutes": "starved", "rate_limit_words": "starved", "rate_limit_google": "starved",
    "rate_limit_bare": "starved", "rate_limit_long": "starved", "limit_in_body": "starved",
    "quota": "quota", "payment": "quota", "auth": "auth", "auth_echo": "auth", "forbidden": "forbidden", "not_found": "not_found",
    "bad_request": "bad_request", "unprocessable": "bad_request", "content_filter": "content_filter",
    "server_error": "server", "bad_gateway": "server", "gateway_timeout": "server", "overloaded": "overloaded", "html": "not_json", "no_choices": "not_json",
    "error_in_body": "server", "cut_body": "not_json", "hang": "timeout", "trickle": "timeout",
    "truncated": "truncated", "bad_arguments": "malformed", "list_arguments": "malformed", "twice_argument": "malformed",
    "nan_argument": "malformed", "duplicate_ids": "malformed", "filtered": "filtered",
    "unknown_tool": "answer", "empty": "answer", "no_usage": "answer", "plain": "answer", "no_temperature": "answer", "no_max_tokens": "answer",
}  # fmt: skip


async def _end(teacher, body, names):
    """How one call ended, in a word."""
    try:
        answer = await teacher.complete(body)
    except (PermanentError, TransientError) as error:
        return error.reason, error
    return (read_calls(answer, names)[1] or "answer").partition(":")[0], None


def test_every_fault_ends_in_its_own_reason(tools):
    assert ENDS.keys() == FAULTS.keys()
    body = {"messages": [{"role": "user", "content": "x"}], "tools": tools_to_wire(tools, WireNames(tools)), "temperature": 0.0, "max_tokens": 9}

    async def one(name):
        slow = {"attempt_s": 1.5, "deadline_s": 4, "starvation_s": 0.9}  # 40 at once on a busy machine
        config = TeacherConfig(base_url="http://localhost:9/v1", model=name, **PATIENT | slow)
        async with Teacher(config, transport=httpx2.ASGITransport(FaultApp([name]).asgi)) as teacher:
            return (await _end(teacher, body, WireNames(tools)))[0]

    async def all_of_them():
        return dict(zip(FAULTS, await asyncio.gather(*map(one, FAULTS)), strict=True))

    assert asyncio.run(all_of_them()) == ENDS


def test_the_key_is_sent_and_comes_out_nowhere_else(monkeypatch, caplog, capsys, tools):
    """Not in messages, tracebacks, representations, or the most talkative logs."""
    monkeypatch.setenv("NEEDLE_API_KEY", "sk-very-secret")
    monkeypatch.setenv("EXTRA", "very-secret-too")
    caplog.set_level(logging.DEBUG)
    app = FaultApp(["auth_echo"])
    config = TeacherConfig(base_url="http://localhost:9/v1", model="m", headers={"X-Extra": "Bearer ${EXTRA}"}, **PATIENT)

    async def work(teacher, name):
        app._script = [name]
        return await _end(teacher, {"messages": [{"role": "user", "content": "x"}]}, WireNames(tools))

    async def everything():
        async with Teacher(config, transport=httpx2.ASGITransport(app.asgi)) as teacher:
            ends = [await work(teacher, name) for name in ("auth_echo", "quota", "server_error", "html", "trickle", "plain")]
            said = [repr(teacher.config), repr(vars(teacher.usage)), json.dumps(teacher_facts(config))]
        return said + [text for _, error in ends if error for text in (str(error), repr(error), *traceback.format_exception(error))]

    said = asyncio.run(everything())
    assert app.keys[0] == "Bearer sk-very-secret"
    printed = capsys.readouterr()
    for text in (*said, caplog.text, printed.out, printed.err):
        assert "very-secret" not in text, text


def test_chances_are_drawn_by_the_seed():
    def play(seed):
        app = FaultApp(["plain"], chances={"server_error": 0.3, "html": 0.2}, seed=seed)
        return [app._next() for _ in range(200)]

    assert play(1) == play(1) != play(2) and 40 <= play(1).count("server_error") <= 80


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def served(*arguments):
    """The fault server as a process; gives its address and itself."""
    port = _free_port()
    command = [sys.executable, "-m", "needle.teacher.faults", *arguments, "--port", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)})
    try:
        ends = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < ends:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.2):
                break
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}", process
    finally:
        process.kill()
        process.wait()


def test_as_a_process_it_drips_counts_and_can_be_killed(tools):
    with served("plain", "trickle", "hang", "plain", "--latency", "0.01") as (address, process):
        config = TeacherConfig(base_url=f"{address}/v1", model="m", **PATIENT | {"max_attempts": 1, "attempt_s": 1.0})
        body = {"messages": [{"role": "user", "content": "x"}]}

        async def work():
            async with Teacher(config) as teacher:
                ends = [(await _end(teacher, body, WireNames(tools)))[0] for _ in range(4)]
                with urllib.request.urlopen(f"{address}/stats") as answer:
                    stats = json.loads(answer.read())
                process.kill()
                process.wait()
                ends.append((await _end(teacher, body, WireNames(tools)))[0])
            return ends, stats

        ends, stats = asyncio.run(work())
    assert ends == ["answer", "timeout", "timeout", "answer", "connection"]
    assert (stats["requests"], stats["answers"], stats["repeated"]) == (4, 2, 1)
    assert stats["played"] == {"plain": 2, "trickle": 1, "hang": 1}
