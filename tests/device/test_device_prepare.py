"""Streams on a device give what ``call`` gives; prepared toolsets are taken like any other; calls can be awaited."""

from __future__ import annotations

import asyncio
import json

import numpy as np
import pytest

from needle.device.engine import OnnxEngine
from needle.device.prepared import ToolsetCache
from needle.errors import UserError
from needle.models import open_engine
from needle.student.caller import StudentCaller
from needle.student.retrieval import RetrievalHead, request_source, tool_source
from needle.student.tokenizer import load_tokenizer
from needle.tools import ToolCall, ToolSpec

MANY = [ToolSpec(f"tool_{number}", f"word{number}") for number in range(6)]


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


def test_both_engines_read_texts_for_retrieval_alike_and_prepared_tools_are_on_the_disk(folders, tmp_path, monkeypatch) -> None:
    sources = [tool_source(load_tokenizer(), tool, 99) for tool in MANY[:3]] + [request_source(load_tokenizer(), "stop everything", 99)]
    for bits, slack in ((32, 1e-3), (4, 0.1)):
        torch, onnx = (open_engine(folders[bits], kind).pooled(sources) for kind in ("torch", "onnx"))
        assert np.abs(torch - onnx).max() < slack * np.abs(torch).max()
    width = onnx.shape[1]
    head = RetrievalHead(np.eye(width, dtype=np.float32), np.eye(width, dtype=np.float32), 5.0)

    def caller() -> StudentCaller:
        return StudentCaller(OnnxEngine(folders[4], cache=ToolsetCache(tmp_path)), load_tokenizer(), retrieval=head, most_tools=2)

    first = caller()
    first.prepare(MANY)
    (file,) = tmp_path.iterdir()
    again = caller()
    monkeypatch.setattr(OnnxEngine, "_mean", lambda *_: pytest.fail("read anew"))
    again.prepare(MANY)
    monkeypatch.undo()
    assert again.call("stop", MANY).ranked == first.call("stop", MANY).ranked
    file.write_bytes(b"cut")
    assert caller().call("stop", MANY).ranked == first.call("stop", MANY).ranked
