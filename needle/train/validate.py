"""Scores on held-out rows while training."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from needle.student.modeling import NeedleModel
from needle.train.batches import collate
from needle.train.examples import Example
from needle.train.losses import hard_label_loss


@torch.inference_mode()
def teacher_forced_scores(
    model: NeedleModel, examples: Sequence[Example], token_weights: dict[int, float], dtype: torch.dtype, rows: int = 64
) -> dict[str, float]:
    """Weighted loss a token, share of tokens and of whole answers that greedy decoding without constraints would get right.

    An answer all of whose tokens are the argmax under teacher forcing is exactly one that greedy decoding produces.
    """
    loss = weight = right = tokens = exact = 0.0
    for start in range(0, len(examples), rows):
        batch = collate(examples[start : start + rows], token_weights, rows_per_block=16)
        logits = model.logits(model(batch.source, batch.target, dtype))
        loss += hard_label_loss(logits, batch.labels_N, batch.weights_N).item()
        weight += batch.weights_N.sum().item()
        hits = logits.argmax(-1) == batch.labels_N
        right += hits.sum().item()
        tokens += len(hits)
        exact += sum(bool(part.all()) for part in hits.split(list(batch.lengths)))
    return {"loss": loss / weight, "tokens": right / tokens, "greedy": exact / len(examples)}
