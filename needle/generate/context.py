"""What surrounds a request: facts such as the date, and turns that went before it.

    Today is Friday, 27 November 2026; it is 14:05 in Leeds.          (a fact; "tomorrow at 7" counts from it)

Facts are given to the author, to the labeller and to the student alike. Earlier turns are written by the author together
with the request, as lines ``User:`` and ``Assistant:``.
"""

from __future__ import annotations

import datetime
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from needle.generate.kinds import omittable
from needle.generate.values import CITIES
from needle.tools.arguments import leaves, schema_at, value_class
from needle.tools.spec import ToolSpec

if TYPE_CHECKING:
    from needle.generate.plan import Plan

RELATIVE = 0.35
"""Share of the requests with a date that count it from today."""
IDLE_FACTS = 0.06
"""Share of other requests that come with facts of which they need none."""
FOLLOWUP, ANSWER = 0.07, 0.05
"""Shares of the requests for one thing that follow earlier turns."""
FIRST_DAY = datetime.date(2026, 11, 2)
"""Facts name one of the 400 days after it."""
CONTEXT_RULES = {
    "followup": (
        'The message has three lines: "User:" and an earlier message that asked for the planned call with another value under '
        '"differs", "Assistant:" and a short confirmation, "User:" and the message, which only says what is different now '
        '("and the bedroom too", "make it 20 instead").'
    ),
    "answer": (
        'The message has three lines: "User:" and a message that asks for the planned call but leaves out the argument under '
        '"asked", "Assistant:" and the question for it, "User:" and the message, which gives just that value.'
    ),
    "relative": 'Say dates as counted from today ("tomorrow", "on Friday", "in three days"); the facts say what today is.',
}
"""What an author is told of each context."""


def draw_context(plan: Plan, tools: Sequence[ToolSpec], rng: random.Random) -> Plan:
    """The plan with facts or earlier turns, where chance has it so."""
    by_name = {tool.name: tool for tool in tools}
    given = [(by_name[call.tool], path) for call in plan.calls for path in [*call.mention, *omittable(by_name[call.tool])]]
    dated = [path for tool, path in given if value_class(schema_at(tool.parameters, path)) == "date"]
    chance = rng.random()
    if plan.kind == "single" and plan.calls and plan.style.wording == "direct" and plan.style.distractor == "none":
        call, tool = plan.calls[0], by_name[plan.calls[0].tool]
        able = [path for path in leaves(tool) if path in call.mention or path in tool.required]
        able = [
            path for path in able if value_class(schema_at(tool.parameters, path)) in ("enum", "number", "time", "text")
        ]
        needed = [path for path in able if path in tool.required]
        if able and chance < FOLLOWUP:
            return replace(plan, context="followup", ask_back=rng.choice(able))
        if needed and chance < FOLLOWUP + ANSWER:
            return replace(plan, context="answer", ask_back=rng.choice(needed))
    if dated and plan.kind in ("single", "sibling", "parallel", "several", "negated") and rng.random() < RELATIVE:
        calls = tuple(
            replace(call, suggest={path: value for path, value in call.suggest.items() if path not in dated})
            for call in plan.calls
        )
        return replace(plan, calls=calls, context="relative", facts=facts(rng))
    return replace(plan, facts=facts(rng)) if rng.random() < IDLE_FACTS else plan


def facts(rng: random.Random) -> str:
    """A sentence of facts: the day, perhaps the time, the place and the locale."""
    day = FIRST_DAY + datetime.timedelta(days=rng.randrange(400))
    text = f"Today is {day:%A}, {day.day} {day:%B} {day.year}"
    if rng.random() < 0.6:
        text += f"; it is {rng.randrange(6, 23):02d}:{rng.choice((0, 5, 10, 20, 30, 40, 50)):02d}"
    if rng.random() < 0.6:
        text += f" in {rng.choice(CITIES)}"
    return text + "." + (f" Locale: {rng.choice(('en-GB', 'en-US', 'en-IN', 'en-AU'))}." if rng.random() < 0.3 else "")
