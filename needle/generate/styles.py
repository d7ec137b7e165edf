"""How a request is to sound: axes that are drawn independently of each other and of what is asked.

    style = draw_style(random.Random(1), "single", locales=("en_GB",))
    style.rules()          # sentences for the writing teacher

Typing slips and speech recognition are no axis here: they are put on after labelling (``needle.generate.noise``).
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

AXES: Mapping[str, Mapping[str, float]] = {
    "form": {"command": 0.5, "request": 0.22, "need": 0.13, "telegram": 0.15},
    "length": {"short": 0.45, "medium": 0.4, "long": 0.15},
    "register": {"casual": 0.45, "neutral": 0.3, "polite": 0.12, "formal": 0.07, "blunt": 0.06},
    "case": {"plain": 0.5, "written": 0.3, "lower": 0.2},
    "wording": {"direct": 0.88, "implicit": 0.12},
    "fluency": {"fluent": 0.93, "hesitant": 0.07},
    "distractor": {"none": 0.86, "number": 0.05, "name": 0.05, "remark": 0.04},
}
"""Axis to its values with their shares."""
RULES = {
    "command": "an order",
    "request": "a polite question",
    "need": "a statement of what the person needs or wants",
    "telegram": "a few key words in a row, without a verb where that is clear",
    "short": "at most 10 words, where the values allow it",
    "medium": "one sentence",
    "long": "one or two sentences with some background",
    "casual": "everyday words, contractions",
    "neutral": "plain words",
    "polite": "friendly and polite",
    "formal": "formal words, as in a letter",
    "blunt": "curt, a little impatient",
    "plain": "typed casually",
    "written": "correct capitals and punctuation",
    "lower": "all small letters, no punctuation, as speech recognition writes it",
    "implicit": (
        'do not name the action: say what is wrong or what is wished ("it\'s too dark in the hall"), so that it is still '
        "plain what is to be done"
    ),
    "hesitant": "hesitating, with a filled pause or a false start",
    "number": 'mention in passing a number that belongs to none of the arguments; it is given as "distractor"',
    "name": 'mention in passing a name that belongs to none of the arguments; it is given as "distractor"',
    "remark": "add a remark that asks for nothing",
}
"""What an author is told of a value of an axis; nothing for the values that are not here."""
WITH_ARGUMENTS = frozenset({"single", "sibling", "parallel", "several"})
"""Kinds whose requests may carry distractors."""
ONE_THING = frozenset({"single", "sibling"})
"""Kinds whose requests may be implicit."""


@dataclass(frozen=True)
class Style:
    """One value of each axis."""

    form: str = "command"
    """``command``, ``request`` (can you ...), ``need`` (I need ...) or ``telegram`` (key words)."""
    length: str = "short"
    """``short``, ``medium`` or ``long``."""
    register: str = "casual"
    """``casual``, ``neutral``, ``polite``, ``formal`` or ``blunt``."""
    case: str = "plain"
    """``plain``, ``written`` (capitals and stops) or ``lower`` (as speech recognition gives it)."""
    wording: str = "direct"
    """``direct`` or ``implicit`` (the action is not named)."""
    fluency: str = "fluent"
    """``fluent`` or ``hesitant``."""
    distractor: str = "none"
    """``none``, ``number``, ``name`` (a value that belongs to no argument) or ``remark``."""
    locale: str = ""
    """Where names and places come from, such as ``de_DE``; empty: mixed."""

    def to_dict(self) -> dict[str, str]:
        """Axis to value, without an empty locale."""
        return {axis: value for axis, value in asdict(self).items() if value}

    def rules(self) -> list[str]:
        """Phrases for the author, one for each axis that has something to say."""
        said = [RULES[value] for value in asdict(self).values() if value in RULES]
        if self.locale:
            said.append(f"names, places and spelling as usual in {self.locale}")
        return said


def draw_style(rng: random.Random, kind: str, locales: Sequence[str] = ()) -> Style:
    """A style for a request of a kind; every axis is drawn, and what a kind cannot carry is set to the plain value."""
    drawn = {axis: rng.choices(list(shares), list(shares.values()))[0] for axis, shares in AXES.items()}
    if kind not in ONE_THING:
        drawn["wording"] = "direct"
    if kind not in WITH_ARGUMENTS or drawn["wording"] == "implicit":
        drawn["distractor"] = "none"
    if kind == "extraction":
        drawn |= {"length": "long", "fluency": "fluent", "case": "written"}
    if kind in ("chat", "extraction", "corrected") and drawn["form"] == "telegram":
        drawn["form"] = "command"
    locale = rng.choice(list(locales)) if locales else ""
    return Style(**drawn, locale=locale)
