"""A tiny student with lively weights, and folders of it."""


from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from needle.student.modeling import NeedleConfig, NeedleModel
from needle.student.modeling.storage import save_quantized
from needle.student.tokenizer import load_tokenizer

SHAPE = {"hidden_size": 64, "num_encoder_layers": 2, "num_decoder_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1,
         "request_independent_layers": 2, "max_target_tokens": 48}  # fmt: skip


def lively(**changes: object) -> NeedleModel:
    """Large random weights, gains and gates: every part matters."""
    torch.manual_seed(0)
    model = NeedleModel(NeedleConfig(**{**SHAPE, "initializer_range": 0.15, **changes}))
    for parameter in model.parameters():
        if parameter.ndim < 2:
            nn.init.normal_(parameter, std=0.3)
    return model.eval()


def stored(model: NeedleModel, folder: Path, bits: int) -> Path:
    """A checkpoint folder of that width."""
    save_quantized(model, folder, bits)
    load_tokenizer().save(str(folder / "tokenizer.json"))
    return folder
