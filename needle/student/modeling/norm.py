"""The RMS norm for training on a CPU without a compiler: some rows at a time, so that what is in fp32 stays in the cache."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

AT_A_TIME = 2**17
"""Numbers that are worked on together: 512 KB in fp32."""


class RowsNorm(torch.autograd.Function):
    """``x / rms(x) * (1 + gain)`` over the last axis, in fp32, forward and backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, gain: Tensor, eps: float) -> Tensor:
        """Same shape and type as ``x``."""
        rows, step = x.reshape(-1, x.shape[-1]), max(1, AT_A_TIME // x.shape[-1])
        scales, out = torch.empty(len(rows), 1), torch.empty_like(rows)
        for start in range(0, len(rows), step):
            part = rows[start : start + step].float()
            scale = part.square().mean(-1, keepdim=True).add_(eps).rsqrt_()
            scales[start : start + step] = scale
            out[start : start + step] = (part * scale).mul_(1 + gain)
        ctx.save_for_backward(x, gain, scales)
        return out.view(x.shape)

    @staticmethod
    def backward(ctx: Any, out: Tensor) -> tuple[Tensor, Tensor, None]:
        """Gradients of ``x`` and ``gain``."""
        x, gain, scales = ctx.saved_tensors
        rows, outs, step = x.reshape(-1, x.shape[-1]), out.reshape(-1, x.shape[-1]), max(1, AT_A_TIME // x.shape[-1])
        found, gains = torch.empty_like(rows), torch.zeros_like(gain)
        for start in range(0, len(rows), step):
            some = slice(start, start + step)
            normed, mine = rows[some].float() * scales[some], outs[some].float()
            gains += (mine * normed).sum(0)
            mine = mine * (1 + gain)
            mean = (mine * normed).mean(-1, keepdim=True)
            found[some] = mine.sub_(normed.mul_(mean)).mul_(scales[some])
        return found.view(x.shape), gains, None
