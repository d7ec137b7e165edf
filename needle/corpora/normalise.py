"""What people say for numbers and times, as values: ``twenty five`` is 25, ``half past six in the evening`` is ``18:30``.

Only readings that are certain count: ``six thirty`` alone is no time of day, because it may be morning or evening. Cases of
Microsoft's Recognizers-Text and Facebook's Duckling are in the tests.
"""

from __future__ import annotations

import re
from functools import lru_cache

UNITS = dict(zip(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"], range(20), strict=True))
TENS = dict(zip(["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"], range(20, 100, 10), strict=True))
SCALES = {"thousand": 1000, "million": 10**6, "billion": 10**9, "k": 1000}
ALIASES = {"a": "one", "an": "one", "couple": "two", "dozen": "twelve", "fourty": "forty"}
DAYTIME = {"morning": 0, "afternoon": 12, "evening": 12, "night": 12}
_DIGITS = re.compile(r"[+-]?\d{1,3}(,\d{3})+|[+-]?\d+")


@lru_cache(maxsize=65536)
def as_integer(text: str) -> int | None:
    """A whole number in digits (``1,200``) or words (``two hundred and five``); ``None`` when it is anything else."""
    text = text.strip().lower().rstrip(".")
    if _DIGITS.fullmatch(text):
        return int(text.replace(",", ""))
    words = [word for word in re.split(r"[\s-]+", text) if word != "and"]
    if len(words) > 1 and words[0] in ("a", "an") and words[1] in (*SCALES, "hundred", "dozen", "couple"):
        words = ["one" if words[1] in (*SCALES, "hundred") else words[1], *words[1 if words[1] in (*SCALES, "hundred") else 2 :]]
    return _words_to_integer([ALIASES.get(word, word) for word in words]) if words and words != ["a"] and words != ["an"] else None


def _words_to_integer(words: list[str]) -> int | None:
    total, part, last = 0, 0, ""
    for word in words:
        if word in UNITS and (last == "" or last == "hundred" or last in SCALES or (last in TENS and 0 < UNITS[word] < 10)):
            part += UNITS[word]
        elif word in TENS and (last == "" or last == "hundred" or last in SCALES):
            part += TENS[word]
        elif word == "hundred" and last in UNITS and 0 < part < 10:
            part *= 100
        elif word in SCALES and part and last not in SCALES:
            total, part = total + part * SCALES[word], 0
        else:
            return None
        last = word
    return total + part


@lru_cache(maxsize=65536)
def as_number(text: str) -> int | float | None:
    """Like ``as_integer``, decimals too: ``2.5``, ``two point five``, ``two and a half``, ``20%`` and ``$20`` (20)."""
    text = re.sub(r"^[$£€]\s*|\s*(%|percent|per cent|dollars?|bucks|euros?|pounds?)$", "", text.strip().lower())
    if re.fullmatch(r"[+-]?(\d{1,3}(,\d{3})+|\d+)?\.\d+", text):
        return float(text.replace(",", ""))
    whole = as_integer(text)
    if whole is not None:
        return whole
    if match := re.fullmatch(r"(.+?) and a half", text):
        whole = as_integer(match[1])
        return None if whole is None else whole + 0.5
    if match := re.fullmatch(r"(.+?) point ((?:\w+ ?)+)", text):
        whole, digits = as_integer(match[1]), [as_integer(word) for word in match[2].split()]
        if whole is not None and digits and all(digit is not None and digit < 10 for digit in digits):
            return float(f"{whole}.{''.join(map(str, digits))}")
    return None


@lru_cache(maxsize=65536)
def as_time(text: str) -> str | None:
    """A time of day as ``HH:MM`` where morning or evening is certain: ``5 pm``, ``seven thirty am``, ``17:30``, ``noon``."""
    text = re.sub(r"\s+", " ", text.strip().lower().replace("o'clock", "").replace("oclock", "").replace("o clock", ""))
    text = re.sub(r"^(at|around|by|about|exactly) ", "", text).rstrip(",").replace("a. m.", "am").replace("p. m.", "pm")
    if text in ("noon", "midday", "12 noon", "twelve noon", "midnight", "12 midnight"):
        return "00:00" if "midnight" in text else "12:00"
    half = None
    if match := re.search(r" (?:in the |at )?(morning|afternoon|evening|night|tonight)$", text):
        half, text = match[1].replace("tonight", "night"), text[: match.start()]
    if match := re.search(r"(?<=[\d\s])(a ?m|p ?m|a\.m\.?|p\.m\.?)$", text):
        half, text = match[1][0] + "m", text[: match.start()].strip()
    clock = _clock(text)
    if clock is None:
        return None
    hour, minute, certain = clock
    return _with_half(hour, minute, half, certain)


def _clock(text: str) -> tuple[int, int, bool] | None:
    """Hour, minute, and whether the text itself says which half of the day (24-hour writing)."""
    if match := re.fullmatch(r"(\d{1,2})[:.](\d{2})", text):
        return int(match[1]), int(match[2]), len(match[1]) == 2 and (int(match[1]) > 12 or match[1][0] == "0")
    if match := re.fullmatch(r"(half|quarter|a quarter|\w+(?: \w+)?)(?: minutes)? (past|after|to|before|till) (\w+)", text):
        minutes = {"half": 30, "quarter": 15, "a quarter": 15}.get(match[1], as_integer(match[1]))
        hour = as_integer(match[3])
        if minutes is None or hour is None or not 0 < minutes < 60 or not 1 <= hour <= 12:
            return None
        return (hour, minutes, False) if match[2] in ("past", "after") else ((hour - 2) % 12 + 1, 60 - minutes, False)
    words = text.replace("-", " ").split()
    hour = as_integer(words[0]) if words else None
    if hour is None or len(words) > 3:
        return None
    minute = 0 if len(words) == 1 else as_integer(" ".join(words[1:]).removeprefix("oh ").removeprefix("o "))
    return None if minute is None or minute > 59 or (len(words) > 1 and minute < 10 and words[1] not in ("oh", "o")) else (hour, minute, False)


def _with_half(hour: int, minute: int, half: str | None, certain: bool) -> str | None:
    if not 0 <= hour < 24 or not 0 <= minute < 60:
        return None
    if half is None:
        return f"{hour:02}:{minute:02}" if certain else None
    if hour > 12 or hour == 0:
        return f"{hour:02}:{minute:02}" if half in ("pm", "afternoon", "evening", "night") and hour > 12 else None
    late = half == "pm" or (half in ("afternoon", "evening")) or (half == "night" and 6 <= hour < 12)
    if half == "night" and not late and hour != 12:
        return None
    if half in ("morning", "am") or (half == "night" and hour == 12):
        return f"{hour % 12:02}:{minute:02}"
    return f"{hour % 12 + 12:02}:{minute:02}"
