"""The losses, one implementation each, in fp32. All are sums over tokens: the caller divides by the weight of the whole step."""

from __future__ import annotations

from torch import Tensor


def hard_label_loss(logits_NV: Tensor, labels_N: Tensor, weights_N: Tensor, z_weight: float = 0.0) -> Tensor:
    """Sum over tokens of weight x (cross-entropy + ``z_weight`` x squared log-partition).

    The second part keeps logits small (z-loss of PaLM, arXiv:2204.02311); it counts answer tokens only, as there are no others here.
    """
    logits_NV = logits_NV.float()
    log_partition = logits_NV.logsumexp(-1)
    cross_entropy = log_partition - logits_NV.gather(-1, labels_N[:, None])[:, 0]
    return ((cross_entropy + z_weight * log_partition.square()) * weights_N).sum()
