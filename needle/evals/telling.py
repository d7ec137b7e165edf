"""The failures that say most, in words: few, of different kinds, each standing for many and readable at a glance.

Causes share the places in proportion to their rows, the most frequent first and none more than a third; within a cause
the commonest tool and argument come first, shown by the row with the fewest other faults, the surest answer and a
request of readable length.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from needle.evals.taxonomy import CODES, NOT_ERRORS
from needle.evals.verdict import Detail
from needle.tools.spec import ToolCall

if TYPE_CHECKING:
    from needle.evals.summary import Scored

COUNT = 10
"""How many are told."""
SHORT, LONG = 30, 90
"""Characters of a request that says enough and is read at a glance."""


def telling(scored: Sequence[Scored], count: int = COUNT) -> list[dict[str, Any]]:
    """The most telling failures of the model (not of an endpoint): ``id``, ``cause``, ``like`` (rows that fail by the
    same first cause), ``query`` and ``words``."""
    failures: dict[str, list[Scored]] = defaultdict(list)
    for one in scored:
        if one.verdict.cause not in (None, "infra_error"):
            failures[str(one.verdict.cause)].append(one)
    ranked = sorted(failures.items(), key=lambda item: -len(item[1]))
    chosen: list[dict[str, Any]] = []
    for cause, place in _places({cause: len(rows) for cause, rows in ranked}, count):
        one = _examples(failures[cause])[place]
        said = {"id": one.trace.id, "cause": cause, "like": len(failures[cause])}
        chosen.append(said | {"query": one.trace.query, "words": in_words(one)})
    return chosen


def _places(sizes: dict[str, int], count: int) -> list[tuple[str, int]]:
    """Cause and number of the example, in order: each next place goes to the cause with most rows for each it has."""
    most = max(1, count // 3) if len(sizes) > 2 else count
    given: Counter[str] = Counter()
    while sum(given.values()) < count:
        able = [cause for cause, size in sizes.items() if given[cause] < min(most, size)]
        if not able:
            break
        given[max(able, key=lambda cause: sizes[cause] / (given[cause] + 1))] += 1
    return [(cause, place) for cause in sizes for place in range(given[cause])]


def _examples(rows: Sequence[Scored]) -> list[Scored]:
    """Rows of one cause, one of each tool and argument (commonest first), then the rest."""
    groups: dict[tuple[str, str], list[Scored]] = defaultdict(list)
    for one in sorted(rows, key=_readable):
        groups[_where(one)].append(one)
    ordered = sorted(groups.values(), key=lambda group: (-len(group), _readable(group[0])))
    return [group[0] for group in ordered] + [one for group in ordered for one in group[1:]]


def _readable(one: Scored) -> tuple[int, float, int, str]:
    faults = sum(detail.code not in NOT_ERRORS for detail in one.verdict.details)
    length = len(one.trace.query)
    strain = max(SHORT - length, 0, length - LONG)
    return faults, -(one.result.confidence or 0.0), strain, one.trace.id


def _detail(one: Scored) -> Detail:
    return next((detail for detail in one.verdict.details if detail.code == one.verdict.cause), Detail(""))


def _where(one: Scored) -> tuple[str, str]:
    """Tool and argument that the first cause is about."""
    found = _detail(one)
    call, argument = _at(one.trace.calls, found.gold) if found.gold else _at(one.result, found.got)
    return (call.name if call else "", argument)


def _at(calls: Sequence[ToolCall], path: str) -> tuple[ToolCall | None, str]:
    """Call and top-level argument of a path such as ``0.room``."""
    head, _, rest = path.partition(".")
    if not head.isdigit() or int(head) >= len(calls):
        return None, ""
    return calls[int(head)], rest.split(".")[0]


def in_words(one: Scored) -> str:
    """What went wrong first in a row that is not right, as a sentence without its subject."""
    found, cause = _detail(one), str(one.verdict.cause)
    if not one.verdict.well_formed:
        raw = _cut(one.result.raw.strip())
        return f"{CODES[cause]}: {raw}" if raw else CODES[cause]
    return _DECISIONS[cause](one) if cause in _DECISIONS else _about_argument(one, found, cause)


def _about_argument(one: Scored, found: Detail, cause: str) -> str:
    got_call, got_name = _at(one.result, found.got)
    due_call, due_name = _at(one.trace.calls, found.gold)
    call, name = (got_call, got_name) if got_call else (due_call, due_name)
    if call is None or not name:
        return f"{CODES.get(cause, cause)}{f': {found.note}' if found.note else ''}"
    place = f"{name} of {call.name}"
    got = _value(got_call.arguments.get(got_name)) if got_call else ""
    due = _value(due_call.arguments.get(due_name)) if due_call and due_name in due_call.arguments else ""
    if cause == "wrong_value":
        why = [CODES[code] for code in one.verdict.codes if code in _WHY and _same_place(one, code, found)]
        return f"{place} is {got} instead of {due}" + (f" ({why[0]})" if why else "")
    if cause in ("missing_optional", "missing_required"):
        return f"{place} is left out" + (f", {due} is due" if due else "")
    if cause in ("extra_optional", "unknown_param"):
        return f"{place} is set to {got}, {CODES[cause]}"
    return f"{place} is {got}: {found.note or CODES.get(cause, cause)}"


_WHY = frozenset({"swapped_args", "cross_call", "wrong_form", "wrong_span", "ungrounded_value"})


def _same_place(one: Scored, code: str, found: Detail) -> bool:
    return any(detail.code == code and detail.got == found.got for detail in one.verdict.details)


def _missing(one: Scored) -> str:
    made = Counter(call.name for call in one.result)
    for call in one.trace.calls:
        if not made[call.name]:
            return f"; {_call(call)} is missing"
        made[call.name] -= 1
    return ""


def _surplus(one: Scored) -> str:
    due = Counter(call.name for call in one.trace.calls)
    for call in one.result:
        if not due[call.name]:
            return f"; {_call(call)} is too much"
        due[call.name] -= 1
    return ""


def _names(calls: Sequence[ToolCall]) -> str:
    return _cut(", ".join(call.name for call in calls)) or "nothing"


def _tool(one: Scored) -> str:
    return f"called {_names(one.result)} where {_names(one.trace.calls)} was due"


_DECISIONS: dict[str, Callable[[Any], str]] = {
    "over_call": lambda one: f"called {_call(one.result[0])} although no call was due",
    "under_call": lambda one: f"made no call; {_call(one.trace.calls[0])} was due",
    "should_ask": lambda one: f"called {_call(one.result[0])} although the request leaves a required value out",
    "too_few_calls": lambda one: f"made {len(one.result)} of {len(one.trace.calls)} calls{_missing(one)}",
    "too_many_calls": lambda one: f"made {len(one.result)} calls where {len(one.trace.calls)} were due{_surplus(one)}",
    "repeated_call": lambda one: f"made the same call twice: {_call(one.result[-1])}",
    "wrong_order": lambda one: f"made the right calls in the wrong order: {_names(one.result)}",
    "near_tool": _tool,
    "unknown_tool": _tool,
    "wrong_tool": _tool,
}
"""Causes that concern the row rather than one argument."""


def _call(call: ToolCall) -> str:
    return _cut(f"{call.name}({', '.join(f'{key}={_value(value)}' for key, value in call.arguments.items())})")


def _value(value: Any) -> str:
    return _cut(json.dumps(value, ensure_ascii=False), 60)


def _cut(text: str, limit: int = 140) -> str:
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1] + "…"
