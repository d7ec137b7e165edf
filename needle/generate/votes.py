"""Several independent labels of one request: which of them wins, and how the votes are shared.

Labels are compared as calls, whatever their order, letter case aside. The shares over decisions (which tools, which
member of an enum, whether an optional argument is given) are kept as soft labels: they need no logarithms of
probabilities, work across tokenizers, and any endpoint gives them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from needle.tools.arguments import flat_arguments, schema_at
from needle.tools.grounding.said import folded
from needle.tools.spec import ToolCall, ToolSpec
from needle.traces.write import dump_json


@dataclass(frozen=True)
class Ballot:
    """One label of a request."""

    teacher: str
    """Who gave it."""
    weight: float
    """What it counts."""
    calls: tuple[ToolCall, ...] | None
    """The calls; None: the answer could not be read or does not fit the schemas, and counts for nothing."""


@dataclass(frozen=True)
class Count:
    """The outcome of a vote."""

    winner: int | None
    """Number of the first ballot of the largest group; None when no ballot counts."""
    share: float
    """Share of that group in all ballots, unreadable ones included."""
    groups: tuple[int, ...]
    """For each ballot the number of its group, in order of appearance; -1 for one that does not count."""


def canonical(calls: Iterable[ToolCall]) -> tuple[str, ...]:
    """Calls as comparable text: order, key order and letter case aside; 5 and 5.0 are one number."""
    return tuple(sorted(f"{call.name} {dump_json(_plain(call.arguments))}" for call in calls))


def count(ballots: Sequence[Ballot]) -> Count:
    """Add the ballots up. Of two groups of the same weight the earlier wins."""
    keys: dict[tuple[str, ...], int] = {}
    groups = []
    weights: dict[int, float] = defaultdict(float)
    for ballot in ballots:
        group = -1 if ballot.calls is None else keys.setdefault(canonical(ballot.calls), len(keys))
        groups.append(group)
        weights[group] += ballot.weight
    total = sum(weights.values())
    valid = {group: weight for group, weight in weights.items() if group >= 0}
    if not valid or total <= 0:
        return Count(None, 0.0, tuple(groups))
    best = max(valid, key=lambda group: (valid[group], -group))
    return Count(groups.index(best), valid[best] / total, tuple(groups))


def decisions(ballots: Sequence[Ballot], winner: int, tools: Sequence[ToolSpec]) -> dict[str, Any]:
    """Soft labels of a vote, each a distribution over the readable ballots.

    ``tools``: names of the called tools, joined by " + " in order ("" is no call). ``members``: ``call index.path`` of an
    enum or boolean to the shares of its values; ``given``: ``call index.path`` of an optional argument to the share of
    ballots that give it. The last two count only ballots that call the winner's tools, and list what was not unanimous.
    """
    read = [ballot for ballot in ballots if ballot.calls is not None]
    chosen = ballots[winner].calls or ()
    names = [call.name for call in chosen]
    result: dict[str, Any] = {"tools": _shares((" + ".join(call.name for call in ballot.calls or ()), ballot.weight) for ballot in read)}
    alike = [ballot for ballot in read if [call.name for call in ballot.calls or ()] == names]
    by_name = {tool.name: tool for tool in tools}
    members: dict[str, dict[str, float]] = {}
    given: dict[str, float] = {}
    for number, name in enumerate(names):
        flats = [(dict(flat_arguments((ballot.calls or ())[number].arguments)), ballot.weight) for ballot in alike]
        for path in sorted({path for flat, _ in flats for path in flat}):
            schema = schema_at(by_name[name].parameters, path)
            values = _shares((dump_json(flat[path]), weight) for flat, weight in flats if path in flat)
            if ("enum" in schema or schema.get("type") == "boolean") and len(values) > 1:
                members[f"{number}.{path}"] = values
            there = sum(weight for flat, weight in flats if path in flat) / sum(weight for _, weight in flats)
            if there < 1:
                given[f"{number}.{path}"] = round(there, 4)
    return result | ({"members": members} if members else {}) | ({"given": given} if given else {})


def _shares(items: Iterable[tuple[str, float]]) -> dict[str, float]:
    weights: dict[str, float] = defaultdict(float)
    for value, weight in items:
        weights[value] += weight
    total = sum(weights.values())
    return {value: round(weight / total, 4) for value, weight in sorted(weights.items(), key=lambda item: (-item[1], item[0]))}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float) and value == int(value):
        return int(value)
    return " ".join(folded(value)[0].split()) if isinstance(value, str) else value
