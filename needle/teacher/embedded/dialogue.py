"""Requests that follow earlier turns: a change of what was just asked, or the value that the assistant asked for."""

from __future__ import annotations

import random
import re
from typing import Any

from needle.teacher.embedded.fragments import fragment, is_speech, surface
from needle.teacher.embedded.lexicon import ABBREVIATIONS
from needle.teacher.embedded.phrasing import Clause, Voice, say
from needle.teacher.embedded.text import words
from needle.teacher.embedded.wish import Wish
from needle.tools.arguments import schema_at
from needle.tools.spec import ToolSpec

DONE = ("Done.", "OK.", "All set.", "Done, anything else?", "Sure, that's done.", "Okay, done.", "It's done.")
CHANGES = (
    "make it {} instead",
    "actually {}",
    "no, {}",
    "and now {}",
    "{} instead",
    "change that to {}",
    "same again but {}",
    "do the same {frame}",
    "and again {frame}",
    "once more {frame}",
    "sorry, {} i meant",
    "better {}",
    "the same {frame} please",
)
"""What differs from the turn before: the value alone, or with its words around it (``frame``)."""
ANSWERS = ("{}", "{} please", "{frame}", "{frame} please", "let's say {}", "{} of course", "oh, {}", "{}, thanks")


def with_turns(
    tool: ToolSpec, flat: dict[str, Any], wish: Wish, voice: Voice, rng: random.Random
) -> tuple[str | Clause, ...] | None:
    """Earlier turns as texts and the last message as a clause; None where the plan cannot be put into words."""
    path = wish.asked
    if path not in flat or is_speech(tool, path) and wish.context == "followup":
        return None
    said = surface(tool, path, flat[path], rng)
    part = fragment(tool, path, flat[path], "", voice.values, rng)
    if said is None or part is None:
        return None
    if wish.context == "answer":
        rest = {key: value for key, value in flat.items() if key != path}
        opening = say(tool, rest, voice, rng, wish.style)
        last = said if is_speech(tool, path) else _pick(ANSWERS, said, part.text, rng)
        return (opening.text, question_for(tool, path, rng), Clause(last, False, open_end=True)) if opening else None
    other = voice.values.sample(tool, path, rng)
    if other is None or other == flat[path]:
        return None
    opening = say(tool, flat | {path: other}, voice, rng, wish.style)
    if opening is None:
        return None
    return opening.text, rng.choice(DONE), Clause(_pick(CHANGES, said, part.text, rng), False, open_end=True)


def question_for(tool: ToolSpec, path: str, rng: random.Random) -> str:
    """What an assistant asks when a value is missing."""
    schema = schema_at(tool.parameters, path)
    name = " ".join(ABBREVIATIONS.get(word, word) for word in words(path.rpartition(".")[2]))
    described = re.split(r"[,;:(]", schema.get("description", ""))[0].strip().rstrip(".").lower()
    asks = [f"What {name}?", f"Which {name} would you like?", f"What should the {name} be?"]
    if described.startswith(("which ", "what ", "how ", "who ", "where ")):
        asks.append(f"{described.capitalize()}?")
    return rng.choice(asks)


def _pick(frames: tuple[str, ...], said: str, framed: str, rng: random.Random) -> str:
    return rng.choice(frames).format(said, frame=framed)
