"""The losses, one implementation each, in fp32."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def hard_label_loss(logits_NV: Tensor, labels_N: Tensor, weights_N: Tensor) -> Tensor:
    """Sum over tokens of weight x cross-entropy; the caller divides by the weight of the whole step, so that micro-batches add up."""
    return (F.cross_entropy(logits_NV.float(), labels_N, reduction="none") * weights_N).sum()


def z_loss(logits_NV: Tensor, weights_N: Tensor) -> Tensor:
    """Sum over tokens of weight x squared log-partition (PaLM, arXiv:2204.02311), over real answer tokens only."""
    return (logits_NV.float().logsumexp(-1).square() * weights_N).sum()
