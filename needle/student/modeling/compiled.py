"""``torch.compile`` for training: what layers do around attention as four graphs that all layers share; on a CPU for any number of tokens.

Attention is left out: it has a kernel of its own on an accelerator, and on a CPU its many small products gain nothing. A CPU needs a C++
compiler; the graphs are built in the first step (half a minute or so, kept on disk by PyTorch for the next run). Rounding of weights is done before: compiled, scales would not pass through fp16.
"""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_leaves

from needle.errors import UserError
from needle.student.modeling.layers import PLAIN, Layer, Linear, Regions
from needle.student.modeling.model import NeedleModel


def can_compile() -> bool:
    """Whether there is a C++ compiler."""
    return any(map(shutil.which, ("g++", "clang++", "c++")))


@cache
def _regions(fall_back: bool, cores: int | None) -> Regions:
    """One set for all models of the process."""
    return Regions(*(_any_length(region, fall_back, cores) for region in (PLAIN.project, PLAIN.ask, PLAIN.remember, PLAIN.add)))


def _any_length(region: Callable[..., Any], fall_back: bool, cores: int | None) -> Callable[..., Any]:
    """The region compiled for any number of tokens (the first axis of every input) and the sizes that weights have."""
    compiled, fails = torch.compile(region, options=None if cores is None else {"cpp.threads": cores}), False

    def call(owner: nn.Module, *inputs: Any) -> Any:
        nonlocal fails
        if fails:
            return region(owner, *inputs)
        for x in tree_leaves(inputs):
            if x.device.type == "cpu":  # on an accelerator all passes have one shape
                torch._dynamo.maybe_mark_dynamic(x, 0)
        try:
            return compiled(owner, *inputs)
        except torch._dynamo.exc.TorchDynamoException as error:
            why = str(error).strip().splitlines()[0]
            if not fall_back:
                raise UserError(f"compile on: torch.compile fails here ({why}); check the C++ compiler, or use compile off") from error
            warnings.warn(f"torch.compile fails here, training goes on without ({why})", stacklevel=2)
            fails = True
        return region(owner, *inputs)

    return call


def compile_regions(model: NeedleModel, fall_back: bool = False, cores: int | None = None) -> None:
    """Let the model's layers use compiled regions whenever it is in training mode; ``fall_back``: the plain ones where compiling fails;
    ``cores``: how many one loop on a CPU uses."""
    for layer in model.modules():
        if isinstance(layer, Layer):
            layer.fast = _regions(fall_back, cores)


def round_ahead(model: NeedleModel, on: bool) -> None:
    """Round the weights of all linear maps before they are used, or no longer."""
    for module in model.modules():
        if isinstance(module, Linear):
            module.round_ahead(on)
