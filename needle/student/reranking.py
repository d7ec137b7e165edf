"""A second look at an unsure answer: others are written beside it, and the one that fits the request best is taken.

The student's log-probability of each and how it agrees with the request (``needle.student.agreement``) are weighed by a prior's ``answers``.
A sure answer stays as it is, so that a second look costs time only where it may pay.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from tokenizers import Tokenizer

from needle.student.agreement import Agreement
from needle.student.decoding import Decoded, log_softmax
from needle.student.rendering import parse_answer
from needle.tools import ToolCall

DOUBT = 0.8
"""Probability of an answer below which there is a second look. (Of 500 held-out rows none above it got right: docs/log.md.)"""


def doubtful(answer: Decoded) -> bool:
    """Whether a second look may pay."""
    return math.exp(answer.log_probability) < DOUBT


@dataclass(frozen=True)
class Candidates:
    """Different answers to one request; several ways to write the same calls are one."""

    answers: list[Decoded]
    """The likeliest way to write each; the greedy one first, if its calls can be read."""
    calls: list[list[ToolCall]]
    """What each says."""
    log_probabilities: np.ndarray
    """``[N]``: of all ways to write each that were found."""
    features: np.ndarray
    """``[len(FEATURES), N]``."""

    def best(self, weights: Sequence[float]) -> tuple[int, float]:
        """Place of the one with the highest sum, and its share among all; ``weights``: ``sharpness``, then one a feature."""
        sums = weights[0] * self.log_probabilities + np.array(weights[1:], dtype=np.float32) @ self.features
        place = int(sums.argmax())
        return place, float(np.exp(log_softmax(sums)[place]))


def candidates(found: Iterable[Decoded], agreement: Agreement, tokenizer: Tokenizer) -> Candidates:
    """The answers whose calls can be read."""
    answers: list[Decoded] = []
    calls: list[list[ToolCall]] = []
    sums: list[float] = []
    for one in found:
        try:
            read = list(parse_answer(tokenizer, one.ids, agreement.tools))
        except ValueError:
            continue
        if read in calls:
            place = calls.index(read)
            sums[place] = float(np.logaddexp(sums[place], one.log_probability))
            answers[place] = max(answers[place], one, key=lambda way: way.log_probability)
        else:
            answers, calls, sums = [*answers, one], [*calls, read], [*sums, one.log_probability]
    features = np.array([agreement.features(one) for one in calls], dtype=np.float32)
    return Candidates(answers, calls, np.array(sums, dtype=np.float32), features.T)
