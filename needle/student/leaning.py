"""A prior at work: what changes a student's log-probabilities while it names a tool or writes an argument's value (``needle.student.prior``)."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from needle.student.decoding import log_softmax
from needle.student.place import Places
from needle.student.prior import Naming, Prior, Stating, Weights
from needle.student.rendering import compact
from needle.student.stated import OpenValue, Stated, open_number, used_in, word_index
from needle.student.streaming import HALF
from needle.student.tokenizer import CALL, SPECIAL_IDS
from needle.tools import Request, ToolSpec
from needle.tools.arguments import listed_values
from needle.tools.retrieval import ToolIndex, searched

LIKELIEST = 8
"""Tokens of an open value that are weighed; the student has ruled out what comes after them."""
KEPT = 256
"""Toolsets whose words are kept counted."""
LEAST = -30.0
"""Worth of a token that leads to nothing that may be chosen."""
_OPEN = re.compile(r'"((?:[^"\\]|\\.)*)":(?:\[(?:"(?:[^"\\]|\\.)*",)*)?"((?:[^"\\]|\\.)*)$')
"""A text argument that is being written, alone or in an array: its key, and the text so far."""
_TEXT = re.compile(r'"(?:[^"\\]|\\.)*"')


def value_scores(values: Sequence[str], text: str) -> list[float]:
    """Lexical score of each listed value for a request's ``text``."""
    return word_index(tuple((value, "") for value in values)).scores(text)


def listed_texts(schema: Any) -> list[str]:
    """The texts that a parameter, or the items of its array, may take; empty where that is open."""
    return [value for value in listed_values(schema) if isinstance(value, str)] if isinstance(schema, dict) else []


class Priors:
    """A prior at work for one tokenizer; word counts of toolsets are kept. Thread-safe."""

    def __init__(self, prior: Prior, tokenizer: Tokenizer) -> None:
        self.prior, self.tokenizer = prior, tokenizer
        self._known: dict[str, ToolIndex] = {}
        self._lock = threading.Lock()

    def of(self, request: Request, key: str) -> Leaning | None:
        """What changes the choices in an answer to ``request``; None where there are no tools. ``key``: fingerprint of its tools."""
        if not request.tools:
            return None
        return Leaning(self.prior, request, self.index(request.tools, key), self.tokenizer)

    def index(self, tools: Sequence[ToolSpec], key: str) -> ToolIndex:
        """Word statistics of tools, by their fingerprint."""
        with self._lock:
            known = self._known.get(key)
        if known is None:
            known = ToolIndex(tools)
            with self._lock:
                if len(self._known) >= KEPT:
                    self._known.clear()
                self._known[key] = known
        return known


