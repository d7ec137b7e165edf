"""Votes as soft labels: at each token where the labels of a row parted, the target is the share of votes that goes
each way."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tokenizers import Tokenizer
from train_helpers import LIGHT, TIMER, row, settings, tiny_model

from needle.student.rendering import render_answer
from needle.student.tokenizer import CALL, EOS, NONE, SPECIAL_IDS, encode
from needle.tools import ToolCall
from needle.traces import Trace
from needle.train.batches import collate
from needle.train.examples import ExampleSet
from needle.train.objective import objective
from needle.train.students import Students
from needle.train.votes import branches, row_votes

KITCHEN = ToolCall("set_light", {"room": "kitchen"})


def _voted(*calls: ToolCall, **decisions: object) -> Trace:
    return replace(row(0, "kitchen please", (LIGHT, TIMER), *calls), meta={"votes": {"k": 5, "decisions": decisions}})


def _said(tokenizer: Tokenizer, trace: Trace) -> tuple[list[int], dict[int, dict[int, float]]]:
    answer, _ = render_answer(tokenizer, trace.calls, trace.tools)
    return answer, {place: dict(shares) for place, shares in row_votes(tokenizer, trace, answer)}


def test_targets_at_every_branch_of_a_trie_are_the_shares_of_the_answers_through_it() -> None:
    paths = [((1, 2, 3, 9), 0.4), ((1, 2, 4, 9), 0.1), ((1, 5, 9), 0.2), ((7, 9), 0.3)]
    for gold, _ in paths:
        expected = {}
        for place in range(len(gold)):
            through = [(ids, share) for ids, share in paths if ids[:place] == gold[:place]]
            ways = {
                ids[place]: sum(s for other, s in through if other[place] == ids[place]) / sum(s for _, s in through)
                for ids, _ in through
            }
            if len(ways) > 1:
                expected[place] = pytest.approx(ways)
        assert branches(paths, gold) == expected
    assert branches(paths, (1, 2, 3, 9))[0] == pytest.approx({1: 0.7, 7: 0.3})


def test_tool_no_call_member_and_optional_argument_are_judged_where_they_are_written(tokenizer: Tokenizer) -> None:
    trace = _voted(KITCHEN, tools={"set_light": 0.6, "start_timer": 0.2, "": 0.2},
                   members={"0.room": {'"kitchen"': 0.75, '"hall"': 0.25}},
                   given={"0.level": 0.4})  # fmt: skip
    answer, said = _said(tokenizer, trace)
    [kitchen], [hall], [end], [more] = (encode(tokenizer, text) for text in ("kitchen", "hall", '"}', '","'))
    assert said == {
        0: pytest.approx({SPECIAL_IDS[CALL]: 0.8, SPECIAL_IDS[NONE]: 0.2}),
        1: pytest.approx({encode(tokenizer, "set_light")[0]: 0.75, encode(tokenizer, "start_timer")[0]: 0.25}),
        answer.index(kitchen): pytest.approx({kitchen: 0.75, hall: 0.25}),
        answer.index(end): pytest.approx({end: 0.6, more: 0.4}),
    }


def test_calls_that_follow_are_judged_at_the_end_of_those_agreed_on(tokenizer: Tokenizer) -> None:
    tools = {"set_light": 0.5, "set_light + start_timer": 0.3, "set_light + set_light": 0.2}
    answer, said = _said(tokenizer, _voted(KITCHEN, tools=tools))
    assert said == {len(answer) - 1: pytest.approx({SPECIAL_IDS[EOS]: 0.5, SPECIAL_IDS[CALL]: 0.5})}
    tools = {"set_light": 0.2, "set_light + start_timer": 0.6, "set_light + set_light": 0.2}
    answer, said = _said(tokenizer, _voted(KITCHEN, ToolCall("start_timer", {"minutes": 5}), tools=tools))
    second = [place for place, token in enumerate(answer) if token == SPECIAL_IDS[CALL]][1]
    names = {encode(tokenizer, "set_light")[0]: 0.25, encode(tokenizer, "start_timer")[0]: 0.75}
    assert said == {
        second: pytest.approx({SPECIAL_IDS[EOS]: 0.2, SPECIAL_IDS[CALL]: 0.8}),
        second + 1: pytest.approx(names),
    }


def test_a_row_without_a_call_shares_its_first_token_with_the_tools_named(tokenizer: Tokenizer) -> None:
    _, said = _said(tokenizer, _voted(tools={"": 0.6, "start_timer": 0.4}))
    assert said == {0: pytest.approx({SPECIAL_IDS[NONE]: 0.6, SPECIAL_IDS[CALL]: 0.4})}


@pytest.mark.parametrize("decisions", [
    {}, {"tools": {"set_light": 1.0}}, {"tools": {"start_timer": 0.6, "set_light": 0.4}}, {"tools": {"other": 1.0}},
    {"tools": {"set_light": 1.0}, "members": {"0.room": {'"attic"': 0.6, '"hall"': 0.4}, "3.room": {"1": 1.0}},
     "given": {"0.a.b": 0.5, "x.level": 0.5}},
])  # fmt: skip
def test_rows_without_votes_or_with_votes_on_other_calls_stay_hard(tokenizer: Tokenizer, decisions: dict) -> None:
    assert _said(tokenizer, _voted(KITCHEN, **decisions))[1] == {}
    assert row_votes(tokenizer, row(0, "kitchen", (LIGHT,), KITCHEN), [1]) == ()


def _parts(tokenizer: Tokenizer, traces: list[Trace], weight: float) -> tuple[dict[str, float], torch.Tensor]:
    model = tiny_model(0, initializer_range=0.1)
    examples = ExampleSet(traces, tokenizer, model.config).rendered()
    parts = Students([model], settings(vote_weight=weight), torch.float32).update(examples, 0.5)
    return parts, torch.cat([weight.detach().flatten() for weight in model.parameters()])


def test_votes_take_their_share_of_the_label_and_rows_without_them_train_as_before(tokenizer: Tokenizer) -> None:
    voted = _voted(KITCHEN, tools={"set_light": 0.6, "": 0.4})
    plain, weights = _parts(tokenizer, [replace(voted, meta={})], 0.0)
    ignored, ignored_weights = _parts(tokenizer, [voted], 0.0)
    _, without_weights = _parts(tokenizer, [replace(voted, meta={})], 0.5)
    assert (
        torch.equal(weights, ignored_weights)
        and torch.equal(weights, without_weights)
        and plain.keys() == ignored.keys()
    )
    parts, half = _parts(tokenizer, [voted], 0.5)
    assert parts["votes_loss"] > 0 and parts["loss"] < plain["loss"] and not torch.equal(half, weights)


def test_the_gradient_draws_the_student_to_the_shares_and_at_other_tokens_to_the_label(tokenizer: Tokenizer) -> None:
    voted = _voted(KITCHEN, tools={"set_light": 0.6, "": 0.4})
    batch = collate(ExampleSet([voted], tokenizer, tiny_model().config).rendered(), settings().token_weights)
    logits = torch.randn(len(batch.labels_N), 8192, generator=torch.Generator().manual_seed(0)).requires_grad_()
    parts = objective(settings(vote_weight=1.0, z_loss=0.0), logits, [], None, batch, 0.5)
    sum(share * loss for share, loss in parts.values()).backward()
    target = torch.nn.functional.one_hot(batch.labels_N, 8192).float()
    target[0] = torch.zeros(8192).index_put(
        (torch.tensor([SPECIAL_IDS[CALL], SPECIAL_IDS[NONE]]),), torch.tensor([0.6, 0.4])
    )
    torch.testing.assert_close(logits.grad, batch.weights_N[:, None] * (logits.detach().softmax(-1) - target))
