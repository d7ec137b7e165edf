"""A Hugging Face causal language model with the student's tokenizer as a teacher.

It reads ``tools request <bos> answer`` as one text of token ids, the way the student's encoder and decoder read the
two halves, and what it says from ``<bos>`` on is its word about the answer.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModelForCausalLM

from needle.errors import UserError
from needle.student.tokenizer import BOS, SPECIAL_IDS
from needle.train.batches import Batch


@dataclass(frozen=True)
class CausalTeacher:
    """See ``needle.train.teachers.Scorer``."""

    weights: nn.Module
    """What ``AutoModelForCausalLM`` gave."""
    name: str
    """What messages call it."""
    vocabulary: int
    """Size V of the student's vocabulary; rows that the model has beyond are padding."""
    shares_toolsets: bool = True
    """It reads the rows' own tokens, however the batch packs them."""

    def logits(self, batch: Batch, dtype: torch.dtype) -> Tensor:
        """``[N, V]`` in fp32 at the answer positions, rows in flat order; ``dtype`` is that of the student, the
        teacher keeps its own."""
        device = next(self.weights.parameters()).device
        bos = SPECIAL_IDS[BOS]
        prompts = [(*example.tools, *example.request) for example in batch.examples]
        texts = [
            torch.tensor((*prompt, bos, *example.answer[:-1]))
            for prompt, example in zip(prompts, batch.examples, strict=True)
        ]
        ids = pad_sequence(texts, batch_first=True).to(device)
        lengths = torch.tensor([len(text) for text in texts], device=device)
        mask = torch.arange(ids.shape[1], device=device) < lengths[:, None]
        longest = max(len(example.answer) for example in batch.examples)
        starts = [len(prompt) for prompt in prompts]
        keep = ids.shape[1] - min(starts) if len(texts) > 1 else longest
        out = self.weights(input_ids=ids, attention_mask=mask.long(), logits_to_keep=keep).logits
        first = ids.shape[1] - keep
        rows = [
            out[row, start - first : start - first + len(example.answer)]
            for row, (start, example) in enumerate(zip(starts, batch.examples, strict=True))
        ]
        return torch.cat(rows)[:, : self.vocabulary].float()


def is_causal(folder: Path) -> bool:
    """Whether the configuration there is of a model other than a student."""
    try:
        return json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type", "needle") != "needle"
    except (OSError, ValueError):
        return False


def load_causal(folder: Path, name: str, vocabulary: int) -> CausalTeacher:
    """The model in ``folder``. Raises ``UserError`` when it cannot be read, or has fewer rows than the vocabulary."""
    try:
        model = AutoModelForCausalLM.from_pretrained(folder)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise UserError(
            f"{name}: not a causal language model that transformers reads ({str(error).splitlines()[0]})"
        ) from error
    if model.config.vocab_size < vocabulary:
        raise UserError(
            f"{name}: {model.config.vocab_size} tokens where the student has {vocabulary}; "
            "a teacher needs the same tokenizer"
        )
    return CausalTeacher(model.eval(), name, vocabulary)
