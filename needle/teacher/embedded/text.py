"""Words of identifiers, descriptions and requests; cutting values out of a request; saying an enum member."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from needle.teacher.embedded.lexicon import ABBREVIATIONS, KIN
from needle.tools.grounding.wording import readings

STOP = frozenset(
    "a an the of to in on at for with by from and or is are be it its this that these those as my your our "
    "their his her i you we me us "
    "please can could would will what which when where who how do does not no if than then so also any all "
    "some there here into up per e g "
    "etc optional default one value string number given".split()
)
FUNCTION = frozenset(
    "a an the of to in on at for with by from into onto about as called named titled labelled saying says that "
    "per until till after before "
    "my our under over between through via around and every each".split()
)
"""Words that introduce a value without saying what it is about."""
UNIT = frozenset(
    "percent % degrees degree minutes minute mins min hours hour seconds second secs days day weeks weeks "
    "nights people guests persons km kg "
    "miles metres meters euros dollars pounds times grams ml litres copies tickets celsius fahrenheit".split()
)


@lru_cache(maxsize=65536)
def words(text: str) -> tuple[str, ...]:
    """Lower-case words of an identifier (camelCase, snake_case, dots) or a sentence."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", text)
    return tuple(re.findall(r"[a-z]+|\d+", spaced.replace("'", "").lower()))


@lru_cache(maxsize=65536)
def stem(word: str) -> str:
    """A word without its plural ending, so that ``lights`` meets ``light``."""
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def content(text: str) -> list[str]:
    """Stemmed words that carry meaning."""
    return [stem(word) for word in words(text) if word not in STOP]


def member_forms(member: Any, members: Sequence[Any] = ()) -> list[str]:
    """How people say an enum member: ``SCENE_MOVIE`` among ``SCENE_*`` is "movie scene" or "movie"; ``mon`` is
    "monday"."""
    parts = [ABBREVIATIONS.get(word, word) for word in words(str(member))]
    if not parts:
        return [str(member)]
    others = [words(str(other)) for other in members if other != member]
    shared = words(str(member))[0]
    if len(parts) > 1 and others and all(other[:1] == (shared,) for other in others):
        rest = " ".join(parts[1:])
        return [f"{rest} {parts[0]}", rest]
    return [" ".join(parts)]


def locate(value: Any, schema: dict[str, Any], text: str) -> tuple[int, int] | None:
    """Where a value is said in a text: ``(start, end)``, or None. Booleans have no place; lists and objects neither."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return None
    if isinstance(value, str):
        for form in [value, *(member_forms(value, schema["enum"]) if "enum" in schema else [])]:
            match = re.search(rf"(?<!\w){re.escape(form)}(?!\w)", text, re.IGNORECASE)
            if match:
                return match.span()
    if isinstance(value, str) and not re.match(r"\d", value):
        return None
    for reading in readings(text):
        if reading.value == value or (reading.kind == "time" and isinstance(value, str) and value[:5] == reading.value):
            return reading.start, reading.end
    return None


@lru_cache(maxsize=8192)
def kin(path: str) -> frozenset[str]:
    """Stemmed words of a parameter's name (its last part) with the words that mean the same in a name."""
    own = set(content(path.rpartition(".")[2])) or {stem(word) for word in words(path)}
    return frozenset(own.union(*(group for group in KIN if own & group)))
