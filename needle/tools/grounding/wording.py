"""How people say values: numbers, clock times and dates in words, and the way back from words to values.

``spoken(value, schema)`` lists unambiguous forms of a value; ``readings(text)`` finds every number, time and date
of a text with its span. The embedded teacher speaks with the first and listens with the second; the generator's
groundedness check uses the second, so that "half past six in the evening" is accepted for ``18:30``.
"""

from __future__ import annotations

import datetime
import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

UNITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
).split()
TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
MONTHS = "january february march april may june july august september october november december".split()
ORDINALS = (
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth fifteenth "
    "sixteenth seventeenth eighteenth nineteenth twentieth twenty-first twenty-second twenty-third twenty-fourth "
    "twenty-fifth twenty-sixth twenty-seventh twenty-eighth twenty-ninth thirtieth thirty-first"
).split()
_SMALL = {word: number for number, word in enumerate(UNITS)} | {
    word: 20 + 10 * number for number, word in enumerate(TENS)
}
_WORD = "|".join(sorted([*_SMALL, "hundred", "thousand"], key=len, reverse=True))
_NUMBER_WORDS = re.compile(rf"\b(?:a (?=hundred|thousand))?(?:{_WORD})(?:(?:-| and | )(?:{_WORD}))*\b", re.I)
_DIGITS = re.compile(r"(?<![\w.])-?(?:\d{1,3}(?:,\d{3})+|\d+|(?=\.\d))(?:\.\d+)?(?:k\b)?", re.I)
_PART = (
    r"(?:\s*(?P<part>a\.?m\b\.?|p\.?m\b\.?|in the morning|in the afternoon|in the evening|at night|tonight"
    r"|this (?:morning|afternoon|evening)))"
)
_HOUR = "|".join(sorted(UNITS[1:13], key=len, reverse=True))
_CLOCK = re.compile(rf"\b(?P<h>[01]?\d|2[0-4])[:.h](?P<m>[0-5]\d)(?!\d){_PART}?", re.I)
_HOUR_ONLY = re.compile(
    rf"\b(?P<h>\d{{1,2}}|{_HOUR})(?:{_PART}|\s*o'?clock{_PART.replace('<part>', '<part2>')}?)", re.I
)
_PAST = re.compile(
    rf"\b(?P<how>half past|(?:a )?quarter past|(?:a )?quarter to|half)\s+(?P<h>\d{{1,2}}|{_HOUR}){_PART}?", re.I
)
_NAMED = re.compile(r"\b(noon|midday|midnight)\b", re.I)
_MONTH = "|".join([*MONTHS, *(month[:3] for month in MONTHS), "sept"])
_DAY = rf"(?P<d>\d{{1,2}}(?:st|nd|rd|th)?|{'|'.join(sorted(ORDINALS, key=len, reverse=True))})"
_ISO = re.compile(r"\b(?P<y>\d{4})-(?P<m>\d{1,2})-(?P<d>\d{1,2})(?!\d)")
_DAY_MONTH = re.compile(rf"\b{_DAY}\.?(?: of)? (?P<mon>{_MONTH})\b\.?(?:,? (?P<y>\d{{4}}))?", re.I)
_MONTH_DAY = re.compile(rf"\b(?P<mon>{_MONTH})\b\.? (?:the )?{_DAY}\b(?:,? (?P<y>\d{{4}}))?", re.I)
_NUMERIC_DATE = re.compile(r"\b(?P<d>\d{1,2})[./](?P<m>\d{1,2})[./](?P<y>\d{4})\b")


MOST_DIGITS = 30
"""Digits of the longest number that is read."""
MOST_IN_WORDS = 10**15
"""What a number in words stays below ("hundred hundred hundred ..." is none)."""
_ENDLESS = re.compile(rf"[0-9]{{{MOST_DIGITS + 1},}}|(?:[0-9]{{3}},){{100,}}[0-9]*")
_FOREIGN_SIGN = re.compile(r"[^\x00-\x7f]")
_LETTERS = {"ſ": "s", "ı": "i", "İ": "I", "\u212a": "K"}
"""Letters that a pattern takes for an English one where case does not count (the last is the sign of kelvins)."""


