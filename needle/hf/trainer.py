"""The step of a causal student: ``trl``'s ``SFTTrainer`` with the losses of this project on the tokens of the answer
alone.

Logits are computed from the first answer position of the batch on: with a vocabulary of 128,000 those of the prompt
would be most of the
memory. Losses are sums divided by the answer tokens of the whole step, so that accumulated gradients are those of one
large batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from needle.errors import UserError
from needle.hf.rows import MASKED, ChatRow
from needle.hf.targets import EndpointTargets
from needle.train.losses import hard_label_loss, soft_label_loss
from needle.train.teachers import Teachers


@dataclass(frozen=True)
class Teaching:
    """What a student learns from beside the labels."""

    teachers: Teachers | None = None
    """Models in the loop."""
    said: EndpointTargets | None = None
    """What an endpoint said."""
    weight: float = 0.5
    """Share of the soft-label loss, the rest being hard labels; without a teacher all is hard."""
    temperature: float = 1.0
    """Of teacher and student; 1 for what an endpoint said."""
    divergence: float = 0.0
    """Member of the generalised Jensen-Shannon family, see ``needle.train.losses``."""
    skew: float = 0.0
    """See ``needle.train.losses``."""


@dataclass(frozen=True)
class CausalScorer:
    """A causal model as a teacher of another with the same tokenizer; see ``needle.train.teachers.Scorer``."""

    weights: nn.Module
    """What ``AutoModelForCausalLM`` gave."""
    name: str
    """What messages call it."""
    vocabulary: int
    """Tokens of the tokenizer; columns beyond are padding."""
    shares_toolsets: bool = False
    """It reads whole rows."""

    def logits(self, batch: dict[str, Tensor], dtype: torch.dtype) -> Tensor:
        """``[N, V]`` in fp32 at the answer positions of ``batch``."""
        return answer_logits(self.weights, batch)[0][:, : self.vocabulary].float()


def collate(rows: Sequence[ChatRow], places: Sequence[int], pad: int) -> dict[str, Tensor]:
    """Rows padded on the right: ``input_ids``, ``attention_mask``, ``labels`` ``[B, T]`` and ``row`` ``[B]``,
    their place among all."""
    longest = max(len(row.ids) for row in rows)

    def filled(values: Sequence[int], empty: int) -> list[int]:
        return [*values, *[empty] * (longest - len(values))]

    return {
        "input_ids": torch.tensor([filled(row.ids, pad) for row in rows]),
        "attention_mask": torch.tensor([filled([1] * len(row.ids), 0) for row in rows]),
        "labels": torch.tensor([filled(row.labels, MASKED) for row in rows]),
        "row": torch.tensor(places),
    }


def answer_logits(model: nn.Module, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Logits ``[N, V]`` that predict the answer tokens of a batch, row by row, and those tokens ``[N]``."""
    labels = batch["labels"]
    keep = labels.shape[1] - int((labels != MASKED).nonzero()[:, 1].min()) + 1  # one place earlier predicts the first
    out = model(
        input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], use_cache=False, logits_to_keep=keep
    )
    trained = labels[:, -keep + 1 :]
    return out.logits[:, -keep:-1][trained != MASKED], trained[trained != MASKED]


def loss_of(
    model: nn.Module, batch: dict[str, Tensor], rows: Sequence[ChatRow], teaching: Teaching, vocabulary: int
) -> dict[str, tuple[float, Tensor]]:
    """Loss parts by name, each with its share, summed over the answer tokens of the batch."""
    logits, targets = answer_logits(model, batch)
    weights = torch.ones(len(targets), device=targets.device)
    said = None
    if teaching.teachers is not None:
        said = teaching.teachers.targets(batch, logits.dtype, teaching.temperature)
    elif teaching.said is not None:
        said = teaching.said.of([rows[place].key for place in batch["row"].tolist()], targets.device)
    if said is None:
        return {"hard_loss": (1.0, hard_label_loss(logits, targets, weights))}
    soft = soft_label_loss(
        logits[:, :vocabulary], said, weights, teaching.temperature, teaching.divergence, teaching.skew
    )
    return {
        "hard_loss": (1 - teaching.weight, hard_label_loss(logits, targets, weights)),
        "soft_loss": (teaching.weight, soft),
    }


def trainer_class() -> type:
    """``SFTTrainer`` that takes ``loss_of`` for its loss. Raises ``UserError`` when ``trl`` is not installed."""
    try:
        from trl import SFTTrainer
    except ImportError as error:
        raise UserError(
            f'training a Hugging Face model needs {error.name}: pip install "needle-distill[hf]"'
        ) from error

    class CausalTrainer(SFTTrainer):
        """See the module."""

        rows: Sequence[ChatRow] = ()
        teaching = Teaching()
        vocabulary = 0

        def compute_loss(
            self,
            model: nn.Module,
            inputs: dict[str, Tensor],
            return_outputs: bool = False,
            num_items_in_batch: Any = None,
        ) -> Any:
            parts = loss_of(model, inputs, self.rows, self.teaching, self.vocabulary)
            count = num_items_in_batch if num_items_in_batch is not None else (inputs["labels"] != MASKED).sum()
            loss = sum(share * part for share, part in parts.values()) / count
            if not torch.isfinite(loss):
                raise UserError(
                    f"step {self.state.global_step + 1}: the loss is not finite; give a lower rate, or look for "
                    "broken rows in the data"
                )
            return (loss, None) if return_outputs else loss

    return CausalTrainer
