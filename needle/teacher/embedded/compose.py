"""From a plan to a request and its calls: the kinds of request that a generator asks for, in the embedded teacher's
words."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from needle.teacher.embedded.fragments import is_speech, pair_units
from needle.teacher.embedded.lexicon import CHAT, JOINERS, NEGATIONS, OFF_TOPIC, PREFIXES, SUFFIXES, TARGETS
from needle.teacher.embedded.patterns import ON_OFF
from needle.teacher.embedded.phrasing import Clause, Voice, say
from needle.teacher.embedded.text import content, kin, words
from needle.teacher.embedded.values import join_words, surfaces
from needle.teacher.schema import flat_arguments, leaves, schema_at
from needle.tools.spec import ToolCall, ToolSpec

TRIES = 12
"""Draws for one plan before the teacher gives up on it."""


@dataclass(frozen=True)
class WantedCall:
    """One call that a plan asks a request for."""

    tool: str
    """Name of the tool."""
    mention: tuple[str, ...] = ()
    """Optional arguments (dotted paths) that the request should give."""
    values: dict[str, Any] = field(default_factory=dict, hash=False)
    """Values that are settled already (an enum member, a boolean)."""
    omit: str = ""
    """Required argument that the request must leave open."""


@dataclass(frozen=True)
class Wish:
    """A plan as the teacher reads it."""

    kind: str
    """One of the kinds of ``needle.traces``."""
    calls: tuple[WantedCall, ...] = ()
    """What the request is about; for ``negated`` what it takes back, for ``missing`` what it half asks for."""
    form: str = "command"
    """``command``, ``request`` or ``need``."""
    case: str = "plain"
    """``plain``, ``lower`` (speech recognition: no capitals, no punctuation) or ``written`` (capital, full stop)."""


def compose(
    wish: Wish, tools: Sequence[ToolSpec], voice: Voice, rng: random.Random
) -> tuple[str, list[ToolCall]] | None:
    """A request and the calls that are right for it; None when the plan cannot be put into words.

    Args:
        wish: the plan.
        tools: all tools on offer.
        voice: what is known about the toolset's language.
        rng: the only source of variety.
    """
    if wish.kind in ("irrelevant", "chat"):
        text = _style(Clause(_foreign(wish.kind, tools, voice, rng), False), wish, rng, framed=False)
        return _spoken(text, []) if wish.case == "lower" else text, []
    by_name = {tool.name: tool for tool in tools}
    for _ in range(TRIES):
        calls = [_arguments(by_name[wanted.tool], wanted, voice, rng) for wanted in wish.calls]
        if not calls or any(call is None for call in calls):
            continue
        made = [(wanted.tool, flat) for wanted, flat in zip(wish.calls, calls)]
        if any(made[number] in made[:number] for number in range(len(made))):
            continue
        clause = _clause(
            wish,
            [(by_name[wanted.tool], flat) for wanted, flat in zip(wish.calls, calls) if flat is not None],
            voice,
            rng,
        )
        if clause is None or (wish.kind == "negated" and not clause.imperative):
            continue
        text = _negated(clause, wish, rng) if wish.kind == "negated" else _style(clause, wish, rng)
        due = [] if wish.kind in ("negated", "missing") else calls
        labels = [ToolCall(wanted.tool, _nested(flat)) for wanted, flat in zip(wish.calls, due) if flat is not None]
        return _spoken(text, labels) if wish.case == "lower" else text, labels
    return None


def _arguments(tool: ToolSpec, wanted: WantedCall, voice: Voice, rng: random.Random) -> dict[str, Any] | None:
    """Flat arguments: every required one (and those inside an object that is given), those to be mentioned, nothing
    else."""
    flat: dict[str, Any] = {}
    for path in leaves(tool):
        needed = path in wanted.mention or path in wanted.values or _required(tool, path, wanted.mention)
        if not needed or path == wanted.omit:
            continue
        value = wanted.values[path] if path in wanted.values else voice.values.sample(tool, path, rng)
        if value is None:
            return None
        flat[path] = value
    off = [
        path
        for path, value in flat.items()
        if (value is False and ON_OFF & set(words(path))) or (str(value).lower() == "off" and _is_enum(tool, path))
    ]
    if off:  # nobody says how bright a light is to be that goes off
        flat = {
            path: value
            for path, value in flat.items()
            if path in off or path not in wanted.mention or kin(path) & TARGETS
        }
    for path, unit in pair_units(tool, flat).items():
        if str(flat[unit]).lower().startswith(("hour", "h")) and isinstance(flat[path], (int, float)):
            flat[path] = max(1, int(flat[path]) % 12)
    return flat


def _is_enum(tool: ToolSpec, path: str) -> bool:
    return "enum" in schema_at(tool.parameters, path)


def _required(tool: ToolSpec, path: str, mention: Sequence[str]) -> bool:
    """Whether a call must give this leaf: required at every level, or inside an object that another mention opens."""
    parts = path.split(".")
    for depth in range(len(parts)):
        parent = ".".join(parts[:depth])
        schema = schema_at(tool.parameters, parent) if parent else tool.parameters
        opened = any(other.startswith(".".join(parts[: depth + 1]) + ".") for other in mention)
        if parts[depth] not in (schema.get("required") or ()) and not opened:
            return False
    return True


def _nested(flat: dict[str, Any]) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    for path, value in flat.items():
        *parents, last = path.split(".")
        place = arguments
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value
    return arguments


def _clause(
    wish: Wish, calls: list[tuple[ToolSpec, dict[str, Any]]], voice: Voice, rng: random.Random
) -> Clause | None:
    if len(calls) == 2 and calls[0][0] is calls[1][0] and rng.random() < 0.6:
        shared = _shared_clause(calls, voice, rng)
        if shared:
            return shared
    clauses = [say(tool, flat, voice, rng) for tool, flat in calls]
    if any(clause is None for clause in clauses):
        return None
    said = [clause for clause in clauses if clause]
    joined = said[0].text
    for before, clause in zip(said, said[1:]):
        # after free text only a strong break shows where it ends
        joined += (
            rng.choice([joiner for joiner in JOINERS if joiner[0] in ".;,"] if before.open_end else JOINERS)
            + clause.text
        )
    return Clause(joined, said[0].imperative, said[-1].question, said[-1].open_end)


def _shared_clause(calls: list[tuple[ToolSpec, dict[str, Any]]], voice: Voice, rng: random.Random) -> Clause | None:
    """ "turn on the lights in the kitchen and the hall": two calls that differ in one text argument. Changes the
    second call to fit."""
    (tool, first), (_, second) = calls
    texts = [
        path for path, value in first.items() if isinstance(value, str) and path in second and second[path] != value
    ]
    texts = [
        path
        for path in texts
        if not is_speech(tool, path)
        and not path.endswith("unit")
        and surfaces(first[path], schema_at(tool.parameters, path), tool.parameters) == [first[path]]
        and first[path][:1].islower()
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


def _foreign(kind: str, tools: Sequence[ToolSpec], voice: Voice, rng: random.Random) -> str:
    """A request that no tool fits: from recorded requests to other toolsets, far from these tools; or small talk."""
    own = voice.vocabulary(tools)
    pool = voice.bank.by_kind.get("chat" if kind == "chat" else rng.choice(("irrelevant", "single")), [])
    for _ in range(60 if pool else 0):
        text, called = rng.choice(pool)
        about = content(text)
        if not 2 <= len(text.split()) <= 22 or not about or "\n" in text:
            continue
        near = called is not None and voice.bank.overlap(called.tokens, own) > 0.35
        if not near and voice.bank.overlap(about, own) < (0.34 if kind == "chat" else 0.05):
            return text
    return rng.choice(CHAT if kind == "chat" else OFF_TOPIC)


def _negated(clause: Clause, wish: Wish, rng: random.Random) -> str:
    frames = [frame for frame in NEGATIONS if frame.endswith("{}")] if clause.open_end else NEGATIONS
    return _case(rng.choice(frames).format(clause.text), wish, question=False)


def _style(clause: Clause, wish: Wish, rng: random.Random, framed: bool = True) -> str:
    text, question = clause.text, clause.question
    if framed and clause.imperative:
        prefix, suffix = rng.choice(PREFIXES[wish.form]), "" if clause.open_end else rng.choice(SUFFIXES[wish.form])
        text = prefix + text + ("" if "please" in prefix and "please" in suffix else suffix)
        question = question or wish.form == "request"
    return _case(text, wish, question)


def _case(text: str, wish: Wish, question: bool) -> str:
    text = re.sub(r"\s+", " ", text).strip()
    if wish.case == "lower":
        return text[:1].lower() + text[1:] if text[1:2].islower() or text[1:2] == " " else text
    if wish.case == "written":
        text = text[:1].upper() + text[1:]
        return text if text[-1:] in ".?!" else text + ("?" if question else ".")
    return text + "?" if question and text[-1:] not in ".?!" else text


def _spoken(text: str, calls: list[ToolCall]) -> str:
    """Without the punctuation that speech recognition leaves out, except where a value holds it."""
    bare = re.sub(r"[,;?!]+(?=\s|$)", "", text).rstrip(".")
    values = [
        item
        for call in calls
        for _, value in flat_arguments(call.arguments)
        for item in (value if isinstance(value, list) else [value])
    ]
    return text if any(isinstance(value, str) and value in text and value not in bare for value in values) else bare
