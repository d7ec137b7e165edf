"""Where in a request does a value stand? Finds it as written, or in another form: number words, days, times, labels.

    locate("16:30", "wake me at half past four pm")      -> Span(11, 30, "normalised")
    derivation(2, "book a table for two", {"default": 2}) -> "normalised"

How a gold value comes about decides how hard it is: *copied* stands there as written, *normalised* in another form,
*defaulted* is not said and is the schema's default, *inferred* is neither. English forms only; a value that is said in
a way not known here counts as inferred, so the four are estimates, made by the same rule for every model.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from needle.evals.causes import NUMBER_WORDS, words
from needle.evals.match import same_value

COPIED, NORMALISED, INFERRED, DEFAULTED = DERIVATIONS = ("copied", "normalised", "inferred", "defaulted")
"""How a value relates to the request."""

_TOKEN = re.compile(r"[^\W_]+(?:\.\d+)?")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAY = re.compile(r"^(\d{4})-(\d\d)-(\d\d)")
_CLOCK = re.compile(r"(?:^|T)(\d\d):(\d\d)")
_RELATIVE = re.compile(
    r"\b(?:today|tonight|tomorrow|yesterday|(?:next|this|last|on)?\s*(?:mon|tues?|wednes|thurs?|fri|satur|sun)day|"
    r"(?:next|this|last)\s+(?:week|month|year|weekend))\b",
    re.IGNORECASE,
)
_SAID_TIME = re.compile(
    r"\b(?:(half past|quarter past|quarter to)\s+)?(\d{1,2}|one|two|three|four|five|six|seven|eight|nine|ten|eleven|"
    r"twelve)(?:[:.h](\d\d))?\s*(a\.?m\.?|p\.?m\.?|o'?clock)?(?!\w)|\b(noon|midday|midnight)\b",
    re.IGNORECASE,
)
_DIGITS = re.compile(r"(?<![\w.])-?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?![\w])")
_FACTORS = (1, 60, 3600, 24, 7, 12, 100, 1000, 1_000_000)
"""The same, minutes in seconds, hours in seconds, days in hours, weeks in days, dozens, per cent, kilo, mega."""


@dataclass(frozen=True)
class Span:
    """A place in a request."""

    start: int
    """First character."""
    end: int
    """One past the last character."""
    how: str
    """``copied`` or ``normalised``."""

    def meets(self, other: Span) -> bool:
        """Whether the two share a character."""
        return self.start < other.end and other.start < self.end


def locate(value: Any, text: str) -> Span | None:
    """Where ``value`` (text, number, or a list or object of these) stands in ``text``, or None (so truth values)."""
    if isinstance(value, bool) or value is None or value == "":
        return None
    if isinstance(value, (list, dict)):
        parts = [locate(part, text) for part in (value.values() if isinstance(value, dict) else value)]
        found = [part for part in parts if part]
        if not parts or len(found) < len(parts):
            return None
        how = COPIED if all(part.how == COPIED for part in found) else NORMALISED
        return Span(min(part.start for part in found), max(part.end for part in found), how)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return _locate_scalar(str(value), isinstance(value, (int, float)), text)


@lru_cache(maxsize=32768)
def _locate_scalar(value: str, number: bool, text: str) -> Span | None:
    edge = r"(?<![\w.,-])" if number else r"(?<!\w)"
    copied = re.search(f"{edge}{re.escape(value)}(?!\\w{'|[.,][0-9]' if number else ''})", text, re.IGNORECASE)
    if copied:
        return Span(*copied.span(), COPIED)
    place = _scaled(float(value), text) if number else _same_words(value, text) or _said_moment(value, text)
    return Span(*place, NORMALISED) if place else None


@lru_cache(maxsize=4096)
def _tokens(text: str) -> tuple[tuple[str, int, int], ...]:
    """Words in the form that ``causes.words`` gives, with their places."""
    found = []
    for match in _TOKEN.finditer(text):
        word = match.group().casefold()
        found.append((str(NUMBER_WORDS.get(word, word)), match.start(), match.end()))
    return tuple(found)


def _stem(word: str) -> str:
    for ending in ("ing", "ed", "es", "s", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word.removesuffix(ending)
    return word


def _same_words(value: str, text: str) -> tuple[int, int] | None:
    """A run of words equal but for case, punctuation, numerals, articles, endings; labels (``living_room``) too."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", value.replace("_", " "))
    wanted = [_stem(word) for word in words(spaced) if word not in ("a", "an", "the", "my", "our")]
    if not wanted:
        return None
    said = [token for token in _tokens(text) if token[0] not in ("a", "an", "the", "my", "our")]
    stems = [_stem(token[0]) for token in said]
    for place in range(len(stems) - len(wanted) + 1):
        if stems[place : place + len(wanted)] == wanted:
            return said[place][1], said[place + len(wanted) - 1][2]
    return None


