"""On-policy rounds: in some steps the student answers the requests itself, and the teachers say at each of its tokens what they would have.

Where a student goes wrong it gets into states that no recorded answer shows; this teaches it what to do there (generalised knowledge
distillation: Agarwal et al., arXiv:2306.13649). Sampling is free of the grammar: what the grammar would forbid is learnt to be unlikely too.
Which steps are sampled, and every sample, follow from the seed, the step and the weights, so that a run can be continued.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from needle.student.modeling import NeedleModel
from needle.student.modeling.batching import pack_source
from needle.student.modeling.stepper import TorchStepper
from needle.student.rendering import VALUE
from needle.student.tokenizer import BOS, EOS, PAD, SPECIAL_IDS
from needle.train.examples import Example

SIDE_BY_SIDE = 64
"""Rows that are answered at a time."""
SPARE = 16
"""Tokens beyond twice the longest recorded answer of the batch after which a rambling sample is cut."""


def is_sampled(share: float, seed: int, step: int) -> bool:
    """Whether step number ``step`` trains on the student's own answers; a ``share`` of all steps does."""
    return share > 0 and random.Random(f"{seed}/on-policy/{step}").random() < share


def sampled_answers(
    model: NeedleModel, examples: Sequence[Example], seed: tuple[int, ...], dtype: torch.dtype = torch.float32
) -> list[Example]:
    """The ``examples`` with answers drawn from ``model`` at temperature 1, cut where they do not end; the same for the same ``seed``.

    All tokens are of one class: no label says which of them matter. Votes, which speak of the recorded answer, are left out.
    """
    rng = np.random.default_rng(seed)
    limit = min(2 * max(len(example.answer) for example in examples) + SPARE, model.config.max_target_tokens)
    answers: dict[int, list[int]] = {}
    order = sorted(range(len(examples)), key=lambda place: (len(examples[place].tools), examples[place].tools, len(examples[place].request)))
    for start in range(0, len(order), SIDE_BY_SIDE):
        places = order[start : start + SIDE_BY_SIDE]
        rows = [examples[place] for place in places]
        toolset_of, toolsets = list(range(len(rows))), [row.tools for row in rows]
        if model.config.shares_toolsets:
            toolsets = list(dict.fromkeys(toolsets))
            known = {tools: number for number, tools in enumerate(toolsets)}
            toolset_of = [known[row.tools] for row in rows]
        stepper = TorchStepper(model, pack_source(toolsets, [row.request for row in rows], toolset_of), dtype)
        answers |= zip(places, _sample(stepper, len(rows), limit, rng), strict=True)
    return [
        replace(example, answer=tuple(answers[place]), classes=(VALUE,) * len(answers[place]), votes=())
        for place, example in enumerate(examples)
    ]


def _sample(stepper: TorchStepper, rows: int, limit: int, rng: np.random.Generator) -> list[list[int]]:
    """One answer a row, all side by side; rows that end leave the batch."""
    answers: list[list[int]] = [[] for _ in range(rows)]
    live, pending = list(range(rows)), [[SPECIAL_IDS[BOS]]] * rows
    while live:
        logits = stepper.step(pending).astype(np.float32)
        logits[:, [SPECIAL_IDS[PAD], SPECIAL_IDS[BOS]]] = -np.inf
        drawn = (logits + rng.gumbel(size=logits.shape)).argmax(-1)  # the largest of logits with Gumbel noise is a draw of their softmax
        stay = []
        for place, row in enumerate(live):
            answers[row].append(int(drawn[place]))
            if drawn[place] != SPECIAL_IDS[EOS] and len(answers[row]) < limit:
                stay.append(place)
        pending = [[answers[live[place]][-1]] for place in stay]
        if stay and len(stay) < len(live):
            stepper.keep(stay)
        live = [live[place] for place in stay]
    return answers
