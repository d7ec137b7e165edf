"""From a plan to a message and its calls: the kinds of request that a generator asks for, in the embedded teacher's
words."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from needle.teacher.embedded.arguments import arguments_for, nested
from needle.teacher.embedded.dialogue import with_turns
from needle.teacher.embedded.foreign import foreign, near_by
from needle.teacher.embedded.fragments import is_speech
from needle.teacher.embedded.frames import CORRECTIONS, JOINERS, WITHDRAWALS
from needle.teacher.embedded.letters import letter
from needle.teacher.embedded.phrasing import Clause, Voice, say
from needle.teacher.embedded.reference import count_from, today_of
from needle.teacher.embedded.styling import negated, spoken, styled
from needle.teacher.embedded.values import join_words, surfaces
from needle.teacher.embedded.wish import PlannedCall, Wish
from needle.tools.arguments import schema_at
from needle.tools.spec import ToolCall, ToolSpec
from needle.traces.trace import NO_CALL

DATE = r"\d{4}-\d\d-\d\d"
TRIES = 12
"""Draws for one plan before the teacher gives up on it."""
Flat = tuple[ToolSpec, dict[str, Any]]
"""A tool with flat arguments."""


@dataclass(frozen=True)
class Made:
    """A message with what it means."""

    text: str
    """The message."""
    calls: list[ToolCall]
    """The calls that are right for it."""
    turns: tuple[str, ...] = ()
    """What was said before it: the user, the assistant, and so on."""


@dataclass
class _Draft:
    """What one try has to work with."""

    wish: Wish
    tools: Sequence[ToolSpec]
    voice: Voice
    rng: random.Random
    flats: list[Flat] = field(default_factory=list)

    def clause(self, flats: Sequence[Flat]) -> Clause | None:
        """The clauses of several calls, joined."""
        if len(flats) == 2 and flats[0][0] is flats[1][0] and self.rng.random() < 0.6:
            shared = _shared_clause(flats, self.voice, self.rng)
            if shared:
                return shared
        said = [say(tool, flat, self.voice, self.rng, self.wish.style) for tool, flat in flats]
        return None if None in said else joined([clause for clause in said if clause], self.rng)


def compose(wish: Wish, tools: Sequence[ToolSpec], voice: Voice, rng: random.Random) -> Made | None:
    """A message and the calls that are right for it; None when the plan cannot be put into words.

    Args:
        wish: the plan.
        tools: all tools that the plan speaks of.
        voice: what is known about the toolset's language.
        rng: the only source of variety.
    """
    voice = replace(voice, today=today_of(wish.facts) if wish.context == "relative" else None)
    if wish.kind == "negated":  # what is taken back is an order
        wish = replace(wish, style={**wish.style, "form": "command", "wording": "direct", "mood": "order"})
    draft = _Draft(wish, tools, voice, rng)
    by_name = {tool.name: tool for tool in tools}
    for _ in range(TRIES):
        draft.flats = []
        for wanted in wish.calls:
            flat = arguments_for(by_name[wanted.tool], wanted, voice, rng)
            if flat is not None:
                draft.flats.append((by_name[wanted.tool], flat))
        if len(draft.flats) < len(wish.calls) or _repeats(draft.flats):
            continue
        made = _make(draft)
        if made is not None:
            return made
    return None


def _make(draft: _Draft) -> Made | None:
    wish, rng = draft.wish, draft.rng
    if not wish.calls:
        if wish.kind == "near_miss":
            clause = near_by(wish.beside, draft.tools, draft.voice, rng)
        else:
            clause = Clause(foreign(wish.kind, draft.tools, draft.voice, rng), False)
        return _message(clause, wish, [], rng, framed=wish.kind == "near_miss") if clause else None
    if wish.context in ("followup", "answer"):
        turns = with_turns(*draft.flats[0], wish, draft.voice, rng)
        if turns is None:
            return None
        *before, last = turns
        made = _message(last, wish, _labels(draft.flats), rng, framed=False)
        return replace(made, turns=tuple(before))
    if wish.kind == "extraction":
        text = letter(*draft.flats[0], wish, draft.voice, rng)
        return Made(text, _labels(draft.flats)) if text else None
    if wish.kind == "corrected":
        return _corrected(draft)
    if wish.kind == "half":
        return _half(draft)
    clause = draft.clause(draft.flats)
    if clause is None or (wish.kind == "negated" and not clause.imperative):
        return None
    due = [] if wish.kind in NO_CALL else _labels(draft.flats)
    if draft.voice.today:
        dates = [value for _, flat in draft.flats for value in flat.values() if re.fullmatch(DATE, str(value))]
        text = count_from(clause.text, dates, draft.voice.today, rng)
        if text is None or not dates:
            return None
        clause = replace(clause, text=text)
    if wish.kind == "negated":
        text = negated(clause, wish, rng)
        return Made(spoken(text, []) if wish.case == "lower" else text, [])
    return _message(clause, wish, due, rng)


def _message(clause: Clause, wish: Wish, labels: list[ToolCall], rng: random.Random, *, framed: bool = True) -> Made:
    text = styled(clause, wish, rng, framed=framed)
    return Made(spoken(text, labels) if wish.case == "lower" else text, labels)


def _labels(flats: Sequence[Flat]) -> list[ToolCall]:
    return [ToolCall(tool.name, nested(flat)) for tool, flat in flats]


def _repeats(flats: Sequence[Flat]) -> bool:
    made = [(tool.name, flat) for tool, flat in flats]
    return any(made[number] in made[:number] for number in range(len(made)))


def joined(clauses: Sequence[Clause], rng: random.Random) -> Clause:
    """Several clauses in one; after free text only a strong break shows where it ends."""
    text = clauses[0].text
    for before, clause in zip(clauses, clauses[1:], strict=False):
        strong = [joiner for joiner in JOINERS if joiner[0] in ".;,"]
        text += rng.choice(strong if before.open_end else JOINERS) + clause.text
    return Clause(text, clauses[0].imperative, clauses[-1].question, clauses[-1].open_end)


def _half(draft: _Draft) -> Made | None:
    """One wish that can be served and one that cannot, in the order of the plan where it names both."""
    wish, rng = draft.wish, draft.rng
    due = [flat for flat, wanted in zip(draft.flats, wish.calls, strict=True) if wanted.due]
    clauses = [say(tool, flat, draft.voice, rng, wish.style) for tool, flat in draft.flats]
    if None in clauses:
        return None
    said = [clause for clause in clauses if clause]
    if len(due) == len(draft.flats):
        beyond = near_by(due[0][0].name, draft.tools, draft.voice, rng) if rng.random() < 0.5 else None
        beyond = beyond or Clause(foreign("order", draft.tools, draft.voice, rng).rstrip(".?! "), False)
        said.insert(rng.randrange(2), beyond)
    return _message(joined(said, rng), wish, _labels(due), rng)


def _corrected(draft: _Draft) -> Made | None:
    wish, rng = draft.wish, draft.rng
    if len(draft.flats) > 1:
        clauses = [say(tool, flat, draft.voice, rng, wish.style) for tool, flat in draft.flats]
        kept = next(number for number, wanted in enumerate(wish.calls) if wanted.due)
        if None in clauses or any(clause.open_end or not clause.imperative for clause in clauses if clause):
            return None
        one, two = (clause.text for clause in clauses if clause)
        text = rng.choice(WITHDRAWALS).format(one, two, clauses[kept].text)  # type: ignore[union-attr]
        return _message(Clause(text, True, open_end=True), wish, _labels([draft.flats[kept]]), rng)
    (tool, flat), wanted = draft.flats[0], wish.calls[0]
    path = wanted.first
    other = _another(tool, path, flat, wanted, draft.voice, rng)
    clause = say(tool, flat, draft.voice, rng, wish.style)
    if clause is None or other is None or path not in flat or is_speech(tool, path):
        return None
    schema = schema_at(tool.parameters, path)
    right = next((form for form in surfaces(flat[path], schema, tool.parameters) if clause.text.count(form) == 1), None)
    wrong = (surfaces(other, schema, tool.parameters) or [None])[0]
    if right is None or wrong is None or wrong == right:
        return None
    place = clause.text.index(right)
    if clause.text[:place][-1:].isalnum() or clause.text[place + len(right) :][:1].isalnum():
        return None
    text = clause.text[:place] + rng.choice(CORRECTIONS).format(wrong, right) + clause.text[place + len(right) :]
    return _message(replace(clause, text=text), wish, _labels(draft.flats), rng)


def _another(
    tool: ToolSpec, path: str, flat: dict[str, Any], wanted: PlannedCall, voice: Voice, rng: random.Random
) -> Any:
    """Another value for an argument."""
    bare = replace(wanted, values={key: value for key, value in wanted.values.items() if key != path}, suggest={})
    for _ in range(6):
        drawn = arguments_for(tool, bare, voice, rng)
        value = (drawn or {}).get(path)
        if value is None:
            value = voice.values.sample(tool, path, rng)
        if value is not None and value != flat.get(path) and str(value).lower() != "off":
            return value
    return None


def _shared_clause(calls: Sequence[Flat], voice: Voice, rng: random.Random) -> Clause | None:
    """ "turn on the lights in the kitchen and the hall": two calls that differ in one text argument. Changes the
    second call to fit."""
    (tool, first), (_, second) = calls
    texts = [
        path
        for path, value in first.items()
        if isinstance(value, str)
        and path in second
        and second[path] != value
        and not is_speech(tool, path)
        and not path.endswith("unit")
        and surfaces(value, schema_at(tool.parameters, path), tool.parameters) == [value]
        and value[:1].islower()
    ]
    if not texts:
        return None
    path = rng.choice(texts)
    both = join_words([first[path], second[path]])
    clause = say(tool, first | {path: both}, voice, rng)
    if clause is None or both not in clause.text:
        return None
    other = second[path]
    second.clear()
    second.update(first | {path: other})
    return clause
