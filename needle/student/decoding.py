"""Decoding loops that know nothing of the back end: a ``Stepper`` gives logits, an ``llguidance`` matcher says what is allowed.

Tokens that the grammar forces are fed together with the chosen one in a single step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
from llguidance import LLMatcher

from needle.student.grammar import Constraint
from needle.student.tokenizer import BOS, EOS, NONE, PAD, SPECIAL_IDS

_BOS, _EOS, _NONE = (SPECIAL_IDS[mark] for mark in (BOS, EOS, NONE))
_NEVER = np.float32(-1e30)
DRAFT = 4
"""Most tokens that are guessed at a time."""
UNLIKELY = -9.0
"""Log-probability below which a token is no alternative."""
WIND_DOWN = 256
"""Answer tokens (or half the limit, if that is less) after which a constrained answer may only close what is open: an unsure model that
rambles still ends in valid calls.
(The longest of 29,862 recorded answers has 196 tokens.)"""


def aligned_heads(config: Any) -> dict[int, list[int]]:
    """Decoder layer to heads, from ``alignment_heads`` of the configuration; its default is all heads of the last two layers."""
    if config.alignment_heads is None:
        last = range(max(config.num_decoder_layers - 2, 0), config.num_decoder_layers)
        return {layer: list(range(config.num_attention_heads)) for layer in last}
    layers: dict[int, list[int]] = {}
    for layer, head in config.alignment_heads:
        layers.setdefault(layer, []).append(head)
    return dict(sorted(layers.items()))


Told = Callable[[int, list[int]], None]
"""Gets a row and its new tokens at each step."""


Lean = Callable[[Sequence[int], np.ndarray, np.ndarray], np.ndarray]
"""From an answer so far, the tokens that may come next and their log-probabilities: other log-probabilities (``needle.student.prior``)."""


class Stepper(Protocol):
    """A decoder with its caches for a batch of rows."""

    alignment: list[np.ndarray] | None
    """Of the last step, for steppers made with ``align``: per row ``[C, S]``, for each of the ``C`` tokens just appended the mean
    cross-attention probability of the configured heads over the row's ``S`` source tokens (toolset, then request; no padding). The values
    at an appended token are those with which the token after it was predicted."""

    def step(self, tokens: Sequence[Sequence[int]]) -> np.ndarray:
        """Append one or more tokens to each row; return the logits ``[B, V]`` after the last token of each."""

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these rows (in this order, repeats allowed)."""


class Logits(Protocol):
    """Logits after several tokens that are computed as far as they are asked for."""

    shape: tuple[int, int]
    """Places, size V of the vocabulary."""

    def among(self, row: int, tokens: np.ndarray) -> np.ndarray:
        """Logits of some ``tokens`` at a place."""


class ReturningStepper(Stepper, Protocol):
    """A stepper of a single row that can take tokens back."""

    def back_to(self, length: int) -> None:
        """Take back all but the first ``length`` tokens."""


class DraftingStepper(ReturningStepper, Protocol):
    """One that can also look at several places at once."""

    def step_all(self, tokens: Sequence[int], last: int) -> np.ndarray | Logits:
        """Append ``tokens``; return the logits ``[last, V]`` after each of the ``last`` ones."""


class Choice(NamedTuple):
    """One token that the model chose; forced tokens are no choice."""

    place: int
    """Where it stands in the answer."""
    log_probability: float
    """Renormalised over the allowed tokens."""
    others: tuple[tuple[int, float], ...] = ()
    """Other tokens that might have been chosen, with their log-probabilities; those below ``UNLIKELY`` are left out."""


class Begun(NamedTuple):
    """How an answer begins that is written to its end."""

    ids: tuple[int, ...] = ()
    """Its first tokens."""
    choices: tuple[Choice, ...] = ()
    """What was chosen among them."""
    pending: tuple[int, ...] = (_BOS,)
    """Tokens that the stepper has yet to read: the last of ``ids``, or all behind the mark at which an answer begins."""


