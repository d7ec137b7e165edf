"""Low-rank adapters: a fine-tune that leaves the base as it is and learns a small correction of each matrix (LoRA,
arXiv:2106.09685).

    add_adapters(model, rank=8, alpha=16.0, seed=0)    # every matrix of the layers; the embedding, norms and gates stay
    ordinary = merged(model)                           # the corrections added in: a plain student

The corrected matrix ``W + scale x B A`` takes the place of ``W`` wherever the model uses it, rounding for
quantisation-aware training
included, so that what is trained is bit for bit what is merged, saved and shipped. Our own few lines: ``peft`` cannot
round the sum.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from functools import reduce

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from needle.errors import UserError
from needle.student.modeling import NeedleModel
from needle.student.modeling.layers import Linear


class LowRank(nn.Module):
    """The correction of one matrix ``[out, in]``: ``scale x up [out, r] @ down [r, in]``; ``up`` begins at zero,
    so that it begins as nothing."""

    def __init__(self, weight: Tensor, rank: int, scale: float, generator: torch.Generator) -> None:
        super().__init__()
        outputs, inputs = weight.shape
        bound = inputs**-0.5
        down = torch.empty(rank, inputs).uniform_(-bound, bound, generator=generator)
        self.down = nn.Parameter(down.to(weight.device))
        self.up = nn.Parameter(torch.zeros(outputs, rank, device=weight.device))
        self.scale = scale

    def forward(self, weight: Tensor) -> Tensor:
        """The corrected matrix."""
        return torch.addmm(weight, self.up, self.down, alpha=self.scale)


def add_adapters(model: NeedleModel, rank: int, alpha: float, seed: int, root: bool = False) -> None:
    """Freeze ``model`` and put an adapter of ``rank`` on every matrix of its layers, in place.

    Args:
        alpha: strength; the correction is scaled by ``alpha / rank``.
        seed: of the initial ``down`` matrices.
        root: scale by ``alpha / sqrt(rank)`` instead, which keeps large ranks as strong as small ones (rsLoRA,
        arXiv:2312.03732).

    Raises:
        UserError: a rank that is not below the smallest side of a matrix saves nothing.
    """
    linears = [module for module in model.modules() if isinstance(module, Linear)]
    most = min(min(linear.weight.shape) for linear in linears) - 1
    if not 1 <= rank <= most:
        raise UserError(f"--lora {rank}: give a rank from 1 to {most}, or 0 to train all weights")
    model.requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    scale = alpha / (math.sqrt(rank) if root else rank)
    for linear in linears:
        parametrize.register_parametrization(
            linear, "weight", LowRank(linear.weight, rank, scale, generator), unsafe=True
        )
        linear.__class__ = linears[0].__class__  # made for each map alike; with one, layers share their compiled graphs


def is_adapted(model: nn.Module) -> bool:
    """Whether ``add_adapters`` was called on it."""
    return any(isinstance(module, LowRank) for module in model.modules())


def merged(model: NeedleModel) -> NeedleModel:
    """An ordinary student with the corrections added to its matrices; the model itself where it has none."""
    if not is_adapted(model):
        return model
    with torch.device("meta"):
        plain = NeedleModel(model.config)  # not a copy of the model: its classes are made for one instance
    names = [name for name, _ in plain.named_parameters()]
    weights = (weight.detach().clone() for weight in weights_of(model, names))
    plain.load_state_dict(dict(zip(names, weights, strict=True)), assign=True)
    return plain.requires_grad_(True)


def weights_of(model: nn.Module, names: Iterable[str]) -> Iterator[Tensor]:
    """The weights of an ordinary student by their ``names``, as they take part in the forward pass of ``model``,
    adapted or not."""
    return (reduce(getattr, name.split("."), model) for name in names)
