"""Noise on requests: slips of the keyboard, speech recognition, hesitation, shorthand, letter case, punctuation.

    text, spans = add_noise("text Ann that dinner is ready", [(5, 8)], "typos", random.Random(1))
    noisy = noise_trace(trace, "asr", random.Random(1))          # gold unchanged, clean text kept in meta

Noise belongs after labelling: the gold calls stay as they are, so nothing that a call copies may change. ``add_noise``
leaves given spans alone, letter for letter; ``value_spans`` finds the spans that the calls of a trace need. Words that
carry the meaning of a request in few letters (on, off, not, numbers, days) are left alone everywhere. After COVERT
(arXiv 2604.09813): perturbations that keep the oracle.
"""

from __future__ import annotations

import dataclasses
import random
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from needle.errors import UserError
from needle.traces.trace import Trace

Span = tuple[int, int]
"""First character, and one past the last."""
RATE = 0.14
"""Share of the words that may change which do change (one at least)."""
KEYS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
SAFE = frozenset(
    "on off not no never none nor dont don't without except unless cancel stop undo but up down in out open close am "
    "pm noon midnight today tonight tomorrow yesterday morning afternoon evening night all both every half quarter "
    "double zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million first "
    "second third fourth fifth sixth seventh eighth ninth tenth dozen couple pair twice once monday tuesday wednesday "
    "thursday friday saturday sunday january february march april may june july august september october november "
    "december minus plus percent actually instead rather lock unlock mute unmute enable disable before after under "
    "over more less least most".split()
)
"""Words in which one letter changes what is asked; never altered, and nothing is altered into one of them."""
SOUNDS = (
    ("their", "there"), ("your", "you're"), ("its", "it's"), ("weather", "whether"), ("write", "right"),
    ("buy", "by"), ("hear", "here"), ("meet", "meat"), ("mail", "male"), ("piece", "peace"), ("wait", "weight"),
    ("scene", "seen"), ("flour", "flower"), ("break", "brake"), ("plane", "plain"), ("some", "sum"), ("roll", "role"),
    ("knew", "new"), ("tale", "tail"), ("sent", "scent"), ("which", "witch"), ("hole", "whole"), ("they're", "there"),
)  # fmt: skip
"""Words that sound alike and are told apart by what stands around them."""
SHORT = {
    "please": "pls", "you": "u", "your": "ur", "are": "r", "people": "ppl", "thanks": "thx", "message": "msg",
    "messages": "msgs", "because": "cuz", "with": "w/", "about": "abt", "tell": "tel", "text": "txt", "through": "thru",
    "though": "tho", "okay": "k", "really": "rly", "what's": "whats", "picture": "pic",
    "pictures": "pics", "favourite": "fav", "information": "info", "minutes": "mins", "minute": "min",
    "appointment": "appt", "temperature": "temp", "volume": "vol", "number": "nr", "and": "&", "love": "luv",
    "probably": "prob", "something": "smth", "know": "kno", "reservation": "rez", "could": "cld", "would": "wld",
    "this": "dis", "going": "goin", "have": "hav", "just": "jst",
}  # fmt: skip
"""Shorthand of chats and text messages."""
FILLERS = ("um", "uh", "er", "erm", "like", "you know", "hmm", "well", "so")
OPENERS = ("um", "uh", "so", "okay so", "right so", "hmm", "well", "erm", "hey so", "yeah")


@dataclasses.dataclass
class _Piece:
    """A word, a gap, or a stretch that stays as it is."""

    text: str
    fixed: bool
    start: int


def add_noise(text: str, keep_spans: Sequence[Span], kind: str, rng: random.Random) -> tuple[str, list[Span]]:
    """Noise of one kind.

    Args:
        text: the request.
        keep_spans: stretches that stay letter for letter; they may touch or overlap.
        kind: one of ``NOISES``.
        rng: the only source of chance.

    Returns:
        The noisy text (the same text where nothing may change) and where each kept span lies in it, in the given order.

    Raises:
        UserError: an unknown kind.
    """
    if kind not in NOISES:
        raise UserError(f"no noise is called {kind!r}; there are {', '.join(NOISES)}")
    pieces = list(_pieces(text, keep_spans))
    NOISES[kind](pieces, rng)
    out, places = "", {}
    for piece in pieces:
        if piece.fixed:
            places[piece.start] = len(out)
        out += piece.text
    blocks = _merged(keep_spans, len(text))
    moved = []
    for start, end in keep_spans:
        block = next((first for first, last in blocks if first <= start <= end <= last), None)
        shift = places[block] - block if block is not None else 0
        moved.append((start + shift, end + shift))
    return out, moved


