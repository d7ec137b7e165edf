"""Decoding: steps with caches equal teacher forcing; constrained greedy equals a re-run without caches; beams."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from student_helpers import LIGHT, START, STOP, TIMER, batch_logits, tiny_model, token_rows
from tokenizers import Tokenizer

from needle.student.decoding import Decoded, beam, greedy
from needle.student.grammar import Constraint
from needle.student.modeling import NeedleModel
from needle.student.modeling.batching import pack_source, pack_target
from needle.student.modeling.stepper import TorchStepper
from needle.student.rendering import parse_answer, render_request, render_tools
from needle.student.tokenizer import SPECIAL_IDS
from needle.tools import Request, ToolSpec, validate_calls

EOS = SPECIAL_IDS["<eos>"]
TOOLSETS = token_rows(1, 7, 12)
REQUESTS = token_rows(2, 3, 9, 1)
TOOLSET_OF = [0, 1, 0]
QUERIES = ("dim the hall to 40", "five minutes for the eggs", "stop", "what is the weather")


def _stepper(model: NeedleModel) -> TorchStepper:
    return TorchStepper(model, pack_source(TOOLSETS, REQUESTS, TOOLSET_OF))


def _forced(model: NeedleModel, row: int, ids: list[int]) -> np.ndarray:
    return batch_logits(model, [TOOLSETS[TOOLSET_OF[row]]], [REQUESTS[row]], [0], [ids])[0][-1].numpy()


def test_ragged_steps_of_one_or_several_tokens_equal_teacher_forcing(model: NeedleModel) -> None:
    stepper, answers = _stepper(model), [[START], [START], [START]]
    steps = [[1, 1, 1], [1, 4, 2], [3, 1, 1], [1, 1, 6], [2, 2, 2]]
    logits = stepper.step(answers)
    for number, counts in enumerate(steps):
        new = token_rows(20 + number, *counts)
        logits = stepper.step(new)
        answers = [old + more for old, more in zip(answers, new, strict=True)]
        for row, ids in enumerate(answers):
            np.testing.assert_allclose(logits[row], _forced(model, row, ids), rtol=1e-3, atol=1e-4)
    assert logits.shape == (3, 8192)


@pytest.mark.parametrize("kept", [[0, 2], [2, 1], [1, 1, 0], [2]])
def test_kept_rows_go_on_as_if_they_had_been_alone(model: NeedleModel, kept: list[int]) -> None:
    stepper = _stepper(model)
    answers = [[START, *row] for row in token_rows(30, 2, 5, 0)]
    stepper.step(answers)
    stepper.keep(kept)
    answers = [answers[row] for row in kept]
    for seed in (31, 32):
        new = token_rows(seed, *range(1, len(kept) + 1))
        logits = stepper.step(new)
        answers = [old + more for old, more in zip(answers, new, strict=True)]
        for place, row in enumerate(kept):
            np.testing.assert_allclose(logits[place], _forced(model, row, answers[place]), rtol=1e-3, atol=1e-4)


def _naive(
    model: NeedleModel, constraint: Constraint, tools: list[ToolSpec], source: tuple, limit: int
) -> tuple[list[int], float]:
    """Greedy decoding without caches: the whole answer so far is run again for each token that is not forced."""
    matcher, ids, score = constraint.matcher(tools), [], 0.0
    while len(ids) < limit:
        logits = batch_logits(model, [source[0]], [source[1]], [0], [[START, *ids]])[0][-1]
        logits[torch.from_numpy(~constraint.allowed([matcher], 8192)[0])] = -torch.inf
        ids.append(int(logits.argmax()))
        score += float(logits.log_softmax(-1)[ids[-1]])
        if ids[-1] == EOS:
            break
        matcher.consume_token(ids[-1])
        forced = matcher.compute_ff_tokens()
        for token in forced:
            matcher.consume_token(token)
        ids += forced
    return ids, score


def _sources(tokenizer: Tokenizer, tools: list[ToolSpec]) -> list[tuple[list[int], list[int]]]:
    return [
        (render_tools(tokenizer, tools), render_request(tokenizer, Request(query, tuple(tools)))) for query in QUERIES
    ]


def _greedy(
    model: NeedleModel, constraint: Constraint, tools: list[ToolSpec], sources: list, limit: int = 40
) -> list[Decoded]:
    stepper = TorchStepper(model, pack_source([sources[0][0]], [request for _, request in sources], [0] * len(sources)))
    return greedy(stepper, [constraint.matcher(tools) for _ in sources], constraint, limit)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_constrained_greedy_equals_a_run_without_caches(
    tokenizer: Tokenizer, constraint: Constraint, seed: int
) -> None:
    model, tools = tiny_model(seed), [LIGHT, TIMER, STOP]
    sources = _sources(tokenizer, tools)
    for decoded, source in zip(_greedy(model, constraint, tools, sources, 80), sources, strict=True):
        ids, score = _naive(model, constraint, tools, source, 40)  # winding down starts at half of 80
        assert decoded.ids[: len(ids)] == ids
        if ids[-1] == EOS:
            assert decoded.log_probability == pytest.approx(score, abs=1e-3)
            assert not validate_calls(parse_answer(tokenizer, ids, tools), tools)


def test_unconstrained_greedy_equals_a_run_without_caches(model: NeedleModel) -> None:
    decoded = greedy(_stepper(model), [None] * 3, None, 12)
    for row, answer in enumerate(decoded):
        ids: list[int] = []
        while len(ids) < 12 and EOS not in ids:
            logits = _forced(model, row, [START, *ids])
            logits[[0, START]] = -np.inf
            ids.append(int(logits.argmax()))
        assert answer.ids == ids


@pytest.mark.parametrize("limit", [1, 5, 30])
def test_an_answer_ends_with_eos_or_at_the_limit(
    tokenizer: Tokenizer, constraint: Constraint, model: NeedleModel, limit: int
) -> None:
    for row in _greedy(model, constraint, [TIMER], _sources(tokenizer, [TIMER]), limit):
        assert row.ids[-1] == EOS or len(row.ids) >= limit
        assert EOS not in row.ids[:-1] and row.log_probability <= 0


def _beam(
    model: NeedleModel, constraint: Constraint, tools: list[ToolSpec], source: tuple, width: int
) -> list[Decoded]:
    stepper = TorchStepper(model, pack_source([source[0]], [source[1]], [0]))
    return beam(stepper, constraint.matcher(tools), constraint, 40, width)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_beam_of_one_is_greedy_and_a_wider_one_no_worse(
    tokenizer: Tokenizer, constraint: Constraint, seed: int
) -> None:
    model, tools = tiny_model(seed), [LIGHT, STOP]
    sources = _sources(tokenizer, tools)
    for row, source in zip(_greedy(model, constraint, tools, sources), sources, strict=True):
        one = _beam(model, constraint, tools, source, 1)[0]
        assert one.ids == row.ids and one.log_probability == pytest.approx(row.log_probability, abs=1e-3)
        wide = _beam(model, constraint, tools, source, 4)
        assert [entry.log_probability for entry in wide] == sorted(
            (entry.log_probability for entry in wide), reverse=True
        )
        assert wide[0].log_probability >= row.log_probability - 1e-3


def test_a_beam_as_wide_as_the_answers_finds_the_best_of_all(tokenizer: Tokenizer, constraint: Constraint) -> None:
    tools = [STOP]
    for seed in range(3):
        model = tiny_model(seed)
        source = _sources(tokenizer, tools)[0]
        call = [SPECIAL_IDS["<call>"], *tokenizer.encode("stop{}", add_special_tokens=False).ids]
        answers = [[SPECIAL_IDS["<none>"], EOS]] + [call * times + [EOS] for times in range(1, 9)]
        scores = {}
        for ids in answers:
            logits = batch_logits(model, [source[0]], [source[1]], [0], [[START, *ids[:-1]]])[0]
            matcher, score = constraint.matcher(tools), 0.0
            for place, token in enumerate(ids):
                mask = torch.from_numpy(constraint.allowed([matcher], 8192)[0])
                score += float(logits[place].masked_fill(~mask, -torch.inf).log_softmax(-1)[token])
                matcher.consume_token(token)
            scores[tuple(ids)] = score
        best = _beam(model, constraint, tools, source, 10)[0]
        assert tuple(best.ids) == max(scores, key=scores.__getitem__)
        assert best.log_probability == pytest.approx(max(scores.values()), abs=1e-3)


def test_the_alignment_says_where_the_chosen_heads_looked() -> None:
    model = tiny_model(3, alignment_heads=[[1, 0]])
    source = pack_source(TOOLSETS, REQUESTS, TOOLSET_OF)
    stepper = TorchStepper(model, source, align=True)
    tokens = token_rows(9, 2, 1, 3)
    stepper.step(tokens)
    seen = {}
    for row, (found, new) in enumerate(zip(stepper.alignment, tokens, strict=True)):
        length = len(TOOLSETS[TOOLSET_OF[row]]) + len(REQUESTS[row])
        assert found.shape == (len(new), length) and np.allclose(found.sum(-1), 1, atol=1e-5)
        seen[row] = found
    target = pack_target(tokens, source)
    with torch.no_grad():
        model.decode(target, model.cross_keys_values(model.encode(source)), observe={1: lambda weights: seen.update(all=weights[:, 0])})
    for row, new in enumerate(tokens):
        real = source.rows.biases[0][row, 0, 0] == 0
        np.testing.assert_allclose(seen[row], seen["all"][row, : len(new)][:, real].numpy(), atol=1e-5)
    assert TorchStepper(model, source).alignment is None
