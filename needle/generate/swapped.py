"""Swapped arguments: two stated values of one kind that would fit better in each other's place.

What speaks for a place is learned (``needle.generate.roles``): the words beside a value, its shape, the order of a range, how
the values of several calls lie. Only pairs that the schemas allow both ways are looked at, and none that a plan has settled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from needle.generate.roles import interchangeable, pairs, score, stated
from needle.tools.grounding.ground import Grounding, ground_calls
from needle.tools.spec import ToolCall, ToolSpec

DOUBT = 3.0
"""Log-odds against the order as it is from which a pair counts as exchanged."""
DOUBT_PLANNED = 1.0
"""The same where a plan has settled half of the values or more: few pairs are left to err on."""


@dataclass(frozen=True)
class Swap:
    """Two values that would fit better in each other's place."""

    one: str
    """``call index.argument path`` of the first."""
    two: str
    """And of the second."""
    points: float
    """Log-odds for the exchange."""


def swapped(
    calls: Sequence[ToolCall],
    tools: Sequence[ToolSpec],
    request: str,
    groundings: Sequence[Grounding] | None = None,
    settled: frozenset[str] = frozenset(),
) -> list[Swap]:
    """Pairs of values that seem exchanged. ``settled``: paths that are known to be right."""
    if groundings is None:
        groundings = ground_calls(calls, tools, request)
    said = stated(calls, tools, groundings)
    known = sum(item.slot.path in settled for item in said)
    least = DOUBT_PLANNED if 2 * known >= len(said) else DOUBT
    found = []
    for one, two in pairs(said):
        if one.slot.path not in settled and two.slot.path not in settled:
            points = -score(one, two, said, request)
            if points >= least and interchangeable(calls, one, two, tools):
                found.append(Swap(one.slot.path, two.slot.path, round(points, 2)))
    return found
