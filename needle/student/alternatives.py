"""Other answers beside the likeliest one: an answer is written again from a choice at which another token was nearly as likely.

A beam search (``needle.student.decoding.beam``) carries its rows along from the first token, most of them ways to cut one text into tokens. Here the
likeliest answer is there already; the most promising of all turns that it might have taken is taken, the answer behind it written greedily to its end,
and its own turns added to the others: best-first search, as in stack decoding (Jelinek, 1969), on one stepper and its caches.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from itertools import count, takewhile
from typing import NamedTuple

import numpy as np
from llguidance import LLMatcher

from needle.student.decoding import Begun, Choice, Decoded, Lean, ReturningStepper, advance, greedy
from needle.student.grammar import Constraint
from needle.student.tokenizer import BOS, EOS, SPECIAL_IDS

MOST, A_CHOICE = 7, 3
"""Most alternatives; most turns at one choice."""


class Turn(NamedTuple):
    """Another token at a choice of an answer."""

    answer: Decoded
    """Which it leaves."""
    number: int
    """At which of its choices."""
    token: int
    """What is taken instead."""
    choice: Choice
    """As it would be."""


def turns(answer: Decoded, since: int = 0) -> Iterator[tuple[float, Turn]]:
    """The turns that an answer might have taken from its choice number ``since`` on, each with the log-probability of all that is chosen up to it."""
    before = 0.0
    for number, choice in enumerate(answer.choices):
        if number >= since:
            for token, log_probability in sorted(choice.others, key=lambda other: -other[1])[:A_CHOICE]:
                yield before + log_probability, Turn(answer, number, token, Choice(choice.place, log_probability))
        before += choice.log_probability


class Writer:
    """Writes an answer of one row from a turn on."""

    def __init__(
        self, stepper: ReturningStepper, told: Sequence[int], matcher: Callable[[], LLMatcher], constraint: Constraint, max_tokens: int,
        request: Sequence[int] = (), lean: Lean | None = None,
    ) -> None:  # fmt: skip
        """``stepper`` has been told the tokens ``told``, and perhaps more; ``matcher`` gives one at the start of an answer; the rest as in ``greedy``."""
        self._stepper, self._told, self._matcher, self._constraint = stepper, list(told), matcher, constraint
        self._max_tokens, self._request, self._lean = max_tokens, request, lean

    def behind(self, turn: Turn) -> Decoded:
        """The answer that takes a turn."""
        first, place, matcher = turn.answer, turn.choice.place, self._matcher()
        matcher.consume_tokens(first.ids[:place])
        new = advance(matcher, turn.token)
        ids, choices = (*first.ids[:place], *new), (*first.choices[: turn.number], turn.choice)
        if new[-1] == SPECIAL_IDS[EOS] or len(ids) >= self._max_tokens:
            return Decoded(list(ids), choices, None if first.alignment_TS is None else first.alignment_TS[: place + 1])
        wanted = told_before(first, place)
        known = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(self._told, wanted, strict=False)))
        self._stepper.back_to(known)
        begun = Begun(ids, choices, (*wanted[known:], *new))
        [row] = greedy(self._stepper, [matcher], self._constraint, self._max_tokens, request=self._request, leans=[self._lean], begun=begun)
        self._told = told_before(row, row.choices[-1].place)
        if first.alignment_TS is None or row.alignment_TS is None:
            return row
        looked = np.concatenate((first.alignment_TS[:known], row.alignment_TS))[: len(row.ids)]
        return Decoded(row.ids, row.choices, looked)


def told_before(answer: Decoded, place: int) -> list[int]:
    """What a decoder reads before it writes an answer's token at ``place``."""
    return [SPECIAL_IDS[BOS], *answer.ids[:place]]


def alternatives(answer: Decoded, writer: Writer) -> Iterator[Decoded]:
    """Up to ``MOST`` finished answers, all different, the most promising turns first."""
    order = count()
    waiting = [(-worth, next(order), turn) for worth, turn in turns(answer)]
    heapq.heapify(waiting)
    for _ in range(MOST):
        if not waiting:
            return
        turn = heapq.heappop(waiting)[-1]
        row = writer.behind(turn)
        yield row
        for worth, further in turns(row, turn.number + 1):
            heapq.heappush(waiting, (-worth, next(order), further))
