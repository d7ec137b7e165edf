"""Symmetric integer rounding of weights in groups along the input axis, for training with it and for storing the result.

One rule serves both: ``scale = fp16(absmax / top)`` of each group, ``integer = round(weight / scale)`` within ``[-top, top]`` (top = 7 for
4 bits, 127 for 8). The trained forward pass uses exactly ``integer * scale``, so the stored file reproduces it.
"""

from __future__ import annotations

import copy
from functools import partial

import torch
from torch import Tensor, nn

GROUP = 32


def quantize(weight: Tensor, bits: int, group: int = GROUP) -> tuple[Tensor, Tensor]:
    """Integers ``[rows, columns]`` (int8) and scales ``[rows, columns / group]`` (fp16) of a matrix."""
    top = 2 ** (bits - 1) - 1
    parts = weight.detach().float().unflatten(-1, (-1, group))
    scale = (parts.abs().amax(-1) / top).to(torch.float16).clamp_min(torch.finfo(torch.float16).tiny)
    integers = (parts / scale.float()[..., None]).round().clamp(-top, top)
    return integers.flatten(-2).to(torch.int8), scale


def dequantize(integers: Tensor, scale: Tensor) -> Tensor:
    """fp32 matrix ``integer * scale``."""
    group = integers.shape[-1] // scale.shape[-1]
    return (integers.float().unflatten(-1, (-1, group)) * scale.float()[..., None]).flatten(-2)


def fake_quantize(weight: Tensor, bits: int, group: int = GROUP) -> Tensor:
    """The rounded matrix in the forward pass, the identity in the backward pass (straight-through estimator)."""
    return weight + (dequantize(*quantize(weight, bits, group)) - weight).detach()


def set_quantization(model: nn.Module, bits: int | None) -> None:
    """Switch rounding of every matrix of the model, the embedding included, on (``bits``) or off (None)."""
    function = None if bits is None else partial(fake_quantize, bits=bits)
    for module in model.modules():
        if hasattr(module, "fake_quantize"):
            module.fake_quantize = function
    model.embedding_quantize = function


def rounded_copy(model: nn.Module, bits: int) -> nn.Module:
    """A copy whose weights are the rounded ones: what ships, without the cost of rounding at every use."""
    twin = copy.deepcopy(model)
    set_quantization(twin, None)
    with torch.no_grad():
        for parameter in twin.parameters():
            if parameter.ndim == 2:
                parameter.copy_(dequantize(*quantize(parameter, bits)))
    return twin
