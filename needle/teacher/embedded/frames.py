"""What goes around a wish: polite openings and endings, refusals, corrections, remarks in passing, small talk. Data only."""

from __future__ import annotations

PREFIXES = {
    "command": ("", "", "", "", "please ", "ok, ", "hey, ", "quick, ", "go ahead and "),
    "request": ("can you ", "could you ", "would you ", "can you please ", "could you please ", "will you "),
    "need": ("i need you to ", "i'd like you to ", "i want you to ", "you should ", "it's time to ", "let's "),
}
"""What goes before an imperative clause, by form."""

SUFFIXES = {
    "command": ("", "", "", "", "", " please", ", thanks", " for me", " now"),
    "request": ("", "", "", " please", " for me"),
    "need": ("", "", "", " please"),
}
"""What goes after it."""

NEGATIONS = (
    "don't {}", "do not {}", "please don't {}", "no need to {}", "you don't have to {}", "never mind, don't {}",
    "i changed my mind, don't {}",
    "whatever you do, don't {}", "for now don't {}", "no, don't {}", "actually, don't {}", "don't {} yet",
    "hold on, don't {}",
    "nobody asked you to {}", "you really shouldn't {}", "under no circumstances {}",
    "i was about to ask you to {}, but leave it", "i thought about asking you to {}, but let's not",
    "forget what i said, don't {}",
)  # fmt: skip
"""Frames that take a wish back; ``{}`` is an imperative clause."""

JOINERS = (
    " and ",
    " and ",
    ", then ",
    " and then ",
    ", and ",
    ". also ",
    ", also ",
    "; ",
    ", plus ",
    " and after that ",
)
"""Between two clauses of one request."""

REGISTERS: dict[str, dict[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "polite": {
        "command": (("please ", "please ", "kindly "), ("", "", ", thank you", ", thanks a lot")),
        "request": (
            ("could you please ", "would you mind and ", "would you be so kind and ", "can you please "),
            ("", "", " for me"),
        ),
        "need": (
            ("i'd be grateful if you could ", "it would be great if you could ", "i'd like you to "),
            ("", ", please"),
        ),
    },
    "formal": {
        "command": (("please ", "kindly "), ("", "")),
        "request": (("would you please ", "could you kindly ", "may i ask you to "), ("",)),
        "need": (("i would like you to ", "i request that you ", "you are asked to "), ("",)),
    },
    "blunt": {
        "command": (("", "", "just ", "come on, ", "now "), ("", "", " now", " already", ", quick")),
        "request": (("can you finally ", "can you just ", "will you "), ("", " now")),
        "need": (("i said ", "i need you to ", "you have to "), ("", " now")),
    },
}
"""Register to form to what goes before and after an imperative; other registers take ``PREFIXES`` and ``SUFFIXES``."""
FILLED_PAUSES = ("um,", "uh,", "er,", "hmm,", "so, um,", "okay so", "let me think,", "well,", "right, so", "erm,")
PASSING_NUMBERS = (
    "i have {} things on my mind today",
    "there are {} of us here",
    "we live at number {}",
    "my bus is the number {}",
    "i'm on page {} of my book",
    "this is my {}th try today",
    "room {} has been noisy all day",
    "we won by {} points",
)
PASSING_NAMES = (
    "{} says hi by the way",
    "i'm here with {}",
    "{} is driving me mad today",
    "{} just left",
    "it's {}'s idea",
    "{} is asleep on the sofa",
    "{} told me to ask you",
    "i promised {} not to forget",
)
REMARKS = (
    "i'm in a hurry",
    "what a long day",
    "my hands are full",
    "sorry to bother you again",
    "it's been one of those days",
    "i keep forgetting this",
    "i'm half asleep",
    "nearly done for today",
    "the dog is barking",
    "i'm cooking right now",
)
"""Said in passing: with a number, with a name, with neither."""
CORRECTIONS = (
    "{0}, no wait, {1}",
    "{0}, sorry, {1}",
    "{0}, i mean {1}",
    "{0}, actually {1}",
    "{0} no make that {1}",
    "{0}, no, {1}",
    "{0}, scratch that, {1}",
    "{0} or rather {1}",
    "{0}, oops, {1}",
    "{0}, hang on, {1}",
)
"""One value taken back for another."""
WITHDRAWALS = (
    "{0} and {1}, no wait, only {2}",
    "{0} and {1}... on second thought only {2}",
    "{0} and then {1}, no, just {2}",
    "{0}, also {1}, hmm, forget that, only {2}",
)
"""Two wishes of which the last-named stays: first, second, the one that stays."""

OFF_TOPIC = (
    "who won the world cup in 1998", "how tall is mount everest", "why is the sky blue", "write me a poem about autumn",
    "what's the capital of mongolia", "how do i get red wine out of a carpet", "explain inflation in one sentence",
    "who painted guernica",
    "is decaf really free of caffeine", "how many bones does a shark have", "summarise hamlet for me",
    "what rhymes with orange",
    "how long do i boil an egg", "who invented the zip", "is a tomato a fruit", "what does carpe diem mean",
    "name three rivers in africa",
    "how far away is the moon", "give me a good book for a long flight", "what year did the titanic sink",
    "do cats dream",
    "how do vaccines work", "recommend a boardgame for two", "which planet has the most moons", "how is glass made",
)  # fmt: skip
CHAT = (
    "hello there", "good morning", "thanks a lot", "you're a star", "haha that was funny", "i'm so tired today",
    "how are you", "what a day",
    "i love sundays", "never mind", "ok cool", "that's all, thanks", "my feet hurt", "it's raining again",
    "guess what happened today",
    "you are funny", "good night", "i had the best coffee this morning", "are you a robot", "do you ever sleep",
    "phew, done for today",
    "i miss the summer", "sounds good to me", "wow, nice", "i'm bored",
)  # fmt: skip
