"""The probe tells what an endpoint holds to from what it takes, ignores or refuses, and is remembered without a key."""

from __future__ import annotations

import asyncio
import itertools
import json

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from needle.errors import UserError
from needle.teacher.config import Capabilities, TeacherConfig
from needle.teacher.fault_kinds import completion, error
from needle.teacher.faults import FaultApp
from needle.teacher.probe import probe
from needle.teacher.reports import keep_report, read_reports

CONFIG = TeacherConfig(base_url="http://localhost:9/v1", model="m", backoff_s=0.001)
TOP = {"token": "x", "bytes": [120], "logprob": -0.5, "top_logprobs": [{"token": "x", "bytes": [120], "logprob": -0.5}, {"token": "y", "logprob": -2.0}]}


def _call(name, arguments):
    return {"id": f"c{name}", "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}


def able(body):
    """An endpoint that holds to everything."""
    text, choice = body["messages"][-1]["content"], body.get("tool_choice")
    calls = []
    if "tools" in body:
        if isinstance(choice, dict):
            calls = [_call("set_lamp", {"colour": "red"})]
        elif "lamp" in text:
            calls = [_call("set_lamp", {"colour": "green"})]
        elif "weather" in text or choice == "required":
            calls = [_call("get_weather", {"city": city}) for city in ("Paris", "Rome") if city in text] or [_call("get_weather", {"city": "Oslo"})]
    content = '{"mood": "glad"}' if "response_format" in body else str(body.get("seed", "yes"))
    message = {"role": "assistant", "content": None if calls else content, "tool_calls": [call | {"id": str(n)} for n, call in enumerate(calls)]}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": {"content": [TOP]} if body.get("logprobs") else None}
    return completion({}, choices=[choice] * body.get("n", 1))


NUMBERS = itertools.count()


def ignoring(body):
    """An endpoint that takes every parameter and looks at none."""
    return completion({"content": f"Hello {next(NUMBERS)}"}, usage=None)


def refusing(body):
    """An endpoint that refuses what it does not know."""
    for name in ("tools", "seed", "logprobs", "response_format"):
        if name in body:
            return error(400, "unsupported_parameter", f"unknown parameter {name}", param=name)
    return error(500, "server_error", "n is not implemented") if "n" in body else completion({"content": "fine"})


def _probe(answer, batches=False):
    async def complete(request):
        return answer(json.loads(await request.body()))

    routes = [Route("/v1/chat/completions", complete, methods=["POST"])]
    if batches:
        routes.append(Route("/v1/batches", lambda request: JSONResponse({"data": []})))
    return asyncio.run(probe(CONFIG, transport=httpx2.ASGITransport(Starlette(routes=routes))))


def test_an_endpoint_that_can_do_all_is_found_to():
    report = _probe(able, batches=True)
    assert report.capabilities == dict.fromkeys(vars(Capabilities()), True), report.table()
    assert report.requests <= 14 and report.prompt_tokens == 10 * report.requests


def test_what_is_taken_and_ignored_is_found_out():
    report = _probe(ignoring)
    told = {name: value for name, value in report.capabilities.items() if value is not False}
    assert told == {"strict": None, "logprobs_with_tools": None}, report.table()


def test_what_is_refused_is_found_out_and_named():
    report = _probe(refusing)
    assert set(report.capabilities.values()) == {False, True} and report.capabilities["usage"] is True
    assert sum(report.capabilities.values()) == 1 and report.left_out == ["seed"]
    assert "unknown parameter tools" in report.notes["native_tools"] and "500" in report.notes["several_choices"]


def test_an_endpoint_that_cannot_be_used_at_all_is_an_error():
    with pytest.raises(UserError, match="refused the key"):
        asyncio.run(probe(CONFIG, transport=httpx2.ASGITransport(FaultApp(["auth"]).asgi)))


def test_the_verb_prints_a_table_and_remembers_it_without_the_key(cli, monkeypatch, tmp_path, no_traces):
    monkeypatch.setenv("NEEDLE_CACHE", str(tmp_path))
    monkeypatch.setenv("NEEDLE_DATA", no_traces)
    monkeypatch.setenv("NEEDLE_API_KEY", "sk-very-secret")
    outcome = cli("teacher", "probe", "embedded")
    assert outcome.code == 0 and "native tools" in outcome.out and outcome.last == f"The report is in {tmp_path / 'probes.json'}"
    assert read_reports()["embedded#embedded-teacher"]["capabilities"]["usage"] is True
    assert "very-secret" not in (tmp_path / "probes.json").read_text() + outcome.out + outcome.err
    unreachable = cli("teacher", "probe", "http://127.0.0.1:9/v1#m", "--out", tmp_path / "x.json")
    assert "cannot reach" in unreachable.complaint and not (tmp_path / "x.json").exists()


def test_nothing_is_kept_where_the_cache_is_off(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NEEDLE_CACHE", "off")
    assert read_reports() == {}
    with pytest.raises(UserError, match="give --out a file"):
        keep_report({"endpoint": "x#y"})
    assert keep_report({"endpoint": "x#y"}, tmp_path / "probes.json").is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["probes.json"]
