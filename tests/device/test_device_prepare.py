"""Streams on a device give what ``call`` gives; prepared toolsets are taken like any other; calls can be awaited."""

from __future__ import annotations

import asyncio
import json

import pytest

from needle.device.engine import OnnxEngine
from needle.device.prepared import ToolsetCache
from needle.errors import UserError
from needle.student.caller import StudentCaller
from needle.student.tokenizer import load_tokenizer
from needle.tools import ToolCall, ToolSpec


@pytest.fixture(scope="module")
def caller(folders, tmp_path_factory) -> StudentCaller:
    return StudentCaller(OnnxEngine(folders[4], cache=ToolsetCache(tmp_path_factory.mktemp("cache"))), load_tokenizer())


def test_a_stream_is_the_call_in_pieces(caller, requests) -> None:
    for request in requests:
        whole = caller.call(request.query, request.tools)
        *found, result = caller.stream(request.query, request.tools)
        assert (list(result), result.raw, result.confidence) == (list(whole), whole.raw, whole.confidence)
        for number, call in enumerate(whole):
            own = [piece for piece in found if piece.call == number]
            assert ToolCall(own[0].name, json.loads("".join(piece.arguments for piece in own))) == call


def test_a_prepared_toolset_answers_like_its_tools_and_is_on_the_disk(caller, requests) -> None:
    prepared = caller.prepare(requests[0].tools)
    assert len(prepared) == 2 and prepared.tokens > 10 and list(caller.engine.cache.folder.iterdir())
    assert caller.call("stop", prepared).raw == caller.call("stop", requests[0].tools).raw
    many = [ToolSpec(f"tool_{number}", "many words " * 30) for number in range(200)]
    assert len(caller.prepare(many)) == 200 and len(caller.call("stop", caller.prepare(many)).offered) < 200
    with pytest.raises(UserError, match="fewer or shorter tools"):
        caller.prepare([ToolSpec("long", "many words " * 3000)])


def test_calls_can_be_awaited_together(caller, requests) -> None:
    async def both() -> list:
        return await asyncio.gather(*(caller.acall(request.query, request.tools) for request in requests[:2]))

    assert [one.raw for one in asyncio.run(both())] == [caller.call(request.query, request.tools).raw for request in requests[:2]]
