"""``needle serve`` as people start it: over a socket, with a key, until Ctrl-C."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx2
import openai
import pytest
from serve_helpers import KEY, TOOLS

ROOT = Path(__file__).parents[2]
SERVE = ["serve", "--model", "first=baseline:first-tool", "--model", "never=baseline:never", "--port", "0"]


def test_the_command_serves_the_sdk_survives_garbage_and_ends_on_ctrl_c():
    command = [sys.executable, "-m", "needle.cli", *SERVE, "--key-env", "MY_SERVER_KEY"]
    environment = os.environ | {"MY_SERVER_KEY": KEY}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, **pipes)
    try:
        line = process.stdout.readline()
        url = re.search(r"http://127\.0\.0\.1:(\d+)/v1$", line.strip())
        assert url, (line, process.stderr.read() if process.poll() is not None else "")
        for garbage in (
            b"\x16\x03\x01\x02\x00\x01",
            b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: -5\r\n\r\n",
        ):
            with socket.create_connection(("127.0.0.1", int(url[1])), timeout=30) as connection:
                connection.sendall(garbage)
        question = {"model": "first", "messages": [{"role": "user", "content": "dim the hall"}], "tools": TOOLS}
        with openai.OpenAI(
            base_url=url[0], api_key=KEY, max_retries=0, http_client=httpx2.Client(trust_env=False)
        ) as client:
            with client.chat.completions.create(stream=True, **question) as stream:
                reasons = [chunk.choices[0].finish_reason for chunk in stream]
            names = [
                call.function.name for call in client.chat.completions.create(**question).choices[0].message.tool_calls
            ]
            assert [model.id for model in client.models.list()] == ["first", "never"]
            raw = client.chat.completions.with_raw_response.create(**question | {"model": "never"})
            assert raw.status_code == 200 and raw.parse().choices[0].message.tool_calls == []
        assert (reasons[-1], names) == ("tool_calls", ["dim"])
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0 and KEY not in line + out + err and "Traceback" not in err


@pytest.mark.parametrize(("options", "words"), [
    (["--key-env", "NO_SUCH_KEY_HERE"], "NO_SUCH_KEY_HERE: the environment has no such variable"),
    (["--port", "70000"], "port 70000 does not exist"),
])  # fmt: skip
def test_a_server_that_cannot_start_says_why_in_one_line(cli, options, words):
    assert words in cli(*SERVE, *options).complaint


@pytest.mark.parametrize(("models", "words"), [
    (["baseline:nobody"], "nobody"), (["a=baseline:never", "a=baseline:never"], "two models are called a"),
    (["a=baseline:never", "baseline:never"], "several models need names"),
])  # fmt: skip
def test_models_that_cannot_be_told_apart_are_refused(cli, models, words):
    assert words in cli("serve", "--port", "0", *(word for model in models for word in ("--model", model))).complaint


def test_an_open_address_without_a_key_is_warned_about(cli):
    outcome = cli("serve", "--model", "baseline:never", "--host", "0.0.0.0", "--port", "70000")
    assert outcome.code == 2 and outcome.err.startswith("note: whoever reaches 0.0.0.0 can use this server; give a key")
