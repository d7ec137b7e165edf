"""On-policy rounds: in some steps the student answers the requests itself, and the teachers say at each of its tokens
what they would have.

Where a student goes wrong it gets into states that no recorded answer shows; this teaches it what to do there
(generalised knowledge distillation: Agarwal et al., arXiv:2306.13649). Samples keep to the grammar of the tools, as
the student's answers do when it is used, unless they are to be free of it. Which steps are sampled, and every sample,
follow from the seed, the step and the weights, so that a run can be continued.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from llguidance import LLMatcher

from needle.errors import UserError
from needle.student.decoding import Pick, greedy
from needle.student.grammar import Constraint
from needle.student.modeling import NeedleModel
from needle.student.modeling.batching import pack_source
from needle.student.modeling.model import Source
from needle.student.modeling.stepper import TorchStepper
from needle.student.rendering import VALUE
from needle.train.examples import Example

SIDE_BY_SIDE = 64
"""Rows that are answered at a time."""
SPARE = 16
"""Tokens beyond twice the longest recorded answer of the batch after which a rambling sample is cut."""


def is_sampled(share: float, seed: int, step: int) -> bool:
    """Whether step number ``step`` trains on the student's own answers; a ``share`` of all steps does."""
    return share > 0 and random.Random(f"{seed}/on-policy/{step}").random() < share


def sampled_answers(
    model: NeedleModel,
    examples: Sequence[Example],
    seed: tuple[int, ...],
    dtype: torch.dtype = torch.float32,
    constraint: Constraint | None = None,
) -> list[Example]:
    """The ``examples`` with answers drawn from ``model`` at temperature 1, cut where they do not end; the same for
    the same ``seed``.

    With a ``constraint`` they are what the grammar of the row's tools allows, where the row keeps its tools and they
    have a grammar. All tokens are of one class: no label says which of them matter. Votes, which speak of the
    recorded answer, are left out.
    """
    rng = np.random.default_rng(seed)
    limit = min(2 * max(len(example.answer) for example in examples) + SPARE, model.config.max_target_tokens)
    matchers = [_matcher(constraint, example) for example in examples]
    order = sorted(
        range(len(examples)),
        key=lambda place: (matchers[place] is None, examples[place].tools, len(examples[place].request)),
    )
    answers: dict[int, list[int]] = {}
    for bound in (True, False):
        places = [place for place in order if (matchers[place] is not None) == bound]
        for start in range(0, len(places), SIDE_BY_SIDE):
            part = places[start : start + SIDE_BY_SIDE]
            stepper = TorchStepper(model, _source(model, [examples[place] for place in part]), dtype)
            decoded = greedy(
                stepper, [matchers[place] for place in part], constraint if bound else None, limit, pick=drawn_by(rng)
            )
            answers |= {place: row.ids for place, row in zip(part, decoded, strict=True)}
    return [
        replace(example, answer=tuple(answers[place]), classes=(VALUE,) * len(answers[place]), votes=())
        for place, example in enumerate(examples)
    ]


def drawn_by(rng: np.random.Generator) -> Pick:
    """A draw from the distribution: the largest of log-probabilities with Gumbel noise."""
    return lambda log_probabilities_V: int((log_probabilities_V + rng.gumbel(size=log_probabilities_V.shape)).argmax())


def _matcher(constraint: Constraint | None, example: Example) -> LLMatcher | None:
    if constraint is None or not example.specs:
        return None
    try:
        return constraint.matcher(example.specs)
    except UserError:  # a schema that no grammar holds: the row is sampled freely
        return None


def _source(model: NeedleModel, rows: Sequence[Example]) -> Source:
    toolset_of, toolsets = list(range(len(rows))), [row.tools for row in rows]
    if model.config.shares_toolsets:
        toolsets = list(dict.fromkeys(toolsets))
        known = {tools: number for number, tools in enumerate(toolsets)}
        toolset_of = [known[row.tools] for row in rows]
    return pack_source(toolsets, [row.request for row in rows], toolset_of)
