"""The losses, one implementation each, in fp32. All are sums over tokens: the caller divides by the weight of the whole step."""

from __future__ import annotations

import torch
from torch import Tensor


def hard_label_loss(logits_NV: Tensor, labels_N: Tensor, weights_N: Tensor, z_weight: float = 0.0) -> Tensor:
    """Sum over tokens of weight x (cross-entropy + ``z_weight`` x squared log-partition).

    The second part keeps logits small (z-loss of PaLM, arXiv:2204.02311); it counts answer tokens only, as there are no others here.
    """
    logits_NV = logits_NV.float()
    log_partition = logits_NV.logsumexp(-1)
    cross_entropy = log_partition - logits_NV.gather(-1, labels_N[:, None])[:, 0]
    return ((cross_entropy + z_weight * log_partition.square()) * weights_N).sum()


def soft_label_loss(logits_NV: Tensor, teacher_NV: Tensor, weights_N: Tensor, temperature: float = 1.0) -> Tensor:
    """Sum over tokens of weight x T^2 x KL(teacher || student), both at temperature T (Hinton et al., arXiv:1503.02531).

    ``teacher_NV`` holds probabilities that were already taken at that temperature (for an ensemble, their average). Zero, with zero gradient,
    when the student agrees.
    """
    student = (logits_NV.float() / temperature).log_softmax(-1)
    divergence = torch.xlogy(teacher_NV, teacher_NV).sum(-1) - (teacher_NV * student).sum(-1)
    return temperature**2 * (divergence * weights_N).sum()
