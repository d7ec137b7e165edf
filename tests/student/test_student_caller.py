"""``StudentCaller``: results in order, the same alone and in a batch, an error result for what cannot be answered."""

from __future__ import annotations

import json

import pytest
from student_helpers import LIGHT, STOP, TIMER, tiny_model, tool
from tokenizers import Tokenizer

import needle
from needle.errors import UserError
from needle.student.caller import StudentCaller
from needle.student.modeling import NeedleModel
from needle.student.modeling.engine import TorchEngine
from needle.student.modeling.storage import save_quantized
from needle.student.rendering import render_request
from needle.tools import Choice, Delta, Request, ToolCall, ToolSpec, validate_calls

REQUESTS = [
    Request("dim the hall to 40", (LIGHT, STOP)),
    Request("five minutes for the eggs", (TIMER,)),
    Request("stop", (LIGHT, STOP)),
    Request("hello", ()),
    Request("and the kitchen, please", (LIGHT, STOP), "It is Monday.", ({"role": "user", "content": "dim the hall"},)),
    Request("", (STOP,)),
]


@pytest.fixture(scope="module")
def small(model: NeedleModel) -> NeedleModel:
    """The tiny model with short answers, so that a row that rambles ends soon."""
    twin = tiny_model(0, max_target_tokens=48)
    twin.load_state_dict(model.state_dict())
    return twin


def _plain(results) -> list[tuple]:
    return [(list(result), result.raw, result.error, result.usage) for result in results]


@pytest.mark.parametrize("constrained", [True, False])
def test_a_batch_of_mixed_toolsets_equals_one_by_one_in_input_order(
    small, tokenizer: Tokenizer, constrained: bool
) -> None:
    caller = StudentCaller(TorchEngine(small), tokenizer, constrained=constrained, rows=4)
    together = caller.answer(REQUESTS)
    alone = [caller.answer([request])[0] for request in REQUESTS]
    assert _plain(together) == _plain(alone)
    assert _plain(caller.answer(REQUESTS[::-1])) == _plain(alone[::-1])
    for one, other in zip(together, alone, strict=True):
        assert one.confidence == pytest.approx(other.confidence, rel=1e-3)


def test_constrained_answers_fit_the_schemas(small: NeedleModel, tokenizer: Tokenizer) -> None:
    results = StudentCaller(TorchEngine(small), tokenizer).answer(REQUESTS)
    for request, result in zip(REQUESTS, results, strict=True):
        assert result.error is None or result.error.startswith("truncated")
        assert not validate_calls(result, request.tools)
        assert all(isinstance(call, ToolCall) for call in result)
        assert (
            result.usage["prompt_tokens"] > 0 and result.usage["completion_tokens"] > 0 and 0 < result.confidence <= 1
        )
    assert list(results[3]) == [] and results[3].error is None and results[3].raw == "<none>"


def test_without_constraints_a_malformed_answer_is_an_error_with_its_reason(
    small: NeedleModel, tokenizer: Tokenizer
) -> None:
    results = StudentCaller(TorchEngine(small), tokenizer, constrained=False).answer(REQUESTS)
    reasons = {result.error.split(":")[0] for result in results if result.error}
    assert reasons and reasons <= {"truncated", "wrong_envelope", "malformed_json"}


def test_beams_answer_too(small: NeedleModel, tokenizer: Tokenizer) -> None:
    greedy = StudentCaller(TorchEngine(small), tokenizer).answer(REQUESTS[:3])
    wide = StudentCaller(TorchEngine(small), tokenizer, beams=3).answer(REQUESTS[:3])
    for request, one, other in zip(REQUESTS, greedy, wide, strict=False):
        assert not validate_calls(other, request.tools)
        assert other.error or one.error or other.confidence >= one.confidence * 0.999


