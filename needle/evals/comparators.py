"""Looser equality for single parameters, declared in a suite's definition; every other parameter keeps the strict rule.

    [comparators]                        # in suite.toml, or under "comparators" in suite.yaml and suite.json
    "send_email.subject" = "fuzzy:0.85"  # tool.parameter, or tool.parameter.field inside an object
    "*.date" = "date"                    # any tool
    "set_timer.minutes" = "number:0.5"

``exact`` is the rule of ``needle.evals.match``; ``casefold`` forgives case and runs of blanks; ``number:T`` allows a
difference of T (1e-9 without a word); ``date`` compares days and times however they are written; ``set`` compares
arrays in any order; ``fuzzy:S`` asks for a similarity of S (0.85) in characters, by ``difflib``, and knows no meaning;
``ignore`` accepts anything. A value inside an array is compared by the rule of its parameter, item by item.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from difflib import SequenceMatcher
from functools import lru_cache
from typing import Any

from needle.errors import UserError

Same = Callable[[Any, Any], bool]
"""Whether two JSON values are equal enough."""

NAMES = ("exact", "casefold", "number", "date", "set", "fuzzy", "ignore")
"""Comparators that a suite may name."""
_DEFAULTS = {"number": 1e-9, "fuzzy": 0.85}
_WRITTEN = (
    "%Y-%m-%d", "%Y/%m/%d", "%Y%m%d", "%d %B %Y", "%d %b %Y", "%B %d %Y", "%b %d %Y", "%H:%M", "%H:%M:%S", "%I:%M %p",
    "%I %p", "%I%p", "%I:%M%p", "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S", "%B %d", "%d %B",
)  # fmt: skip
"""Ways to write a day or a time that leave no doubt; ``03/04`` is none of them."""


def _folded(value: Any) -> Any:
    return " ".join(value.split()).casefold() if isinstance(value, str) else value


def _number(tolerance: float) -> Same:
    def same(left: Any, right: Any) -> bool:
        numbers = all(isinstance(one, (int, float)) and not isinstance(one, bool) for one in (left, right))
        return numbers and abs(left - right) <= tolerance

    return same


@lru_cache(maxsize=4096)
def moment(text: str) -> tuple[str, str] | None:
    """A day or time as (kind, ISO text), or None for a text that is neither; moments with a zone are told in UTC."""
    text = " ".join(re.sub(r"(?<=\d)(st|nd|rd|th)\b|,", "", text.strip()).split())
    try:
        found = datetime.fromisoformat(text) if "T" in text or " " in text else date.fromisoformat(text)
    except ValueError:
        pass
    else:
        if isinstance(found, datetime):
            zoned = found.tzinfo is not None
            return ("moment", found.astimezone(UTC).isoformat()) if zoned else ("local", found.isoformat())
        return "day", found.isoformat()
    for form in _WRITTEN:
        try:
            read = (
                datetime.strptime(f"2000 {text}", f"%Y {form}") if "%Y" not in form else datetime.strptime(text, form)
            )
        except ValueError:
            continue
        timed, dated = any(mark in form for mark in ("%H", "%I")), any(mark in form for mark in ("%Y", "%B", "%b"))
        if timed and dated:
            return "local", read.isoformat()
        return (
            ("time", read.time().isoformat())
            if timed
            else ("day" if "%Y" in form else "month day", read.date().isoformat())
        )
    return None


def _same_date(left: Any, right: Any) -> bool:
    if not isinstance(left, str) or not isinstance(right, str):
        return False
    found = moment(left)
    return found is not None and found == moment(right)


def _same_set(left: Any, right: Any) -> bool:
    if not isinstance(left, list) or not isinstance(right, list) or len(left) != len(right):
        return False
    rest = [_folded(item) for item in right]
    for item in map(_folded, left):
        place = next((n for n, other in enumerate(rest) if type(item) is type(other) and item == other), None)
        if place is None:
            return False
        del rest[place]
    return True


def _fuzzy(least: float) -> Same:
    def same(left: Any, right: Any) -> bool:
        texts = isinstance(left, str) and isinstance(right, str)
        return texts and SequenceMatcher(None, _folded(left), _folded(right), autojunk=False).ratio() >= least

    return same


def _itemwise(same: Same) -> Same:
    def compare(left: Any, right: Any) -> bool:
        if isinstance(left, list) and isinstance(right, list):
            return len(left) == len(right) and all(map(compare, left, right))
        return same(left, right)

    return compare


@lru_cache(maxsize=256)
def comparator(rule: str) -> Same | None:
    """What ``rule`` (``name`` or ``name:number``) stands for; None for ``exact``. Raises ``UserError``."""
    name, colon, given = rule.partition(":")
    if name not in NAMES or (colon and name not in _DEFAULTS):
        raise UserError(f"comparator {rule!r}: choose one of {', '.join(NAMES)} (number:TOLERANCE, fuzzy:SIMILARITY)")
    try:
        number = float(given) if colon else _DEFAULTS.get(name, 0.0)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf") or (name == "fuzzy" and number > 1):
        raise UserError(f"comparator {rule!r}: behind the colon stands a number from 0 (fuzzy: to 1)")
    made: dict[str, Callable[[], Same | None]] = {
        "exact": lambda: None,
        "casefold": lambda: _itemwise(lambda left, right: isinstance(left, str) and _folded(left) == _folded(right)),
        "number": lambda: _itemwise(_number(number)),
        "date": lambda: _itemwise(_same_date),
        "set": lambda: _same_set,
        "fuzzy": lambda: _itemwise(_fuzzy(number)),
        "ignore": lambda: lambda left, right: True,
    }
    return made[name]()


def rule_for(rules: Mapping[str, str], tool: str, path: str) -> Same | None:
    """The comparison for an argument: ``tool.path`` before ``*.path``; places in arrays are left out of the path."""
    plain = ".".join(part for part in path.split(".") if not part.isdigit())
    rule = rules.get(f"{tool}.{plain}") or rules.get(f"*.{plain}")
    return comparator(rule) if rule else None


def check_rules(rules: Any, where: str) -> dict[str, str]:
    """``rules`` if every key names a parameter and every value a comparator. Raises ``UserError`` with ``where``."""
    if not isinstance(rules, Mapping) or not all(
        isinstance(key, str) and "." in key and isinstance(rule, str) for key, rule in rules.items()
    ):
        raise UserError(f'{where}: comparators map "tool.parameter" (or "*.parameter") to the name of a comparator')
    for rule in rules.values():
        try:
            comparator(rule)
        except UserError as error:
            raise UserError(f"{where}: {error}") from error
    return dict(rules)
