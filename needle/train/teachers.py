"""Teachers in the loop: one or several checkpoints with the student's tokenizer, read as one distribution a token."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from tokenizers import Tokenizer

from needle.errors import UserError
from needle.student.modeling import NeedleModel
from needle.train.batches import Batch
from needle.train.losses import SoftTargets


class Teachers:
    """An ensemble by probability averaging, weighted if wished; a single teacher is an ensemble of one."""

    def __init__(self, models: Sequence[NeedleModel], shares: Sequence[float] | None = None) -> None:
        """``shares``: weight of each teacher, scaled to sum to one; None: equal. Raises ``UserError`` when they do not fit."""
        shares = list(shares or [1.0] * len(models))
        if len(shares) != len(models) or min(shares) < 0 or not sum(shares):
            raise UserError(f"{len(shares)} teacher weights for {len(models)} teachers; give one that is not negative for each")
        self.models = [model.eval().requires_grad_(False) for model in models]
        self.shares = [share / sum(shares) for share in shares]

    @property
    def shares_toolsets(self) -> bool:
        """Whether all of them can read a toolset once for several rows."""
        return all(model.config.shares_toolsets for model in self.models)

    @torch.no_grad()
    def targets(self, batch: Batch, dtype: torch.dtype, temperature: float) -> SoftTargets:
        """Mean over teachers of their softmax ``[N, V]`` at ``temperature``. Raises ``UserError`` when one is not finite."""
        total = 0.0
        for model, share in zip(self.models, self.shares, strict=True):
            total = total + share * (model.logits(model(batch.source, batch.target, dtype)) / temperature).softmax(-1)
        if not torch.isfinite(total).all():
            raise UserError("a teacher gives values that are not finite; check its checkpoint")
        return SoftTargets(total)


def check_same_tokenizer(student: Tokenizer, teacher: Tokenizer, name: str) -> None:
    """Soft labels are probabilities over the same tokens. Raises ``UserError`` when the vocabularies differ."""
    if student.get_vocab() != teacher.get_vocab():
        raise UserError(f"{name}: a teacher with another tokenizer cannot give soft labels; train one with the student's tokenizer")
