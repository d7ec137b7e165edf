"""A tiny student, a few rows over two toolsets, and a trainer of them."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import torch
from tokenizers import Tokenizer

from needle.student.modeling import NeedleConfig, NeedleModel
from needle.tools import ToolCall, ToolSpec
from needle.traces import Trace
from needle.train.config import TrainConfig
from needle.train.examples import ExampleSet, Transform
from needle.train.loop import Trainer

TINY = {"hidden_size": 64, "num_encoder_layers": 2, "num_decoder_layers": 2, "num_attention_heads": 2,
        "num_key_value_heads": 1, "request_independent_layers": 2, "max_target_tokens": 48}  # fmt: skip
LIGHT = ToolSpec("set_light", "Dim a room.", {
    "type": "object", "required": ["room"],
    "properties": {
        "room": {"type": "string", "enum": ["kitchen", "hall"]},
        "level": {"type": "integer", "minimum": 0, "maximum": 100},
    },
})  # fmt: skip
TIMER = ToolSpec("start_timer", "", {
    "type": "object", "required": ["minutes"],
    "properties": {"minutes": {"type": "integer"}, "label": {"type": "string"}},
})  # fmt: skip


def row(number: int, query: str, tools: tuple[ToolSpec, ...], *calls: ToolCall) -> Trace:
    return Trace(
        f"row-{number}", query, tools, calls, "single" if calls else "irrelevant", "+".join(tool.name for tool in tools)
    )


def rows() -> list[Trace]:
    """Nine rows: two toolsets, one of them shared by six rows; one, two and no calls."""
    both = (LIGHT, TIMER)
    return [
        row(0, "kitchen to 40", both, ToolCall("set_light", {"room": "kitchen", "level": 40})),
        row(1, "lights in the hall", both, ToolCall("set_light", {"room": "hall"})),
        row(2, "what is the weather", both),
        row(3, "five minutes for the eggs", both, ToolCall("start_timer", {"minutes": 5, "label": "eggs"})),
        row(
            4,
            "hall 10 and kitchen 20",
            both,
            *(ToolCall("set_light", {"room": r, "level": n}) for r, n in (("hall", 10), ("kitchen", 20))),
        ),
        row(5, "ring in 90 minutes", both, ToolCall("start_timer", {"minutes": 90})),
        row(6, "tea, 3 minutes", (TIMER,), ToolCall("start_timer", {"minutes": 3, "label": "tea"})),
        row(7, "sing a song", (TIMER,)),
        row(8, "seven minutes", (TIMER,), ToolCall("start_timer", {"minutes": 7})),
    ]


def tiny_model(seed: int = 0, **changes: float) -> NeedleModel:
    torch.manual_seed(seed)
    return NeedleModel(NeedleConfig(**{**TINY, **changes}))


def settings(**changes: object) -> TrainConfig:
    plain = {
        "steps": 6,
        "rows": 4,
        "rows_per_toolset": 2,
        "micro_rows": 3,
        "precision": "fp32",
        "validations": 3,
    }
    return TrainConfig(**{**plain, **changes})


def trainer(
    tokenizer: Tokenizer,
    out: Path,
    config: TrainConfig,
    validate: Callable[[NeedleModel], dict[str, float]] = lambda _: {"exact": 0.0},
    model: NeedleModel | None = None,
    transform: Callable | None = None,
) -> Trainer:
    model = model or tiny_model()
    examples = ExampleSet(rows(), tokenizer, model.config, each(transform) if transform else None)
    return Trainer([model], tokenizer, examples, config, out, validate)


def each(vary: Callable[[Trace, random.Random], Trace]) -> Transform:
    """A transform that varies row by row."""
    return lambda traces, rng: [vary(trace, rng) for trace in traces]
