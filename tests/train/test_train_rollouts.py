"""On-policy steps: the student's own answers, the teachers' word on them, the same again after a stop."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from train_helpers import rows, settings, tiny_model

from needle.distil import train
from needle.errors import UserError
from needle.student.grammar import Constraint
from needle.student.modeling import NeedleModel
from needle.student.modeling.storage import load_model
from needle.student.rendering import parse_answer
from needle.student.tokenizer import EOS, SPECIAL_IDS
from needle.tools import is_valid
from needle.train.examples import Example, ExampleSet
from needle.train.loop import Trainer
from needle.train.rollouts import drawn_by, is_sampled, sampled_answers
from needle.train.students import Students
from needle.train.teachers import Teachers


@pytest.fixture(scope="module")
def examples(tokenizer: Tokenizer) -> list[Example]:
    return ExampleSet(rows(), tokenizer, _model().config).rendered()


def _model(seed: int = 0, **changes: float) -> NeedleModel:
    """One whose answers are short, so that sampling them is quick."""
    return tiny_model(seed, max_target_tokens=24, **changes)


def _flat(model: NeedleModel) -> torch.Tensor:
    return torch.cat([weight.detach().flatten() for weight in model.parameters()])


def _run(
    tokenizer: Tokenizer, out: Path, steps: int, model: NeedleModel, share: float, resume: bool = False
) -> torch.Tensor:
    made = ExampleSet(rows(), tokenizer, model.config)
    config = settings(steps=steps, rows=3, validations=1, warmup=0.0, cooldown=0.0, on_policy=share)
    trainer = Trainer(
        [model], tokenizer, made, config, out, lambda _: {"exact": 0.0}, Teachers([_model(3, initializer_range=0.1)])
    )
    if resume:
        trainer.resume()
    trainer.run()
    return _flat(trainer.model)


def test_the_share_of_sampled_steps_is_the_one_asked_for() -> None:
    assert not any(is_sampled(0.0, 0, step) for step in range(99)) and all(
        is_sampled(1.0, 0, step) for step in range(99)
    )
    found = sum(is_sampled(0.3, 7, step) for step in range(4000)) / 4000
    assert abs(found - 0.3) < 0.03


def test_samples_follow_the_seed_and_are_cut_where_they_ramble(examples: list[Example]) -> None:
    model = _model(0, initializer_range=0.1).eval()
    one, again, other = (sampled_answers(model, examples, seed) for seed in ((0, 1), (0, 1), (0, 2)))
    assert one == again and one != other
    limit = min(2 * max(len(example.answer) for example in examples) + 16, model.config.max_target_tokens)
    for before, after in zip(examples, one, strict=True):
        assert (before.tools, before.request) == (after.tools, after.request) and len(after.answer) == len(
            after.classes
        ) <= limit
        assert SPECIAL_IDS[EOS] not in after.answer[:-1] and (
            after.answer[-1] == SPECIAL_IDS[EOS] or len(after.answer) == limit
        )


def test_tokens_come_as_often_as_the_student_finds_them_likely() -> None:
    logits, draw = torch.randn(40, generator=torch.Generator().manual_seed(0)) * 2, drawn_by(np.random.default_rng(0))
    drawn = Counter(draw(logits.log_softmax(-1).numpy()) for _ in range(4000))
    for token, p in enumerate(logits.softmax(-1).tolist()):
        assert abs(drawn[token] / 4000 - p) <= 4.5 * math.sqrt(p * (1 - p) / 4000)


def test_bound_samples_are_what_the_grammar_allows_and_free_ones_are_not(tokenizer: Tokenizer) -> None:
    model = tiny_model(0, initializer_range=0.1).eval()
    made = ExampleSet(rows(), tokenizer, model.config)
    made.keeps_tools = True
    constraint = Constraint(tokenizer)
    bound = sampled_answers(model, made.rendered(), (0,), constraint=constraint)
    assert bound == sampled_answers(model, made.rendered(), (0,), constraint=constraint)
    whole = [example for example in bound if example.answer[-1] == SPECIAL_IDS[EOS]]
    assert len(whole) >= 5
    for example in whole:
        calls = parse_answer(tokenizer, example.answer, example.specs)
        assert is_valid(tuple(calls), example.specs)
    free = sampled_answers(model, made.rendered(), (0,))
    with pytest.raises(ValueError):
        [parse_answer(tokenizer, example.answer, example.specs) for example in free]


def test_without_a_share_the_run_is_the_old_one_and_with_one_it_is_another(
    tokenizer: Tokenizer, tmp_path: Path
) -> None:
    plain, sampled = (_run(tokenizer, tmp_path / str(share), 2, _model(0), share) for share in (0.0, 1.0))
    config = settings(steps=2, rows=3, validations=1, warmup=0.0, cooldown=0.0)
    old = Trainer([_model(0)], tokenizer, ExampleSet(rows(), tokenizer, _model().config), config, tmp_path / "old",
                  lambda _: {"exact": 0.0}, Teachers([_model(3, initializer_range=0.1)]))  # fmt: skip
    old.run()
    assert torch.equal(plain, _flat(old.model)) and not torch.equal(plain, sampled)


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
def test_a_teacher_that_is_the_student_leaves_it_nothing_to_learn(examples: list[Example], beta: float) -> None:
    model = _model(0, initializer_range=0.1)
    parts = Students(
        [model], settings(on_policy=1.0, divergence=beta), torch.float32, Teachers([_model(0, initializer_range=0.1)])
    ).update(examples[:3], 0.5)
    other = Students(
        [model], settings(on_policy=1.0, divergence=beta), torch.float32, Teachers([_model(2, initializer_range=0.1)])
    ).update(examples[:3], 0.5)
    assert abs(parts["soft_loss"]) < 1e-5 and parts["norm"] < 1e-4 * other["norm"] and parts["sampled"] == 1


def test_a_stopped_run_ends_like_one_that_ran_through(tokenizer: Tokenizer, tmp_path: Path) -> None:
    whole = _run(tokenizer, tmp_path / "a", 4, _model(0), 0.5)
    _run(tokenizer, tmp_path / "b", 2, _model(0), 0.5)
    assert torch.equal(whole, _run(tokenizer, tmp_path / "b", 4, load_model(tmp_path / "b" / "last"), 0.5, resume=True))


def test_samples_without_a_teacher_in_the_loop_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--on-policy"):
        train([tmp_path], tmp_path / "run", settings={"steps": 1, "on_policy": 0.5})
