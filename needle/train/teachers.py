"""Teachers in the loop: one or several models with the student's tokenizer, read as one distribution a token."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from needle.errors import UserError
from needle.student.modeling import NeedleModel
from needle.student.modeling.storage import load_model
from needle.student.tokenizer import load_tokenizer
from needle.train.batches import Batch
from needle.train.causal_teacher import CausalTeacher, is_causal, load_causal
from needle.train.losses import SoftTargets


class Scorer(Protocol):
    """A model that says at each answer position of a batch what comes next."""

    name: str
    """What messages call it."""
    shares_toolsets: bool
    """Whether it can read a toolset once for several rows."""

    @property
    def weights(self) -> nn.Module:
        """The module whose parameters make it what it is."""

    def logits(self, batch: Batch, dtype: torch.dtype) -> Tensor:
        """``[N, V]`` in fp32 over the student's vocabulary."""


@dataclass(frozen=True)
class Checkpoint:
    """A student of this project as a teacher; see ``Scorer``."""

    weights: NeedleModel
    """The model."""
    name: str = "the teacher"
    """What messages call it."""

    @property
    def shares_toolsets(self) -> bool:
        """Whether tools are read without the request."""
        return self.weights.config.shares_toolsets

    def logits(self, batch: Batch, dtype: torch.dtype) -> Tensor:
        """``[N, V]`` under teacher forcing."""
        return self.weights.logits(self.weights(batch.source, batch.target, dtype))


class Source(Protocol):
    """Whoever gives soft labels: teachers in the loop, or what they once said."""

    shares_toolsets: bool
    """Whether toolsets may be shared by the rows of a batch."""

    def targets(self, batch: Batch, dtype: torch.dtype, temperature: float) -> SoftTargets:
        """What the teachers say at each answer position of ``batch``."""

    def identity(self) -> list[dict[str, str | float]]:
        """Digest of the weights and share of each teacher."""


class Teachers:
    """An ensemble by probability averaging, weighted if wished; a single teacher is an ensemble of one."""

    def __init__(self, models: Sequence[NeedleModel | Scorer], shares: Sequence[float] | None = None) -> None:
        """``shares``: weight of each teacher, scaled to sum to one; None: equal. Raises ``UserError`` when they do
        not fit."""
        shares = list(shares or [1.0] * len(models))
        if len(shares) != len(models) or min(shares) < 0 or not sum(shares):
            raise UserError(
                f"{len(shares)} teacher weights for {len(models)} teachers; give one that is not negative for each"
            )
        self.scorers: list[Scorer] = [
            Checkpoint(model) if isinstance(model, NeedleModel) else model for model in models
        ]
        for scorer in self.scorers:
            scorer.weights.eval().requires_grad_(False)
        self.shares = [share / sum(shares) for share in shares]

    @property
    def shares_toolsets(self) -> bool:
        """Whether all of them can read a toolset once for several rows."""
        return all(scorer.shares_toolsets for scorer in self.scorers)

    @torch.no_grad()
    def targets(self, batch: Batch, dtype: torch.dtype, temperature: float) -> SoftTargets:
        """Mean over teachers of their softmax ``[N, V]`` at ``temperature``. Raises ``UserError`` naming one that is
        not finite."""
        total: Tensor | float = 0.0
        for scorer, share in zip(self.scorers, self.shares, strict=True):
            said = (scorer.logits(batch, dtype).float() / temperature).softmax(-1)
            if not torch.isfinite(said).all():
                raise UserError(
                    f"{scorer.name}: this teacher gives values that are not finite; "
                    "check its checkpoint or leave it out"
                )
            total = total + share * said
        return SoftTargets(total)

    def identity(self) -> list[dict[str, str | float]]:
        """Digest of the weights and share of each teacher: what a cache of their words belongs to."""
        return [
            {"digest": digest(scorer.weights), "share": round(share, 6)}
            for scorer, share in zip(self.scorers, self.shares, strict=True)
        ]


def digest(model: nn.Module) -> str:
    """Name of the values of a model's weights (16 hex digits), whatever file they came from."""
    found = hashlib.blake2b(digest_size=8)
    for name, weight in sorted(model.state_dict().items()):
        found.update(name.encode() + weight.detach().float().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()


def load_teacher(folder: Path, name: str, tokenizer: Tokenizer) -> Scorer:
    """The model in ``folder`` as a teacher: a checkpoint of this project, or a Hugging Face causal model with the
    student's tokenizer.

    Raises ``UserError`` when it is neither, or has another tokenizer.
    """
    causal = is_causal(folder)
    try:
        check_same_tokenizer(tokenizer, load_tokenizer(folder), name)
    except UserError as error:
        if not causal or "another tokenizer" in str(error):
            raise
        raise UserError(f"{name}: a teacher with another tokenizer cannot give soft labels ({error})") from error
    return load_causal(folder, name, tokenizer.get_vocab_size()) if causal else Checkpoint(load_model(folder), name)


def check_same_tokenizer(student: Tokenizer, teacher: Tokenizer, name: str) -> None:
    """Soft labels are probabilities over the same tokens. Raises ``UserError`` when the vocabularies differ."""
    if student.get_vocab() != teacher.get_vocab():
        raise UserError(
            f"{name}: a teacher with another tokenizer cannot give soft labels; train one with the student's tokenizer"
        )


__all__ = [
    "CausalTeacher",
    "Checkpoint",
    "Scorer",
    "Source",
    "Teachers",
    "check_same_tokenizer",
    "digest",
    "load_teacher",
]
