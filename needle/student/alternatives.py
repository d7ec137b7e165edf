"""Other answers beside the likeliest one: it is written again from each of the choices at which another token was nearly as likely.

A beam search (``needle.student.decoding.beam``) carries its rows along from the first token, most of them ways to cut one text into tokens. Here the
likeliest answer is there already; each other one goes back to a single choice, takes the next best token there, and is written greedily to its end,
on the same stepper and its caches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from llguidance import LLMatcher

from needle.student.decoding import Begun, Choice, Decoded, ReturningStepper, Lean, advance, greedy
from needle.student.grammar import Constraint
from needle.student.tokenizer import BOS, EOS, SPECIAL_IDS

MOST, A_CHOICE = 7, 3
"""Most alternatives; most of them from one choice."""


class Turn(NamedTuple):
    """Another token at a choice."""

    worth: float
    """Log-probability of all that was chosen up to it."""
    number: int
    """Which of the choices it is."""
    choice: Choice
    """As it would be."""
    token: int
    """What is taken instead."""


def turns(answer: Decoded) -> list[Turn]:
    """The likeliest turns that an answer might have taken, the last of the answer first."""
    found, before = list[Turn](), 0.0
    for number, choice in enumerate(answer.choices):
        for token, log_probability in sorted(choice.others, key=lambda other: -other[1])[:A_CHOICE]:
            found.append(Turn(before + log_probability, number, Choice(choice.place, log_probability), token))
        before += choice.log_probability
    likeliest = sorted(found, key=lambda turn: -turn.worth)[:MOST]
    return sorted(likeliest, key=lambda turn: -turn.number)


def alternatives(
    answer: Decoded, stepper: ReturningStepper, told: int, matcher: Callable[[], LLMatcher], constraint: Constraint, max_tokens: int,
    request: Sequence[int] = (), lean: Lean | None = None,
) -> Iterator[Decoded]:  # fmt: skip
    """Up to ``MOST`` finished answers, none of them ``answer``.

    Args:
        stepper: of the one row; it has been told the first ``told`` tokens of the answer (the mark at its beginning counts), and perhaps more.
        matcher: gives one at the start of an answer.
        request: as in ``greedy``, like the rest.
    """
    tokens = [SPECIAL_IDS[BOS], *answer.ids]
    for turn in turns(answer):
        place, own = turn.choice.place, matcher()
        own.consume_tokens(answer.ids[:place])
        new = advance(own, turn.token)
        ids, choices = (*answer.ids[:place], *new), (*answer.choices[: turn.number], turn.choice)
        if new[-1] == SPECIAL_IDS[EOS] or len(ids) >= max_tokens:
            yield Decoded(list(ids), choices, None if answer.alignment_TS is None else answer.alignment_TS[: place + 1])
            continue
        told = min(told, place + 1)
        stepper.back_to(told)
        begun = Begun(ids, choices, (*tokens[told : place + 1], *new))
        [row] = greedy(stepper, [own], constraint, max_tokens, request=request, leans=[lean], begun=begun)
        yield row if answer.alignment_TS is None else Decoded(row.ids, row.choices, _behind(answer.alignment_TS[:told], row))
        told = place + 1


def _behind(before_TS: np.ndarray, row: Decoded) -> np.ndarray:
    """Where the decoder looked for all tokens of a row that was begun by another one."""
    assert row.alignment_TS is not None
    return np.concatenate((before_TS, row.alignment_TS))[: len(row.ids)]
