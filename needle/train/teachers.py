"""Teachers in the loop: one or several checkpoints with the student's tokenizer, read as one distribution a token."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from tokenizers import Tokenizer
from torch import Tensor

from needle.errors import UserError
from needle.student.modeling import NeedleModel
from needle.train.batches import Batch


class Teachers:
    """An ensemble by probability averaging; a single teacher is an ensemble of one."""

    def __init__(self, models: Sequence[NeedleModel]) -> None:
        self.models = [model.eval().requires_grad_(False) for model in models]

    @torch.no_grad()
    def probabilities(self, batch: Batch, dtype: torch.dtype, temperature: float) -> Tensor:
        """``[N, V]`` in fp32: mean over teachers of their softmax at ``temperature``. Raises ``UserError`` when one is not finite."""
        total = sum((m.logits(m(batch.source, batch.target, dtype)) / temperature).softmax(-1) for m in self.models)
        if not torch.isfinite(total).all():
            raise UserError("a teacher gives values that are not finite; check its checkpoint")
        return total / len(self.models)


def check_same_tokenizer(student: Tokenizer, teacher: Tokenizer, name: str) -> None:
    """Soft labels are probabilities over the same tokens. Raises ``UserError`` when the vocabularies differ."""
    if student.get_vocab() != teacher.get_vocab():
        raise UserError(f"{name}: a teacher with another tokenizer cannot give soft labels; train one with the student's tokenizer")
