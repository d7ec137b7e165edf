"""Scores on held-out rows while training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from tokenizers import Tokenizer

from needle.errors import UserError
from needle.student.caller import StudentCaller
from needle.student.confidence import Calibration, fit
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


SAMPLE_ROWS = 8
"""Held-out rows whose answers are written down at each validation."""


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
        batch = collate(rendered[start : start + rows], token_weights, model.config.shares_toolsets)
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
        self._shown: list[list[dict[str, Any]]] = []
        self.calibration: Calibration | None = None
        """Of the model scored last, fitted on the rows that it was scored on; None where too few of them are right or wrong."""

    def __call__(self, model: NeedleModel) -> dict[str, float]:
        """``{"exact", "loss", "tokens", "free"}``; ``exact`` decides which checkpoint is best."""
        scores = teacher_forced_scores(model, self.examples, self.token_weights, self.dtype)
        answers = StudentCaller(TorchEngine(model), self.tokenizer).answer([trace.request for trace in self.traces])
        right = [self.judge(trace, answer) for trace, answer in zip(self.traces, answers, strict=True)]
        self.calibration = calibration_of(self.traces, answers, right)
        self._shown.append([_sample(*one) for one in zip(self.traces[:SAMPLE_ROWS], answers, right, strict=False)])
        return {"exact": sum(right) / len(self.traces), **scores}

    def take_samples(self) -> list[dict[str, Any]]:
        """Answers to the first rows by every model scored since the last call; peers of the first carry ``student``."""
        shown, self._shown = self._shown, []
        return [({"student": number} if number else {}) | answer for number, answers in enumerate(shown) for answer in answers]


def calibration_of(traces: Sequence[Trace], answers: Sequence[CallResult], right: Sequence[bool]) -> Calibration | None:
    """What a confidence is worth, from rows that the model was not trained on (but that chose the checkpoint); None where too few are right or wrong."""
    rows = [(answer.signals, hit, trace.toolset) for trace, answer, hit in zip(traces, answers, right, strict=True) if answer.signals]
    try:
        made, _ = fit([signals for signals, _, _ in rows], [hit for _, hit, _ in rows], [toolset for _, _, toolset in rows])
    except UserError:
        return None
    return replace(made, fitted_on={**made.fitted_on, "source": "validation rows of the run"})


def _sample(trace: Trace, answer: CallResult, right: bool) -> dict[str, Any]:
    gold, predicted = ([call.to_dict() for call in calls] for calls in (trace.calls, answer))
    plain = {"id": trace.id, "request": trace.query, "gold": gold, "predicted": predicted, "right": right}
    return plain | ({"error": answer.error} if answer.error else {})
