"""Mistakes that distillation trainers are known for (other projects' issue trackers), each with the property that it
breaks."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from train_helpers import rows, settings, tiny_model

from needle.student.modeling import NeedleModel
from needle.train.batches import Shape, collate
from needle.train.examples import Example, ExampleSet
from needle.train.losses import SoftTargets, divergence_of, soft_label_loss
from needle.train.objective import objective
from needle.train.students import Students
from needle.train.teachers import Teachers

Array = np.ndarray


@pytest.fixture(scope="module")
def examples(tokenizer: Tokenizer) -> list[Example]:
    return ExampleSet(rows(), tokenizer, tiny_model().config).rendered()


def _drawn(
    seed: int, tokens: int = 6, vocabulary: int = 13, sharp: float = 3.0
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    student, teacher = sharp * torch.randn(2, tokens, vocabulary, generator=generator)
    return student, teacher, torch.rand(tokens, generator=generator)


def _softmax(logits: torch.Tensor, temperature: float = 1.0) -> Array:
    x = logits.detach().double().numpy() / temperature
    x = np.exp(x - x.max(-1, keepdims=True))
    return x / x.sum(-1, keepdims=True)


def _kl(p: Array, q: Array) -> Array:
    return np.where(p > 0, p * (np.log(np.where(p > 0, p, 1.0)) - np.log(q)), 0.0).sum(-1)


def _reference(p: Array, q: Array, beta: float, skew: float) -> Array:
    """The family in fp64, from its definition in probabilities (never mixed in log space)."""
    q = skew * p + (1 - skew) * q
    if beta in (0, 1):
        return _kl(q, p) if beta else _kl(p, q)
    middle = beta * p + (1 - beta) * q
    return (beta * _kl(p, middle) + (1 - beta) * _kl(q, middle)) / (beta * (1 - beta))


@pytest.mark.parametrize("beta", [0.0, 0.05, 0.5, 0.9, 1.0])
@pytest.mark.parametrize(("skew", "temperature"), [(0.0, 1.0), (0.1, 2.5)])
def test_mixing_in_log_space_or_with_swapped_weights(beta: float, skew: float, temperature: float) -> None:
    for seed in range(4):
        student, teacher, weights = _drawn(seed)
        expected = (
            temperature**2
            * (
                _reference(_softmax(teacher, temperature), _softmax(student, temperature), beta, skew)
                * weights.double().numpy()
            ).sum()
        )
        loss = soft_label_loss(
            student, SoftTargets((teacher / temperature).softmax(-1)), weights, temperature, beta, skew
        )
        assert loss.item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("beta", "limit"), [(0.999, 1.0), (0.001, 0.0)])
def test_a_gradient_that_vanishes_near_the_ends_of_the_family(beta: float, limit: float) -> None:
    gradients = []
    for value in (beta, limit):
        student, teacher, weights = _drawn(3, sharp=1.0)
        student.requires_grad_()
        soft_label_loss(student, SoftTargets(teacher.softmax(-1)), weights, beta=value).backward()
        gradients.append(student.grad)
    assert (gradients[0] - gradients[1]).norm() < 0.01 * gradients[1].norm()


@pytest.mark.parametrize("beta", [0.0, 0.3, 0.5, 1.0])
def test_divergences_below_zero_from_half_precision(beta: float) -> None:
    for seed in range(10):
        student, _, weights = _drawn(seed, vocabulary=500)
        student = student.bfloat16()
        teacher = (
            student.float() + 0.01 * torch.randn(student.shape, generator=torch.Generator().manual_seed(seed))
        ).bfloat16()
        targets = SoftTargets(teacher.float().softmax(-1))
        loss = soft_label_loss(student, targets, weights, beta=beta)
        assert loss.dtype == torch.float32 and loss > 0
        expected = (_reference(_softmax(teacher), _softmax(student), beta, 0.0) * weights.double().numpy()).sum()
        assert loss.item() == pytest.approx(expected, rel=0.05, abs=1e-5)


def test_likeliest_tokens_without_the_rest() -> None:
    student, teacher, weights = _drawn(1)
    p, q, best = _softmax(teacher), _softmax(student), teacher.softmax(-1).topk(3)
    inside = best.indices.numpy()

    def merged(x: Array) -> Array:
        kept = np.take_along_axis(x, inside, -1)
        return np.concatenate((kept, 1 - kept.sum(-1, keepdims=True)), -1)

    student.requires_grad_()
    loss = soft_label_loss(student, SoftTargets(best.values, best.indices), weights)
    assert loss.item() == pytest.approx((_kl(merged(p), merged(q)) * weights.double().numpy()).sum(), rel=1e-4)
    loss.backward()
    outside = torch.ones_like(student, dtype=torch.bool).scatter(-1, best.indices, False)
    rest_p, rest_q = merged(p)[:, -1], merged(q)[:, -1]
    down = (student.grad * outside).sum(
        -1
    )  # probability outside is pushed to the teacher's: neither ignored nor driven to nothing
    assert torch.equal(down > 0, torch.from_numpy(rest_q > rest_p)) and bool((down != 0).all())


def test_a_rest_that_rounding_makes_negative() -> None:
    certain = torch.tensor([[20.0, -20.0, -20.0, -20.0]]).softmax(-1)
    for rest in (None, torch.zeros(1)):
        student = torch.randn(1, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
        loss = soft_label_loss(student, SoftTargets(certain[:, :2], torch.tensor([[0, 1]]), rest=rest), torch.ones(1))
        loss.backward()
        assert torch.isfinite(loss) and torch.isfinite(student.grad).all()


def test_a_temperature_that_shrinks_the_gradient() -> None:
    norms = []
    for temperature in (8.0, 32.0):
        student, teacher, weights = _drawn(0, sharp=0.5)
        student.requires_grad_()
        soft_label_loss(student, SoftTargets((teacher / temperature).softmax(-1)), weights, temperature).backward()
        norms.append(student.grad.norm().item())
    assert norms[1] == pytest.approx(norms[0], rel=0.1)


def test_positions_of_weight_zero_and_rows_of_nothing_else() -> None:
    student, teacher, weights = _drawn(2)
    weights[2:] = 0
    for targets in (SoftTargets(teacher.softmax(-1)), SoftTargets(*teacher.softmax(-1).topk(3)[:2])):
        logits = student.clone().requires_grad_()
        soft_label_loss(logits, targets, weights, beta=0.5).backward()
        assert float(logits.grad[2:].abs().max()) == 0 and float(logits.grad[:2].abs().max()) > 0
        assert soft_label_loss(student, targets, torch.zeros_like(weights)).item() == 0


def test_an_answer_that_is_off_by_one_from_the_teachers(examples: list[Example]) -> None:
    student, teacher = tiny_model(0, initializer_range=0.1).eval(), tiny_model(1, initializer_range=0.1).eval()
    weights = settings().token_weights

    def logits(model: NeedleModel, example: Example) -> torch.Tensor:
        batch = collate([example], weights)
        return model.logits(model(batch.source, batch.target)).detach()

    expected = 0.0
    for example in examples:
        mine, said = logits(student, example), logits(teacher, example)
        assert len(mine) == len(example.answer)
        for place, kind in enumerate(example.classes):  # position i speaks of answer token i, the first one included
            expected += weights[kind] * float(_kl(_softmax(said[place]), _softmax(mine[place])))
    batch = collate(examples, weights)
    mine = student.logits(student(batch.source, batch.target))
    parts = objective(settings(), mine, [], Teachers([teacher]).targets(batch, torch.float32, 1.0), batch, 0.5)
    assert parts["soft_loss"][1].item() == pytest.approx(expected, rel=1e-3)
    said = Teachers([teacher]).targets(batch, torch.float32, 1.0).probabilities.double().numpy()
    entropy = -(said * np.log(said)).sum(-1) @ batch.weights_N.double().numpy()
    assert parts["teacher_entropy"][0] == 0 and parts["teacher_entropy"][1].item() == pytest.approx(entropy, rel=1e-4)


def _update(examples: list[Example], **changes: object) -> tuple[dict[str, float], torch.Tensor]:
    model = tiny_model(0, initializer_range=0.1)
    students = Students(
        [model], settings(divergence=0.5, **changes), torch.float32, Teachers([tiny_model(1, initializer_range=0.1)])
    )
    parts = students.update(examples, 0.5)
    return parts, torch.cat([weight.detach().flatten() for weight in model.parameters()])


def test_a_loss_divided_twice_or_scaled_by_the_number_of_passes(examples: list[Example]) -> None:
    whole, _ = _update(examples, micro_rows=50)
    for cut, _ in (
        _update(examples, micro_rows=1),
        _update(examples, micro_rows=4),
        _update(examples * 2, micro_rows=5),
    ):
        for name in ("loss", "soft_loss", "norm"):
            assert cut[name] == pytest.approx(whole[name], rel=1e-4), name


def test_padding_that_is_learnt_from(examples: list[Example]) -> None:
    found = []
    for shape in (Shape(), Shape(source=64, target=64)):
        student, teacher = tiny_model(0, initializer_range=0.1), tiny_model(1, initializer_range=0.1)
        batch = collate(examples, settings().token_weights, shape=shape)
        logits = student.logits(student(batch.source, batch.target))
        said = Teachers([teacher]).targets(batch, torch.float32, 1.0)
        parts = objective(settings(divergence=0.5), logits, [], said, batch, 0.5)
        sum(share * loss for share, loss in parts.values()).backward()
        found.append((parts["soft_loss"][1].detach(), torch.cat([p.grad.flatten() for p in student.parameters()])))
    assert batch.slots > sum(batch.tokens)
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-4)


def test_a_loss_that_depends_on_the_length_of_the_answers() -> None:
    student, teacher, weights = _drawn(0)
    once = soft_label_loss(student, SoftTargets(teacher.softmax(-1)), weights) / weights.sum()
    doubled = weights.repeat(2)
    twice = (
        soft_label_loss(student.repeat(2, 1), SoftTargets(teacher.softmax(-1).repeat(2, 1)), doubled) / doubled.sum()
    )
    torch.testing.assert_close(once, twice)


def test_an_ensemble_that_adds_divergences_or_averages_logits() -> None:
    one, other = torch.tensor([[5.0, 0.0, 0.0]]), torch.tensor([[0.0, 5.0, 0.0]])
    mean = 0.75 * one.softmax(-1) + 0.25 * other.softmax(-1)
    student = mean.log()
    assert (
        abs(soft_label_loss(student, SoftTargets(mean), torch.ones(1)).item()) < 1e-6
    )  # reachable: zero at the average
    assert not torch.allclose((0.75 * one + 0.25 * other).softmax(-1), mean, atol=0.05)
    divergences = [divergence_of(x.log_softmax(-1), student).item() for x in (one, other)]
    assert math.fsum(divergences) > 0.1
