"""MCP: tools of real servers in an agent, servers that fail, and the router as a server before them."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

import needle
from needle.tools import Caller, CallResult, Request, ToolCall

pytest.importorskip("mcp")

from needle.mcp import McpError, McpTools, Server, read_servers, tools_from_mcp
from needle.mcp.router import router

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
COMMAND = (sys.executable, str(HERE / "mcp_weather.py"))


class Scripted(Caller):
    """Gives the calls that it was made with."""

    def __init__(self, *calls: tuple[str, dict], confidence: float | None = None) -> None:
        self.calls, self.confidence = [ToolCall(*call) for call in calls], confidence

    def answer(self, requests: Sequence[Request]) -> list[CallResult]:
        return [CallResult(self.calls, confidence=self.confidence) for _ in requests]


@pytest.fixture(scope="module")
def tools() -> Iterator[McpTools]:
    with tools_from_mcp(Server("weather", command=COMMAND, env={"MAST": "tall"}), timeout=20) as tools:
        yield tools


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The same server over HTTP, in a process of its own."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen([*COMMAND, str(port)], stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        process.kill()
        process.wait()


def test_an_agent_calls_the_tools_of_a_server_and_gets_their_results(tools):
    calls = [
        ("forecast", {"city": "Ulm", "days": 3}),
        ("distance", {"start": "a", "end": "bcd"}),
        ("setting", {"name": "MAST"}),
    ]
    run = needle.Agent(tools, Scripted(*calls)).run("x")
    assert [step.result for step in run] == ["Ulm: rain for 3", {"km": 3}, "tall"] and run.ok
    run = asyncio.run(needle.Agent(tools, Scripted(*calls)).arun("x"))
    assert [step.result for step in run] == ["Ulm: rain for 3", {"km": 3}, "tall"]


def test_arguments_are_checked_before_the_server_is_asked_and_its_errors_are_reported(tools):
    agent = needle.Agent(tools, Scripted(("forecast", {"days": "many"}), ("break_down", {})))
    wrong, broken = agent.run("x")
    assert wrong.status == "invalid" and "city: 'city' is required" in wrong.error and "days:" in wrong.error
    assert (
        broken.status == "failed"
        and broken.error.endswith("the mast fell over")
        and isinstance(broken.exception, McpError)
    )


def test_a_server_that_ends_fails_its_call_and_is_started_again_by_the_next(tools):
    agent = needle.Agent(tools, Scripted(("leave", {}), ("forecast", {"city": "Ulm"})))
    gone, back = agent.run("x")
    assert gone.status == "failed" and "closed" in gone.error and back.result == "Ulm: rain for 1"


def test_one_name_at_two_servers_gets_the_name_of_the_server_before_it(tools, url):
    with tools_from_mcp(url, Server("other", command=COMMAND)) as both:
        names = [tool.spec.name for tool in both]
        assert len(set(names)) == 2 * len(tools) and "other_forecast" in names
        here, there = (
            next(tool for tool in both if tool.spec.name.endswith("forecast") and start in tool.spec.name)
            for start in ("127", "other")
        )
        assert here(city="Ulm") == there(city="Ulm") == "Ulm: rain for 1"


@pytest.mark.parametrize(("server", "words"), [
    ("no-such-program-here --flag", 'no program "no-such-program-here"'), (f"{sys.executable} -c pass", "closed"), ("http://127.0.0.1:9/mcp", "failed"),
    ("", "this one is empty"), ('python "x', "quote the command"),
])  # fmt: skip
def test_a_server_that_cannot_be_reached_is_one_line(server, words):
    with pytest.raises(needle.UserError, match=words) as caught:
        tools_from_mcp(server)
    assert "\n" not in str(caught.value)
    with pytest.raises(needle.UserError, match="no MCP server is named"):
        tools_from_mcp()


def test_a_file_of_servers_is_read_with_variables_of_the_environment(write, monkeypatch):
    monkeypatch.setenv("MY_TOKEN", "secret")
    entries = {"a": {"command": "python", "args": ["x.py"], "env": {"K": "${MY_TOKEN}"}},
               "b": {"url": "https://h/mcp", "headers": {"Authorization": "Bearer ${MY_TOKEN}"}}}  # fmt: skip
    first, second = read_servers(write("mcp.json", {"mcpServers": entries}))
    assert first == Server("a", command=("python", "x.py"), env={"K": "secret"})
    assert second == Server("b", url="https://h/mcp", headers={"Authorization": "Bearer secret"})
    for content, words in (("{", "not JSON"), ({}, "no servers"), ({"mcpServers": {"a": {}}}, "neither a command nor a url"),
                           ({"mcpServers": {"a": {"url": "u", "headers": {"x": "${NOT_SET_AT_ALL}"}}}}, "NOT_SET_AT_ALL")):  # fmt: skip
        with pytest.raises(needle.UserError, match=words):
            read_servers(write("bad.json", content))


def ask(server: object, tool: str, request: str) -> object:
    from mcp import Client

    async def inside() -> object:
        async with Client(server) as client:
            return await client.call_tool(tool, {"request": request})

    return asyncio.run(inside())


def test_the_router_executes_plans_and_reports_what_went_wrong(tools):
    calls = [("forecast", {"city": "Ulm"}), ("break_down", {})]
    server = router(needle.Agent(tools, Scripted(*calls, confidence=0.75), turns=0), [tool.spec.name for tool in tools])
    done = ask(server, "do", "weather in Ulm, and break down")
    steps = done.structured_content["steps"]
    assert done.is_error and done.structured_content["confidence"] == 0.75 and json.loads(done.content[0].text) == steps
    assert steps[0] == {"tool": "forecast", "arguments": {"city": "Ulm"}, "status": "done", "result": "Ulm: rain for 1"}
    assert steps[1]["status"] == "failed" and steps[1]["error"].endswith("the mast fell over")
    planned = ask(server, "plan", "the same")
    assert [step["status"] for step in planned.structured_content["steps"]] == ["dry", "dry"] and not planned.is_error
    unsure = ask(router(needle.Agent(tools, Scripted(*calls, confidence=0.75), threshold=0.8), []), "do", "x")
    assert unsure.is_error and [step["status"] for step in unsure.structured_content["steps"]] == ["unsure", "unsure"]
    nothing = ask(router(needle.Agent(tools, Scripted()), []), "do", "sing")
    assert not nothing.is_error and nothing.content[0].text == "no tool fits this request"
    assert ask(server, "do", " ").is_error


@pytest.mark.slow
def test_the_command_is_a_server_before_a_server(tmp_path):
    from mcp import Client, StdioServerParameters

    config = tmp_path / "mcp.json"
    config.write_text(json.dumps({"mcpServers": {"weather": {"command": COMMAND[0], "args": [COMMAND[1]]}}}))
    arguments = ["-m", "needle.cli", "mcp", "--config", str(config), "--model", "baseline:first-tool"]
    command = StdioServerParameters(command=sys.executable, args=arguments, env={"PYTHONPATH": str(ROOT)}, cwd=ROOT)

    async def inside() -> tuple[list[str], object]:
        async with Client(command, read_timeout_seconds=60) as client:
            names = [tool.name for tool in (await client.list_tools()).tools]
            return names, await client.call_tool("do", {"request": "the forecast for Ulm"})

    names, done = asyncio.run(inside())
    assert names == ["do", "plan"] and done.structured_content["steps"][0]["tool"] == "forecast"


@pytest.mark.slow
def test_ctrl_c_ends_the_command_without_a_complaint():
    arguments = [sys.executable, "-m", "needle.cli", "mcp", "--server", " ".join(COMMAND), "--model", "baseline:never"]
    process = subprocess.Popen(arguments, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert "5 tools; answers until Ctrl-C" in process.stderr.readline()
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, "", "")
