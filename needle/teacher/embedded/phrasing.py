"""From a call to a clause: an imperative such as "dim the lights in the kitchen to 40 percent", with the values
said in words.

Two sources: a pattern of a recorded tool that is alike (``patterns.py``), or the tool's own schema: verb and object
from its name or description, words around each value as the recorded traces say values of that kind, in several
orders.
"""

from __future__ import annotations

import datetime
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from needle.teacher.embedded.bank import Bank, tool_tokens
from needle.teacher.embedded.fragments import ends_open, fragment, pair_units, surface
from needle.teacher.embedded.idiomatic import Idioms, idioms_for, speak
from needle.teacher.embedded.lexicon import QUESTION_VERBS, VERBS
from needle.teacher.embedded.patterns import Pattern, patterns_for
from needle.teacher.embedded.text import content, stem, words
from needle.teacher.embedded.values import ValueBank
from needle.teacher.embedded.verbs import let_value_be_verb, split_link, verb_stem, verbs_and_noun
from needle.tools.arguments import leaves, schema_at
from needle.tools.spec import ToolSpec

NO_ARTICLE = frozenset("play order buy call text water".split())
INDEFINITE = frozenset(
    "create add make book schedule send write start run begin order reserve draft set compose post request ask place".split()
)
COUNTED = frozenset(
    "alarm timer reminder event message meeting note appointment table ticket order email task call booking "
    "announcement sms photo picture selfie video return refund payment".split()
)
IDIOMATIC = 0.7
"""Chance that a tool of a known topic is spoken of in idioms."""
QUESTION_WORDS = ("what", "how", "where", "is there", "any ", "do i ", "do we ", "which ", "when ")
DIRECT_SLOTS = frozenset(
    "query term destination contact text song track artist title product item task app name url page file word phrase "
    "expression person recipient address what".split()
)
"""Parameters whose value may be the object of such a verb."""
DIRECT = frozenset("play search find lookup translate call navigate track order buy convert remind open".split())
"""Verbs whose object is the first text that must be given ("play Tin Horizon")."""


@dataclass(frozen=True)
class Clause:
    """One call in words."""

    text: str
    """Without frame or final punctuation."""
    imperative: bool
    """Starts with a verb in its base form, so that "can you" and "don't" may go before it."""
    question: bool = False
    """Asks; takes a question mark."""
    open_end: bool = False
    """Ends in free text, to which any following word would seem to belong."""


@dataclass(frozen=True)
class Voice:
    """How one toolset is talked about; holds what was looked up for its tools."""

    bank: Bank
    """Recorded traces."""
    values: ValueBank
    """Values for arguments."""
    patterns: dict[str, list[Pattern]] = field(default_factory=dict, hash=False)
    """Patterns by tool name, filled on first use."""

    idioms_of: dict[str, Idioms | None] = field(default_factory=dict, hash=False)
    """Idioms by tool name, filled on first use."""

    words_of: dict[str, set[str]] = field(default_factory=dict, hash=False)
    """Vocabulary by tool name, filled on first use."""

    today: datetime.date | None = None
    """From which days are counted, where facts say so."""

    def vocabulary(self, tools: Sequence[ToolSpec]) -> set[str]:
        """Words of the tools and words that people use with tools like them."""
        for tool in tools:
            if tool.name not in self.words_of:
                tokens = tool_tokens(tool.name, tool.description)
                named = {
                    word
                    for path in leaves(tool)
                    for word in content(path) + content(schema_at(tool.parameters, path).get("description", ""))
                }
                self.words_of[tool.name] = set(tokens) | named | self.bank.topic(tokens)
        return set().union(*(self.words_of[tool.name] for tool in tools))

    def idioms(self, tool: ToolSpec) -> Idioms | None:
        """Idioms for a tool."""
        if tool.name not in self.idioms_of:
            self.idioms_of[tool.name] = idioms_for(tool)
        return self.idioms_of[tool.name]

    def of(self, tool: ToolSpec) -> list[Pattern]:
        """Patterns for a tool."""
        if tool.name not in self.patterns:
            self.patterns[tool.name] = patterns_for(tool, self.bank, leaves(tool))
        return self.patterns[tool.name]


def say(
    tool: ToolSpec,
    arguments: Mapping[str, Any],
    voice: Voice,
    rng: random.Random,
    style: Mapping[str, str] | None = None,
) -> Clause | None:
    """A clause for one call.

    Args:
        tool: the tool.
        arguments: flat ``path -> value``.
        voice: what is known about the toolset's language.
        rng: the only source of variety.
        style: value of each axis of style; an absent one is plain.

    Returns:
        None when some argument cannot be worded.
    """
    style = style or {}
    order = style.get("mood") == "order"
    known = voice.idioms(tool)
    if known and (style.get("wording") == "implicit" or rng.random() < IDIOMATIC):
        spoken = speak(tool, known, arguments, voice.values, rng, style)
        if spoken:
            text, imperative, open_end = spoken
            return Clause(text, imperative, text.startswith(QUESTION_WORDS), open_end)
    fitting = [pattern for pattern in voice.of(tool) if _covers(pattern, arguments)]
    if fitting and rng.random() < 0.6:
        filled = _fill(rng.choice(fitting), tool, arguments, rng)
        if filled and (filled.imperative or not order):
            return filled
    return _from_schema(tool, dict(arguments), voice, rng, order)


