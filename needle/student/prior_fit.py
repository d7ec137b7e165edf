"""Fits a ``Prior``: how sure the student is of each tool's name and of each listed value on held-out rows, and what weights make the right ones likeliest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from tokenizers import Tokenizer

from needle.student.decoding import Stepper, log_softmax
from needle.student.newton import newton
from needle.student.prior import Prior, Weights, listed_texts, value_scores
from needle.student.rendering import render_answer
from needle.student.tokenizer import BOS, SPECIAL_IDS
from needle.tools import Request, ToolCall
from needle.tools.retrieval import ToolIndex, searched

LEAST_ROWS = 50
"""Fewest choices of a kind that weights are fitted on."""
FOLDS = 5
"""Parts into which the toolsets are cut to see what weights are worth."""
RIDGE = 1e-3
"""Weight, a row, of the squared distance from a student that is trusted alone."""


@dataclass(frozen=True)
class Chosen:
    """One choice of a held-out row."""

    log_probabilities: np.ndarray
    """Of what might be chosen, among each other, by the student."""
    scores: Sequence[float]
    """Their lexical scores."""
    right: int
    """Place of the right one."""
    group: str
    """Its toolset."""


def log_probabilities_among(stepper: Stepper, answers: Sequence[Sequence[int]]) -> np.ndarray:
    """Log-probability of each of some ``answers`` (tokens, different, none the beginning of another) among them all, up to where each is alone.

    ``stepper`` holds one row that has not begun.
    """
    answers = [(SPECIAL_IDS[BOS], *answer) for answer in answers]
    found = np.zeros(len(answers))
    begun: list[tuple[tuple[int, ...], list[int]]] = [((), list(range(len(answers))))]
    fed: list[int] = [0]
    rows = [0]
    while True:
        begun = [(_common([answers[place] for place in mine]), mine) for _, mine in begun]
        if rows != list(range(len(fed))) or len(rows) > 1:
            stepper.keep(rows)
        logits_BV = stepper.step([prefix[at:] for (prefix, _), at in zip(begun, fed, strict=True)])
        further: list[tuple[tuple[int, ...], list[int]]] = []
        rows, fed = [], []
        for row, (prefix, mine) in enumerate(begun):
            following = sorted({answers[place][len(prefix)] for place in mine})
            gains = dict(zip(following, log_softmax(np.asarray(logits_BV[row])[following].astype(np.float32)), strict=True))
            for token in following:
                these = [place for place in mine if answers[place][len(prefix)] == token]
                found[these] += gains[token]
                if len(these) > 1:
                    further.append((prefix, these))
                    rows.append(row)
                    fed.append(len(prefix))
        if not further:
            return found
        begun = further


def _common(answers: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """What all begin with."""
    first, last = min(answers), max(answers)
    length = next((place for place, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    return first[:length]


def choices(
    request: Request, calls: Sequence[ToolCall], group: str, stepper: Callable[[], Stepper], tokenizer: Tokenizer
) -> Iterator[tuple[str, Chosen]]:
    """What the student thinks of the first tool's name, and of each listed text in its arguments: ``names`` or ``values``, and the choice.

    ``stepper``: makes one at the start of an answer to ``request``.
    """
    names, first, text = [tool.name for tool in request.tools], calls[0], searched(request.query, request.messages)
    if first.name not in names:
        return

    def chosen(others: Sequence[ToolCall], scores: Sequence[float], right: int) -> Chosen:
        answers = [render_answer(tokenizer, [call], request.tools)[0] for call in others]
        return Chosen(log_probabilities_among(stepper(), answers), scores, right, group)

    if len(names) > 1:
        yield "names", chosen([ToolCall(name, {}) for name in names], ToolIndex(request.tools).scores(text), names.index(first.name))
    tool = request.tools[names.index(first.name)]
    for key, value in first.arguments.items():
        values = list(dict.fromkeys(listed_texts(tool.properties.get(key))))
        if len(values) > 1 and value in values:
            others = [ToolCall(first.name, {**first.arguments, key: one}) for one in values]
            yield "values", chosen(others, value_scores(values, text), values.index(value))


def fit_weights(rows: Sequence[Chosen]) -> Weights:
    """The weights of the highest likelihood of the right choices (a conditional logit of two features, by Newton's method)."""
    start = np.array([1.0, 0.0])

    def at(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        slope, curve = 2 * RIDGE * len(rows) * (start - weights), 2 * RIDGE * len(rows) * np.eye(2)
        for row in rows:
            features = np.stack((row.log_probabilities, np.log1p(row.scores)))
            shares = np.exp(log_softmax(weights @ features))
            mean = features @ shares
            slope = slope + features[:, row.right] - mean
            curve = curve + (features * shares) @ features.T - np.outer(mean, mean)
        return slope, curve

    weights = newton(start, at, 2.0)
    return Weights(round(float(weights[0]), 4), round(float(weights[1]), 4))


def right_with(rows: Sequence[Chosen], weights: Weights) -> float:
    """Share of rows in which the right choice has the highest sum."""
    best = [int((weights.sharpness * row.log_probabilities + weights.words * np.log1p(row.scores)).argmax()) for row in rows]
    return sum(one == row.right for one, row in zip(best, rows, strict=True)) / max(len(rows), 1)


def held_out(rows: Sequence[Chosen]) -> dict[str, float]:
    """Share chosen right by the ``student`` alone, by ``words`` alone, and by ``both`` with weights that saw no row of a row's toolset."""
    order = {group: place for place, group in enumerate(sorted({row.group for row in rows}))}
    right = 0.0
    for fold in range(FOLDS):
        inside = [row for row in rows if order[row.group] % FOLDS != fold]
        outside = [row for row in rows if order[row.group] % FOLDS == fold]
        right += right_with(outside, fit_weights(inside)) * len(outside) if inside else 0.0
    shares = {"student": right_with(rows, Weights()), "words": right_with(rows, Weights(0.0, 1.0)), "both": right / max(len(rows), 1)}
    return {name: round(share, 4) for name, share in shares.items()}


def fit_prior(names: Sequence[Chosen], values: Sequence[Chosen], source: str) -> Prior | None:
    """The prior of both kinds; None where words help neither. A kind of which there are few rows, or that words do not help, is left to the student."""
    made = Prior(fitted_on={"source": source})
    for kind, rows in (("names", names), ("values", values)):
        right = held_out(rows) if len(rows) >= LEAST_ROWS else {}
        made.fitted_on[kind] = {"rows": len(rows), "right": right}
        if right and right["both"] > right["student"]:
            made = replace(made, **{kind: fit_weights(rows)})
    return None if made.names == made.values == Weights() else made
