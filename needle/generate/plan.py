"""What to ask for next: an endless, seeded sequence of plans for each kind, and the quotas that kinds get.

The ``index``-th plan of a kind depends on the seed and the toolset only, never on answers, so that a resumed run
asks the same questions in the same order.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from needle.teacher.embedded.lexicon import TARGETS
from needle.teacher.embedded.text import kin, words
from needle.teacher.schema import leaves, schema_at
from needle.tools.spec import ToolSpec

FORMS = {"command": 0.6, "request": 0.25, "need": 0.15}
CASES = {"plain": 0.5, "written": 0.3, "lower": 0.2}
LENGTHS = {"short": 0.45, "medium": 0.4, "long": 0.15}
MENTION = 0.3
"""Chance that an optional argument is to be mentioned."""
SETTING = frozenset("set change update adjust control edit modify configure".split())
"""Verbs that make no sense with a target alone: one optional argument at least is mentioned."""


@dataclass(frozen=True)
class PlannedCall:
    """One call that a request is to lead to (or, for ``missing`` and ``negated``, to fall short of)."""

    tool: str
    """Name of the tool."""
    mention: tuple[str, ...] = ()
    """Optional arguments to give, as dotted paths."""
    values: dict[str, Any] = field(default_factory=dict, hash=False)
    """Settled values of enums and booleans, so that their members are covered evenly."""
    omit: str = ""
    """Required argument to leave out."""
    suggest: dict[str, Any] = field(default_factory=dict, hash=False)
    """Values that the author may use, so that they vary."""


@dataclass(frozen=True)
class Plan:
    """One row to be asked for."""

    kind: str
    """One of ``needle.traces.KINDS``."""
    index: int
    """Place in the sequence of its kind."""
    seed: int
    """Seed of this row's teacher calls, below 2**31."""
    calls: tuple[PlannedCall, ...] = ()
    """What it is about."""
    form: str = "command"
    """``command``, ``request`` (can you ...) or ``need`` (I need you to ...)."""
    case: str = "plain"
    """``plain``, ``written`` (capital and full stop) or ``lower`` (as speech recognition gives it)."""
    length: str = "short"
    """``short``, ``medium`` or ``long``."""


def quotas(n: int, mix: Mapping[str, float]) -> dict[str, int]:
    """Rows of each kind: ``n`` in all, by largest remainder."""
    total = sum(mix.values())
    exact = {kind: n * share / total for kind, share in mix.items() if share > 0}
    counts = {kind: int(value) for kind, value in exact.items()}
    by_remainder = sorted(exact, key=lambda kind: (counts[kind] - exact[kind], kind))
    for kind in by_remainder[: n - sum(counts.values())]:
        counts[kind] += 1
    return counts


def impossible_kinds(tools: Sequence[ToolSpec]) -> dict[str, str]:
    """Kinds that a toolset cannot give, each with the reason."""
    found: dict[str, str] = {}
    if not any(_omittable(tool) for tool in tools):
        found["missing"] = "no tool has a required argument that a request could leave out"
    if len(tools) < 2 and not any(leaves(tool) for tool in tools):
        found["parallel"] = "one tool without arguments cannot be called twice to different ends"
    return found


def plan_for(kind: str, index: int, tools: Sequence[ToolSpec], seed: int) -> Plan:
    """The ``index``-th plan of a kind. Tools take turns, in a new order each time round."""
    digest = hashlib.blake2b(f"{seed}/{kind}/{index}".encode(), digest_size=8).digest()
    rng = random.Random(int.from_bytes(digest, "big"))
    style = {
        "form": _draw(FORMS, rng),
        "case": _draw(CASES, rng),
        "length": _draw(LENGTHS, rng),
        "seed": rng.randrange(2**31),
    }
    if kind in ("irrelevant", "chat"):
        return Plan(kind, index, calls=(), **style)
    able = [tool for tool in tools if kind != "missing" or _omittable(tool)]
    turn = random.Random(f"{seed}/{kind}/{index // len(able)}").sample(able, len(able))
    first = turn[index % len(able)]
    if kind == "missing":
        omit = rng.choice(_omittable(first))
        call = _call(first, rng)
        return Plan(
            kind,
            index,
            calls=(PlannedCall(first.name, call.mention, {k: v for k, v in call.values.items() if k != omit}, omit),),
            **style,
        )
    if kind != "parallel":
        return Plan(kind, index, calls=(_call(first, rng),), **style)
    count = 2 if rng.random() < 0.8 else 3
    calls = [_call(first, rng)]
    same = bool(leaves(first)) and rng.random() < 0.4
    while len(calls) < count:
        tool = (
            first
            if same
            else rng.choice(
                [tool for tool in tools if leaves(tool) or tool.name not in {call.tool for call in calls}] or [first]
            )
        )
        calls.append(_call(tool, rng))
    return Plan(kind, index, calls=tuple(calls), **style)


def _call(tool: ToolSpec, rng: random.Random) -> PlannedCall:
    paths = leaves(tool)
    optional = [path for path in paths if path.split(".")[0] not in tool.required]
    mention = [path for path in optional if rng.random() < MENTION][:3]
    sets = bool(SETTING & set(words(tool.name)) or SETTING & set(words(tool.description)[:1]))
    telling = [path for path in optional if not kin(path) & TARGETS]
    if telling and not set(mention) & set(telling) and (not tool.required or (sets and len(tool.required) < 2)):
        mention = [*mention[:2], rng.choice(telling)]  # "set the thermostat in the office" says nothing
    values: dict[str, Any] = {}
    for path in paths:
        schema = schema_at(tool.parameters, path)
        if path in optional and path not in mention:
            continue
        if members := [member for member in schema.get("enum") or () if member is not None]:
            values[path] = rng.choice(members)
        elif schema.get("type") == "boolean":
            values[path] = rng.random() < (0.85 if path in optional else 0.6)
    # an object is given whole or not at all; values of inner required members follow from the mention of one of them
    opened = {path.split(".")[0] for path in mention} | set(tool.required)
    return PlannedCall(
        tool.name, tuple(mention), {path: value for path, value in values.items() if path.split(".")[0] in opened}
    )


def _omittable(tool: ToolSpec) -> list[str]:
    """Required arguments whose absence shows: not booleans, which a verb carries; required at every level."""
    found = []
    for path in leaves(tool):
        parts = path.split(".")
        parents = [
            schema_at(tool.parameters, ".".join(parts[:depth])) if depth else tool.parameters
            for depth in range(len(parts))
        ]
        needed = all(part in (parent.get("required") or ()) for part, parent in zip(parts, parents))
        schema = schema_at(tool.parameters, path)
        if needed and schema.get("type") != "boolean" and "const" not in schema and "default" not in schema:
            found.append(path)
    return found


def _draw(shares: Mapping[str, float], rng: random.Random) -> str:
    return rng.choices(list(shares), list(shares.values()))[0]
