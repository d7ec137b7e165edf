"""Dates as people count them from today: "tomorrow", "on Friday", "in three days"."""

from __future__ import annotations

import datetime
import random
import re

from needle.tools.grounding.wording import number_words, readings, spoken_date

DAYS = "monday tuesday wednesday thursday friday saturday sunday".split()


def today_of(facts: str) -> datetime.date | None:
    """The first whole date among the facts."""
    dates = [reading.value for reading in readings(facts) if reading.kind == "date" and len(reading.value) == 10]
    return datetime.date.fromisoformat(dates[0]) if dates else None


def near_day(today: datetime.date, rng: random.Random) -> str:
    """A day of the next two weeks, the next few more often."""
    return (today + datetime.timedelta(days=int(14 * rng.random() ** 1.6))).isoformat()


def counted(text: str, today: datetime.date) -> list[str]:
    """Ways of saying a day (``YYYY-MM-DD``) as counted from today; empty where people would not count."""
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", text):
        return []
    day = datetime.date.fromisoformat(text)
    ahead = (day - today).days
    name = DAYS[day.weekday()].capitalize()
    if ahead == 0:
        return ["today"]
    if ahead == 1:
        return ["tomorrow"]
    if ahead == 2:
        return ["the day after tomorrow", f"this {name}" if day.weekday() > today.weekday() else f"on {name}"]
    if 2 < ahead < 7:
        return [f"on {name}", f"this coming {name}", f"in {number_words(ahead)} days"]
    if ahead == 7:
        return ["in a week", "in seven days"]
    return [f"in {ahead} days"] if 7 < ahead <= 14 else []


def count_from(text: str, dates: list[str], today: datetime.date, rng: random.Random) -> str | None:
    """The text with its whole dates said as counted from today; None where one of them is not there to be replaced."""
    for date in dict.fromkeys(dates):
        form = next((form for form in sorted(spoken_date(date), key=len, reverse=True) if form in text), None)
        ways = counted(date, today)
        if form is None or not ways:
            return None
        said = rng.choice(ways)
        lead = r"(?:\b(?:on|for|in|at) )?" if said.startswith(("on ", "in ")) else r"(?:\b(?:on|in|at) )?"
        text = re.sub(lead + re.escape(form), said, text)
    return text
