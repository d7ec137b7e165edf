"""How much the words of a request count beside the student where it chooses a tool or a value: a prior, fitted on rows it did not learn from.

A small student copies values well long before it matches a request with the right one of several unknown tools, which counting common words
does rather well. Where a tool is named, the student's log-probability of each name times ``sharpness``, and ``words`` times the logarithm of one
plus its lexical score (``needle.tools.retrieval``) are added up, and ``near`` times that of the words where the next call begins; listed values likewise, with weights of their own. Numbers and open texts are
weighed token by token, by whether the request states them (``needle.student.stated``). Whole answers are weighed against others where the
student is unsure (``needle.student.reranking``). A product of experts (Hinton, 2002), as speech
recognisers add a second score at decoding (shallow fusion: Gulcehre et al., arXiv:1503.03535). ``needle.student.prior_fit`` chooses the weights, ``needle.student.leaning`` applies them:
with a student that knows better, words come to count little.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from needle.student.beside import read_beside, write_beside

FILE, FORMAT = "prior.json", 1


class Weights(NamedTuple):
    """What counts where a listed value is chosen."""

    sharpness: float = 1.0
    """Of the student's log-probabilities."""
    words: float = 0.0
    """Of log(1 + lexical score)."""


class Naming(NamedTuple):
    """What counts where a tool is named."""

    sharpness: float = 1.0
    """Of the student's log-probabilities."""
    words: float = 0.0
    """Of log(1 + lexical score)."""
    near: float = 0.0
    """Of log(1 + lexical score of the words behind the calls that are written, the nearest most) (``needle.student.place``)."""


class Stating(NamedTuple):
    """What counts at the tokens of an open value, beside ``needle.student.stated.FEATURES``."""

    sharpness: float = 1.0
    """Of the student's log-probabilities."""
    said: float = 0.0
    """Of a value that the request says."""
    unit: float = 0.0
    """Of a number with a unit that the parameter wants."""
    fresh: float = 0.0
    """Of a value that no other argument has."""
    asked: float = 0.0
    """Of log(1 + lexical score) of a further parameter."""


class Judging(NamedTuple):
    """What counts where one of several whole answers is chosen, beside ``needle.student.agreement.FEATURES``."""

    sharpness: float = 1.0
    """Of the log-probability of an answer."""
    none: float = 0.0
    """Of no call."""
    left: float = 0.0
    """Of each word of the request that an answer does not account for."""
    left_share: float = 0.0
    """Of their share."""
    unsaid: float = 0.0
    """Of each value that the request does not say."""
    unsaid_truth: float = 0.0
    """Of each truth value that no word tells."""
    shared: float = 0.0
    """Of each value made from the same words as another one of its call."""
    shared_beside: float = 0.0
    """Of each value made from the same words as one of another call of the tool."""
    again: float = 0.0
    """Of each call that is there already."""
    unit: float = 0.0
    """Of each number with a unit that its parameter wants."""
    listed: float = 0.0
    """Of each listed value that has a word in common with the request."""
    beside: float = 0.0
    """Of how near the values stand to words of their parameters."""
    disorder: float = 0.0
    """Of each call that begins before the one before it."""
    uneven: float = 0.0
    """Of each call with other arguments than the first of its tool."""


Kind = Naming | Weights | Stating | Judging
KINDS: dict[str, type[Kind]] = {"names": Naming, "values": Weights, "numbers": Stating, "texts": Stating, "answers": Judging}
"""Kinds of choices, and what is weighed in each. The last is made when an answer is written, the others while it is."""
ADDED = {"names": ("near",), "answers": ("beside", "disorder", "uneven")}
"""Weights that files of before do not have."""


@dataclass(frozen=True)
class Prior:
    """The weights of all kinds of choices."""

    names: Naming = Naming()
    """Where a tool is named."""
    values: Weights = Weights()
    """Where one of a parameter's listed texts is chosen."""
    numbers: Stating = Stating()
    """Where a number is written."""
    texts: Stating = Stating()
    """Where a text is written that is not one of a list."""
    answers: Judging = Judging()
    """Where an unsure answer is weighed against others."""
    fitted_on: dict[str, Any] = field(default_factory=dict)
    """Where they come from: ``source``; of each kind ``rows`` and, on left-out toolsets, the share chosen right with and without."""

    @property
    def weights(self) -> list[float]:
        """All of them, in order."""
        return [float(weight) for kind in KINDS for weight in getattr(self, kind)]

    def save(self, folder: Path) -> None:
        """Write ``prior.json`` beside the weights, whole or not at all. Raises ``UserError`` where that fails."""
        kinds = {kind: getattr(self, kind)._asdict() for kind in KINDS}
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
        for kind, added in ADDED.items():
            if kind in read:
                read[kind] = dict.fromkeys(added, 0.0) | read[kind]
        found = {kind: made(*(float(read[kind][one]) for one in made._fields)) for kind, made in KINDS.items() if kind in read or kind in ("names", "values")}
        made = cls(**found, fitted_on=dict(read["fitted_on"]))  # type: ignore[arg-type]  # each kind is of its own class
        if not all(map(math.isfinite, made.weights)):
            raise ValueError("its weights are not finite")
        return made
