"""Fits a ``Prior``: how sure the student is, on held-out rows, of each tool's name, each listed value and each token of an open value, and what
weights make the right ones likeliest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from tokenizers import Tokenizer

from needle.student.decoding import Stepper, choices_along, log_softmax
from needle.student.grammar import Constraint
from needle.student.leaning import call_begun, likeliest, listed_texts, open_value, value_scores
from needle.student.newton import newton
from needle.student.place import Places
from needle.student.prior import KINDS, Prior
from needle.student.rendering import compact, render_answer
from needle.student.reranking import Candidates
from needle.student.stated import Stated
from needle.student.tokenizer import BOS, SPECIAL_IDS
from needle.tools import Request, ToolCall
from needle.tools.retrieval import ToolIndex, searched

LEAST_ROWS = 50
"""Fewest choices of a kind that weights are fitted on."""
LONGEST = 0.3
"""Most that a weight changes in a step of the fit: a longer one from a student that is far too sure leads past the peak, and back, for ever."""
FOLDS = 5
"""Parts into which the toolsets are cut to see what weights are worth."""
RIDGE = 1e-3
"""Weight, a row, of the squared distance from a student that is trusted alone."""


@dataclass(frozen=True)
class Chosen:
    """One choice of a held-out row."""

    log_probabilities: np.ndarray
    """Of what might be chosen, among each other, by the student."""
    features: np.ndarray
    """``[F, choices]``: what else they are judged by, in the order of the kind's weights behind ``sharpness``."""
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
    """What the student thinks of each tool's name, and of each listed text in the arguments of the first call: ``names`` or ``values``, and the choice.

    ``stepper``: makes one at the start of an answer to ``request``.
    """
    names, text, index = [tool.name for tool in request.tools], searched(request.query, request.messages), ToolIndex(request.tools)
    if any(call.name not in names for call in calls):
        return

    def chosen(answers: Sequence[Sequence[ToolCall]], features: Sequence[np.ndarray | Sequence[float]], right: int) -> Chosen:
        tokens = [render_answer(tokenizer, answer, request.tools)[0] for answer in answers]
        return Chosen(log_probabilities_among(stepper(), tokens), np.log1p(features), right, group)

    words, places = index.scores(text), Places(index, text)
    for number, call in enumerate(calls if len(names) > 1 else ()):
        before = calls[:number]
        near = places.near([f"{one.name}{compact(one.arguments)}" for one in before])
        yield "names", chosen([[*before, ToolCall(name, {})] for name in names], [words, near], names.index(call.name))
    first = calls[0]
    for key, value in first.arguments.items():
        values = list(dict.fromkeys(listed_texts(request.tools[names.index(first.name)].properties.get(key))))
        if len(values) > 1 and value in values:
            others = [[ToolCall(first.name, {**first.arguments, key: one})] for one in values]
            yield "values", chosen(others, [value_scores(values, text)], values.index(value))


def open_choices(
    request: Request, calls: Sequence[ToolCall], group: str, stepper: Callable[[], Stepper], tokenizer: Tokenizer, constraint: Constraint
) -> Iterator[tuple[str, Chosen]]:
    """What the student thinks of the tokens of each number and open text while the right answer is written: ``numbers`` or ``texts``, and the choice.

    ``stepper``: makes one at the start of an answer to ``request``. Tokens that the student has ruled out, right or not, are no choice.
    """
    tools, stated = {tool.name: tool for tool in request.tools}, Stated(request)
    answer, _ = render_answer(tokenizer, calls, request.tools)
    for place, tokens, log_probabilities in choices_along(stepper(), answer, constraint, constraint.matcher(request.tools)):
        written = tokenizer.decode(call_begun(answer[:place]) or [], skip_special_tokens=False)
        value = open_value(written, tools.get(written.partition("{")[0])) if "{" in written else None
        if value is None or (not value.number and listed_texts(value.schema)):
            continue
        places = likeliest(log_probabilities)
        right = np.flatnonzero(tokens[places] == answer[place])
        if len(right):
            features = stated.features(value, [tokenizer.decode([int(token)], skip_special_tokens=False) for token in tokens[places]])
            yield ("numbers" if value.number else "texts"), Chosen(log_probabilities[places], features.T, int(right[0]), group)


