"""Streaming: whatever the cuts, the pieces of an answer are the answer; those of a batch go to their own requests."""

from __future__ import annotations

import json
import random

import pytest
from student_helpers import LIGHT, STOP, TIMER, tiny_model, tool
from tokenizers import Tokenizer

from needle.student.caller import StudentCaller
from needle.student.modeling.engine import TorchEngine
from needle.student.rendering import render_answer
from needle.student.streaming import CallReader
from needle.tools import CallResult, Choice, Delta, Request, ToolCall
from needle.traces import Trace


def joined(pieces: list[Delta]) -> list[tuple[str, dict]]:
    """The calls that pieces spell; each has its name with its first piece, and no other."""
    calls: list[list[str]] = []
    for piece in pieces:
        assert (piece.name is not None) == (piece.call == len(calls))
        if piece.name is not None:
            calls.append([piece.name, ""])
        calls[piece.call][1] += piece.arguments
    return [(name, json.loads(text)) for name, text in calls]


def test_pieces_of_recorded_answers_are_the_answers(tokenizer: Tokenizer, traces: list[Trace]) -> None:
    dice = random.Random(1)
    for trace in traces:
        ids, _ = render_answer(tokenizer, trace.calls, trace.tools)
        reader, pieces = CallReader(tokenizer, trace.tools), []
        while ids:
            size = dice.randrange(1, 9)
            pieces += reader.feed(ids[:size])
            ids = ids[size:]
        assert joined(pieces) == [(call.name, call.arguments) for call in trace.calls]


def test_no_character_is_shown_by_halves(tokenizer: Tokenizer) -> None:
    spec = tool("say", {"text": {"type": "string"}}, ["text"])
    ids, _ = render_answer(tokenizer, [ToolCall("say", {"text": "Zürich 🦊 東京"})], [spec])
    reader = CallReader(tokenizer, [spec])
    pieces = [piece for token in ids for piece in reader.feed([token])]
    assert joined(pieces) == [("say", {"text": "Zürich 🦊 東京"})] and not any(
        "\ufffd" in piece.arguments for piece in pieces
    )


REQUESTS = [
    Request("dim the hall to 40", (LIGHT, STOP), choice=Choice(only=LIGHT.name, most=2)),
    Request("five minutes", (TIMER,), choice=Choice(required=True, most=2)),
    Request("nothing on offer", ()),
    Request("stop", (LIGHT, STOP), choice=Choice(only=STOP.name, most=1)),
]


@pytest.mark.parametrize("beams", [1, 2])
def test_a_student_tells_each_request_of_its_own_calls(tokenizer: Tokenizer, beams: int) -> None:
    caller = StudentCaller(TorchEngine(tiny_model(0, max_target_tokens=200)), tokenizer, beams=beams)
    told: list[list[Delta]] = [[] for _ in REQUESTS]
    results = caller.answer_watched(REQUESTS, lambda place, piece: told[place].append(piece))
    assert [list(result) for result in results] == [list(result) for result in caller.answer(REQUESTS)]
    if beams > 1:
        assert not any(told)
        return
    for pieces, result in zip(told, results, strict=True):
        assert joined(pieces) == [(call.name, call.arguments) for call in result]
    assert sum(map(len, told)) > sum(map(len, results)), "piece by piece"
    *pieces, last = caller.stream(REQUESTS[1].query, [TIMER], choice=REQUESTS[1].choice)
    assert isinstance(last, CallResult) and list(last) == list(results[1]) and pieces == told[1]
