"""Long texts that hold the values of a call: notes, e-mails and forms, with other details around them."""

from __future__ import annotations

import random
from typing import Any

from needle.teacher.embedded.fragments import surface
from needle.teacher.embedded.lexicon import ABBREVIATIONS
from needle.teacher.embedded.phrasing import Voice
from needle.teacher.embedded.text import words
from needle.teacher.embedded.verbs import verbs_and_noun
from needle.teacher.embedded.wish import Wish
from needle.tools.spec import ToolSpec

OPENINGS = (
    "{verb} this:",
    "please {verb} the following {noun}:",
    "can you {verb} this for me?",
    "{noun} to {verb}:",
    "take the details from this mail and {verb} it:",
    "here is what came in, {verb} it please:",
    "{verb} what it says below.",
)
GREETINGS = ("Hello,", "Hi there,", "Good morning,", "Dear all,", "Hey,", "To whom it may concern,", "")
CLOSINGS = (
    "Best regards, the office",
    "Thanks and see you soon!",
    "Kind regards",
    "Sent from my phone",
    "Many thanks in advance",
    "Have a good week",
    "",
)
PADDING = (
    "I hope this finds you well.",
    "We talked about it on the phone last week.",
    "Sorry for the short notice.",
    "As always, let me know if anything is unclear.",
    "The rest can wait until we meet.",
    "Nothing else has changed.",
    "The weather here is dreadful, by the way.",
    "Our usual contact is away at the moment.",
    "Please keep this for your records.",
    "It took longer than we thought, but here it is.",
)
LINES = ("{name}: {value}", "{name} - {value}", "{name} = {value}", "{name}: {value}")
SENTENCES = (
    "The {name} is {value}.",
    "Its {name} is {value}.",
    "For the {name} we have {value}.",
    "The {name}: {value}.",
)


def letter(tool: ToolSpec, flat: dict[str, Any], wish: Wish, voice: Voice, rng: random.Random) -> str | None:
    """A message with a text that holds every value; None where one cannot be said."""
    pairs = []
    for path, value in flat.items():
        said = "yes" if value is True else "no" if value is False else surface(tool, path, value, rng)
        if said is None:
            return None
        pairs.append((_label(path), said))
    rng.shuffle(pairs)
    as_form = rng.random() < 0.5
    frames = LINES if as_form else SENTENCES
    body = [rng.choice(frames).format(name=name, value=said) for name, said in pairs]
    if as_form:
        body = [line[:1].upper() + line[1:] for line in body]
    for remark in rng.sample(PADDING, 2 + rng.randrange(3)):
        body.insert(rng.randrange(len(body) + 1), remark)
    verbs, noun = verbs_and_noun(tool)
    opening = rng.choice(OPENINGS).format(verb=verbs[0], noun=" ".join(noun) or "entry")
    lines = [opening, rng.choice(GREETINGS), ("\n" if as_form else " ").join(body), rng.choice(CLOSINGS)]
    return "\n".join(line for line in lines if line)


def _label(path: str) -> str:
    parts = [ABBREVIATIONS.get(word, word) for word in words(path.replace(".", " "))]
    return " ".join(dict.fromkeys(parts))
