"""Toolsets from a teacher: usable, unlike each other, asked for once."""

from __future__ import annotations

import json

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from needle.errors import UserError
from needle.generate.synthesize import SynthConfig, read_toolset, synth_body, synthesize
from needle.tools.read import load_toolset


def _tool(name: str, description: str, **properties) -> dict:
    schema = {"type": "object", "properties": properties, "required": list(properties)[:1]}
    return {"name": name, "description": description, "parameters": schema}


TEXT = {"type": "string", "description": "words"}
TOOLS = [_tool("book_flight", "Book a flight.", city=TEXT), _tool("list_gates", "Show the gates of an airport.", airport=TEXT)]


def _transport(answers: dict[str, str]) -> tuple[httpx2.ASGITransport, list[dict]]:
    seen: list[dict] = []

    async def complete(request):
        body = json.loads(await request.body())
        seen.append(body)
        text = next((text for word, text in answers.items() if f"Domain: {word}." in body["messages"][1]["content"]), "[]")
        message = {"role": "assistant", "content": text}
        usage = {"prompt_tokens": 100, "completion_tokens": 100}
        return JSONResponse({"id": "x", "choices": [{"message": message, "finish_reason": "stop"}], "usage": usage})

    return httpx2.ASGITransport(Starlette(routes=[Route("/v1/chat/completions", complete, methods=["POST"])])), seen


def _config(tmp_path, **settings) -> SynthConfig:
    return SynthConfig(**({"out": str(tmp_path / "sets"), "teacher": "http://localhost:9/v1", "model": "m"} | settings))


def test_each_domain_gives_a_toolset_that_loads_and_the_same_command_asks_nothing_again(tmp_path):
    other = [_tool("plantBed", "Plan a flower bed.", flower=TEXT), _tool("waterLawn", "Sprinkle the lawn.", minutes={"type": "integer"})]
    transport, seen = _transport({"air travel": "```json\n" + json.dumps(TOOLS) + "\n```", "gardens": json.dumps(other)})
    config = _config(tmp_path, domains=("air travel", "gardens"))
    report = synthesize(config, transport=transport)
    assert [path.name for path in report.files] == ["air-travel-1.json", "gardens-1.json"] and report.tools == 4
    assert [tool.name for path in report.files for tool in load_toolset(path)] == ["book_flight", "list_gates", "plantBed", "waterLawn"]
    assert len(seen) == 2 and synthesize(config, transport=transport).tools == 4 and len(seen) == 2


def test_what_is_there_already_or_cannot_be_used_is_left_out_with_its_reason(tmp_path):
    again = [*TOOLS, _tool("reserve_flight", "Book a flight.", town=TEXT), {"name": "bad", "description": "Bad.", "parameters": {"type": "wrong"}},
             _tool("", "No name."), _tool("mute", "", x=TEXT)]  # fmt: skip
    tools, refused = read_toolset(json.dumps(again), [])
    assert [tool.name for tool in tools] == ["book_flight", "list_gates"]
    assert refused["known"] == 1 and refused["unusable"] == 2 and refused["lint:missing_description"] == 1
    assert read_toolset(json.dumps(TOOLS), tools) == ([], {"known": 2})
    assert read_toolset("I would rather not.", []) == ([], {"no_json": 1})
    transport, _ = _transport({"a": json.dumps(TOOLS), "b": json.dumps(TOOLS)})
    report = synthesize(_config(tmp_path, domains=("a", "b")), transport=transport)
    assert len(report.files) == 1 and report.refused["known"] == 2


def test_questions_differ_by_domain_number_and_seed_and_by_nothing_else():
    assert synth_body("a", 0, 1) == synth_body("a", 0, 1)
    wishes = {synth_body("a", number, 1)["messages"][1]["content"] for number in range(30)}
    assert len(wishes) == 30 and synth_body("a", 0, 1) != synth_body("a", 0, 2) != synth_body("b", 0, 2)


def test_a_budget_is_kept(tmp_path):
    transport, seen = _transport({})
    config = _config(tmp_path, domains=tuple("abcdefgh"), budget_usd=0.007, price_in=1.0, price_out=2.0, concurrency=1)
    report = synthesize(config, transport=transport)
    assert report.stopped and report.usd <= 0.007 and len(seen) < 8


@pytest.mark.parametrize(("settings", "words"), [
    ({"teacher": "embedded"}, "invents no tools"), ({"domains": ()}, "domain"), ({"per_domain": 0}, "toolset"),
])  # fmt: skip
def test_bad_settings_are_refused_before_anything_is_made(tmp_path, settings, words):
    with pytest.raises(UserError, match=words):
        synthesize(_config(tmp_path, **settings))
    assert not (tmp_path / "sets").exists()
