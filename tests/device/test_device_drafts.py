"""What is copied from the request is guessed: the same answers in fewer steps."""

from __future__ import annotations

import numpy as np
import pytest

from needle.device.engine import OnnxEngine
from needle.student.decoding import draft, greedy
from needle.student.grammar import Constraint
from needle.student.rendering import render_answer, render_request, render_tools
from needle.student.tokenizer import load_tokenizer
from needle.tools import Request, ToolCall, ToolSpec

NOTE = ToolSpec("note", "", {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]})
QUERY = "please write down that Maria Lopez arrives on Tuesday morning"


class Scripted:
    """A decoder that knows its answer by heart."""

    def __init__(self, answer: list[int]) -> None:
        self.answer, self.seen, self.steps, self.alignment = answer, 0, 0, None

    def _after(self, count: int) -> np.ndarray:
        logits = np.zeros(8192, dtype=np.float32)
        logits[self.answer[count - 1]] = 9.0
        return logits

    def step(self, tokens):
        self.seen, self.steps = self.seen + len(tokens[0]), self.steps + 1
        return self._after(self.seen)[None]

    def step_all(self, tokens, last):
        before, self.steps = self.seen, self.steps + 1
        self.seen += len(tokens)
        return np.stack([self._after(min(before + len(tokens) - back, len(self.answer))) for back in range(last - 1, -1, -1)])

    def back_to(self, length):
        self.seen = length

    def keep(self, rows):
        assert rows == []


@pytest.mark.parametrize("text", ["Maria Lopez arrives on Tuesday morning", "Maria Lopez arrives late", "nothing of the kind", "Tuesday"])
@pytest.mark.parametrize("bound", [True, False])
def test_drafts_give_the_answer_in_fewer_steps_when_it_copies_and_in_no_more_when_not(text: str, bound: bool) -> None:
    tokenizer = load_tokenizer()
    constraint = Constraint(tokenizer)
    answer, _ = render_answer(tokenizer, [ToolCall("note", {"text": text})], [NOTE])
    request = render_request(tokenizer, Request(QUERY, (NOTE,)))
    plain, drafted = Scripted(answer), Scripted(answer)
    results = [
        greedy(stepper, [constraint.matcher([NOTE]) if bound else None], constraint if bound else None, 64, request=own)[0]
        for stepper, own in ((plain, ()), (drafted, request))
    ]
    assert results[0] == results[1] and results[0].ids == answer
    assert drafted.steps < plain.steps - 2 if text.startswith("Maria") else drafted.steps <= plain.steps


def test_a_draft_goes_on_where_the_request_goes_on_and_only_as_far_as_the_grammar_allows() -> None:
    tokenizer = load_tokenizer()
    constraint, encode = Constraint(tokenizer), lambda text: tokenizer.encode(text, add_special_tokens=False).ids
    request = encode(QUERY)
    matcher = constraint.matcher([NOTE])
    for token in render_answer(tokenizer, [ToolCall("note", {"text": "x"})], [NOTE])[0][:-3]:
        matcher.consume_token(token)
    matcher.consume_token(encode("Maria")[0])
    assert draft(encode("x Maria"), request, constraint, matcher) == encode(" Lopez arrives")[:4]
    assert draft(encode("Maria "), request, None, None) == encode("Lopez arrives on")[:4]
    assert draft(encode(" "), request, constraint, matcher) == draft([], request, constraint, matcher) == []
    assert draft(encode("x Maria"), request, constraint, constraint.matcher([NOTE])) == []


def test_drafted_answers_of_a_student_are_those_of_single_steps_with_the_same_attention(folders, requests) -> None:
    tokenizer, engine = load_tokenizer(), OnnxEngine(folders[4])
    constraint = Constraint(tokenizer)
    for request in requests:
        tools, own = render_tools(tokenizer, request.tools), render_request(tokenizer, request)
        one, other = (
            greedy(engine.stepper([tools], [own], [0], True), [constraint.matcher(request.tools)], constraint, 48, request=ids)[0] for ids in ((), own)
        )
        assert one.ids == other.ids and one.log_probability == pytest.approx(other.log_probability, abs=1e-3)
        length = min(len(one.alignment_TS), len(other.alignment_TS))
        np.testing.assert_allclose(one.alignment_TS[:length], other.alignment_TS[:length], atol=1e-4)


@pytest.mark.parametrize("asked", [True, False])
def test_an_answer_without_a_call_takes_one_step(asked: bool) -> None:
    tokenizer = load_tokenizer()
    constraint = Constraint(tokenizer)
    answer, _ = render_answer(tokenizer, [], [NOTE])
    stepper = Scripted(answer)
    request = render_request(tokenizer, Request(QUERY, (NOTE,))) if asked else ()
    (result,) = greedy(stepper, [constraint.matcher([NOTE])], constraint, 64, request=request)
    assert result.ids == answer and len(answer) == 2 and stepper.steps == 1