@dataclass(frozen=True)
class Reading:
    """One value that a stretch of text may mean."""

    start: int
    """First character."""
    end: int
    """One past the last character."""
    kind: str
    """``number``, ``time`` or ``date``."""
    value: Any
    """A number, ``HH:MM``, or ``YYYY-MM-DD`` (``-MM-DD`` when the text gives no year)."""


def number_words(number: int) -> str:
    """English words of ``0 <= number < 1,000,000``."""
    assert 0 <= number < 1_000_000
    if number < 20:
        return UNITS[number]
    if number < 100:
        tens, unit = divmod(number, 10)
        return TENS[tens - 2] + (f"-{UNITS[unit]}" if unit else "")
    if number < 1000:
        hundreds, rest = divmod(number, 100)
        return f"{UNITS[hundreds]} hundred" + (f" and {number_words(rest)}" if rest else "")
    thousands, rest = divmod(number, 1000)
    return f"{number_words(thousands)} thousand" + (f" {number_words(rest)}" if rest else "")


def day_part(hour: int) -> str:
    """The part of the day that settles which of two twelve-hour readings is meant."""
    if hour < 12:
        return "in the morning"
    return "in the afternoon" if hour < 18 else "in the evening" if hour < 22 else "at night"


def spoken_time(text: str) -> list[str]:
    """Unambiguous forms of ``HH:MM`` (seconds are ignored), most usual first; empty for other text."""
    match = re.match(r"(\d\d):(\d\d)", text)
    if not match:
        return []
    hour, minute = int(match[1]), int(match[2])
    twelve, half = (hour + 11) % 12 + 1, "am" if hour < 12 else "pm"
    clock = f"{twelve}:{minute:02d}" if minute else str(twelve)
    forms = [f"{hour}:{minute:02d}", f"{clock} {half}", f"{clock}{half}", f"{hour:02d}:{minute:02d}"]
    if 0 < hour:
        forms.append(f"{clock} {day_part(hour)}")
        if minute == 30:
            forms.append(f"half past {UNITS[twelve]} {day_part(hour)}")
        if minute == 15:
            forms.append(f"quarter past {UNITS[twelve]} {day_part(hour)}")
        if minute == 45 and hour != 11:  # at 11:45 the named hour, twelve, belongs to the afternoon
            forms.append(f"quarter to {UNITS[twelve % 12 + 1]} {day_part(hour)}")
    return ({(12, 0): ["noon"], (0, 0): ["midnight"]}.get((hour, minute), [])) + forms


