"""The arguments of a wanted call: what must be given, what is to be mentioned, and nothing else."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from needle.teacher.embedded.fragments import pair_units
from needle.teacher.embedded.phrasing import Voice
from needle.teacher.embedded.reference import near_day
from needle.teacher.embedded.text import words
from needle.teacher.embedded.values import sayable
from needle.teacher.embedded.wish import PlannedCall
from needle.tools.arguments import leaves, schema_at, value_class
from needle.tools.spec import ToolSpec

TRUSTED = 0.75
"""Chance that a suggested value is used where recorded ones are known too."""


def arguments_for(tool: ToolSpec, wanted: PlannedCall, voice: Voice, rng: random.Random) -> dict[str, Any] | None:
    """Flat arguments: every required one (and those inside an object that is given), those to be mentioned, nothing
    else; None when a value cannot be had."""
    flat: dict[str, Any] = {}
    for path in leaves(tool):
        needed = path in wanted.mention or path in wanted.values or _required(tool, path, wanted.mention)
        if not needed or path == wanted.omit:
            continue
        value = wanted.values[path] if path in wanted.values else _value(tool, path, wanted, voice, rng)
        if value is None:
            return None
        flat[path] = value
    _put_in_order(tool, flat)
    for path, unit in pair_units(tool, flat).items():
        if str(flat[unit]).lower().startswith(("hour", "h")) and isinstance(flat[path], (int, float)):
            flat[path] = max(1, int(flat[path]) % 12)
    return flat


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """``{"when.date": x}`` -> ``{"when": {"date": x}}``."""
    arguments: dict[str, Any] = {}
    for path, value in flat.items():
        *parents, last = path.split(".")
        place = arguments
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value
    return arguments


def _value(tool: ToolSpec, path: str, wanted: PlannedCall, voice: Voice, rng: random.Random) -> Any:
    if voice.today and value_class(schema_at(tool.parameters, path)) == "date":
        return near_day(voice.today, rng)
    hint = wanted.suggest.get(path)
    usable = hint is not None and sayable(hint, schema_at(tool.parameters, path))
    if usable and (not isinstance(hint, str) or rng.random() < TRUSTED):
        return hint
    drawn = voice.values.sample(tool, path, rng)
    return hint if drawn is None and usable else drawn


def _put_in_order(tool: ToolSpec, flat: dict[str, Any]) -> None:
    """A least value is not above the greatest, a start not after an end."""
    for low, high in (("min", "max"), ("start", "end"), ("from", "to"), ("minimum", "maximum"), ("first", "last")):
        for path in list(flat):
            other = ".".join([*path.split(".")[:-1], path.rpartition(".")[2].replace(low, high, 1)])
            same = other != path and other in flat and type(flat[path]) is type(flat[other])
            if same and low in words(path) and str(flat[path])[:1].isdigit():
                flat[path], flat[other] = sorted((flat[path], flat[other]))


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
