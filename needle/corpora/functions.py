"""Intents and slots of public corpora as functions, with several wordings of each, so that no model learns a name by heart.

A ``Function`` keeps names as plain words ("set alarm"); ``word_toolset`` dresses a choice of functions the way one author
would write them: one naming style, with or without descriptions of arguments, times as text or as ``HH:MM``.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files
from typing import Any

from needle.corpora.normalise import as_integer, as_number, as_time
from needle.tools import ToolSpec

PARTICLES = frozenset(["up", "down", "on", "off", "again", "more", "out", "in"])
"""Second words of names that cannot come first."""


@dataclass(frozen=True)
class Slot:
    """One argument of a function, before it is worded."""

    key: str
    """Label of the corpus."""
    names: tuple[str, ...]
    """Possible names, as words."""
    descriptions: tuple[str, ...] = ()
    """Possible descriptions; none: the name speaks for itself."""
    kind: str = "text"
    """``text`` (copied from the request), ``closed`` (text that may become an enum), ``enum``, ``integer``, ``number``, ``boolean``, ``time`` (text or ``HH:MM``), ``hhmm``, ``date``, ``email``."""
    choices: tuple[str, ...] = ()
    """Values of an ``enum``, or frequent values of a ``closed`` slot."""
    many: bool = False
    """Whether the argument is an array of such values."""
    limits: tuple[int, int] | None = None
    """Least and most value of an integer."""
    required: bool = False
    """Whether a call without it makes no sense (then such a request gets no call)."""


@dataclass(frozen=True)
class Function:
    """One intent as a callable function, before it is worded."""

    key: str
    """Label of the corpus."""
    service: str
    """The functions that belong together: near misses are drawn from the same service."""
    names: tuple[str, ...]
    """Possible names, as words, verb first."""
    descriptions: tuple[str, ...]
    """Possible descriptions."""
    slots: tuple[Slot, ...] = ()
    """Arguments in a natural order."""
    rivals: frozenset[str] = frozenset()
    """Keys of functions that could serve the same request: never offered together, nor in place of this one."""
    kin: frozenset[str] = frozenset()
    """Keys of functions that may be offered beside it, but might do as a first step when it is withheld: then they are not offered."""


@dataclass(frozen=True)
class Worded:
    """A function as one author wrote it: its spec, and how slots become arguments."""

    function: Function
    """What is worded."""
    spec: ToolSpec
    """The tool."""
    modes: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Slot to (argument name, mode); the mode says how a value is written, see ``encode``."""
    choices: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Slot to {value in lower case: how the enum writes it}."""


@dataclass(frozen=True)
class Style:
    """The habits of one author, the same for a whole toolset."""

    case: str
    """``snake``, ``camel``, ``pascal``, ``dotted`` or ``kebab``."""
    prefix: bool
    """Whether names begin with the service."""
    noun_first: bool
    """``alarm_set`` instead of ``set_alarm``."""
    described: bool
    """Whether arguments have descriptions."""
    typed: bool
    """Whether times are ``HH:MM`` and closed lists are enums, rather than free text."""
    enum_case: str
    """How enum members are written: ``lower``, ``upper``, ``title`` or ``as is``."""


def load_functions(name: str) -> dict[str, Function]:
    """Functions written down in ``needle/corpora/specs/NAME.json`` (the layout is in ``docs/corpora.md``), by key."""
    raw = json.loads((files("needle.corpora") / "specs" / f"{name}.json").read_text(encoding="utf-8"))
    shared = raw.get("slots", {})
    rivals, kin = ([frozenset(group) for group in raw.get(name, ())] for name in ("rivals", "kin"))
    result = {}
    for service, group in raw["functions"].items():
        for key, (names, text, slots) in group.items():
            made = tuple(_slot(slot, shared.get(slot, ()), own) for slot, own in (slots if isinstance(slots, dict) else dict.fromkeys(slots, ())).items())
            against, akin = (frozenset().union(*(found for found in groups if key in found)) - {key} for groups in (rivals, kin))
            result[key] = Function(key, service, _split(names), _split(text), made, against, akin)
    return result


def _split(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split("|") if part.strip())


def _slot(key: str, shared: Sequence[Any], own: Sequence[Any]) -> Slot:
    """``[names, descriptions, kind, more]``: what a function says itself comes before what the set says of the slot."""
    merged = [own[place] if len(own) > place and own[place] else shared[place] if len(shared) > place else "" for place in range(4)]
    more = {name: tuple(value) if isinstance(value, list) else value for name, value in (merged[3] or {}).items()}
    return Slot(key, _split(merged[0]) or (key.replace("_", " "),), _split(merged[1]), merged[2] or "text", **more)


def draw_style(rng: random.Random) -> Style:
    """A style as often as it is seen in public tool lists: mostly snake case and described arguments."""
    case = rng.choices(("snake", "camel", "pascal", "dotted", "kebab"), (58, 22, 6, 9, 5))[0]
    return Style(case, case == "dotted" or rng.random() < 0.15, rng.random() < 0.1, rng.random() < 0.75, rng.random() < 0.5, rng.choice(("lower", "lower", "upper", "title", "as is")))


def word_function(function: Function, style: Style, rng: random.Random, keep: Iterable[str] | None = None, required: Iterable[str] = ()) -> Worded:
    """One wording of ``function``. ``keep``: its slots that get an argument (all); ``required``: slots that every call gives."""
    required = set(required)
    slots = [slot for slot in function.slots if keep is None or slot.key in set(keep)]
    if rng.random() < 0.3:
        rng.shuffle(slots)
    properties: dict[str, Any] = {}
    modes, choices, must = {}, {}, []
    for slot in slots:
        name = join_words(rng.choice(slot.names), "camel" if style.case in ("camel", "pascal") else "snake")
        if name in properties:
            name = join_words(slot.key, "camel" if style.case in ("camel", "pascal") else "snake")
        if name in properties:
            continue
        schema, mode, table = _schema(slot, style, rng)
        if style.described and slot.descriptions:
            schema["description"] = rng.choice(slot.descriptions)
        properties[name], modes[slot.key] = schema, (name, mode)
        choices |= {slot.key: table} if table else {}
        must += [name] if slot.key in required else []
    parameters = {"type": "object", "properties": properties} | ({"required": must} if must else {})
    spec = ToolSpec(_name(function, style, rng), rng.choice(function.descriptions) if function.descriptions else "", parameters)
    return Worded(function, spec, modes, choices)


def _schema(slot: Slot, style: Style, rng: random.Random) -> tuple[dict[str, Any], str, dict[str, str]]:
    """JSON Schema of a slot, the mode of its values, and for an enum how each value is written."""
    schema: dict[str, Any] = {"type": "string"}
    mode, table = "text", {}
    if slot.kind in ("integer", "number", "boolean"):
        schema, mode = {"type": slot.kind}, slot.kind
        if slot.limits:
            schema |= {"minimum": slot.limits[0], "maximum": slot.limits[1]}
    elif slot.kind in ("date", "email", "hhmm") or (slot.kind == "time" and style.typed):
        mode = "time" if slot.kind == "hhmm" else slot.kind
        schema = schema | {"format": mode}
    elif slot.kind == "enum" or (slot.kind == "closed" and style.typed and len(slot.choices) > 3):
        chosen = list(slot.choices) if slot.kind == "enum" else rng.sample(slot.choices, min(len(slot.choices), rng.randint(4, 10)))
        table = {value.lower(): write_choice(value, style.enum_case if slot.kind == "closed" else "as is") for value in chosen}
        schema, mode = schema | {"enum": list(dict.fromkeys(table.values()))}, "enum"
    return ({"type": "array", "items": schema}, mode, table) if slot.many else (schema, mode, table)


def write_choice(value: str, case: str) -> str:
    """An enum member in the author's way of writing: ``living room``, ``LIVING_ROOM``, ``Living Room``."""
    if case == "upper":
        return re.sub(r"[^\w]+", "_", value).strip("_").upper() or value
    return value.lower() if case == "lower" else value.title() if case == "title" and value.islower() else value


