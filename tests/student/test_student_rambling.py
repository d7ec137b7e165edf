"""An answer that rambles still ends in valid calls."""

from __future__ import annotations

import torch

from needle.student.caller import StudentCaller
from needle.student.decoding import WIND_DOWN
from needle.student.modeling import NeedleConfig, NeedleModel
from needle.student.modeling.engine import TorchEngine
from needle.student.tokenizer import load_tokenizer
from needle.tools import Request, ToolSpec, validate_calls

TINY = {"hidden_size": 64, "num_encoder_layers": 2, "num_decoder_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
        "request_independent_layers": 2}  # fmt: skip


def _model(seed: int = 0) -> NeedleModel:
    torch.manual_seed(seed)
    return NeedleModel(NeedleConfig(**TINY)).eval()


def test_an_answer_that_rambles_is_wound_down_to_valid_calls() -> None:
    model = _model(1)
    with torch.no_grad():
        model.embedding.weight.mul_(30)  # a confident model that has learnt nothing repeats itself for ever
    schema = {"type": "object", "properties": {"text": {"type": "string"}, "mail": {"type": "string", "format": "email"},
              "site": {"type": "string", "format": "uri"}, "list": {"type": "array", "items": {"type": "string"}}, "size": {"type": "number"}},
              "required": ["text", "mail", "site", "list", "size"]}  # fmt: skip
    tools = (ToolSpec("note", "", schema), ToolSpec("stop", ""))
    answers = StudentCaller(TorchEngine(model), load_tokenizer()).answer([Request(f"write {n} things", tools) for n in range(8)])
    assert all(answer.error is None and validate_calls(answer, tools) == [] for answer in answers)
    longest = max(answer.usage["completion_tokens"] for answer in answers)
    assert longest < model.config.max_target_tokens
    free = StudentCaller(TorchEngine(model), load_tokenizer(), constrained=False).answer([Request("write things", tools)])[0]
    assert free.error and free.usage["completion_tokens"] >= WIND_DOWN
