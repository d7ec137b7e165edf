"""Tiny random models of three families, with a byte tokenizer and a chat template in each family's manner."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hf_helpers import FAMILIES, SHAPE

pytest.importorskip("trl", reason='pip install "needle-distill[hf]"')
pytest.importorskip("peft", reason='pip install "needle-distill[hf]"')


@pytest.fixture(scope="session")
def tiny_tokenizer():
    """``tiny_tokenizer(template, more=[])``: bytes, and words ``more`` as tokens of their own."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    def make(template: str, more: tuple[str, ...] = ()):
        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
        inner = Tokenizer(models.BPE({one: place for place, one in enumerate(["<pad>", "<|end|>", *alphabet])}, []))
        inner.pre_tokenizer, inner.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
        tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<|end|>", pad_token="<pad>")
        tokenizer.add_tokens(["<|start|>", *more])
        tokenizer.chat_template = template
        return tokenizer

    return make


@pytest.fixture(scope="session")
def tiny_causal(tmp_path_factory, tiny_tokenizer) -> Callable[..., Path]:
    """``tiny_causal(family, seed=0, columns=259)``: the folder of a random model."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.set_num_threads(1)
    made: dict[tuple, Path] = {}

    def make(family: str, seed: int = 0, columns: int = 259, more: tuple[str, ...] = (), **changes: object) -> Path:
        key = (family, seed, columns, more, *sorted(changes.items()))
        if key not in made:
            torch.manual_seed(seed)
            kind = {"llama": "llama", "qwen": "qwen2", "gemma": "gemma"}[family]
            extra = {"head_dim": 16} if kind == "gemma" else {}
            config = AutoConfig.for_model(kind, vocab_size=columns, **{**SHAPE, **extra, **changes})
            made[key] = tmp_path_factory.mktemp(family)
            AutoModelForCausalLM.from_config(config).save_pretrained(made[key])
            tiny_tokenizer(FAMILIES[family], more).save_pretrained(made[key])
        return made[key]

    return make