def encode(worded: Worded, slot: str, value: Any) -> Any:
    """The value of a slot as this wording writes it; ``None`` when it cannot be (then the request does not fit the wording)."""
    many = next(one.many for one in worded.function.slots if one.key == slot)
    mode, table = worded.modes[slot][1], worded.choices.get(slot, {})
    if isinstance(value, list | tuple):
        parts = [_encode(mode, part, table) for part in value]
        return parts if many and None not in parts else None
    made = _encode(mode, value, table)
    return [made] if many and made is not None else made


def _encode(mode: str, value: Any, table: Mapping[str, str]) -> Any:
    if mode == "enum":
        return table.get(str(value).lower())
    if mode == "time":
        return as_time(str(value))
    if mode == "integer":
        return value if isinstance(value, int) else as_integer(str(value))
    if mode == "number":
        return value if isinstance(value, int | float) else as_number(str(value))
    if mode == "boolean":
        return value if isinstance(value, bool) else None
    return value if isinstance(value, str) and value.strip() else None


def _name(function: Function, style: Style, rng: random.Random) -> str:
    words = rng.choice(function.names)
    first, _, rest = words.partition(" ")
    if style.noun_first and len(words.split()) == 2 and rest not in PARTICLES:
        words = f"{rest} {first}"
    if style.prefix and style.case != "dotted" and function.service.split()[0] not in words.split():
        words = f"{function.service} {words}"
    if style.case == "dotted":
        return f"{join_words(function.service, 'snake')}.{join_words(words, 'snake')}"
    return join_words(words, style.case)


@lru_cache(maxsize=65536)
def join_words(words: str, case: str) -> str:
    """Words as an identifier: ``set_alarm``, ``setAlarm``, ``SetAlarm``, ``set-alarm``."""
    parts = re.findall(r"[A-Za-z0-9]+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", words.replace("'", "")))
    low = [part.lower() for part in parts]
    if case == "camel":
        return low[0] + "".join(part.capitalize() for part in low[1:])
    if case == "pascal":
        return "".join(part.capitalize() for part in low)
    return ("-" if case == "kebab" else "_").join(low)
