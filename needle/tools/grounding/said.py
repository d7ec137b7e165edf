"""Whether a request says a text: word for word, accents and case aside, by its words in other forms, by a code.

Every function gives the span of the request that says it, or None.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

CODES = {
    "en": "english", "de": "german germany", "fr": "french france", "es": "spanish spain", "it": "italian italy",
    "pt": "portuguese portugal", "nl": "dutch netherlands holland", "sv": "swedish", "se": "sweden swedish", "pl": "polish poland",
    "tr": "turkish turkey", "ja": "japanese", "jp": "japan japanese", "zh": "chinese mandarin", "cn": "china chinese", "ko": "korean",
    "kr": "korea korean", "ar": "arabic argentina", "ru": "russian russia", "hi": "hindi", "th": "thai thailand", "el": "greek",
    "da": "danish", "dk": "denmark danish", "no": "norwegian norway", "fi": "finnish finland", "cs": "czech", "cz": "czech",
    "at": "austria austrian", "ch": "switzerland swiss", "be": "belgium belgian", "ie": "ireland irish", "in": "india indian",
    "us": "usa states american america", "usa": "states american america us", "gb": "britain uk england british scotland",
    "gbr": "britain uk england british", "uk": "britain british england ukrainian", "gr": "greece greek", "br": "brazil brazilian",
    "bd": "bangladesh", "mx": "mexico mexican", "mex": "mexico mexican", "ca": "canada canadian", "au": "australia australian",
    "deu": "germany german", "fra": "france french", "esp": "spain spanish", "ita": "italy italian", "nld": "netherlands dutch",
    "che": "switzerland swiss", "jpn": "japan japanese", "chn": "china chinese", "ind": "india indian", "bra": "brazil brazilian",
    "eur": "euro euros €", "usd": "dollar dollars bucks buck $ us", "gbp": "pound pounds quid sterling £", "jpy": "yen ¥",
    "chf": "franc francs", "inr": "rupee rupees ₹", "cny": "yuan renminbi", "sek": "kronor krona", "nok": "kroner", "dkk": "kroner",
    "mon": "monday", "tue": "tuesday", "wed": "wednesday", "thu": "thursday", "fri": "friday", "sat": "saturday", "sun": "sunday",
    "mo": "monday", "tu": "tuesday", "we": "wednesday", "sa": "saturday", "su": "sunday",
}  # fmt: skip
"""Codes to the words that stand for them."""
LIGATURES = str.maketrans({"ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "’": "'", "‘": "'", "“": '"', "”": '"', "–": "-",
                           "—": "-", "−": "-", "×": "x"})  # fmt: skip
STOP = frozenset("a an the of to in on at for and or my our your me i it is with by from as be this that".split())


@lru_cache(maxsize=4096)
def folded(text: str) -> tuple[str, tuple[int, ...]]:
    """Text in small letters without accents and typographic signs, and for each of its characters the place it came from."""
    letters: list[str] = []
    places: list[int] = []
    for place, char in enumerate(text):
        for part in unicodedata.normalize("NFKD", char.casefold().translate(LIGATURES)):
            if not unicodedata.combining(part):
                letters.append(part)
                places.append(place)
    return "".join(letters), (*places, len(text))


def standing(text: str, written: str, start: int = 0, ends: bool = True) -> int:
    """The first place from ``start`` on at which a folded text has these letters from the start of a word on, and, where it ``ends``, to the end of one; -1 where it does not."""
    start = text.find(written, start)
    while start >= 0:
        end = start + len(written)
        begins = start == 0 or not (text[start - 1].isalnum() and written[0].isalnum())
        if begins and not (ends and text[end : end + 1].isalnum() and written[-1].isalnum()):
            return start
        start = text.find(written, start + 1)
    return -1


def find(pattern: str, request: str) -> tuple[int, int] | None:
    """First match of a pattern in the folded request, as a span of the request itself."""
    text, places = folded(request)
    match = re.search(pattern, text)
    return (places[match.start()], places[match.end() - 1] + 1) if match and match.end() > match.start() else None


def said(value: str, request: str) -> tuple[int, int] | None:
    """Span of a text: same letters in any case, accents, spacing, quotation marks, dashes; whole words."""
    words = re.findall(r"\w+|[^\w\s]", folded(value)[0])
    if not words:
        return None
    before, after = r"(?<!\w)" if words[0][0].isalnum() else "", r"(?!\w)" if words[-1][-1].isalnum() else ""
    pattern = before + r"\s*".join(map(re.escape, words)) + after
    return find(pattern, request) or find(pattern.replace(re.escape("-"), r"\W?"), request) or _squeezed(value, request)


def _squeezed(value: str, request: str) -> tuple[int, int] | None:
    """An id in other spacing: ``AB-1234`` said as "AB 1234"."""
    wanted = re.sub(r"[\W_]", "", folded(value)[0])
    text, places = folded(request)
    letters = [(place, char) for place, char in enumerate(text) if char.isalnum()]
    start = "".join(char for _, char in letters).find(wanted) if len(wanted) >= 3 else -1
    if not 0 <= start <= len(letters) - len(wanted):
        return None
    first, last = letters[start][0], letters[start + len(wanted) - 1][0]
    whole = not text[first - 1 : first].isalnum() and not text[last + 1 : last + 2].isalnum()
    return (places[first], places[last] + 1) if whole else None  # "Ann" is not said by "Anna"


def stem(word: str) -> str:
    """A word without its commonest English endings: enough to match "names" with "name"."""
    for ending in ("ation", "ing", "ies", "ied", "ers", "ed", "es", "er", "ly", "al", "ic", "s", "y", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word


def words_of(text: str) -> list[tuple[str, int, int]]:
    """Folded words with their spans in the text; joints of names (``camelCase``, ``snake_case``) divide words."""
    found = []
    for match in re.finditer(r"[^\W_]+", text):
        start = match.start()
        for part in re.split(r"(?<=[a-z])(?=[A-Z])", match[0]):
            found.append((folded(part)[0], start, start + len(part)))
            start += len(part)
    return found


def same_word(one: str, other: str) -> bool:
    """Whether two folded words are forms of one."""
    if one == other:
        return True
    a, b = stem(one), stem(other)
    return a == b or (min(len(a), len(b)) >= 5 and (a.startswith(b) or b.startswith(a)))


def by_words(value: str, request: str, share: float = 0.75) -> tuple[int, int] | None:
    """Span over the words of a text in other forms or order: all of them up to three, else ``share`` of them."""
    wanted = [word for word, _, _ in words_of(value) if word not in STOP]
    if not wanted:
        return None
    there = words_of(request)
    hits = [next(((start, end) for word, start, end in there if same_word(word, item)), None) for item in wanted]
    found = [hit for hit in hits if hit]
    enough = len(found) == len(wanted) if len(wanted) <= 3 else len(found) >= share * len(wanted)
    if not enough:
        return None
    return (min(start for start, _ in found), max(end for _, end in found))


def by_code(value: str, request: str) -> tuple[int, int] | None:
    """Span of the word that a code stands for: a known one, or letters of a name in order (``AKL``: Auckland)."""
    code = folded(value)[0].split(",")[0]
    for word in CODES.get(code, "").split():
        bounds = (r"(?<!\w)", r"(?!\w)") if word[0].isalnum() else ("", "")
        if span := find(bounds[0] + re.escape(word) + bounds[1], request):
            return span
    if not (re.fullmatch(r"[A-Z]{3,5}", value)):
        return None
    there = words_of(request)
    for first in range(len(there)):
        for last in range(first, min(first + 3, len(there))):
            letters = iter("".join(word for word, _, _ in there[first : last + 1]))
            begins = there[first][0][:1] == code[0] and len(there[first][0]) > 2
            if begins and all(char in letters for char in code):
                return there[first][1], there[last][2]
    return None
