"""What numbers, times and dates a request says, beyond the plain forms of ``needle.tools.grounding.wording``.

Added here: fractions ("three quarters", "a fifth"), ordinals, decimals and years in words, digits read out ("five oh
two"), powers ("half a million"), units and sums of them ("an hour and twenty minutes"), bare hours ("from nine to one"),
minutes before and after the hour ("ten to eight"), date ranges that share a month, months, and dates that are counted from today
("tomorrow", "next Friday") where a fact of the request says what today is. Number words of German, French, Spanish,
Italian, Portuguese and Dutch up to a hundred.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from needle.tools.grounding.units import Unit, units_after, units_named
from needle.tools.grounding.wording import MONTHS, MOST_DIGITS, ORDINALS, TENS, UNITS, legible, readings

FRACTIONS = {"half": 0.5, "halfway": 0.5, "halves": 0.5, "third": 1 / 3, "quarter": 0.25, "fifth": 0.2, "sixth": 1 / 6,
             "eighth": 0.125, "tenth": 0.1, "hundredth": 0.01}  # fmt: skip
POWERS = {"dozen": 12, "hundred": 100, "thousand": 1e3, "k": 1e3, "grand": 1e3, "million": 1e6, "mio": 1e6, "m": 1e6,
          "billion": 1e9, "bn": 1e9, "lakh": 1e5, "crore": 1e7}  # fmt: skip
WORDS = {"both": 2, "twice": 2, "once": 1, "double": 2, "triple": 3, "single": 1, "couple": 2, "pair": 2, "fiver": 5,
         "tenner": 10, "alone": 1, "solo": 1, "myself": 1, "full": 100, "fully": 100, "completely": 100, "half": 50,
         "halfway": 50, "last": -1, "no": 0, "none": 0, "off": 0, "nothing": 0, "without": 0, "zero": 0, "all": 100,
         "max": 100, "maximum": 100, "fortnight": 14, "week": 7, "weekend": 2, "dozen": 12, "a": 1, "an": 1, "one": 1,
         "closed": 0, "mute": 0, "open": 100, "daily": 1, "weekly": 7, "yearly": 365, "each": 1, "per": 1, "day": 24,
         "minute": 60, "pentagon": 5, "hexagon": 6, "octagon": 8, "square": 4, "triangle": 3}  # fmt: skip
"""Words that may stand for a number; weak evidence, taken only for a value that nothing else gives."""
FOREIGN = {
    "de": "null eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn fünfzehn sechzehn siebzehn "
          "achtzehn neunzehn zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig hundert",
    "fr": "zéro un deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze seize dix-sept dix-huit "
          "dix-neuf vingt trente quarante cinquante soixante soixante-dix quatre-vingts quatre-vingt-dix cent",
    "es": "cero uno dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince dieciséis diecisiete "
          "dieciocho diecinueve veinte treinta cuarenta cincuenta sesenta setenta ochenta noventa cien",
    "it": "zero uno due tre quattro cinque sei sette otto nove dieci undici dodici tredici quattordici quindici sedici "
          "diciassette diciotto diciannove venti trenta quaranta cinquanta sessanta settanta ottanta novanta cento",
    "pt": "zero um dois três quatro cinco seis sete oito nove dez onze doze treze quatorze quinze dezesseis dezessete dezoito "
          "dezenove vinte trinta quarenta cinquenta sessenta setenta oitenta noventa cem",
    "nl": "nul een twee drie vier vijf zes zeven acht negen tien elf twaalf dertien veertien vijftien zestien zeventien "
          "achttien negentien twintig dertig veertig vijftig zestig zeventig tachtig negentig honderd",
}  # fmt: skip
_ALL = ["full", "fully", "completely", "all", "max", "maximum"]
"""Of these words those that may stand for 1 as well."""
_AMOUNTS = [*range(21), *range(30, 101, 10)]
FOREIGN_NUMBERS: dict[str, set[int]] = {}
for _line in FOREIGN.values():
    for _word, _amount in zip(_line.split(), _AMOUNTS, strict=True):
        FOREIGN_NUMBERS.setdefault(_word, set()).add(_amount)
_SMALL = {word: number for number, word in enumerate(UNITS)} | {word: 10 * n for n, word in enumerate(TENS, 2)} | {"oh": 0}
_NUMBER = "|".join(sorted(_SMALL, key=len, reverse=True))
_RUN = re.compile(rf"\b(?:{_NUMBER})(?:(?:-| )(?:{_NUMBER}))+\b", re.I)
_POINT = re.compile(rf"\b({_NUMBER}|\d+) (?:point|comma) ((?:{_NUMBER})(?: (?:{_NUMBER}))*)\b", re.I)
_FRACTION = re.compile(
    r"\b(?:(?P<whole>\d+|" + _NUMBER + r") and )?(?:(?P<n>an?|one|two|three|four|five|seven|nine|\d+)[ -])?(?P<f>"
    + "|".join(FRACTIONS) + r")s?\b(?!\s*(?:past|to))", re.I)  # fmt: skip
_POWER = re.compile(r"(?P<n>(?<![\w.])\d+(?:[.,]\d+)?|\b(?:half an?|an?|" + _NUMBER + r"))[ -]?(?P<p>dozen|hundred|thousand|million|mio|billion|bn|grand|lakh|crore|k|m)\b", re.I)  # fmt: skip
_ORDINAL = re.compile(r"(?<!\w)(?:(\d+)(?:st|nd|rd|th)|(" + "|".join(sorted(ORDINALS, key=len, reverse=True)) + r"))\b", re.I)
_CLOCK = re.compile(
    r"\b(?P<m>\d{1,2}|five|ten|twenty|twenty[- ]five|quarter|half)(?: minutes?)? (?P<how>past|to|after|before) (?P<h>\d{1,2}|"
    + "|".join(UNITS[1:13]) + r")\b(?P<part>\s*(?:a\.?m\b|p\.?m\b|in the (?:morning|afternoon|evening)|at night|tonight))?", re.I)  # fmt: skip
_HOUR = re.compile(r"(?<![\w.,:/-])(?P<h>\d{1,2}|" + "|".join(UNITS[1:13]) + r")(?:[ :.](?P<m>[0-5]\d|fifteen|thirty|forty[- ]five))?\s*(?P<part>am|pm|a\.m|p\.m)?(?![\w:.]*\d)", re.I)  # fmt: skip
_MONTH = "|".join([*MONTHS, *(month[:3] for month in MONTHS), "sept"])
_MONTH_ONLY = re.compile(rf"\b(?P<mon>{_MONTH})\b\.?(?:,? (?:of )?(?P<y>(?:19|20)\d\d))?", re.I)
_YEAR_MONTH = re.compile(r"\b((?:19|20)\d\d)-(\d\d)(?!\d|-\d)")
_MONTH_OF_DATE = re.compile(r"\b(\d{4}-\d\d)-\d\d")
_DAY = r"\d{1,2}(?:st|nd|rd|th)?"
_RANGE = re.compile(rf"\b(?P<d>{_DAY})(?:\s*(?:-|–|to|till|until|and|or|through|,|sorry|no|until the|to the|sorry the|and on|and the)\s*(?:the )?)+(?P<e>{_DAY})(?: of)? (?P<mon>{_MONTH})\b\.?(?:,? (?P<y>\d{{4}}))?", re.I)  # fmt: skip
_RANGE2 = re.compile(rf"\b(?P<mon>{_MONTH})\.? (?P<d>{_DAY})\s*(?:-|–|to|till|until|and|through)\s*(?P<e>{_DAY})\b(?:,? (?P<y>\d{{4}}))?", re.I)  # fmt: skip
_SHORT_DATE = re.compile(r"(?<![\d/.-])(\d{1,2})[./](\d{1,2})\.?(?![\d/])")
_DAYS = "monday tuesday wednesday thursday friday saturday sunday".split()
_RELATIVE = re.compile(r"\b(today|tonight|tomorrow|yesterday|day after tomorrow|(?:this |next |on |coming )?(?:" + "|".join(_DAYS) + r")|(?:in |)(?:\d+|" + _NUMBER + r"|a) (?:days?|weeks?)(?: from now| ago)?|next week|next month)\b", re.I)  # fmt: skip
_COUNTED = re.compile(r"(?:in )?(\w+) (day|week)s?( ago)?")
_SHIFTS = {"today": 0, "tonight": 0, "tomorrow": 1, "yesterday": -1, "day after tomorrow": 2, "next week": 7}
_BETWEEN = re.compile(r"[ -](?:full|whole|more|us|extra|square|cubic)[ -]", re.I)
_JOINED = re.compile(r"[ ,]*(?:and|an|a|plus)? ?(?:a )?\Z")
_COMMA = re.compile(r"(?<![\w.,])(\d+),(\d+)(?![\w,])")
_EXPONENT = re.compile(r"(?<![\w.])\d+(?:\.\d+)?e[+-]?\d+\b", re.I)
_MINUS = re.compile(r"(?:\bminus |(?<![\w)])[-−])\s?(\d+(?:\.\d+)?|" + _NUMBER + r")\b", re.I)
_BEHIND_SIGN = re.compile(r"(?<=[A-Za-z#°(x×*/=+_:@])\d+(?:\.\d+)?")
_BEFORE_LETTER = re.compile(r"\d+(?:\.\d+)?(?=[a-zA-Zµ°×²³])")
_GROUPED = re.compile(r"(?<![\w.])(?:\d{1,3}(?:[ .'’]\d{3})+)(?!\d)")
_OF_ONE = re.compile(r" (?:of )?an? (?=\w)", re.I)
_RATIO = re.compile(r"(?<![\w/])(\d{1,2})/(\d{1,2})(?![\w/])")
_HALF_MORE = re.compile(r"\b(an?|\d+|" + _NUMBER + r")( and a half|(?= (?:million|thousand|grand|hundred)\b)) (million|thousand|grand|hundred|dozen)( and a half)?\b", re.I)  # fmt: skip
_LETTERS = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")
_WORD = re.compile(r"[a-z]+", re.I)
_FOUR_DIGITS = re.compile(r"(?<![\d.,:])([01]\d|2[0-3])([0-5]\d)(?![\d.,:])")
_STAMP = re.compile(r"T(\d\d:\d\d)")
_MINUTES = {"quarter": 15, "half": 30, "five": 5, "ten": 10, "twenty": 20, "twenty five": 25}


@dataclass(frozen=True)
class Heard:
    """One value that a stretch of a request may mean."""

    start: int
    """First character."""
    end: int
    """One past the last character, unit included."""
    kind: str
    """``number``, ``time``, ``date`` or ``month``."""
    value: Any
    """A number; ``HH:MM``; ``YYYY-MM-DD``, ``-MM-DD`` without a year, ``--DD`` without a month; ``YYYY-MM`` or ``-MM``."""
    units: tuple[Unit, ...] = ()
    """Units said with a number."""
    sure: bool = True
    """Whether it certainly is such a value: "5" is a number, "a" may be one."""


@lru_cache(maxsize=4096)
def hear(text: str, today: datetime.date | None = None) -> tuple[Heard, ...]:
    """Every value that a text may say, with its span; ``today`` settles relative dates."""
    text = legible(text)
    plain = [Heard(r.start, r.end, r.kind, r.value) for r in readings(text)]
    numbers = [item for item in plain if item.kind == "number"]
    others = [item for item in plain if item.kind != "number"]
    numbers += [item for part in (_runs, _points, _fractions, _powers, _ordinals, _foreign) for item in part(text)]
    numbers = [_with_unit(item, text) for item in numbers]
    numbers += [_with_unit(item, text) for item in _words(text)]
    numbers += [Heard(m.start(), m.end(), "number", _month(m["mon"]), sure=False) for m in _MONTH_ONLY.finditer(text)]
    numbers += list(_sums(numbers, text))
    others += [*_clocks(text), *_months(text), *_ranges(text), *_relative(text, today)]
    others += [replace(item, kind="date", value=f"--{item.value:02d}", sure=False) for item in _ordinals(text)]
    return tuple(_trimmed(item, text) for item in (*numbers, *others))


def _trimmed(item: Heard, text: str) -> Heard:
    """Without white space at its end."""
    stretch = text[item.start : item.end]
    return item if stretch == stretch.rstrip() else replace(item, end=item.start + len(stretch.rstrip()))


def today_in(system: str | None) -> datetime.date | None:
    """The first whole date among the facts of a request: what "tomorrow" is counted from."""
    dates = [reading.value for reading in readings(system or "") if reading.kind == "date" and len(reading.value) == 10]
    try:
        return datetime.date.fromisoformat(dates[0]) if dates else None
    except ValueError:
        return None


def _with_unit(item: Heard, text: str) -> Heard:
    units, end = units_after(text, item.end)
    if not units and item.start and text[item.start - 1] in "€$£":
        return replace(item, start=item.start - 1, units=tuple(units_named(text[item.start - 1])))
    if not units:  # "five euros", with a word between: "30 US dollars", "4 full days"
        match = _BETWEEN.match(text, item.end)
        units, end = units_after(text, match.end() - 1) if match else (units, end)
    return replace(item, end=end, units=tuple(units)) if units else item


def _sums(numbers: list[Heard], text: str) -> Iterator[Heard]:
    """"1 hour 20 minutes", "two kilos and a half", "a minute fifteen": neighbours of one dimension, in the larger's unit."""
    carried = [item for item in numbers if item.units]
    for first in carried:
        for second in (item for item in numbers if item.sure):
            gap = text[first.end : second.start] if second.start >= first.end else "?"
            if not _JOINED.match(gap):
                continue
            for dimension, size in first.units:
                if second.units and not (0 < second.value < 1):
                    yield from (Heard(first.start, second.end, "number", first.value + second.value * small / size, ((dimension, size),))
                                for other, small in second.units if other == dimension and small < size)  # fmt: skip
                elif 0 < second.value < 1 and "and" in text[first.end : second.end]:
                    yield Heard(first.start, second.end, "number", first.value + second.value, ((dimension, size),))
                elif dimension in ("time", "money") and second.value < 100:
                    part = 100 if dimension == "money" else 60
                    yield Heard(first.start, second.end, "number", first.value + second.value / part, ((dimension, size),))