@dataclass(frozen=True)
class Decoded:
    """One finished row."""

    ids: list[int]
    """Tokens of the answer; ends with ``<eos>`` unless it was cut."""
    choices: tuple[Choice, ...] = ()
    """What was chosen, in order."""
    alignment_TS: np.ndarray | None = field(default=None, compare=False, repr=False)
    """For each token of the answer, where in the source the decoder looked when it wrote it; None from steppers that do not tell."""

    @property
    def log_probability(self) -> float:
        """Sum over the chosen (not the forced) tokens, renormalised over the allowed ones."""
        return sum(choice.log_probability for choice in self.choices)


def log_softmax(logits_BV: np.ndarray) -> np.ndarray:
    """Over the last axis."""
    shifted = logits_BV - logits_BV.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def _masked(
    logits_BV: np.ndarray, constraint: Constraint | None, matchers: Sequence[LLMatcher | None], closing: Sequence[bool]
) -> np.ndarray:
    """Log-probabilities ``[B, V]`` over what each row may write next."""
    logits_BV = logits_BV.astype(np.float32)
    logits_BV[:, [SPECIAL_IDS[PAD], _BOS]] = _NEVER
    if constraint is not None:
        allowed_BV = constraint.allowed(matchers, logits_BV.shape[1])
        for row, close in enumerate(closing):
            if close:
                allowed_BV[row] = constraint.closing(allowed_BV[row])
        logits_BV = np.where(allowed_BV, logits_BV, _NEVER)
    return log_softmax(logits_BV)


def among(logits: np.ndarray | Logits, row: int, tokens: np.ndarray) -> np.ndarray:
    """Logits of some tokens at a place, of an array or of what computes them."""
    return logits[row].take(tokens) if isinstance(logits, np.ndarray) else logits.among(row, tokens)


def _options(
    logits: np.ndarray | Logits, row: int, constraint: Constraint | None, matcher: LLMatcher | None, answer: Sequence[int], limit: int, lean: Lean | None
) -> tuple[np.ndarray, np.ndarray]:
    """The tokens that a row may write next, in order, and their log-probabilities; only closing ones from ``limit`` tokens on."""
    size = logits.shape[1]
    allowed_V = np.ones(size, dtype=bool) if constraint is None else constraint.allowed([matcher], size)[0]
    if len(answer) >= limit and constraint is not None:
        allowed_V = constraint.closing(allowed_V)
    allowed_V[[SPECIAL_IDS[PAD], _BOS]] = False
    tokens = np.flatnonzero(allowed_V) if allowed_V.any() else np.array([_EOS])
    log_probabilities = log_softmax(among(logits, row, tokens).astype(np.float32))
    return tokens, log_probabilities if lean is None else lean(answer, tokens, log_probabilities)