def _columns(row: Chosen) -> np.ndarray:
    return np.vstack((row.log_probabilities, row.features))


def fit_weights(rows: Sequence[Chosen]) -> tuple[float, ...]:
    """The weights, that of the student's log-probabilities first, of the highest likelihood of the right choices (a conditional logit, by Newton's method)."""
    start = np.eye(1 + len(rows[0].features))[0]
    columns = [_columns(row) for row in rows]
    features_RFC = np.zeros((len(rows), len(start), max(one.shape[1] for one in columns)))
    closed_RC = np.ones((len(rows), features_RFC.shape[2]), dtype=bool)  # rows have different numbers of choices
    for place, one in enumerate(columns):
        features_RFC[place, :, : one.shape[1]], closed_RC[place, : one.shape[1]] = one, False
    right_RF = features_RFC[range(len(rows)), :, [row.right for row in rows]]

    def at(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        sums_RC = np.where(closed_RC, -np.inf, weights @ features_RFC)
        shares_RC = np.exp(log_softmax(sums_RC))
        weighed_RFC = features_RFC * shares_RC[:, None]
        means_RF = weighed_RFC.sum(2)
        slope = 2 * RIDGE * len(rows) * (start - weights) + (right_RF - means_RF).sum(0)
        curve = 2 * RIDGE * len(rows) * np.eye(len(start)) + np.tensordot(weighed_RFC, features_RFC, ((0, 2), (0, 2))) - means_RF.T @ means_RF
        return slope, curve

    return tuple(round(float(weight), 4) for weight in newton(start, at, LONGEST))


def right_with(rows: Sequence[Chosen], weights: Sequence[float]) -> float:
    """Share of rows in which the right choice has the highest sum."""
    return sum(int((np.asarray(weights) @ _columns(row)).argmax()) == row.right for row in rows) / max(len(rows), 1)


def held_out(rows: Sequence[Chosen]) -> dict[str, float]:
    """Share chosen right by the ``student`` alone, by ``words`` alone, and by ``both`` with weights that saw no row of a row's toolset."""
    order = {group: place for place, group in enumerate(sorted({row.group for row in rows}))}
    right = 0.0
    for fold in range(FOLDS):
        inside = [row for row in rows if order[row.group] % FOLDS != fold]
        outside = [row for row in rows if order[row.group] % FOLDS == fold]
        right += right_with(outside, fit_weights(inside)) * len(outside) if inside else 0.0
    plain = np.eye(1 + len(rows[0].features))[0] if rows else np.zeros(1)
    shares = {"student": right_with(rows, plain), "words": right_with(rows, 1 - plain), "both": right / max(len(rows), 1)}
    return {name: round(share, 4) for name, share in shares.items()}


def judged(found: Candidates, right: Sequence[bool], group: str) -> Chosen | None:
    """The choice of the right one of several whole answers; None where all are right or none is."""
    if all(right) or not any(right):
        return None
    return Chosen(found.log_probabilities, found.features, list(right).index(True), group)


def fit_kind(prior: Prior, kind: str, rows: Sequence[Chosen]) -> Prior:
    """The prior with weights for one kind of choices. A kind of few choices, or that words do not help, is left to the student."""
    right = held_out(rows) if len(rows) >= LEAST_ROWS else {}
    made = replace(prior, fitted_on={**prior.fitted_on, kind: {"rows": len(rows), "right": right}})
    if right and right["both"] > right["student"]:
        return replace(made, **{kind: KINDS[kind](*fit_weights(rows))})  # type: ignore[arg-type]  # each kind is of its own class
    return made