@lru_cache(maxsize=4096)
def _numerals(text: str) -> tuple[tuple[float, int, int], ...]:
    """Numbers of a text with their places: digits with or without thousands marks, words, tens and ones together."""
    found = [(float(one.group().replace(",", "")), *one.span()) for one in _DIGITS.finditer(text)]
    tens: tuple[float, int, int] | None = None
    for match in re.finditer(r"[^\W\d_]+", text):
        number = NUMBER_WORDS.get(match.group().casefold())
        if number is None:
            tens = None
            continue
        if tens and 0 < number < 10:  # twenty five
            found.append((tens[0] + number, tens[1], match.end()))
        found.append((float(number), *match.span()))
        tens = found[-1] if 20 <= number < 100 else None
    return tuple(found)


def _scaled(value: float, text: str) -> tuple[int, int] | None:
    """A number of the text equal to ``value``, or to it times a known factor (hours for minutes, per cent)."""
    numerals = _numerals(text)
    for factor in _FACTORS:
        for said, start, end in numerals:
            if abs(said * factor - value) < 1e-9 or abs(said / factor - value) < 1e-9:
                return start, end
    return None


def _said_moment(value: str, text: str) -> tuple[int, int] | None:
    """Words behind an ISO day or time: ``May 3``, ``tomorrow``, ``half past four``."""
    day, clock = _DAY.match(value), _CLOCK.search(value)
    places = []
    if day:
        month, number = _MONTHS[(int(day[2]) - 1) % 12], int(day[3])
        said = re.search(
            rf"\b{month}\w*\.?\s+{number}(?:st|nd|rd|th)?\b|\b{number}(?:st|nd|rd|th)?\s+(?:of\s+)?{month}", text, re.I
        )
        numeric = re.search(rf"\b0?{int(day[2])}[/.-]0?{number}\b|\b0?{number}[/.-]0?{int(day[2])}\b", text)
        found = said or numeric or _RELATIVE.search(text)
        if not found:
            return None
        places.append(found.span())
    if clock:
        wanted = 60 * int(clock[1]) + int(clock[2])
        found = next((said for said in _SAID_TIME.finditer(text) if wanted in _minutes(said)), None)
        if found is None and not (day and wanted == 0):
            return None
        places += [found.span()] if found else []
    return (min(start for start, _ in places), max(end for _, end in places)) if places else None


def _minutes(said: re.Match[str]) -> set[int]:
    """Minutes of the day that a spoken time may mean; without am or pm both halves of the day."""
    part, hour, minute, half, name = said.groups()
    if name:
        return {0} if name.lower() == "midnight" else {720}
    number = int(NUMBER_WORDS.get(hour.lower(), hour)) % 24
    shift = {"half past": 30, "quarter past": 15, "quarter to": -15}.get((part or "").lower(), int(minute or 0))
    base = 60 * (number % 12) + shift
    if half and half[0].lower() in "ap":
        return {(base + (720 if half[0].lower() == "p" else 0)) % 1440}
    return {base % 1440, (base + 720) % 1440, (60 * number + shift) % 1440}


def derivation(value: Any, text: str, schema: dict[str, Any]) -> str:
    """Which of ``DERIVATIONS`` a gold value is."""
    found = locate(value, text)
    if found:
        return found.how
    return DEFAULTED if "default" in schema and same_value(value, schema["default"]) else INFERRED
