"""Scores on held-out rows while training."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from tokenizers import Tokenizer

from needle.student.caller import StudentCaller
from needle.student.modeling import NeedleModel
from needle.student.modeling.engine import TorchEngine
from needle.student.modeling.model import to_device
from needle.tools import CallResult
from needle.traces import Trace
from needle.train.batches import collate
from needle.train.examples import ExampleSet
from needle.train.losses import hard_label_loss

Judge = Callable[[Trace, CallResult], bool]
"""Whether an answer is right; the one matcher lives in ``needle.evals`` and is handed in."""


@torch.inference_mode()
def teacher_forced_scores(
    model: NeedleModel, examples: ExampleSet, token_weights: dict[int, float], dtype: torch.dtype, rows: int = 64
) -> dict[str, float]:
    """Weighted loss a token, share of tokens and of whole answers that greedy decoding without constraints would get right.

    An answer all of whose tokens are the argmax under teacher forcing is exactly one that greedy decoding produces.
    """
    rendered = examples.rendered()
    loss = weight = right = tokens = whole = 0.0
    for start in range(0, len(rendered), rows):
        batch = collate(rendered[start : start + rows], token_weights, 8, model.config.shares_toolsets)
        batch = to_device(batch, model.embedding.weight.device)
        logits = model.logits(model(batch.source, batch.target, dtype))
        loss += hard_label_loss(logits, batch.labels_N, batch.weights_N).item()
        weight += batch.weights_N.sum().item()
        hits = logits.argmax(-1) == batch.labels_N
        right += hits.sum().item()
        tokens += len(hits)
        whole += sum(bool(part.all()) for part in hits.split(list(batch.lengths)))
    return {"loss": loss / weight, "tokens": right / tokens, "free": whole / len(rendered)}


class Validator:
    """Scores a model on held-out traces: teacher-forced, and by exact match of constrained decodes (``exact``)."""

    def __init__(
        self, traces: Sequence[Trace], examples: ExampleSet, tokenizer: Tokenizer, token_weights: dict[int, float], dtype: torch.dtype, judge: Judge
    ) -> None:
        self.traces, self.examples, self.tokenizer = list(traces), examples, tokenizer
        self.token_weights, self.dtype, self.judge = token_weights, dtype, judge

    def __call__(self, model: NeedleModel) -> dict[str, float]:
        """``{"exact", "loss", "tokens", "free"}``; ``exact`` decides which checkpoint is best."""
        scores = teacher_forced_scores(model, self.examples, self.token_weights, self.dtype)
        answers = StudentCaller(TorchEngine(model), self.tokenizer).answer([trace.request for trace in self.traces])
        right = sum(self.judge(trace, answer) for trace, answer in zip(self.traces, answers, strict=True))
        return {"exact": right / len(self.traces), **scores}
