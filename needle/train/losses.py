"""The losses, one implementation each, in fp32. All are sums over tokens: the caller divides by the weight of the whole step."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


def hard_label_loss(logits_NV: Tensor, labels_N: Tensor, weights_N: Tensor, z_weight: float = 0.0) -> Tensor:
    """Sum over tokens of weight x (cross-entropy + ``z_weight`` x squared log-partition).

    The second part keeps logits small (z-loss of PaLM, arXiv:2204.02311); it counts answer tokens only, as there are no others here.
    """
    logits_NV = logits_NV.float()
    log_partition = logits_NV.logsumexp(-1)
    cross_entropy = log_partition - logits_NV.gather(-1, labels_N[:, None])[:, 0]
    return ((cross_entropy + z_weight * log_partition.square()) * weights_N).sum()


@dataclass(frozen=True)
class SoftTargets:
    """What a teacher says about N positions, at the temperature of the loss."""

    probabilities: Tensor
    """``[N, V]`` over the vocabulary, or ``[N, k]`` of the tokens in ``tokens``, in fp32."""
    tokens: Tensor | None = None
    """Token ids ``[N, k]`` of the columns; None: the whole vocabulary."""
    drawn: bool = False
    """The columns are random draws and their frequencies, instead of the k likeliest tokens beside one bucket for all others."""
    rest: Tensor | None = None
    """``[N]``: probability of all tokens beside ``tokens``, where it is known better than as one minus their sum."""
    places: Tensor | None = None
    """Positions ``[M]`` that the M rows speak of; None: all N, in order."""


def soft_label_loss(
    logits_NV: Tensor, targets: SoftTargets, weights_N: Tensor, temperature: float = 1.0, beta: float = 0.0, skew: float = 0.0
) -> Tensor:
    """Sum over tokens of weight x T^2 x divergence of teacher and student, both at temperature T (Hinton et al., arXiv:1503.02531).

    ``beta`` chooses the member of the generalised Jensen-Shannon family (arXiv:2306.13649), rescaled so that 0 is exactly KL(teacher ||
    student) and 1 exactly KL(student || teacher). ``skew`` mixes so much of the teacher into the student's place first (DistiLLM,
    arXiv:2402.03898). Random draws allow the cross-entropy only (arXiv:2503.16870): unbiased, and not zero at agreement.
    """
    if targets.places is not None:
        logits_NV, weights_N = logits_NV[targets.places], weights_N[targets.places]
    student = (logits_NV.float() / temperature).log_softmax(-1)
    if targets.tokens is not None:
        student = student.gather(-1, targets.tokens)
    if targets.drawn:
        assert not beta and not skew, "draws estimate the forward divergence only"
        divergence = -(targets.probabilities * student).sum(-1)
    elif targets.tokens is None:
        divergence = divergence_of(targets.probabilities.log(), student, beta, skew)
    else:
        teacher = _with_rest(targets.probabilities.log(), targets.rest)
        divergence = divergence_of(teacher, _with_rest(student), beta, skew)
    return temperature**2 * (divergence * weights_N).sum()


def divergence_of(teacher: Tensor, student: Tensor, beta: float = 0.0, skew: float = 0.0) -> Tensor:
    """Divergence ``[...]`` of two log-distributions over the last axis; see ``soft_label_loss``. Zero, with zero gradient, at agreement."""
    if skew:
        student = torch.logaddexp(teacher + math.log(skew), student + math.log1p(-skew))
    if beta == 0:
        return _kl(teacher, student)
    if beta == 1:
        return _kl(student, teacher)
    middle = torch.logaddexp(teacher + math.log(beta), student + math.log1p(-beta))
    return _kl(teacher, middle) / (1 - beta) + _kl(student, middle) / beta


def _kl(first: Tensor, second: Tensor) -> Tensor:
    """KL(first || second) of log-distributions; a probability of zero in the first counts nothing, in the second the least that fp32 knows."""
    terms = first.exp() * (first - second.clamp_min(-100.0))
    return torch.where(first == -torch.inf, 0.0, terms).sum(-1)


def _with_rest(log_probabilities_Nk: Tensor, rest_N: Tensor | None = None) -> Tensor:
    """One more column: the log of what the others leave (``rest_N`` where given), at least 1e-7."""
    rest = 1 - log_probabilities_Nk.exp().sum(-1) if rest_N is None else rest_N
    return torch.cat((log_probabilities_Nk, rest.clamp_min(1e-7).log()[:, None]), dim=-1)


def dpo_loss(chosen_R: Tensor, rejected_R: Tensor, reference_R: Tensor, beta: float) -> Tensor:
    """``[R]``: -log sigmoid(beta x (margin of the student - margin of the reference)), margins being log p(chosen) - log p(rejected).

    Direct preference optimisation (Rafailov et al., arXiv:2305.18290). ``reference_R`` is the margin of the model that training began with.
    """
    return -F.logsigmoid(beta * (chosen_R - rejected_R - reference_R))


def simpo_loss(
    chosen_R: Tensor, rejected_R: Tensor, lengths_R: tuple[Tensor, Tensor], beta: float, margin: float
) -> Tensor:
    """``[R]``: -log sigmoid(beta x difference of log-probabilities a token - margin); ``lengths_R``: tokens of both answers.

    Needs no reference, and a long answer is not punished for its length (SimPO: Meng et al., arXiv:2405.14734).
    """
    return -F.logsigmoid(beta * (chosen_R / lengths_R[0] - rejected_R / lengths_R[1]) - margin)
