"""``torch.compile`` for training on a CPU: what layers do around attention as four graphs that all layers share, for any number of tokens.

Attention itself stays as it is: its many small products gain nothing. Needs a C++ compiler; the graphs are built in the first step (a minute
or so, kept on disk by PyTorch for the next run). Rounding of weights is done before: compiled, scales would not pass through fp16.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_leaves

from needle.student.modeling.layers import PLAIN, Layer, Linear, Regions
from needle.student.modeling.model import NeedleModel


def can_compile() -> bool:
    """Whether there is a C++ compiler."""
    return any(map(shutil.which, ("g++", "clang++", "c++")))


@cache
def _regions() -> Regions:
    """One set for all models of the process."""
    return Regions(*map(_any_length, (PLAIN.project, PLAIN.ask, PLAIN.remember, PLAIN.add)))


def _any_length(region: Callable[..., Any]) -> Callable[..., Any]:
    """The region compiled for any number of tokens (the first axis of every input) and the sizes that weights have."""
    compiled = torch.compile(region)

    def call(owner: nn.Module, *inputs: Any) -> Any:
        for x in tree_leaves(inputs):
            torch._dynamo.maybe_mark_dynamic(x, 0)
        return compiled(owner, *inputs)

    return call


def compile_regions(model: NeedleModel) -> None:
    """Let the model's layers use compiled regions whenever it is in training mode."""
    for layer in model.modules():
        if isinstance(layer, Layer):
            layer.fast = _regions()


def round_ahead(model: NeedleModel, on: bool) -> None:
    """Round the weights of all linear maps before they are used, or no longer."""
    for module in model.modules():
        if isinstance(module, Linear):
            module.round_ahead(on)
