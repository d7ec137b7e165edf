"""Preference pairs beside the labels: the right answer is to become likelier than a wrong one that a teacher gave to
the same request.

Two losses: SimPO (log-probability a token, no reference) and DPO (against the model that training began with, whose
margins are computed once and kept in the run's folder, so that no second model is held in memory). Both are added to
the loss of the labels, which keeps the right answers likely in themselves.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor

from needle.errors import UserError
from needle.student.modeling import NeedleConfig, NeedleModel
from needle.student.modeling.model import to_device
from needle.student.rendering import render_answer, render_request, render_tools
from needle.tools.described import as_standard
from needle.traces.formats import calls_from, trace_from_dict
from needle.traces.read import raw_rows
from needle.traces.standard import standard
from needle.traces.write import atomic
from needle.train.batches import collate
from needle.train.cache import example_key
from needle.train.config import TrainConfig
from needle.train.examples import Example
from needle.train.losses import dpo_loss, simpo_loss

KEPT = "preferences.json"
"""File of a run with the margins of the model that it began with."""
WEIGHTS = dict.fromkeys(range(5), 1.0)


@dataclass(frozen=True)
class Pair:
    """Two answers to one request."""

    chosen: Example
    """The right one."""
    rejected: Example
    """The wrong one."""


def read_pairs(path: Path, tokenizer: Tokenizer, config: NeedleConfig) -> list[Pair]:
    """Pairs of a file as ``needle traces preferences`` writes it; those that do not fit the context are left out.

    Raises ``UserError`` for a file that is not of that shape, with the line, and where no pair is left.
    """
    pairs, lines, long = [], 0, 0
    for number, row in raw_rows(path):
        lines += 1
        try:
            if isinstance(row, str):
                raise UserError(row)
            trace = trace_from_dict({"messages": [*row["prompt"], *row["chosen"]], "tools": row["tools"]})
            rejected = calls_from(row["rejected"][0].get("tool_calls") or [])
        except (ValueError, KeyError, TypeError, IndexError, AttributeError, UserError) as error:
            raise UserError(
                f"{path}:{number}: not a preference pair ({type(error).__name__}: {error}); "
                "`needle traces preferences` writes such files"
            ) from error
        if (other := as_standard(rejected, trace.tools)) is not None:
            trace, rejected = standard(trace), other
        tools, request = tuple(render_tools(tokenizer, trace.tools)), tuple(render_request(tokenizer, trace.request))
        answers = [tuple(render_answer(tokenizer, calls, trace.tools)[0]) for calls in (trace.calls, rejected)]
        fits = max(map(len, answers)) <= config.max_target_tokens and len(request) <= config.max_request_tokens
        if not fits or len(tools) + len(request) > config.max_source_tokens:
            long += 1
        elif answers[0] != answers[1]:
            pairs.append(Pair(*(Example(tools, request, answer, (0,) * len(answer)) for answer in answers)))
    if not pairs:
        raise UserError(f"{path}: no pair to learn from ({lines} lines, {long} longer than the context)")
    return pairs


def log_probabilities(model: NeedleModel, pairs: Sequence[Pair], dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Log-probability ``[R]`` (fp32, sums over tokens) of the chosen and of the rejected answer of each pair."""
    examples = [example for pair in pairs for example in (pair.chosen, pair.rejected)]
    batch = to_device(
        collate(examples, WEIGHTS, share_toolsets=model.config.shares_toolsets), model.embedding.weight.device
    )
    logits = model.logits(model(batch.source, batch.target, dtype))
    each_N = logits.gather(-1, batch.labels_N[:, None])[:, 0] - logits.logsumexp(-1)
    sums = {
        id(example): part.sum() for example, part in zip(batch.examples, each_N.split(list(batch.lengths)), strict=True)
    }
    return torch.stack([sums[id(pair.chosen)] for pair in pairs]), torch.stack(
        [sums[id(pair.rejected)] for pair in pairs]
    )


class Preferences:
    """The pairs of a run, and their loss at a step."""

    def __init__(self, pairs: Sequence[Pair], config: TrainConfig, reference: Sequence[float] | None = None) -> None:
        """``reference``: for DPO the margin of each pair under the model that training began with."""
        self.pairs, self.config, self.reference = list(pairs), config, reference

    @classmethod
    def begin(
        cls, pairs: Sequence[Pair], config: TrainConfig, model: NeedleModel, out: Path, resume: bool, dtype: torch.dtype
    ) -> Preferences:
        """For a new run with the weights of ``model``, or one that goes on. Raises ``UserError`` when it began with
        other pairs."""
        if config.preference != "dpo":
            return cls(pairs, config)
        name = hashlib.blake2b(
            b"".join(example_key(pair.chosen) + example_key(pair.rejected) for pair in pairs), digest_size=8
        ).hexdigest()
        if resume:
            try:
                kept = json.loads((out / KEPT).read_text(encoding="utf-8"))
            except (OSError, ValueError) as error:
                raise UserError(
                    f"{out / KEPT}: not readable ({error}); a run with --dpo is continued with the file it began with"
                ) from error
            if kept["pairs"] != name:
                raise UserError(f"{out}: the run there began with other preference pairs; give the same file")
            return cls(pairs, config, kept["margins"])
        margins = reference_margins(model, pairs, dtype)
        with atomic(out / KEPT) as path:
            path.write_text(json.dumps({"pairs": name, "margins": margins}), encoding="utf-8")
        return cls(pairs, config, margins)

    def drawn(self, step: int, rank: int = 0) -> list[int]:
        """Places of the pairs of a step: none twice in a step, drawn anew at every step and by every process."""
        count = min(self.config.preference_pairs, len(self.pairs))
        return random.Random(f"{self.config.seed}/pairs/{step}/{rank}").sample(range(len(self.pairs)), count)

    def parts(self, model: NeedleModel, places: Sequence[int], dtype: torch.dtype) -> dict[str, Tensor]:
        """``preference_loss``, mean over the pairs at ``places``, and ``preference_right``: the share whose chosen
        answer is the likelier."""
        config, pairs = self.config, [self.pairs[place] for place in places]
        chosen, rejected = log_probabilities(model, pairs, dtype)
        if config.preference == "dpo":
            reference = torch.tensor([self.reference[place] for place in places], device=chosen.device)
            loss = dpo_loss(chosen, rejected, reference, config.preference_slope)
            right = chosen > rejected
        else:
            lengths = [torch.tensor([len(answer.answer) for answer in answers], device=chosen.device)
                       for answers in ([pair.chosen for pair in pairs], [pair.rejected for pair in pairs])]  # fmt: skip
            loss = simpo_loss(
                chosen, rejected, (lengths[0], lengths[1]), config.preference_slope, config.preference_margin
            )
            right = chosen / lengths[0] > rejected / lengths[1]
        return {"preference_loss": loss.mean(), "preference_right": right.float().mean()}


@torch.no_grad()
def reference_margins(model: NeedleModel, pairs: Sequence[Pair], dtype: torch.dtype, count: int = 32) -> list[float]:
    """log p(chosen) - log p(rejected) of each pair under ``model``."""
    found: list[float] = []
    for start in range(0, len(pairs), count):
        chosen, rejected = log_probabilities(model, pairs[start : start + count], dtype)
        found += (chosen - rejected).tolist()
    return found
