"""Soft labels: properties of the divergence, and of the ensemble."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from needle.errors import UserError
from needle.student.tokenizer import load_tokenizer, train_tokenizer
from needle.train.losses import SoftTargets, divergence_of, soft_label_loss
from needle.train.teachers import check_same_tokenizer


def _pair(seed: int = 0, tokens: int = 5, vocabulary: int = 11) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    student, teacher = torch.randn(2, tokens, vocabulary, generator=generator)
    return student, teacher, torch.rand(tokens, generator=generator)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_equals_the_reference_divergence_with_squared_temperature(temperature: float) -> None:
    student, teacher, weights = _pair()
    reference = F.kl_div((student / temperature).log_softmax(-1), (teacher / temperature).log_softmax(-1), reduction="none", log_target=True)
    expected = temperature**2 * (reference.sum(-1) * weights).sum()
    loss = soft_label_loss(student, SoftTargets((teacher / temperature).softmax(-1)), weights, temperature)
    torch.testing.assert_close(loss, expected)


def test_agreement_gives_no_loss_and_no_gradient() -> None:
    student, _, weights = _pair()
    student.requires_grad_()
    loss = soft_label_loss(student, SoftTargets(student.detach().softmax(-1)), weights)
    loss.backward()
    assert abs(loss.item()) < 1e-5
    assert student.grad.abs().max() < 1e-6


def test_is_never_negative_and_bears_certain_teachers() -> None:
    for seed in range(20):
        student, teacher, weights = _pair(seed)
        assert soft_label_loss(student, SoftTargets(teacher.softmax(-1)), weights) >= 0
    certain = F.one_hot(torch.arange(5), 11).float()
    student, _, weights = _pair()
    expected = (F.cross_entropy(student, torch.arange(5), reduction="none") * weights).sum()
    torch.testing.assert_close(soft_label_loss(student, SoftTargets(certain), weights), expected)


def test_a_teacher_with_another_vocabulary_is_refused() -> None:
    other = train_tokenizer(["some words of another language"] * 3, vocab_size=300)
    with pytest.raises(UserError, match="another tokenizer"):
        check_same_tokenizer(load_tokenizer(), other, "teacher")
    check_same_tokenizer(load_tokenizer(), load_tokenizer(), "teacher")


@pytest.mark.parametrize("beta", [0.0, 0.1, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("skew", [0.0, 0.1])
def test_every_member_of_the_family_is_zero_at_agreement_only(beta: float, skew: float) -> None:
    for seed in range(5):
        student, teacher, _ = _pair(seed)
        same = student.clone().requires_grad_()
        none = divergence_of(student.log_softmax(-1), same.log_softmax(-1), beta, skew).sum()
        none.backward()
        assert abs(none.item()) < 1e-5 and same.grad.abs().max() < 1e-5
        assert (divergence_of(teacher.log_softmax(-1), student.log_softmax(-1), beta, skew) > 1e-3).all()


@pytest.mark.parametrize(("beta", "limit"), [(0.001, 0.0), (0.999, 1.0)])
def test_the_family_reaches_both_divergences_without_a_jump(beta: float, limit: float) -> None:
    student, teacher, _ = _pair()
    near, at = (divergence_of(teacher.log_softmax(-1), student.log_softmax(-1), value) for value in (beta, limit))
    torch.testing.assert_close(near, at, rtol=0.01, atol=1e-3)


def test_half_way_is_four_times_the_jensen_shannon_divergence() -> None:
    student, teacher, _ = _pair()
    p, q = teacher.softmax(-1), student.softmax(-1)
    middle = ((p + q) / 2).log()
    reference = (F.kl_div(middle, p, reduction="none") + F.kl_div(middle, q, reduction="none")).sum(-1) / 2
    torch.testing.assert_close(divergence_of(p.log(), q.log(), 0.5), 4 * reference)


def test_the_likeliest_tokens_and_one_bucket_are_the_whole_when_they_are_all_tokens() -> None:
    student, teacher, weights = _pair()
    probabilities = teacher.softmax(-1)
    best = probabilities.topk(11)
    whole = soft_label_loss(student, SoftTargets(probabilities), weights)
    torch.testing.assert_close(soft_label_loss(student, SoftTargets(best.values, best.indices), weights), whole, rtol=1e-3, atol=1e-4)
    few = probabilities.topk(3)
    part = soft_label_loss(student, SoftTargets(few.values, few.indices), weights)
    assert 0 < part < whole  # merging tokens into a bucket can only lose divergence


def test_a_bucket_agrees_where_the_student_agrees() -> None:
    student, _, weights = _pair()
    few = student.softmax(-1).topk(4)
    student.requires_grad_()
    soft_label_loss(student, SoftTargets(few.values, few.indices), weights).backward()
    assert student.grad.abs().max() < 1e-5


def test_random_draws_estimate_the_cross_entropy_without_bias() -> None:
    student, teacher, weights = _pair()
    probabilities = teacher.softmax(-1)
    drawn = torch.multinomial(probabilities, 200_000, replacement=True, generator=torch.Generator().manual_seed(0))
    estimate = soft_label_loss(student, SoftTargets(torch.full(drawn.shape, 1 / 200_000), drawn, drawn=True), weights)
    exact = -((probabilities * student.log_softmax(-1)).sum(-1) * weights).sum()
    torch.testing.assert_close(estimate, exact, rtol=0.01, atol=0.0)