def test_what_does_not_fit_is_an_error_result_between_good_ones(small: NeedleModel, tokenizer: Tokenizer) -> None:
    huge = (tool("huge", {"text": {"type": "string", "description": " ".join(f"word{number}" for number in range(2700))}}),)
    impossible = tool("f", {"v": {"type": "integer", "minimum": 5, "maximum": 1}}, ["v"])
    requests = [
        REQUESTS[2],
        Request("x " * 50_000, (STOP,)),
        REQUESTS[0],
        Request("hi", huge),
        Request("hi", (impossible,)),
        REQUESTS[3],
    ]
    results = StudentCaller(TorchEngine(small), tokenizer).answer(requests)
    good = StudentCaller(TorchEngine(small), tokenizer).answer([REQUESTS[2], REQUESTS[0], REQUESTS[3]])
    assert _plain([results[0], results[2], results[5]]) == _plain(good)
    for place, words in ((1, "shorten it"), (3, "offer fewer or shorter tools"), (4, "grammar")):
        assert list(results[place]) == [] and words in results[place].error and not results[place].infra_error


def test_broken_characters_in_a_request_are_answered(small: NeedleModel, tokenizer: Tokenizer) -> None:
    assert len(StudentCaller(TorchEngine(small), tokenizer).answer([Request("stop \ud83d\x00 now", (STOP,))])) == 1


def test_a_joint_encoder_answers_requests_that_share_a_toolset(tokenizer: Tokenizer) -> None:
    caller = StudentCaller(TorchEngine(tiny_model(2, request_independent_layers=0, max_target_tokens=24)), tokenizer)
    alone = [caller.answer([request])[0] for request in REQUESTS[:3]]
    assert _plain(caller.answer(REQUESTS[:3])) == _plain(alone)


def test_no_request_gives_no_result(small: NeedleModel, tokenizer: Tokenizer) -> None:
    assert StudentCaller(TorchEngine(small), tokenizer).answer([]) == []


def test_call_takes_tools_in_any_shape(small: NeedleModel, tokenizer: Tokenizer) -> None:
    caller = StudentCaller(TorchEngine(small), tokenizer)
    assert caller.call("stop", [STOP.to_dict()]).raw == caller.answer([Request("stop", (STOP,))])[0].raw


def test_a_folder_answers_like_its_model_and_is_named_by_its_content(
    small: NeedleModel, tokenizer: Tokenizer, tmp_path
) -> None:
    save_quantized(small, tmp_path / "a", 8)
    tokenizer.save(str(tmp_path / "a" / "tokenizer.json"))
    first, second = needle.load(tmp_path / "a"), needle.load(tmp_path / "a", beams=2)
    assert str(tmp_path / "a") in first.name and first.name != second.name
    assert len(first.answer(REQUESTS[:2])) == 2
    with pytest.raises(UserError, match="no checkpoint there"):
        needle.load(tmp_path / "b")


def test_what_a_description_tells_is_a_format_for_the_student_and_comes_back_as_told(small: NeedleModel, tokenizer: Tokenizer) -> None:
    def meeting(**schema: str) -> ToolSpec:
        return ToolSpec("meet", "Plan a meeting.", {"type": "object", "properties": {"day": {"type": "string", **schema}}, "required": ["day"]})

    caller = StudentCaller(TorchEngine(small), tokenizer)
    asked = [Request("on 4 March 2027", (meeting(description=words, **more),), choice=Choice(required=True, most=1))
             for words, more in (("MM/DD/YYYY", {}), ("MM/DD/YYYY", {"format": "date"}), ("any", {}))]  # fmt: skip
    told, plain, free = caller.answer(asked)
    day = plain[0].arguments["day"]
    assert told.raw == plain.raw != free.raw and told[0].arguments == {"day": f"{day[5:7]}/{day[8:]}/{day[:4]}"}
    assert caller.show_prompt(asked[0]) == caller.show_prompt(asked[1])
    pieces: list[tuple[int, Delta]] = []
    assert caller.answer_watched(asked[:2], lambda place, piece: pieces.append((place, piece)))[0] == told
    assert [json.loads("".join(piece.arguments for place, piece in pieces if place == number))["day"] for number in (0, 1)] == [told[0].arguments["day"], day]
    prepared = caller.prepare(asked[0].tools)
    assert prepared.specs == asked[0].tools and prepared.tokens == told.usage["prompt_tokens"] - len(render_request(tokenizer, asked[0]))