def choices_along(
    stepper: Stepper, answer: Sequence[int], constraint: Constraint, matcher: LLMatcher
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """What may be written at each place of a given ``answer`` that is a choice: the place, the tokens in order, their log-probabilities.

    ``stepper`` holds one row at its start. Ends before a token that the grammar does not allow.
    """
    logits = _logits_along(stepper, answer)
    for place, token in enumerate(answer):
        tokens, log_probabilities = _options(logits, place, constraint, matcher, answer[:place], len(answer) + 1, None)
        if token not in tokens:
            return
        if len(tokens) > 1:
            yield place, tokens, log_probabilities
        matcher.consume_token(token)


def _logits_along(stepper: Stepper, answer: Sequence[int]) -> np.ndarray | Logits:
    """Logits before each token of an answer."""
    told = [_BOS, *answer[:-1]]
    if hasattr(stepper, "step_all"):
        return stepper.step_all(told, len(told))
    return np.concatenate([stepper.step([[token]]) for token in told])


def _choose(log_probabilities: np.ndarray, best: int, place: int, tokens: np.ndarray | None = None) -> Choice:
    """The one at ``best`` as a choice beside the likely others; ``tokens`` that they are, None where each is its own place."""
    near = [at for at in np.flatnonzero(log_probabilities > UNLIKELY) if at != best]
    others = tuple((int(at if tokens is None else tokens[at]), float(log_probabilities[at])) for at in near)
    return Choice(place, float(log_probabilities[best]), others)


def advance(matcher: LLMatcher | None, token: int) -> list[int]:
    """Consume ``token`` and what the grammar forces after it; both are returned. (After ``<none>`` only the end can come.)"""
    if matcher is None or token == _EOS:
        return [token]
    matcher.consume_token(token)
    forced = matcher.compute_ff_tokens()
    for next_token in forced:
        matcher.consume_token(next_token)
    return [token, *forced, _EOS] if token == _NONE else [token, *forced]


Pick = Callable[[np.ndarray], int]
"""The place of one of the log-probabilities of the tokens that may be written."""


def likeliest(log_probabilities: np.ndarray) -> int:
    """The place of the highest, the first of equals."""
    return int(log_probabilities.argmax())


def greedy(
    stepper: Stepper, matchers: Sequence[LLMatcher | None], constraint: Constraint | None, max_tokens: int, told: Told | None = None,
    pick: Pick = likeliest, request: Sequence[int] = (), leans: Sequence[Lean | None] = (), begun: Begun = Begun(),
) -> list[Decoded]:  # fmt: skip
    """The most likely token at each step (or what ``pick`` takes), for all rows side by side. Rows that end leave the batch.

    ``told`` hears of each step. ``request``: tokens of the one row's request; what is being copied from it is tried in a single step, with the
    same result. ``leans``: what changes the log-probabilities of each row, for rows that have any. ``begun``: how every answer begins.
    """
    leans = leans or [None] * len(matchers)
    if request and len(matchers) == 1 and hasattr(stepper, "step_all"):
        steps = drafted_steps(stepper, matchers[0], constraint, max_tokens, request, pick, leans[0], begun)
    else:
        steps = greedy_steps(stepper, matchers, constraint, max_tokens, leans, pick, begun)
    while True:
        try:
            row, new = next(steps)
        except StopIteration as end:
            return end.value
        if told is not None:
            told(row, new)


def greedy_steps(
    stepper: Stepper, matchers: Sequence[LLMatcher | None], constraint: Constraint | None, max_tokens: int, leans: Sequence[Lean | None],
    pick: Pick = likeliest, begun: Begun = Begun(),
) -> Iterator[tuple[int, list[int]]]:  # fmt: skip
    """The same as it happens: yields ``(row, new tokens)`` of every row at each step; the generator's return value is ``greedy``'s."""
    limit = min(WIND_DOWN, max_tokens // 2)
    answers: list[list[int]] = [list(begun.ids) for _ in matchers]
    choices: list[list[Choice]] = [list(begun.choices) for _ in matchers]
    looked: list[list[np.ndarray]] = [[] for _ in matchers]
    live = list(range(len(matchers)))
    pending: list[list[int]] = [list(begun.pending) for _ in live]
    while live:
        logits = stepper.step(pending)
        pending, stay = [], []
        for row, alignment_CS in zip(live, stepper.alignment or (), strict=False):
            looked[row].append(alignment_CS)
        for place, row in enumerate(live):
            tokens, log_probabilities = _options(logits, place, constraint, matchers[row], answers[row], limit, leans[row])
            best = pick(log_probabilities)
            choices[row].append(_choose(log_probabilities, best, len(answers[row]), tokens))
            new = advance(matchers[row], int(tokens[best]))
            answers[row] += new
            yield row, new
            if new[-1] != _EOS and len(answers[row]) < max_tokens:
                stay.append(place)
                pending.append(new)
        if len(stay) < len(live):
            live = [live[place] for place in stay]
            if live:  # the last one stays for those who go back with it
                stepper.keep(stay)
    return [
        Decoded(ids, tuple(chosen), np.concatenate(parts) if parts else None)
        for ids, chosen, parts in zip(answers, choices, looked, strict=True)
    ]


def draft(answer: Sequence[int], request: Sequence[int], constraint: Constraint | None, matcher: LLMatcher | None) -> list[int]:
    """What may follow if the answer goes on copying the request: the tokens after its last words there, as far as the grammar allows.

    After prompt lookup decoding (Saxena, 2023), a form of speculative decoding (Leviathan et al., 2023).
    """
    for width in (3, 2, 1):
        tail = list(answer[-width:])
        if len(tail) == width and (constraint is None or any(map(constraint.tells, tail))):
            for start in range(len(request) - width):
                if list(request[start : start + width]) == tail:
                    found = list(request[start + width : start + width + DRAFT])
                    return found[: matcher.validate_tokens(found)] if matcher is not None else found
    return []


def drafted_steps(
    stepper: DraftingStepper,
    matcher: LLMatcher | None,
    constraint: Constraint | None,
    max_tokens: int,
    request: Sequence[int],
    pick: Pick = likeliest,
    lean: Lean | None = None,
    begun: Begun = Begun(),
) -> Iterator[tuple[int, list[int]]]:
    """``greedy_steps`` for one row, in fewer steps: tokens copied from ``request`` are guessed, and kept where they would have been chosen."""
    limit = min(WIND_DOWN, max_tokens // 2)
    answer: list[int] = list(begun.ids)
    choices: list[Choice] = list(begun.choices)
    looked: list[np.ndarray] = []
    pending, guess = list(begun.pending), []
    while True:
        logits = stepper.step_all([*pending, *guess], len(guess) + 1)
        right, over = 0, False
        while True:
            tokens, log_probabilities = _options(logits, right, constraint, matcher, answer, limit, lean)
            best = pick(log_probabilities)
            choices.append(_choose(log_probabilities, best, len(answer), tokens))
            new = advance(matcher, int(tokens[best]))
            answer += new
            yield 0, new
            over = new[-1] == _EOS or len(answer) >= max_tokens
            same = next((at for at, one in enumerate(new) if guess[right + at : right + at + 1] != [one]), len(new))
            right += same
            if over or same < len(new):
                break
        if stepper.alignment:
            looked.append(stepper.alignment[0][: len(pending) + right])
        if over:
            return [Decoded(answer, tuple(choices), np.concatenate(looked)[: len(answer)] if looked else None)]
        pending = new[same:]
        stepper.back_to(1 + len(answer) - len(pending))
        guess = draft(answer, request, constraint, matcher)


def beam(stepper: Stepper, matcher: LLMatcher | None, constraint: Constraint | None, max_tokens: int, width: int, lean: Lean | None = None) -> list[Decoded]:
    """Beam search for one row (``stepper`` holds a single row); finished answers, best first."""
    limit = min(WIND_DOWN, max_tokens // 2)
    beams: list[tuple[Decoded, LLMatcher | None]] = [(Decoded([]), matcher)]
    pending: list[list[int]] = [[_BOS]]
    done: list[Decoded] = []
    while beams and len(done) < width:
        log_probabilities = _masked(stepper.step(pending), constraint, [own for _, own in beams], [len(row.ids) >= limit for row, _ in beams])
        candidates = []
        for place, (row, _) in enumerate(beams):
            if lean is not None:
                tokens = np.flatnonzero(log_probabilities[place] > _NEVER / 2)
                log_probabilities[place, tokens] = lean(row.ids, tokens, log_probabilities[place, tokens])
            best = np.argpartition(-log_probabilities[place], width)[: width + 1]
            candidates += [(row.log_probability + float(log_probabilities[place, token]), place, int(token)) for token in best]
        candidates = sorted((c for c in candidates if c[0] > -1e20), reverse=True)[:width]
        fresh, pending, places = [], [], []
        for _, place, token in candidates:
            row, parent = beams[place]
            own = parent.deep_copy() if parent is not None else None
            new = advance(own, token)
            longer = Decoded([*row.ids, *new], (*row.choices, _choose(log_probabilities[place], token, len(row.ids))))
            if new[-1] == _EOS or len(longer.ids) >= max_tokens:
                done.append(longer)
            else:
                fresh.append((longer, own))
                pending.append(new)
                places.append(place)
        beams = fresh
        stepper.keep(places)
        if done and beams and max(row.log_probability for row, _ in beams) < max(entry.log_probability for entry in done):
            break
    return sorted(done, key=lambda entry: -entry.log_probability)
