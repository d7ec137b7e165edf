"""How much common words count where the student chooses a tool or one of a parameter's listed values: a prior, fitted on rows it did not learn from.

A small student copies values well long before it matches a request with the right one of several unknown tools, which counting common words
does rather well. Where a tool is named, the student's log-probability of each name times ``sharpness``, and ``words`` times the logarithm of one
plus its lexical score (``needle.tools.retrieval``) are added up; listed values likewise, with weights of their own. A product of experts (Hinton,
2002), as speech recognisers add a second score at decoding (shallow fusion: Gulcehre et al., arXiv:1503.03535). ``needle.student.prior_fit``
chooses the weights: with a student that knows better, words come to count little.
"""

from __future__ import annotations

import json
import math
import re
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tokenizers import Tokenizer

from needle.student.beside import read_beside, write_beside
from needle.student.decoding import log_softmax
from needle.student.rendering import compact
from needle.student.streaming import HALF
from needle.student.tokenizer import CALL, SPECIAL_IDS
from needle.tools import Request, ToolSpec
from needle.tools.arguments import listed_values
from needle.tools.retrieval import ToolIndex, searched

FILE, FORMAT = "prior.json", 1
KEPT = 256
"""Toolsets, and lists of values, whose words are kept counted."""
LEAST = -30.0
"""Worth of a token that leads to nothing that may be chosen."""
_OPEN = re.compile(r'"((?:[^"\\]|\\.)*)":(?:\[(?:"(?:[^"\\]|\\.)*",)*)?"((?:[^"\\]|\\.)*)$')
"""A text argument that is being written, alone or in an array: its key, and the text so far."""
_TEXT = re.compile(r'"(?:[^"\\]|\\.)*"')


class Weights(NamedTuple):
    """What counts in one kind of choice."""

    sharpness: float = 1.0
    """Of the student's log-probabilities."""
    words: float = 0.0
    """Of log(1 + lexical score)."""


@dataclass(frozen=True)
class Prior:
    """The weights of both kinds of choices."""

    names: Weights = Weights()
    """Where a tool is named."""
    values: Weights = Weights()
    """Where one of a parameter's listed texts is chosen."""
    fitted_on: dict[str, Any] = field(default_factory=dict)
    """Where they come from: ``source``; of names and values ``rows`` and, on left-out toolsets, the share chosen right with and without."""

    def save(self, folder: Path) -> None:
        """Write ``prior.json`` beside the weights, whole or not at all. Raises ``UserError`` where that fails."""
        kinds = {"names": self.names._asdict(), "values": self.values._asdict()}
        write_beside(folder, FILE, (json.dumps({"format": FORMAT, **asdict(self), **kinds}, indent=1) + "\n").encode())

    @classmethod
    def load(cls, folder: Path) -> Prior | None:
        """The prior of a checkpoint or export folder, None where there is none. Raises ``UserError`` for a file that is none."""
        return read_beside(folder, FILE, cls._read, "not a prior", "make it anew with `needle calibrate`")

    @classmethod
    def _read(cls, path: Path) -> Prior:
        read = json.loads(path.read_text(encoding="utf-8"))
        if read["format"] != FORMAT:
            raise ValueError("another format")
        kinds = [Weights(*(float(read[kind][name]) for name in Weights._fields)) for kind in ("names", "values")]
        if not all(map(math.isfinite, (*kinds[0], *kinds[1]))):
            raise ValueError("its weights are not finite")
        return cls(*kinds, dict(read["fitted_on"]))


@lru_cache(maxsize=KEPT)
def _listed(values: tuple[str, ...]) -> ToolIndex:
    return ToolIndex([ToolSpec(value, "", {}) for value in values])


def value_scores(values: Sequence[str], text: str) -> list[float]:
    """Lexical score of each listed value for a request's ``text``."""
    return _listed(tuple(values)).scores(text)


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
        text = searched(request.query, request.messages)
        return Leaning(self.prior, request.tools, self._index(request.tools, key).scores(text), text, self.tokenizer)

    def _index(self, tools: Sequence[ToolSpec], key: str) -> ToolIndex:
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
    """A ``needle.student.decoding.Lean``: changes log-probabilities while a tool's name or a listed value is written."""

    def __init__(self, prior: Prior, tools: Sequence[ToolSpec], scores: Sequence[float], text: str, tokenizer: Tokenizer) -> None:
        """``scores``: lexical score of each tool; ``text``: the words that were asked with."""
        self._prior, self._tools, self._text, self._tokenizer = prior, {tool.name: tool for tool in tools}, text, tokenizer
        self._names = [name + "{" for name in self._tools], np.log1p(scores)

    def __call__(self, answer: Sequence[int], tokens: np.ndarray, log_probabilities: np.ndarray) -> np.ndarray:
        """The same where there is nothing of the kind to choose. A token gets the worth of everything that it leads to."""
        if len(tokens) < 2 or (call := _last_call(answer)) is None:
            return log_probabilities
        written = self._decoded(call)
        begun, texts, scores, weights = self._choice(written)
        if not texts or weights == Weights():
            return log_probabilities
        start = len(written) - len(begun)
        worth = [_worth(self._decoded([*call, int(token)])[start:], texts, weights.words * scores) for token in tokens]
        return log_softmax(weights.sharpness * log_probabilities + np.array(worth, dtype=np.float32))

    def _choice(self, written: str) -> tuple[str, Sequence[str], np.ndarray, Weights]:
        """What is chosen at the end of a call's text: what is written of it, the texts that it may be with their end, their scores, the weights."""
        if "{" not in written:
            return written, *self._names, self._prior.names
        tool, open_text = self._tools.get(written[: written.index("{")]), _OPEN.search(written)
        own = open_text is not None and _depth(written[: open_text.start()]) == 1  # a key of a nested object is another parameter
        values = listed_texts(tool.properties.get(open_text[1])) if tool and own else []
        if not values:
            return "", (), np.zeros(0), Weights()
        scores = value_scores(values, self._text)
        return open_text[2], [compact(value)[1:] for value in values], np.log1p(scores), self._prior.values

    def _decoded(self, ids: Sequence[int]) -> str:
        return self._tokenizer.decode(ids, skip_special_tokens=False)


def _depth(written: str) -> int:
    """Objects that are open at the end of a call's text."""
    bare = _TEXT.sub("", written)
    return bare.count("{") - bare.count("}")


def _last_call(answer: Sequence[int]) -> list[int] | None:
    """The tokens of the call that is being written; None where there is none."""
    for start in range(len(answer) - 1, -1, -1):
        if answer[start] == SPECIAL_IDS[CALL]:
            return list(answer[start + 1 :])
    return None


def _worth(text: str, texts: Sequence[str], worth: np.ndarray) -> float:
    """Logarithm of the summed worth of all ``texts`` that begin with ``text``, or that it has gone through."""
    text = text.rstrip(HALF)
    fits = [one.startswith(text) or text.startswith(one) for one in texts]
    return float(np.logaddexp.reduce(worth[fits])) if any(fits) else LEAST