def _covers(pattern: Pattern, arguments: Mapping[str, Any]) -> bool:
    return set(pattern.slots) | set(pattern.fixed) == set(arguments) and all(
        arguments[key] == value for key, value in pattern.fixed.items()
    )


def _fill(pattern: Pattern, tool: ToolSpec, arguments: Mapping[str, Any], rng: random.Random) -> Clause | None:
    said = {path: surface(tool, path, arguments[path], rng) for path in pattern.slots}
    if None in said.values():
        return None
    for before, path in zip(pattern.parts, pattern.slots):
        if before.lower().endswith("that ") and (said[path] or "").endswith(("?", "!")):
            return None  # "tell Rosa that coffee?"
    text = pattern.fill({path: form for path, form in said.items() if form}).rstrip()
    first = words(text)[:1] or ("",)
    asks = text.endswith("?") and pattern.parts[-1].endswith("?")
    last = bool(pattern.slots) and not pattern.parts[-1].strip(" .?!") and ends_open(tool, pattern.slots[-1])
    return Clause(text if last else text.rstrip(" .?!"), first[0] in VERBS and not asks, asks, last)


def _from_schema(
    tool: ToolSpec, left: dict[str, Any], voice: Voice, rng: random.Random, order: bool
) -> Clause | None:
    """A clause from the schema alone; ``order``: one that starts with a verb."""
    verbs, noun = verbs_and_noun(tool)
    verbs, noun, left = let_value_be_verb(tool, verbs, noun, left)
    obj, left, holds_value = _object(tool, verbs[0], noun, left, rng)
    if holds_value or (noun and noun[-1] in COUNTED):  # "set the movie scene", never "change the movie scene"
        verbs = [verb for verb in verbs if verb not in ("change", "adjust")] or verbs[:1]
    units = pair_units(tool, left)
    parts = []
    for path, value in left.items():
        if path in units.values():
            continue
        unit = surface(tool, units[path], left[units[path]], rng) if path in units else ""
        parts.append(fragment(tool, path, value, unit or "", voice.values, rng))
    fragments = [part for part in parts if part]
    if len(fragments) < len(parts):
        return None
    if rng.random() < 0.4:
        rng.shuffle(fragments)
    fragments.sort(key=lambda part: part.speech)  # somebody's words come last
    tail = " ".join(part.text for part in fragments)
    open_end = fragments[-1].open_end if fragments else holds_value
    verb = rng.choice(verbs)
    if not order and verb_stem(tool) in QUESTION_VERBS and rng.random() < 0.45:
        lead = rng.choice(("what's ", "what is ", "tell me ", "do you know ", "any idea what's ", "i'd like to know "))
        return Clause(
            f"{lead}{obj} {tail}".strip(), lead == "tell me ", lead.startswith(("what", "do", "any")), open_end
        )
    if not order and verb in ("set", "change", "adjust") and fragments and not holds_value and rng.random() < 0.25:
        return Clause(f"{obj.removeprefix('the ')} {tail}".strip(), False, open_end=open_end)
    return Clause(f"{verb} {obj}".strip() + f" {tail}".rstrip(), True, open_end=open_end)


def _object(
    tool: ToolSpec, verb: str, noun: list[str], left: dict[str, Any], rng: random.Random
) -> tuple[str, dict[str, Any], bool]:
    """Noun phrase of the clause; a value whose parameter names the noun takes its place ("lock the front door");
    True when one does."""
    head, linked = split_link(noun)
    if verb.split()[0] in DIRECT or (linked and not head):
        for path in tool.required:
            fits = set(words(path)) & DIRECT_SLOTS or set(words(path)) & set(noun) or (linked and not head)
            if path in left and ends_open(tool, path) and fits:
                said = surface(tool, path, left[path], rng)
                where = f" {linked[0]} the {' '.join(linked[1:])}" if linked and not head else ""
                return f"{said or ''}{where}", {key: item for key, item in left.items() if key != path}, True
    for path, value in left.items():
        if words(path)[-1:] in (("stream",), ("type",), ("kind",)) and isinstance(value, str) and head:
            said = surface(tool, path, value, rng)
            if said and said not in head:  # "the media volume"
                return f"the {said} {' '.join(head)}", {key: item for key, item in left.items() if key != path}, True
        last = stem((words(path)[-1:] or ("",))[0])
        if last in {stem(word) for word in noun} and not isinstance(value, (bool, list, int, float)):
            said = surface(tool, path, value, rng)
            if said:
                named = last in {stem(word) for word in words(said)} or "enum" not in schema_at(tool.parameters, path)
                phrase = said if named else f"{said} {last}"
                article = "the " if phrase[:1].islower() and not re.match(r"the |my |our |\d", phrase) else ""
                return article + phrase, {key: item for key, item in left.items() if key != path}, True
    if linked and not head:
        return f"something {linked[0]} the {' '.join(linked[1:])}", left, False
    phrase = " ".join(word for word in noun if word not in ("get", "set"))
    if noun in (["me"], ["us"]):
        return phrase, left, False
    if not phrase or verb.split()[0] in NO_ARTICLE:
        return phrase, left, False
    if verb.split()[0] in INDEFINITE and noun[-1] in COUNTED:
        return ("an " if phrase[0] in "aeiou" else "a ") + phrase, left, False
    return "the " + phrase, left, False
