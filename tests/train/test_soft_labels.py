"""Soft labels: properties of the divergence, and of the ensemble."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from needle.errors import UserError
from needle.student.tokenizer import load_tokenizer, train_tokenizer
from needle.train.losses import soft_label_loss
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
    loss = soft_label_loss(student, (teacher / temperature).softmax(-1), weights, temperature)
    torch.testing.assert_close(loss, expected)


def test_agreement_gives_no_loss_and_no_gradient() -> None:
    student, _, weights = _pair()
    student.requires_grad_()
    loss = soft_label_loss(student, student.detach().softmax(-1), weights)
    loss.backward()
    assert abs(loss.item()) < 1e-5
    assert student.grad.abs().max() < 1e-6


def test_is_never_negative_and_bears_certain_teachers() -> None:
    for seed in range(20):
        student, teacher, weights = _pair(seed)
        assert soft_label_loss(student, teacher.softmax(-1), weights) >= 0
    certain = F.one_hot(torch.arange(5), 11).float()
    student, _, weights = _pair()
    expected = (F.cross_entropy(student, torch.arange(5), reduction="none") * weights).sum()
    torch.testing.assert_close(soft_label_loss(student, certain, weights), expected)


def test_a_teacher_with_another_vocabulary_is_refused() -> None:
    other = train_tokenizer(["some words of another language"] * 3, vocab_size=300)
    with pytest.raises(UserError, match="another tokenizer"):
        check_same_tokenizer(load_tokenizer(), other, "teacher")
    check_same_tokenizer(load_tokenizer(), load_tokenizer(), "teacher")