def noise_trace(trace: Trace, kind: str, rng: random.Random) -> Trace:
    """The trace with a noisy request: same calls, ``meta`` with ``noise`` (the kind), ``clean`` (the request as it was)
    and the moved ``spans``. The trace itself where nothing may change, where it is noisy already or where a copied
    value would be hurt."""
    recorded = {path: (span[0], span[1]) for path, span in (trace.meta.get("spans") or {}).items()}
    keep = [*recorded.values(), *value_spans(trace)]
    noisy, moved = add_noise(trace.query, keep, kind, rng)
    if noisy == trace.query or "noise" in trace.meta or not noisy.strip():
        return trace
    before, after = trace.query, noisy
    if any(before[slice(*old)] != after[slice(*new)] for old, new in zip(keep, moved, strict=True)):
        return trace
    meta: dict[str, Any] = {**trace.meta, "noise": kind, "clean": trace.query}
    if recorded:
        meta["clean_spans"] = trace.meta["spans"]
        meta["spans"] = {path: list(span) for path, span in zip(recorded, moved)}
    return dataclasses.replace(trace, query=noisy, meta=meta)


def value_spans(trace: Trace) -> list[Span]:
    """Every stretch of the request that a value of the calls (or an accepted alternative) may have come from: the value
    in any letter case, and the words of an identifier such as ``living_room``."""
    wanted = {text for call in trace.calls for text in _texts(call.arguments)}
    wanted |= {text for others in trace.alternatives.values() for text in _texts(list(others))}
    forms = {form for text in wanted for form in (text, re.sub(r"[_\-]+", " ", text)) if form.strip()}
    forms |= {word for text in wanted if re.fullmatch(r"[A-Za-z]+([_\-][A-Za-z]+)+", text)
              for word in re.split(r"[_\-]", text) if len(word) > 2}  # fmt: skip
    found = set()
    for form in forms:
        found |= {match.span() for match in re.finditer(re.escape(form.strip()), trace.query, re.IGNORECASE)}
    return sorted(found)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif value is not None and not isinstance(value, bool):
        yield str(value)


def _merged(spans: Iterable[Span], length: int) -> list[Span]:
    blocks: list[Span] = []
    for start, end in sorted((max(0, start), min(end, length)) for start, end in spans if start < end):
        if blocks and start <= blocks[-1][1]:
            blocks[-1] = (blocks[-1][0], max(end, blocks[-1][1]))
        else:
            blocks.append((start, end))
    return blocks


def _pieces(text: str, keep: Sequence[Span]) -> Iterator[_Piece]:
    """The text cut into kept blocks, words and what is between them. Words that touch a kept block, hold a digit or
    belong to ``SAFE`` are kept as well."""
    place = 0
    for start, end in [*_merged(keep, len(text)), (len(text), len(text))]:
        for match in re.finditer(r"[^\W_]+(?:['’][^\W_]+)*|(?:[^\w]|_)+", text[place:start]):
            word, first, last = match[0], place + match.start(), place + match.end()
            touches = (first == place > 0) or (word[0].isalnum() and last == start < len(text))
            touches &= last < len(text) or word[0].isalnum()  # a stop at the end may go, one behind a value may not
            yield _Piece(word, touches or word.lower() in SAFE or any(char.isdigit() for char in word), first)
        if start < end:
            yield _Piece(text[start:end], True, start)
        place = end


def _words(pieces: list[_Piece], least: int = 1) -> list[_Piece]:
    return [piece for piece in pieces if not piece.fixed and piece.text.isalpha() and len(piece.text) >= least]


def _typos(pieces: list[_Piece], rng: random.Random) -> None:
    able = _words(pieces, 4)
    for piece in rng.sample(able, min(len(able), max(1, round(RATE * len(able))))):
        slipped = _slip(piece.text, rng)
        if slipped.lower() not in SAFE:
            piece.text = slipped


