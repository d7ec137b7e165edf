"""Idioms fitted to a tool: which parameter plays which role, which frames can say the arguments, and the filling."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from needle.teacher.embedded.fragments import Fragment, ends_open, fragment, surface
from needle.teacher.embedded.idioms import IMPERATIVE, ROLES, TOPICS
from needle.teacher.embedded.patterns import purpose
from needle.teacher.embedded.text import stem, words
from needle.teacher.embedded.values import ValueBank
from needle.tools.arguments import leaves, schema_at, value_class
from needle.tools.spec import ToolSpec

WHOLE = ("whole house", "entire house")
"""What people say for a place that is everywhere."""
DAY_WORDS = frozenset({"mon", "tue", "wed", "thu", "fri", "sat", "sun"})


@dataclass(frozen=True)
class Frame:
    """One wording with roles."""

    text: str
    """Roles in braces."""
    roles: frozenset[str]
    """The roles in it."""
    implicit: bool
    """Whether the action is not named."""
    tests: tuple[tuple[str, str, str], ...]
    """``(role, ":" or "<" or ">", value)``."""

    @property
    def said(self) -> frozenset[str]:
        """Roles that the frame says, by a slot or by its condition."""
        return self.roles | {role for role, sign, _ in self.tests if sign == ":"}


@dataclass(frozen=True)
class Idioms:
    """The frames of a topic for one tool."""

    roles: dict[str, str]
    """Role to the argument that plays it."""
    frames: tuple[Frame, ...]
    """Frames whose roles the tool has."""
    noun: str
    """What the tool is about, for ``{noun}``."""


def idioms_for(tool: ToolSpec) -> Idioms | None:
    """The idioms of a tool, or None where no topic fits."""
    named = {stem(word) for word in words(tool.name)}
    for topic, aim, needed, lines in TOPICS:
        about = {stem(word) for word in topic.split()} & named
        own = purpose(words(tool.name))
        if not about or (aim and own not in (aim, "")) or (not aim and own in ("end", "ask")):
            continue
        roles = _roles(tool)
        if not any(role in roles for role in needed.split()):
            continue
        frames = tuple(
            frame for frame in map(_frame, filter(None, lines.splitlines()))
            if all(role in roles for role in (_parts(frame.said)))
        )  # fmt: skip
        noun = next((word for word in words(tool.name) if stem(word) in about), "")
        return Idioms(roles, frames, noun)
    return None


def speak(
    tool: ToolSpec,
    idioms: Idioms,
    arguments: Mapping[str, Any],
    values: ValueBank,
    rng: random.Random,
    style: Mapping[str, str],
) -> tuple[str, bool, bool] | None:
    """A clause for the arguments: text, whether it starts with a verb, whether it ends in free text; None where no
    frame fits. What a frame does not say follows it with its own words."""
    given = {role: path for role, path in idioms.roles.items() if path in arguments}
    fitting = [frame for frame in idioms.frames if _fits(frame, given, arguments, style)]
    if style.get("mood") == "order":
        fitting = [frame for frame in fitting if _imperative(frame.text)]
    if not fitting:
        return None
    most = max(len(_parts(frame.said)) for frame in fitting)
    best = [frame for frame in fitting if len(_parts(frame.said)) >= most - (rng.random() < 0.15)]
    if style.get("form") == "telegram" and (short := [frame for frame in best if not _imperative(frame.text)]):
        best = short
    frame = rng.choice(best)
    text = _filled(tool, frame, given, idioms, arguments, rng)
    said = {given[role] for role in _parts(frame.said)}
    rest = [fragment(tool, path, value, "", values, rng) for path, value in arguments.items() if path not in said]
    if text is None or None in rest:
        return None
    tail = sorted((part for part in rest if part), key=lambda part: part.speech)
    return _joined(tool, frame, text, tail, given), _imperative(frame.text), _open(tool, frame, tail, given)


def _roles(tool: ToolSpec) -> dict[str, str]:
    found: dict[str, str] = {}
    for role, (names, kinds) in ROLES.items():
        for path in leaves(tool):
            last = path.rpartition(".")[2].lower()
            spelled = "_".join(words(last))
            kind = value_class(schema_at(tool.parameters, path))
            if kind in kinds and (spelled in names or last in names):
                found[role] = path
                break
    return found


def _frame(line: str) -> Frame:
    tests: list[tuple[str, str, str]] = []
    implicit = False
    while match := re.match(r"(?:(\w+)([:<>])(\w+)\|)|~", line):
        implicit = implicit or match[0] == "~"
        tests += [(match[1], match[2], match[3])] if match[1] else []
        line = line[match.end() :]
    roles = frozenset(re.findall(r"\{(\w+)%?\}", line)) - {"noun"}
    return Frame(line, roles, implicit, tuple(tests))


def _parts(roles: frozenset[str]) -> frozenset[str]:
    """Roles with the length of time as the two arguments that make it."""
    return (roles - {"length"}) | ({"amount", "unit"} if "length" in roles else frozenset())


def _fits(frame: Frame, given: Mapping[str, str], arguments: Mapping[str, Any], style: Mapping[str, str]) -> bool:
    if frame.implicit and style.get("wording") != "implicit":
        return False
    if not all(role in given for role in _parts(frame.said)):
        return False
    for role, sign, wanted in frame.tests:
        value = arguments.get(given.get(role, ""))
        if value is None:
            return False
        if (
            sign == ":"
            and str(value).lower() != wanted
            and not (isinstance(value, bool) and value == (wanted in ("on", "true")))
        ):
            return False
        if sign in "<>" and not (float(value) < float(wanted) if sign == "<" else float(value) > float(wanted)):
            return False
    unsaid = [role for role in ("state", "locked") if role in given and role not in frame.said]
    off = any(
        str(arguments[path]).lower() == "off" or arguments[path] is False for path in map(given.get, unsaid) if path
    )
    return not off and not (frame.roles & {"mode"} and str(arguments.get(given["mode"])).lower() == "off")


def _filled(
    tool: ToolSpec,
    frame: Frame,
    given: Mapping[str, str],
    idioms: Idioms,
    arguments: Mapping[str, Any],
    rng: random.Random,
) -> str | None:
    forms: dict[str, str] = {"noun": idioms.noun}
    for role in sorted(_parts(frame.roles)):  # a set has another order in every process
        said = _said(tool, role, given[role], arguments[given[role]], rng)
        if said is None:
            return None
        forms[role] = said
    if "length" in frame.roles:
        one = arguments[given["amount"]] == 1 or frame.text.startswith(
            ("{length} timer", "start a {length}", "set a {length} timer")
        )
        forms["length"] = f"{forms['amount']} {forms['unit'].removesuffix('s') if one else forms['unit']}"
    text = frame.text
    for role, form in forms.items():
        if f"{{{role}%}}" in text:
            form += rng.choice((" percent", "%", "", "")) if form.replace(".", "").isdigit() else " percent"
            text = text.replace(f"{{{role}%}}", form)
        text = text.replace(f"{{{role}}}", form)
    text = re.sub(r"\b(the|a|an|my) (?=(?:the|a|an|my|our)\b)", "", text, flags=re.IGNORECASE)
    return re.sub(r"\ba (?=[aeiou8])", "an ", text)


def _said(tool: ToolSpec, role: str, path: str, value: Any, rng: random.Random) -> str | None:
    if role == "place" and str(value).lower() in ("all", "everywhere", "house"):
        return rng.choice(WHOLE)
    said = surface(tool, path, value, rng)
    if said and role == "place" and "door" in words(path) and "door" not in said.lower():
        return f"{said} door"
    return said


def _imperative(text: str) -> bool:
    return text.split()[0] in IMPERATIVE


def _joined(tool: ToolSpec, frame: Frame, text: str, tail: list[Fragment], given: Mapping[str, str]) -> str:
    """Free text at the end of a frame keeps its place: what else there is to say goes before its introduction."""
    if not tail:
        return text
    extra = " ".join(part.text for part in tail)
    last = re.search(r"\{(\w+)\}$", frame.text)
    if last and last[1] == "text" and ":" in text:
        head, _, words_ = text.partition(":")
        return f"{head} {extra}:{words_}"
    return f"{text} {extra}"


def _open(tool: ToolSpec, frame: Frame, tail: list[Fragment], given: Mapping[str, str]) -> bool:
    last = re.search(r"\{(\w+)%?\}$", frame.text)
    if last and last[1] == "text":
        return True
    if tail:
        return tail[-1].open_end
    return bool(last and last[1] in given and ends_open(tool, given[last[1]]))