class Leaning:
    """A ``needle.student.decoding.Lean``: changes log-probabilities while a tool's name or an argument's value is written."""

    def __init__(self, prior: Prior, request: Request, index: ToolIndex, tokenizer: Tokenizer) -> None:
        """``index``: word statistics of the tools of the request."""
        self._prior, self._tools, self._tokenizer = prior, {tool.name: tool for tool in request.tools}, tokenizer
        self._text, self._stated, self._names = searched(request.query, request.messages), Stated(request), [name + "{" for name in self._tools]
        self._index, self._words = index, np.log1p(index.scores(self._text))

    @cached_property
    def _places(self) -> Places:
        """Made where a tool is named, and not for an answer without calls."""
        return Places(self._index, self._text)

    def __call__(self, answer: Sequence[int], tokens: np.ndarray, log_probabilities: np.ndarray) -> np.ndarray:
        """The same where there is nothing of the kind to choose. A token gets the worth of everything that it leads to."""
        if len(tokens) < 2 or (call := call_begun(answer)) is None:
            return log_probabilities
        written = self._decoded(call)
        if "{" not in written:
            return self._named(answer, call, written, tokens, log_probabilities)
        value = open_value(written, self._tools.get(written[: written.index("{")]))
        if value is None:
            return log_probabilities
        if listed := () if value.number else listed_texts(value.schema):
            texts, weights = [compact(one)[1:] for one in listed], self._prior.values
            if weights == Weights():
                return log_probabilities
            worth = weights.words * np.log1p(value_scores(listed, self._text))
            return self._among(call, len(written) - len(value.begun), texts, worth, tokens, weights.sharpness * log_probabilities)
        return self._weighed(value, tokens, log_probabilities)

    def _named(self, answer: Sequence[int], call: list[int], written: str, tokens: np.ndarray, log_probabilities: np.ndarray) -> np.ndarray:
        """A tool is named, of which ``written`` is there."""
        weights = self._prior.names
        if weights == Naming():
            return log_probabilities
        worth = weights.words * self._words
        if weights.near:
            worth = worth + weights.near * np.log1p(self._places.near([self._decoded(before) for before in calls_before(answer)]))
        return self._among(call, 0, self._names, worth, tokens, weights.sharpness * log_probabilities)

    def _among(
        self, call: list[int], start: int, texts: Sequence[str], worth: np.ndarray, tokens: np.ndarray, log_probabilities: np.ndarray
    ) -> np.ndarray:
        """One of several ``texts`` is chosen, which begin at ``start`` of the text of the call."""
        gains = [_worth(self._decoded([*call, int(token)])[start:], texts, worth) for token in tokens]
        return log_softmax(log_probabilities + np.array(gains, dtype=np.float32))

    def _weighed(self, value: OpenValue, tokens: np.ndarray, log_probabilities: np.ndarray) -> np.ndarray:
        """A number or a text is written that may be anything."""
        weights = self._prior.numbers if value.number else self._prior.texts
        if weights == Stating():
            return log_probabilities
        leant = weights.sharpness * log_probabilities
        places = likeliest(log_probabilities)
        most = sum(map(abs, weights[1:-1])) + abs(weights.asked) * max(self._stated.later(value).values(), default=0.0)
        if weights.sharpness * (log_probabilities[places[0]] - log_probabilities[places[1]]) < most:  # else nothing changes
            features = self._stated.features(value, [self._decoded([int(token)]) for token in tokens[places]])
            leant[places] += features @ np.array(weights[1:], dtype=np.float32)
        return log_softmax(leant)

    def _decoded(self, ids: Sequence[int]) -> str:
        return self._tokenizer.decode(ids, skip_special_tokens=False)


def likeliest(log_probabilities: np.ndarray) -> np.ndarray:
    """Places of the tokens of an open value that are weighed, the likeliest first."""
    most = min(LIKELIEST, len(log_probabilities))
    places = np.argpartition(-log_probabilities, most - 1)[:most]
    return places[np.argsort(-log_probabilities[places], kind="stable")]


def open_value(written: str, tool: ToolSpec | None) -> OpenValue | None:
    """The text or number of a parameter of ``tool`` at which the text of a call stands; None elsewhere.

    A key of a nested object is another parameter, of which nothing is known here.
    """
    if tool is None:
        return None
    text = _OPEN.search(written)
    found = text or open_number(written, tool)
    if found is None or found[1] not in tool.properties or _depth(written[: found.start()]) != 1:
        return None
    key, begun = found[1], found[2]
    schema, used = tool.properties[key], used_in(written[: len(written) - len(begun)])
    listed = written.startswith("[", found.end(1) + 2)
    return OpenValue(text is None, key, schema if isinstance(schema, dict) else {}, begun, used, tool, listed)


def _depth(written: str) -> int:
    """Objects that are open at the end of a call's text."""
    bare = _TEXT.sub("", written)
    return bare.count("{") - bare.count("}")


def calls_before(answer: Sequence[int]) -> list[Sequence[int]]:
    """The tokens of the calls of an answer before the one that is being written at its end."""
    starts = [place for place, token in enumerate(answer) if token == SPECIAL_IDS[CALL]]
    return [answer[start + 1 : end] for start, end in pairwise(starts)]


def call_begun(answer: Sequence[int]) -> list[int] | None:
    """The tokens of the call that is being written at the end of an answer; None where there is none."""
    for start in range(len(answer) - 1, -1, -1):
        if answer[start] == SPECIAL_IDS[CALL]:
            return list(answer[start + 1 :])
    return None


def _worth(text: str, texts: Sequence[str], worth: np.ndarray) -> float:
    """Logarithm of the summed worth of all ``texts`` that begin with ``text``, or that it has gone through."""
    text = text.rstrip(HALF)
    fits = [one.startswith(text) or text.startswith(one) for one in texts]
    return float(np.logaddexp.reduce(worth[fits])) if any(fits) else LEAST