def _runs(text: str) -> Iterator[Heard]:
    for match in _RUN.finditer(text):
        parts = [_SMALL[word] for word in re.split(r"[ -]", match[0].lower())]
        if len(digits := "".join(map(str, parts))) <= MOST_DIGITS:
            yield Heard(*match.span(), "number", int(digits))
        joined, index = [], 0
        while index < len(parts):
            two = index + 1 < len(parts) and parts[index] >= 20 and 0 < parts[index + 1] < 10
            joined.append(parts[index] + (parts[index + 1] if two else 0))
            index += 2 if two else 1
        if len(joined) == 2 and joined[1] >= 10:
            yield Heard(*match.span(), "number", joined[0] * 100 + joined[1])
            yield Heard(*match.span(), "number", joined[0] + joined[1] / 100)
        if len(joined) > 1 and len(digits := "".join(map(str, joined))) <= MOST_DIGITS:
            yield Heard(*match.span(), "number", int(digits))
        place = match.start()
        for word in re.split(r"[ -]", match[0]):
            yield Heard(place, place + len(word), "number", _SMALL[word.lower()])
            place += len(word) + 1


def _points(text: str) -> Iterator[Heard]:
    for match in _POINT.finditer(text):
        whole = match[1].lower()
        decimals = "".join(str(_SMALL[word]) for word in match[2].lower().split())
        yield Heard(*match.span(), "number", float(f"{whole if whole.isdigit() else _SMALL[whole]}.{decimals}"))
    for match in _COMMA.finditer(text):  # a decimal comma
        yield Heard(*match.span(), "number", float(f"{match[1]}.{match[2]}"))
    for match in _EXPONENT.finditer(text):
        yield Heard(*match.span(), "number", float(match[0]))
    for match in _MINUS.finditer(text):
        yield Heard(*match.span(), "number", -(float(match[1]) if match[1][0].isdigit() else _SMALL[match[1].lower()]))
    for match in _BEHIND_SIGN.finditer(text):  # "v2.1", "60x30", "S1"
        yield Heard(*match.span(), "number", float(match[0]), sure=False)
    for match in _BEFORE_LETTER.finditer(text):  # "4kg", "6x²"
        yield Heard(*match.span(), "number", float(match[0]), sure=False)
    for match in _GROUPED.finditer(text):  # "1 000 000", "1.000"
        yield Heard(*match.span(), "number", float(re.sub(r"\D", "", match[0])))


