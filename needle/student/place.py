"""Where in a request the next call begins, and how near behind that each tool's words stand.

Calls are written in the order in which a request asks for them. So what belongs to the next one stands behind the words of the calls that are
written already: a value that was copied, the words by which a tool was meant. A soft form of monotone alignment (Raffel et al., 2017, arXiv:1704.00784).
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np

from needle.tools.grounding.said import folded, standing
from needle.tools.retrieval import WORD, ToolIndex

REACH = 25.0
"""Characters behind the last call after which a word counts 1/e."""
_VALUE = re.compile(r'"((?:[^"\\]|\\.)*)"(:?)|(-?\d[\d.]*)')
"""A text (a key, where a colon follows) or number in a call's text."""


def values_in(call: str) -> list[str]:
    """The texts and numbers that are arguments in the text of a call, as they are written there."""
    return [text or number for text, key, number in _VALUE.findall(call[call.find("{") :]) if not key and (text or number)]


class Places:
    """The words of one request, and what each says for each tool."""

    def __init__(self, index: ToolIndex, text: str) -> None:
        self._names = [tool.name for tool in index.tools]
        self._folded = folded(text)[0]
        words = [(found.start(), found.end(), np.array(index.scores(found[0]))) for found in WORD.finditer(self._folded)]
        self._words = [word for word in words if word[2].any()]
        self._kept: dict[tuple[str, ...], np.ndarray] = {}

    def begin(self, calls: Sequence[str]) -> int:
        """The character behind what ``calls`` (their texts, ``name{...}``) were made from; 0 where there are none."""
        at = 0
        for call in calls:
            found = [(place + len(value)) for value in map(_plain, values_in(call)) if value and (place := standing(self._folded, value, at)) >= 0]
            at = max([at, *found, self._meant(call.partition("{")[0], at)])
        return at

    def _meant(self, name: str, at: int) -> int:
        """The end of the word behind ``at`` that speaks most for a tool, and for no other more; ``at`` where there is none."""
        tool = self._names.index(name) if name in self._names else None
        said = [(scores[tool], -start, end) for start, end, scores in self._words if tool is not None and start >= at and 0 < scores[tool] >= scores.max()]
        return max(said)[2] if said else at

    def near(self, calls: Sequence[str]) -> np.ndarray:
        """``[tools]``: the lexical score of each tool for the next call, words counting less the farther behind ``calls`` they stand."""
        key = tuple(calls)
        if key not in self._kept:
            at = self.begin(calls)
            parts = [scores * math.exp((at - start) / REACH) for start, _, scores in self._words if start >= at]
            self._kept[key] = np.sum(parts, axis=0) if parts else np.zeros(len(self._names))
        return self._kept[key]


def _plain(value: str) -> str:
    return folded(value)[0].strip()
