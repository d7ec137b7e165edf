"""From a clause to a message: frames, politeness, hesitation, remarks in passing, letter case."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from typing import Any

from needle.teacher.embedded.frames import (
    FILLED_PAUSES,
    NEGATIONS,
    PASSING_NAMES,
    PASSING_NUMBERS,
    PREFIXES,
    REGISTERS,
    REMARKS,
    SUFFIXES,
)
from needle.teacher.embedded.phrasing import Clause
from needle.teacher.embedded.wish import Wish
from needle.tools.arguments import flat_arguments
from needle.tools.spec import ToolCall


def styled(clause: Clause, wish: Wish, rng: random.Random, *, framed: bool = True) -> str:
    """The message: the clause in its frame, with what the style adds, in its letter case."""
    text, question = clause.text, clause.question
    if framed and clause.imperative and wish.form != "telegram":
        before, after = REGISTERS.get(wish.style.get("register", ""), {}).get(
            wish.form, (PREFIXES[wish.form], SUFFIXES[wish.form])
        )
        prefix, suffix = rng.choice(before), "" if clause.open_end else rng.choice(after)
        text = prefix + text + ("" if "please" in prefix and "please" in suffix else suffix)
        question = question or prefix.startswith(("can ", "could ", "would ", "will ", "may "))
    if wish.style.get("fluency") == "hesitant":
        text = _hesitating(text, rng)
    text = cased(text, wish, question)
    return _with_remark(text, wish, clause.open_end, rng)


def negated(clause: Clause, wish: Wish, rng: random.Random) -> str:
    """The message that takes the clause's wish back."""
    frames = [frame for frame in NEGATIONS if frame.endswith("{}")] if clause.open_end else NEGATIONS
    return cased(rng.choice(frames).format(clause.text), wish, question=False)


def cased(text: str, wish: Wish, question: bool) -> str:
    """Letter case and the final stop of a style."""
    text = re.sub(r"\s+", " ", text).strip()
    if wish.case == "lower":
        return text[:1].lower() + text[1:] if text[1:2].islower() or text[1:2] == " " else text
    if wish.case == "written":
        text = re.sub(r"\bi(?=\b(?!\.))", "I", text[:1].upper() + text[1:]) if "'" not in text[:2] else text
        return text if text[-1:] in ".?!" else text + ("?" if question else ".")
    return text + "?" if question and text[-1:] not in ".?!" else text


def spoken(text: str, calls: Sequence[ToolCall]) -> str:
    """Without the punctuation that speech recognition leaves out, except where a value holds it or needs it around."""
    bare = re.sub(r"[,;?!]+(?=\s|$)", "", text).rstrip(".")
    values = [
        item
        for call in calls
        for _, value in flat_arguments(call.arguments)
        for item in (value if isinstance(value, list) else [value])
    ]
    listed = any(
        isinstance(value, list) and len(value) > 2 for call in calls for _, value in flat_arguments(call.arguments)
    )
    held = any(isinstance(value, str) and value in text and value not in bare for value in values)
    return text if held or listed else bare


def _hesitating(text: str, rng: random.Random) -> str:
    pause = rng.choice(FILLED_PAUSES)
    if rng.random() < 0.6:
        return f"{pause} {text}"
    first, space, rest = text.partition(" ")
    return f"{first}, {pause} {rest}" if space and first.isalpha() else f"{pause} {text}"


def _with_remark(text: str, wish: Wish, open_end: bool, rng: random.Random) -> str:
    kind = wish.style.get("distractor", "none")
    bank = {"number": PASSING_NUMBERS, "name": PASSING_NAMES, "remark": REMARKS}.get(kind)
    if not bank or (kind != "remark" and not wish.distractor):
        return text
    remark = rng.choice(bank).format(wish.distractor)
    remark = remark[:1].upper() + remark[1:] if wish.case == "written" else remark
    if open_end or rng.random() < 0.5:
        return f"{remark}{'.' if wish.case != 'lower' else ''} {text}"
    stop = "" if text[-1:] in ".?!" else "." if wish.case == "written" else ","
    return f"{text}{stop} {remark}{'.' if wish.case == 'written' else ''}"


def leaf_texts(value: Any) -> list[str]:
    """Every scalar of nested arguments, as text."""
    if isinstance(value, dict):
        value = list(value.values())
    return [text for item in value for text in leaf_texts(item)] if isinstance(value, list) else [str(value)]