def _fractions(text: str) -> Iterator[Heard]:
    for match in _FRACTION.finditer(text):
        number = (match["n"] or "1").lower()
        count = 1 if number in ("a", "an") else int(number) if number.isdigit() else _SMALL[number]
        whole = (match["whole"] or "0").lower()
        value = (int(whole) if whole.isdigit() else _SMALL[whole]) + count * FRACTIONS[match["f"].lower()]
        after = _OF_ONE.match(text, match.end())
        yield Heard(match.start(), after.end() - 1 if after else match.end(), "number", value, (("share", 1.0),))
        if after:
            yield Heard(match.start(), after.end() - 1, "number", value)
    for match in _RATIO.finditer(text):
        if int(match[2]):
            yield Heard(*match.span(), "number", int(match[1]) / int(match[2]), (("share", 1.0),))


def _powers(text: str) -> Iterator[Heard]:
    for match in _HALF_MORE.finditer(text):
        said = match[1].lower()
        count = (1 if said in ("a", "an") else int(said) if said.isdigit() else _SMALL[said]) + 0.5 * bool(match[2] or match[4])
        yield Heard(*match.span(), "number", count * POWERS[match[3].lower()])
    for match in _POWER.finditer(text):
        said = match["n"].lower().replace(",", ".")
        factor = POWERS[match["p"].lower()]
        value = 0.5 if said.startswith("half") else 1 if said in ("a", "an") else _SMALL.get(said)
        yield Heard(*match.span(), "number", (float(said) if value is None else value) * factor, sure=match["p"].lower() not in "mk")


