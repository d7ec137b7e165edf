"""What to ask for next: an endless, seeded sequence of plans for each kind, and the quotas that kinds get.

The ``index``-th plan of a kind depends on the seed, the toolset and the locales only, never on answers, so that a
resumed run asks the same questions in the same order.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from needle.generate.context import draw_context
from needle.generate.kinds import Abilities, abilities, correctable, impossible_kinds, omittable
from needle.generate.styles import Style, draw_style
from needle.generate.values import FIRST, Suggester
from needle.teacher.embedded.lexicon import TARGETS
from needle.teacher.embedded.patterns import ON_OFF
from needle.teacher.embedded.text import kin, words
from needle.teacher.embedded.wish import PlannedCall
from needle.tools.arguments import leaves, schema_at, value_class
from needle.tools.spec import ToolSpec
from needle.traces.trace import NO_CALL

__all__ = ["Plan", "PlannedCall", "impossible_kinds", "plan_for", "quotas"]
MENTION = 0.3
"""Chance that an optional argument is to be mentioned."""
SUGGEST = 0.6
"""Chance that a value is suggested where there is something to suggest."""
COUNTS = {2: 0.7, 3: 0.25, 4: 0.05}
"""Calls of a request for several, with their shares."""
SETTING = frozenset("set change update adjust control edit modify configure".split())
"""Verbs that make no sense with a target alone: one optional argument at least is mentioned."""


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
    style: Style = Style()
    """How it is to sound."""
    withheld: tuple[str, ...] = ()
    """Tools that are not on offer when the request is answered."""
    beside: str = ""
    """The look-alike that a ``sibling`` or ``near_miss`` request is not to be mistaken for."""
    cut: str = ""
    """For ``missing``: the argument whose value is cut out of a verified request (see ``needle.generate.cut``)."""
    distractor: str = ""
    """A number or a name that belongs to no argument."""
    facts: str | None = None
    """What holds for the request: date, place, locale."""
    context: str = ""
    """``followup`` (the request changes or repeats what an earlier turn asked), ``answer`` (it gives what the assistant
    asked for) or ``relative`` (it counts days from the date among the facts)."""
    ask_back: str = ""
    """For ``answer``: the argument that the assistant asks for; for ``followup``: the one that differs."""

    @property
    def due(self) -> tuple[PlannedCall, ...]:
        """The calls that the right answer makes, in order."""
        return () if self.kind in NO_CALL else tuple(call for call in self.calls if call.due)

    @property
    def as_written(self) -> Plan:
        """What the author was asked for: for a value that is to be cut out, a whole request."""
        return replace(self, kind="single", cut="") if self.cut else self

    def offered(self, tools: Sequence[ToolSpec]) -> list[ToolSpec]:
        """The tools that are on offer when the request is answered."""
        return [tool for tool in tools if tool.name not in self.withheld]


def quotas(n: int, mix: Mapping[str, float]) -> dict[str, int]:
    """Rows of each kind: ``n`` in all, by largest remainder."""
    total = sum(mix.values())
    exact = {kind: n * share / total for kind, share in mix.items() if share > 0}
    counts = {kind: int(value) for kind, value in exact.items()}
    by_remainder = sorted(exact, key=lambda kind: (counts[kind] - exact[kind], kind))
    for kind in by_remainder[: n - sum(counts.values())]:
        counts[kind] += 1
    return counts


def plan_for(kind: str, index: int, tools: Sequence[ToolSpec], seed: int, locales: Sequence[str] = ()) -> Plan:
    """The ``index``-th plan of a kind. Tools take turns, in a new order each time round.

    Args:
        kind: one of ``needle.traces.KINDS``, possible for the toolset (see ``impossible_kinds``).
        index: place in the sequence, from 0.
        tools: the toolset.
        seed: of the run.
        locales: of Faker, from which people and places are suggested; empty: built-in banks.

    Raises:
        UserError: locales without Faker.
    """
    digest = hashlib.blake2b(f"{seed}/{kind}/{index}".encode(), digest_size=8).digest()
    rng = random.Random(int.from_bytes(digest, "big"))
    style = draw_style(rng, kind, locales)
    plan = Plan(kind, index, rng.randrange(2**31), style=style)
    if style.distractor in ("number", "name"):
        said = (
            rng.choice(FIRST)
            if style.distractor == "name"
            else str(rng.choice((rng.randint(11, 99), rng.randint(2, 9))))
        )
        plan = replace(plan, distractor=said)
    maker = _Maker(tools, abilities(tuple(tools)), _suggester(tuple(locales)), style.locale, seed, rng)
    return draw_context(maker.fill(plan), tools, rng)


@lru_cache(maxsize=8)
def _suggester(locales: tuple[str, ...]) -> Suggester:
    return Suggester(locales)


@dataclass
class _Maker:
    """Fills the calls of a plan."""

    tools: Sequence[ToolSpec]
    able: Abilities
    suggester: Suggester
    locale: str
    seed: int
    rng: random.Random

    def fill(self, plan: Plan) -> Plan:
        make = getattr(self, f"_{plan.kind}", None)
        return make(plan) if make else plan

    def _turn(self, plan: Plan, able: Sequence[ToolSpec]) -> ToolSpec:
        """The tool whose turn it is among those that are able."""
        order = random.Random(f"{self.seed}/{plan.kind}/{plan.index // len(able)}").sample(list(able), len(able))
        return order[plan.index % len(able)]

    def _single(self, plan: Plan) -> Plan:
        return replace(plan, calls=(self._call(self._turn(plan, self.tools)),))

    _negated = _single

    def _sibling(self, plan: Plan) -> Plan:
        tool = self._turn(plan, [tool for tool in self.tools if tool.name in self.able.siblings])
        return replace(plan, calls=(self._call(tool),), beside=self.rng.choice(self.able.siblings[tool.name][:3]))

    def _parallel(self, plan: Plan) -> Plan:
        tool = self._turn(plan, self.able.with_arguments)
        return replace(plan, calls=tuple(self._call(tool) for _ in range(_draw(COUNTS, self.rng))))

    def _several(self, plan: Plan) -> Plan:
        first = self._turn(plan, self.tools)
        others = [tool for tool in self.tools if tool.name != first.name]
        count = min(_draw(COUNTS, self.rng) - 1, len(others))
        return replace(plan, calls=tuple(self._call(tool) for tool in [first, *self.rng.sample(others, count)]))

    def _extraction(self, plan: Plan) -> Plan:
        tool = self._turn(plan, self.able.extractable)
        return replace(plan, calls=(self._call(tool, mention=0.75, most=6),))

    def _corrected(self, plan: Plan) -> Plan:
        if len(self.tools) > 1 and self.rng.random() < 0.25:  # one of two calls is withdrawn
            made = self._several(replace(plan, index=plan.index))
            calls = [*made.calls[:2]]
            withdrawn = self.rng.randrange(2)
            calls[withdrawn] = replace(calls[withdrawn], due=False)
            return replace(plan, calls=tuple(calls))
        tool = self._turn(plan, self.able.correctable)
        call = self._call(tool)
        able = [
            path for path in correctable(tool) if path in call.mention or path in call.values or path in omittable(tool)
        ]
        if not able:
            path = self.rng.choice(correctable(tool))
            call, able = self._call(tool, also=path), [path]
        return replace(plan, calls=(replace(call, first=self.rng.choice(able)),))

    def _half(self, plan: Plan) -> Plan:
        able = [*self.able.near, *self.able.far]
        if able and plan.index % 2:
            lost, gone = able[(plan.index // 2) % len(able)]
            stays = [tool for tool in self.tools if tool.name not in gone]
            calls = [self._call(self.rng.choice(stays)), replace(self._call(lost), due=False)]
            return replace(plan, calls=tuple(self.rng.sample(calls, 2)), withheld=gone)
        return replace(plan, calls=(self._call(self._turn(plan, self.tools)),))

    def _irrelevant(self, plan: Plan) -> Plan:
        able = self.able.far
        if able and plan.index % 3 == 2:
            return self._withhold(plan, able)
        return plan

    def _near_miss(self, plan: Plan) -> Plan:
        able = self.able.near
        if able and plan.index % 2:
            return self._withhold(plan, able)
        return replace(plan, beside=self._turn(plan, self.tools).name)

    def _withhold(self, plan: Plan, able: Sequence[tuple[ToolSpec, tuple[str, ...]]]) -> Plan:
        tool, gone = able[plan.index // 2 % len(able)]
        return replace(plan, calls=(replace(self._call(tool), due=False),), withheld=gone)

    def _missing(self, plan: Plan) -> Plan:
        tool = self._turn(plan, self.able.omittable)
        omit = self.rng.choice(omittable(tool))
        call = self._call(tool)
        if plan.index % 2:  # a whole request, verified as one, out of which the value is cut
            return replace(plan, calls=(call,), cut=omit)
        rest = {path: value for path, value in call.values.items() if path != omit}
        hints = {path: value for path, value in call.suggest.items() if path != omit}
        return replace(plan, calls=(replace(call, values=rest, suggest=hints, omit=omit),))

    def _call(self, tool: ToolSpec, *, mention: float = MENTION, most: int = 3, also: str = "") -> PlannedCall:
        rng, paths = self.rng, leaves(tool)
        optional = [path for path in paths if path.split(".")[0] not in tool.required]
        chosen = [path for path in optional if rng.random() < mention or path == also][:most]
        sets = bool(SETTING & set(words(tool.name)) or SETTING & set(words(tool.description)[:1]))
        telling = [path for path in optional if not kin(path) & TARGETS]
        if telling and not set(chosen) & set(telling) and (not tool.required or (sets and len(tool.required) < 2)):
            chosen = [*chosen[: most - 1], rng.choice(telling)]  # "set the thermostat in the office" says nothing
        values: dict[str, Any] = {}
        for path in paths:
            schema = schema_at(tool.parameters, path)
            if path in optional and path not in chosen:
                continue
            if members := [member for member in schema.get("enum") or () if member is not None]:
                values[path] = rng.choice(members)
            elif schema.get("type") == "boolean":
                values[path] = rng.random() < (0.85 if path in optional else 0.6)
        if any(_turns_off(tool, path, value) for path, value in values.items()):
            # nobody says how bright a light is to be that goes off
            chosen = [path for path in chosen if kin(path) & TARGETS or _turns_off(tool, path, values.get(path))]
            values = {path: value for path, value in values.items() if path in chosen or path not in optional}
        # an object is given whole or not at all; values of inner required members follow from the mention of one of them
        opened = {path.split(".")[0] for path in chosen} | set(tool.required)
        given = [path for path in paths if path.split(".")[0] in opened and (path in chosen or path in omittable(tool))]
        return PlannedCall(
            tool.name,
            tuple(chosen),
            {path: value for path, value in values.items() if path.split(".")[0] in opened},
            suggest=self._suggestions(tool, [path for path in given if path not in values]),
        )

    def _suggestions(self, tool: ToolSpec, paths: Sequence[str]) -> dict[str, Any]:
        found = {}
        for path in paths:
            value = self.suggester.suggest(tool, path, self.rng, self.locale)
            if (
                value is not None
                and self.rng.random() < SUGGEST
                and value_class(schema_at(tool.parameters, path)) != "array"
            ):
                found[path] = value
        return found


def _turns_off(tool: ToolSpec, path: str, value: Any) -> bool:
    """Whether a value switches the thing off."""
    return (value is False and bool(ON_OFF & set(words(path)))) or (
        str(value).lower() == "off" and "enum" in schema_at(tool.parameters, path)
    )


def _draw(shares: Mapping[Any, float], rng: random.Random) -> Any:
    return rng.choices(list(shares), list(shares.values()))[0]
