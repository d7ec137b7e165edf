"""Clock times of calls settled by the words of the request, where a small model wrote another one.

    settle_times(calls, tools, "wake me tomorrow at 7")      # an alarm at 14:05 becomes one at 07:00

Only arguments whose schema says ``time`` or ``date-time`` are touched, and only where the words leave no doubt which of them is meant: see
``settle_times``. Days are settled by ``needle.tools.dates``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise


from needle.tools.arguments import replaced
from needle.tools.grounding.ground import slots
from needle.tools.grounding.hearing import hear
from needle.tools.spec import ToolCall, ToolSpec

FORMATS = ("time", "date-time")
_VALUE = re.compile(r"(?P<day>\d{4}-\d\d-\d\d[T ])?(?P<clock>\d\d:\d\d)(?P<seconds>:\d\d)?")
"""A value without a zone: one with a zone may be the said time in another one."""
_BARE = re.compile(r"\bat (?:about |around )?$", re.IGNORECASE)
"""Before an hour without "am", "o'clock" or minutes that is taken for one."""
_AFTER = re.compile(
    r"\s*(?:$|[.!?;,](?!\d)|(?:sharp|on|and|for|to|with|then|but|please|tomorrow|today|tonight|in the|this|every|each|next|(?:mon|tues|wednes|thurs|fri|satur|sun)day)\b)",
    re.IGNORECASE,
)
"""After such an hour; anything else may make an amount or an address of it."""
_SUM = re.compile(r"\b(?:hours?|hrs?|minutes?|mins?|seconds?|later|earlier|utc|gmt|timezone|time zone)\b|\b(?:half|quarter) an? hour", re.IGNORECASE)
"""Words that make the time that is due another than the one that is said."""
_EITHER = re.compile(r"(?!half|quarter)\w+ (?:to|before|after) ", re.IGNORECASE)
"""Beginning of what may be one time or two: "nine to ten"."""
_TWISTED = re.compile(r"\b(?:before|after|instead|rather|make that|sorry|actually|no)\b", re.IGNORECASE)
"""Words with which several times need not come in the order of the calls."""
_PADDED, _SECONDS = re.compile(r"0\d:"), re.compile(r":[0-5]\d\b")
_MORNING, _LATER = re.compile(r"\bmorning\b", re.IGNORECASE), re.compile(r"\b(?:afternoon|evening|tonight)\b", re.IGNORECASE)
NEAR = 24
"""Characters beside a time in which "morning" or "evening" belongs to it."""


@dataclass(frozen=True)
class Moment:
    """Words of a request that name a time of day."""

    start: int
    """First character."""
    end: int
    """One past the last character."""
    clocks: tuple[str, ...]
    """The times ``HH:MM`` that they may mean, the first as it is said: 7 is 07:00 before 19:00."""


def moments(text: str) -> list[Moment]:
    """The times of a text from left to right; a longer one hides those inside of it. "Morning" or "evening" beside it decides between two."""
    found: dict[tuple[int, int], list[str]] = {}
    for heard in hear(text):
        if heard.kind == "time" and text[: heard.start][-1:] not in tuple("-/.:") and (heard.sure or (_BARE.search(text[: heard.start]) and _AFTER.match(text, heard.end))):
            found.setdefault((heard.start, heard.end), []).append(heard.value)
    spans = [span for span in found if not any(a <= span[0] and span[1] <= b and (a, b) != span for a, b in found)]
    made = []
    for number, (start, end) in enumerate(spans := sorted(spans)):
        clocks = sorted(set(found[start, end]), key=lambda clock: (clock < "01:00", clock))  # twelve is noon before midnight
        left, right = (spans[number - 1][1] if number else 0), spans[number + 1][0] if number + 1 < len(spans) else len(text)
        beside = text[max(start - NEAR, left) : min(end + NEAR, right)]
        morning, later = bool(_MORNING.search(beside)), bool(_LATER.search(beside))
        if _PADDED.match(text, start):  # 07:45 is written by a clock of 24 hours
            clocks = [clock for clock in clocks if clock[:2] == text[start : start + 2]]
        elif len(clocks) == 2 and morning != later:
            clocks = [clock for clock in clocks if (clock < "12:00") == morning]
        made.append(Moment(start, end, tuple(clocks)))
    return made


def settle_times(calls: Sequence[ToolCall], tools: Sequence[ToolSpec], text: str) -> list[ToolCall]:
    """The calls with times put right that the text says otherwise; calls of unknown tools are left as they are.

    A time that the text can mean stays. Of the others: where the text says one time and the calls have one (all of one value), it is that;
    where as many times as arguments are left over, in their order; else nothing is changed. Of two meanings the one that is said is taken (7 is
    07:00), unless "evening" or "pm" stands with it. Days and seconds stay. Nothing is changed where the text counts hours or minutes or names a
    zone, and no value with a zone.
    """
    said = moments(text)
    if not said or _SUM.search(text) or any(before.end > after.start for before, after in pairwise(said)):
        return list(calls)
    if any(_EITHER.match(text, moment.start) for moment in said) or (len(said) > 1 and _TWISTED.search(text)):
        return list(calls)
    known = {tool.name for tool in tools}
    places = [place for place, call in enumerate(calls) if call.name in known]
    found = slots([calls[place] for place in places], tools)
    timed = [(slot, match) for slot in found if slot.schema.get("format") in FORMATS and (match := _VALUE.fullmatch(str(slot.value)))]
    clocks = [match["clock"] for _, match in timed]
    free = [moment for moment in said if not any(clock in moment.clocks for clock in clocks)]
    wrong = [one for one, clock in zip(timed, clocks, strict=True) if not any(clock in moment.clocks for moment in said)]
    if len(said) == 1 and len(timed) > 1:
        in_call = Counter(slot.path.partition(".")[0] for slot, _ in timed)
        free = free * len(wrong) if set(in_call.values()) == {1} and len(set(clocks)) == 1 else []
    if not wrong or len(free) != len(wrong):
        return list(calls)
    settled = list(calls)
    for (slot, match), moment in zip(wrong, free, strict=True):
        number = places[int(slot.path.partition(".")[0])]
        seconds = (_SECONDS.match(text, moment.end) or [":00"])[0] if match["seconds"] else ""
        value = f"{match['day'] or ''}{moment.clocks[0]}{seconds}"
        settled[number] = ToolCall(settled[number].name, replaced(settled[number].arguments, slot.place, value))
    return settled