def _ordinals(text: str) -> Iterator[Heard]:
    for match in _ORDINAL.finditer(text):
        value = int(match[1]) if match[1] else ORDINALS.index(match[2].lower()) + 1
        yield Heard(*match.span(), "number", value, sure=bool(match[1]))


def _foreign(text: str) -> Iterator[Heard]:
    for match in _LETTERS.finditer(text):
        for value in sorted(FOREIGN_NUMBERS.get(match[0].casefold(), ())):
            yield Heard(*match.span(), "number", value, sure=False)


def _words(text: str) -> Iterator[Heard]:
    for match in _WORD.finditer(text):
        word = match[0].lower()
        if word in WORDS:
            yield Heard(*match.span(), "number", WORDS[word], sure=False)
            if word in _ALL:
                yield Heard(*match.span(), "number", 1, sure=False)


def _hours(hour: int, part: str) -> list[int]:
    part = part.lower().replace(".", "").strip()
    if hour > 24:
        return []
    if not part or hour > 12:
        return [hour % 24, (hour + 12) % 24] if hour <= 12 else [hour % 24]
    morning = part.startswith("am") or "morning" in part
    return [hour % 12] if morning else [hour % 12 + 12]


def _clocks(text: str) -> Iterator[Heard]:
    for match in _CLOCK.finditer(text):
        said = match["m"].lower().replace("-", " ")
        minutes = _MINUTES[said] if said in _MINUTES else int(said)
        hour = int(match["h"]) if match["h"].isdigit() else UNITS.index(match["h"].lower())
        for value in _hours(hour, match["part"] or ""):
            total = value * 60 + (-minutes if match["how"].lower() in ("to", "before") else minutes)
            yield Heard(*match.span(), "time", f"{total // 60 % 24:02d}:{total % 60:02d}")
    for match in _HOUR.finditer(text):
        hour = int(match["h"]) if match["h"].isdigit() else UNITS.index(match["h"].lower())
        said = (match["m"] or "00").lower()
        minutes = said if said.isdigit() else {"fifteen": "15", "thirty": "30"}.get(said, "45")
        for value in _hours(hour, match["part"] or ""):
            yield Heard(*match.span(), "time", f"{value:02d}:{minutes}", sure=bool(match["part"]))
    for match in _FOUR_DIGITS.finditer(text):  # "0630"
        yield Heard(*match.span(), "time", f"{match[1]}:{match[2]}", sure=False)
    for match in _STAMP.finditer(text):
        yield Heard(match.start(1), match.end(1), "time", match[1])