def _slip(word: str, rng: random.Random) -> str:
    """Two inner letters swapped, one left out, one doubled, or a neighbour on the keyboard. The ends stay, so that
    "timer" does not become "time"."""
    at, how = rng.randrange(1, len(word) - 1), rng.random()
    if how < 0.3 and at + 2 < len(word):
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    if how < 0.6:
        return word[:at] + word[at + 1 :]
    if how < 0.75:
        return word[:at] + word[at] + word[at:]
    row = next((row for row in KEYS if word[at].lower() in row), "")
    near = row[max(0, row.find(word[at].lower()) - 1) : row.find(word[at].lower()) + 2].replace(word[at].lower(), "")
    return word[:at] + (rng.choice(near) if near else word[at]) + word[at + 1 :]


def _asr(pieces: list[_Piece], rng: random.Random) -> None:
    """No capitals, no punctuation; words that sound alike are mixed up."""
    alike = dict(SOUNDS) | {second: first for first, second in SOUNDS}
    heard = [piece for piece in pieces if not piece.fixed and piece.text.lower() in alike]
    for piece in pieces:
        if not piece.fixed:
            piece.text = (
                piece.text.lower() if piece.text[0].isalnum() else re.sub(r"[^\w\s'’%$€£@&+/-]", "", piece.text)
            )
    for piece in heard[:1] if rng.random() < 0.7 else heard[:2]:
        piece.text = alike[piece.text.lower()]
    if rng.random() < 0.3:
        _insert(pieces, rng.choice(FILLERS[:4]) + " ", rng)


def _disfluent(pieces: list[_Piece], rng: random.Random) -> None:
    """Hesitation, a word said twice, a false start: nothing that takes a value back."""
    words = _words(pieces)
    if rng.random() < 0.5 and pieces and not pieces[0].fixed:
        first = pieces[0]
        first.text = f"{rng.choice(OPENERS)}{rng.choice((' ', ', ', '... '))}{first.text[:1].lower()}{first.text[1:]}"
    for _ in range(1 if rng.random() < 0.6 else 2):
        _insert(pieces, rng.choice(FILLERS) + rng.choice((" ", ", ")), rng)
    if words and rng.random() < 0.4:
        again = rng.choice(words[: max(1, len(words) // 2)])
        again.text = f"{again.text}{rng.choice((' ', ', ', '- '))}{again.text.lower()}"


def _insert(pieces: list[_Piece], words: str, rng: random.Random) -> None:
    """Words before a free word that follows a gap; not right after a value, to which they might seem to belong."""
    places = [
        now
        for early, gap, now in zip(pieces, pieces[1:], pieces[2:])
        if not (early.fixed or gap.fixed or now.fixed) and gap.text == " " and now.text[:1].isalnum()
    ]
    if places:
        place = rng.choice(places)
        place.text = words + place.text


def _shorthand(pieces: list[_Piece], rng: random.Random) -> None:
    known = [piece for piece in pieces if not piece.fixed and piece.text.lower() in SHORT]
    for piece in rng.sample(known, min(len(known), rng.randint(1, 3))):
        piece.text = SHORT[piece.text.lower()]
    _drop_stops(pieces)


def _casing(pieces: list[_Piece], rng: random.Random) -> None:
    change: Callable[[str], str] = rng.choice((str.lower, str.lower, str.upper, str.capitalize))
    for piece in pieces:
        if not piece.fixed:
            piece.text = change(piece.text)


def _punctuation(pieces: list[_Piece], rng: random.Random) -> None:
    """Stops left out or overdone, apostrophes left out, spaces doubled."""
    for piece in pieces:
        if not piece.fixed:
            piece.text = re.sub(r"['’]", "", piece.text) if piece.text[0].isalnum() else piece.text
    _drop_stops(pieces)
    if rng.random() < 0.5 and pieces and not pieces[-1].fixed:
        pieces.append(_Piece(rng.choice(("!!", "...", " !", "!", "??", " ..", " :)")), False, -1))
    gaps = [piece for piece in pieces if not piece.fixed and piece.text == " "]
    if gaps:
        rng.choice(gaps).text = "  "


def _drop_stops(pieces: list[_Piece]) -> None:
    for piece in pieces:
        if not piece.fixed and not piece.text[0].isalnum():
            piece.text = re.sub(r"[.,;!?]+(?=\s|$)", "", piece.text)


NOISES: dict[str, Callable[[list[_Piece], random.Random], None]] = {
    "typos": _typos,
    "asr": _asr,
    "disfluent": _disfluent,
    "shorthand": _shorthand,
    "casing": _casing,
    "punctuation": _punctuation,
}
"""Kinds of noise by name."""
