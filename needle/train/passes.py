"""What the passes of a run look like: their shapes, how attention is computed, what is compiled."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from needle.errors import UserError
from needle.student.modeling import NeedleModel
from needle.student.modeling.compiled import can_compile, compile_regions
from needle.train.batches import Shape, sizes
from needle.train.config import TrainConfig
from needle.train.examples import Example

SHAPE_STEP = 256
"""Tokens to a multiple of which a pass is filled up in bf16 on a CPU."""
FLEX_STEP = 1024
"""The same on an accelerator, where all passes of a run have one shape."""
COMPILE_MINUTES = 5
"""Shortest run on a CPU that ``compile: auto`` takes the time to compile for."""


def pass_shape(
    models: Sequence[NeedleModel], config: TrainConfig, dtype: torch.dtype, examples: Sequence[Example], share_toolsets: bool
) -> Shape:
    """What all passes look like, by the first step's rows: on an accelerator one shape, into which that step goes with a tenth to spare.

    A CPU builds a kernel for each shape of bf16 product and keeps a thousand: few shapes, or it does little else.
    """
    if not uses_flex(config, models[0].device):
        return Shape(SHAPE_STEP, SHAPE_STEP) if dtype == torch.bfloat16 else Shape()
    parts = [examples[start : start + config.micro_rows] for start in range(0, len(examples), config.micro_rows)]
    source, target = (int(1.1 * max(side)) for side in zip(*(sizes(part, share_toolsets) for part in parts), strict=True))
    least = models[0].config  # the longest row has to go into a pass
    source, target = max(source, least.max_source_tokens), max(target, least.max_target_tokens)
    return Shape(*(-(-size // FLEX_STEP) * FLEX_STEP for size in (source, target)), fixed=True, flex=True)


def uses_flex(config: TrainConfig, device: torch.device) -> bool:
    """Whether attention is one ``flex_attention`` call, as ``config.attention`` says. Raises ``UserError`` for a value that is unknown."""
    if config.attention not in ("auto", "plain", "flex"):
        raise UserError(f"attention {config.attention!r} is unknown; use auto, plain or flex")
    if config.attention == "flex" and device.type == "cpu":
        raise UserError("attention flex: PyTorch has no backward pass of it on a CPU; use auto")
    return config.attention == "flex" or (config.attention == "auto" and device.type == "cuda")


def set_up_compile(models: Sequence[NeedleModel], config: TrainConfig, cores: int) -> bool:
    """Compile the models' layers as ``config.compile`` says, on a CPU for loops over so many ``cores``; whether they are. Raises ``UserError`` for ``on`` without a C++ compiler."""
    on_cpu = models[0].device.type == "cpu"
    if config.compile not in ("auto", "on", "off"):
        raise UserError(f"compile {config.compile!r} is unknown; use auto, on or off")
    if config.compile == "on" and on_cpu and not can_compile():
        raise UserError("compile on: needs a C++ compiler (install g++), or use compile off")
    pays = not on_cpu or ((config.minutes or 0) >= COMPILE_MINUTES and can_compile())
    wanted = config.compile == "on" or (config.compile == "auto" and pays)
    for model in models if wanted else []:
        compile_regions(model, config.compile == "auto", cores if on_cpu else None)
    return wanted