def _month(name: str) -> int:
    return [month[:3] for month in MONTHS].index(name.lower()[:3]) + 1


def _months(text: str) -> Iterator[Heard]:
    for match in _MONTH_ONLY.finditer(text):
        number = _month(match["mon"])
        yield Heard(*match.span(), "month", f"{match['y'] or ''}-{number:02d}", sure=match["mon"].lower() not in ("may", "mar"))
    for match in _YEAR_MONTH.finditer(text):
        yield Heard(*match.span(), "month", match[0])
    for match in _MONTH_OF_DATE.finditer(text):
        yield Heard(*match.span(), "month", match[1], sure=False)


def _ranges(text: str) -> Iterator[Heard]:
    for pattern in (_RANGE, _RANGE2):
        for match in pattern.finditer(text):
            for part in "de":
                day = int(re.sub(r"\D", "", match[part]))
                yield Heard(*match.span(), "date", f"{match['y'] or ''}-{_month(match['mon']):02d}-{day:02d}")
    for match in _SHORT_DATE.finditer(text):
        pairs = {(int(match[1]), int(match[2])), (int(match[2]), int(match[1]))}
        yield from (Heard(*match.span(), "date", f"-{a:02d}-{b:02d}", sure=False) for a, b in sorted(pairs) if 0 < a <= 12 and 0 < b <= 31)


def _relative(text: str, today: datetime.date | None) -> Iterator[Heard]:
    for match in _RELATIVE.finditer(text):
        days = _shift(match[1].lower(), today)
        yield Heard(*match.span(), "relative", match[1].lower())
        for shift in days if today else ():
            with suppress(OverflowError):  # no calendar goes that far
                yield Heard(*match.span(), "date", (today + datetime.timedelta(shift)).isoformat())


def _shift(said: str, today: datetime.date | None) -> list[int]:
    """Days from today that a relative date may mean."""
    if said in _SHIFTS or today is None:
        return [_SHIFTS[said]] if said in _SHIFTS else []
    for number, day in enumerate(_DAYS):
        if day in said:
            ahead = (number - today.weekday()) % 7
            return [ahead, ahead + 7] if "next" in said else [ahead or 7, ahead]
    match = _COUNTED.match(said)
    if not match:
        return []
    count = 1 if match[1] == "a" else int(match[1]) if match[1].isdigit() else _SMALL.get(match[1], 0)
    return [count * (7 if match[2] == "week" else 1) * (-1 if match[3] else 1)]