def spoken_date(text: str) -> list[str]:
    """Forms of ``YYYY-MM-DD`` with the year in them, most usual first; empty for other text."""
    try:
        date = datetime.date.fromisoformat(text[:10])
    except ValueError:
        return []
    month, day, year = MONTHS[date.month - 1].capitalize(), date.day, date.year
    suffix = {1: "st", 2: "nd", 3: "rd"}.get(day % 10 if day // 10 != 1 else 0, "th")
    return [
        f"{day} {month} {year}",
        f"{month} {day}, {year}",
        f"{month} {day}{suffix} {year}",
        date.isoformat(),
        f"the {day}{suffix} of {month} {year}",
    ]


def legible(text: str) -> str:
    """The text as it is read; places stay as they are.

    Digits of other scripts are those of English, and so are letters of which a pattern makes no difference. Runs of more than ``MOST_DIGITS``
    digits, which no number is meant by, are letters.
    """
    plain = text if text.isascii() else _FOREIGN_SIGN.sub(_plain_sign, text)
    return _ENDLESS.sub(lambda found: "x" * len(found[0]), plain)


def _plain_sign(found: re.Match[str]) -> str:
    digit = unicodedata.decimal(found[0], None)
    return _LETTERS.get(found[0], found[0]) if digit is None else str(digit)


@lru_cache(maxsize=4096)
def readings(text: str) -> tuple[Reading, ...]:
    """Every number, time and date of a text with its span; a stretch that may mean two things gives two readings."""
    text = legible(text)
    return (*_read_dates(text), *_read_times(text), *_read_numbers(text))


def _read_numbers(text: str) -> list[Reading]:
    found = []
    for match in _DIGITS.finditer(text):
        digits = match[0].replace(",", "").lower()
        value = float(digits.rstrip("k")) * (1000 if digits.endswith("k") else 1)
        found.append(Reading(*match.span(), "number", int(value) if value == int(value) else value))
    for match in _NUMBER_WORDS.finditer(text):
        words = re.split(r"[\s-]+", match[0].lower())
        total, current = 0, 0
        for word in words:
            if word in _SMALL:
                current += _SMALL[word]
            elif word == "hundred":
                current = max(current, 1) * 100
            elif word == "thousand":
                total, current = total + max(current, 1) * 1000, 0
        if total + current < MOST_IN_WORDS:
            found.append(Reading(*match.span(), "number", total + current))
    return found


def _hours(text: str, part: str | None) -> list[int]:
    """Hours of the day that an hour may mean; the one stated literally first."""
    hour = int(text) if text.isdigit() else UNITS.index(text.lower())
    if hour > 24 or (part and hour > 12):
        return []
    if not part:
        return [hour % 24] + ([(hour + 12) % 24] if 0 < hour <= 12 else [])
    part = part.lower().replace(".", "")
    if part.startswith("a") and part != "at night" or part.endswith("morning"):
        return [hour % 12]
    if part in ("at night", "tonight"):
        return [hour % 12 if hour == 12 or hour < 5 else hour + 12]
    return [hour % 12 + 12]


def _read_times(text: str) -> list[Reading]:
    found: list[tuple[int, int, int, int]] = []
    for match in _CLOCK.finditer(text):
        found += [(*match.span(), hour, int(match["m"])) for hour in _hours(match["h"], match["part"])]
    for match in _HOUR_ONLY.finditer(text):
        found += [(*match.span(), hour, 0) for hour in _hours(match["h"], match["part"] or match["part2"])]
    for match in _PAST.finditer(text):
        how = match["how"].lower()
        for hour in _hours(match["h"], match["part"]):
            found.append(
                (*match.span(), (hour - 1) % 24, 45)
                if how.endswith("to")
                else (*match.span(), hour, 15 if "quarter" in how else 30)
            )
    for match in _NAMED.finditer(text):
        found.append((*match.span(), 0 if match[0].lower() == "midnight" else 12, 0))
    # "half past six" also holds "six in the evening": only the longest stretch at a place counts
    whole = [
        item
        for item in found
        if not any(o[0] <= item[0] and item[1] <= o[1] and o[1] - o[0] > item[1] - item[0] for o in found)
    ]
    return [Reading(start, end, "time", f"{hour:02d}:{minute:02d}") for start, end, hour, minute in whole]


def _read_dates(text: str) -> list[Reading]:
    found: list[tuple[int, int, str, int, int]] = []
    for match in _ISO.finditer(text):
        found.append((*match.span(), match["y"], int(match["m"]), int(match["d"])))
    for match in _NUMERIC_DATE.finditer(text):
        day, month = int(match["d"]), int(match["m"])
        found += [(*match.span(), match["y"], *pair) for pair in dict.fromkeys(((month, day), (day, month))) if pair[0] <= 12]
    for pattern in (_DAY_MONTH, _MONTH_DAY):
        for match in pattern.finditer(text):
            day = match["d"].lower()
            number = ORDINALS.index(day) + 1 if day in ORDINALS else int(re.sub(r"\D", "", day))
            month = [name[:3] for name in MONTHS].index(match["mon"].lower()[:3]) + 1
            found.append((*match.span(), match["y"] or "", month, number))
    return [Reading(start, end, "date", f"{year}-{month:02d}-{day:02d}") for start, end, year, month, day in found]
