"""Facts of the clock, and dates of calls settled by calendar arithmetic where the request counts them from today.

    clock_facts(datetime(2026, 11, 27, 14, 5))      "Today is Friday, 27 November 2026; it is 14:05."
    settle_dates(calls, tools, "wake me tomorrow at 7", date(2026, 11, 27))

A small model knows which argument "tomorrow" belongs to, but cannot be trusted with the sum. The words of the facts are
those that students are trained on (``needle.generate.context``). Only arguments whose schema says ``date`` or
``date-time`` are touched, and only where the words leave no doubt: see ``settle_dates``.
"""

from __future__ import annotations

import datetime
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from needle.tools.arguments import leaves, replaced, schema_at
from needle.tools.grounding.ground import slots
from needle.tools.grounding.hearing import hear, today_in
from needle.tools.spec import ToolCall, ToolSpec

FORMATS = ("date", "date-time")
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()  # noqa: SIM905
MONTHS = "January February March April May June July August September October November December".split()  # noqa: SIM905
_LENGTH = re.compile(r"(?:an?|\d+|[a-z-]+) (?:days?|weeks?)", re.IGNORECASE)
"""A stretch of time, which is a date only with "in" before it or "from now" or "ago" after it."""
_PAST = re.compile(r"\b(?:last|past|previous)\s*$", re.IGNORECASE)
_OFFSET = re.compile(
    r"\b(?:days?|weeks?|months?|nights?|weekend|morning|evening) (?:before|after|from|following) (?:the )?$",
    re.IGNORECASE,
)
"""Before a day phrase: the day that is meant is another one."""


@dataclass(frozen=True)
class Phrase:
    """Words of a request that name a day."""

    start: int
    """First character."""
    end: int
    """One past the last character."""
    days: tuple[datetime.date, ...]
    """The days that they may mean, likeliest first."""


def clock_facts(now: datetime.datetime, place: str | None = None, locale: str | None = None) -> str:
    """The moment as a sentence for ``system=``, with the place and the locale where given (English, whatever the
    locale)."""
    text = f"Today is {DAYS[now.weekday()]}, {now.day} {MONTHS[now.month - 1]} {now.year}; it is {now:%H:%M}"
    return text + (f" in {place}" if place else "") + "." + (f" Locale: {locale}." if locale else "")


def takes_dates(tools: Iterable[ToolSpec]) -> bool:
    """Whether an argument of a tool is a day or a moment."""
    return any(schema_at(tool.parameters, path).get("format") in FORMATS for tool in tools for path in leaves(tool))


def phrases(text: str, today: datetime.date) -> list[Phrase]:
    """The day phrases of a text from left to right; a longer one hides those inside of it. A day without a year is the
    next one."""
    found: dict[tuple[int, int], list[datetime.date]] = {}
    for heard in hear(text, today):
        days = _days(heard.value, today) if heard.kind == "date" and heard.sure else []
        words = text[heard.start : heard.end]
        if days and not _LENGTH.fullmatch(words):
            if _PAST.search(text[: heard.start]):
                days = [day - datetime.timedelta(7) for day in days if day >= today]
            found.setdefault((heard.start, heard.end), []).extend(days)
    spans = [span for span in found if not any(a <= span[0] and span[1] <= b and (a, b) != span for a, b in found)]
    return [Phrase(start, end, tuple(dict.fromkeys(found[start, end]))) for start, end in sorted(spans)]


def _days(value: str, today: datetime.date) -> list[datetime.date]:
    try:
        if len(value) == 10:
            return [datetime.date.fromisoformat(value)]
        if value.startswith("-") and not value.startswith("--"):
            years = [datetime.date.fromisoformat(f"{today.year + more}{value}") for more in (0, 1)]
            return [next(day for day in years if day >= today)]
    except (ValueError, StopIteration):  # 30 February, or 29 February of other years
        pass
    return []


def settle_dates(
    calls: Sequence[ToolCall], tools: Sequence[ToolSpec], text: str, facts: str | datetime.date | None
) -> list[ToolCall]:
    """The calls with days put right that the model counted wrongly; calls of unknown tools are left as they are.

    A day that the text can mean stays. Of the others: when there is one phrase and one day in a call, they belong
    together; when as many phrases as days are left over, in their order; else nothing is changed. The time of a
    ``date-time`` stays (``needle.tools.times``).

    Args:
        facts: what says which day today is (a system message), or that day; without one nothing is changed.
    """
    today = facts if isinstance(facts, datetime.date) else today_in(facts)
    known = {tool.name for tool in tools}
    said = phrases(text, today) if today else []
    if not said or any(_OFFSET.search(text[: phrase.start]) for phrase in said):  # "the day before Friday": not our sum
        return list(calls)
    if any(before.end > after.start for before, after in pairwise(said)):  # words that can be cut in two ways
        return list(calls)
    places = [place for place, call in enumerate(calls) if call.name in known]
    dated = [
        slot
        for slot in slots([calls[place] for place in places], tools)
        if slot.schema.get("format") in FORMATS and isinstance(slot.value, str)
    ]
    right = {index for index, slot in enumerate(dated) for phrase in said if slot.value[:10] in map(str, phrase.days)}
    wrong = [slot for index, slot in enumerate(dated) if index not in right]
    free = [phrase for phrase in said if not any(dated[index].value[:10] in map(str, phrase.days) for index in right)]
    if len(said) == 1:
        in_call = Counter(slot.path.partition(".")[0] for slot in dated)
        wrong = [slot for slot in wrong if in_call[slot.path.partition(".")[0]] == 1]
        free = said * len(wrong)
    if not wrong or len(free) != len(wrong):
        return list(calls)
    settled = list(calls)
    for slot, phrase in zip(wrong, free, strict=True):
        number = places[int(slot.path.partition(".")[0])]
        settled[number] = ToolCall(
            settled[number].name, replaced(settled[number].arguments, slot.place, f"{phrase.days[0]}{slot.value[10:]}")
        )
    return settled
