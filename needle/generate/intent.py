"""Whether a label does what its plan meant: the tools, the optional arguments to mention, the settled values.

The plan was made before the request and the label came from the request alone, so that the two are independent
witnesses. Where they disagree one is wrong, and the row is refused or put to a vote (``needle.generate.votes``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from needle.generate.plan import Plan, PlannedCall
from needle.generate.refusal import Refusal
from needle.tools.arguments import flat_arguments
from needle.tools.grounding.ground import Grounding
from needle.tools.grounding.said import folded, said, same_word, words_of
from needle.tools.spec import ToolCall, ToolSpec
from needle.traces.trace import NO_CALL

EVIDENT = ("said", "normalised", "facts")
"""Origins of a value that speak for an argument which the plan does not have."""


def intent_refusals(
    plan: Plan, calls: Sequence[ToolCall], tools: Sequence[ToolSpec], groundings: Sequence[Grounding], request: str = ""
) -> list[Refusal]:
    """Codes ``expected_no_call``, ``expected_call``, ``plan_disagrees``, ``plan_omits``, ``plan_value``, ``plan_extra``,
    ``plan_exchanged`` (a value that was suggested for another argument)."""
    if plan.kind in NO_CALL:
        called = ", ".join(call.name for call in calls)
        return [Refusal("expected_no_call", f"label calls {called}")] if calls else []
    due = plan.due
    wanted = [call.tool for call in due]
    if not calls:
        return [Refusal("expected_call", f"plan has {', '.join(wanted)}")]
    got = [call.name for call in calls]
    if Counter(wanted) != Counter(got):
        return [Refusal("plan_disagrees", f"plan has {', '.join(wanted)}; label has {', '.join(got)}")]
    by_name = {tool.name: tool for tool in tools}
    found: list[Refusal] = []
    pairs = paired(due, calls)
    for number, planned in pairs.items():
        evidence = {item.path.partition(".")[2]: item for item in groundings if item.path.startswith(f"{number}.")}
        found += _arguments(number, planned, calls[number], by_name[planned.tool], evidence)
        found += _items(number, planned, calls[number], request)
    return found or _exchanged(pairs, calls)


def _exchanged(pairs: Mapping[int, PlannedCall], calls: Sequence[ToolCall]) -> list[Refusal]:
    """Values in the place of another argument than the one for which the plan suggested them to the author."""
    given = {(number, path): value for number in pairs for path, value in flat_arguments(calls[number].arguments)}
    hints = {(number, path): value for number, call in pairs.items() for path, value in call.suggest.items()}
    found = []
    for place, value in given.items():
        if place in hints and same_value(value, hints[place]):
            continue
        origin = next((other for other, hint in hints.items() if other != place and same_value(value, hint)), None)
        if origin and not same_value(given.get(origin), hints[origin]) and given.get(origin) is not None:
            found.append(Refusal("plan_exchanged", f"{place[0]}.{place[1]} has the value meant for {origin[0]}.{origin[1]}"))
    return found


def paired(planned: Sequence[PlannedCall], calls: Sequence[ToolCall]) -> dict[int, PlannedCall]:
    """Number of a call to the planned call it answers: same tool, most planned values in common, then in order."""
    flats = [dict(flat_arguments(call.arguments)) for call in calls]
    options = [
        (-sum(same_value(flats[number].get(path), value) for path, value in (item.values | item.suggest).items()), abs(number - place), number, place)
        for number, call in enumerate(calls)
        for place, item in enumerate(planned)
        if item.tool == call.name
    ]
    pairs: dict[int, PlannedCall] = {}
    taken: set[int] = set()
    for _, _, number, place in sorted(options):
        if number not in pairs and place not in taken:
            pairs[number] = planned[place]
            taken.add(place)
    return dict(sorted(pairs.items()))


def same_value(one: Any, two: Any) -> bool:
    """Whether a label's value is the planned one: equal, or the same text but for case, accents and small words."""
    if isinstance(one, str) and isinstance(two, str):
        if folded(one)[0] == folded(two)[0]:
            return True
        a, b = ([word for word, _, _ in words_of(text)] for text in (one, two))
        short, long = sorted((a, b), key=len)
        return bool(short) and len(short) >= len(long) - 1 and all(any(same_word(x, y) for y in long) for x in short)
    return one == two and isinstance(one, bool) == isinstance(two, bool)


def _arguments(
    number: int, planned: PlannedCall, call: ToolCall, tool: ToolSpec, evidence: Mapping[str, Grounding]
) -> list[Refusal]:
    flat = dict(flat_arguments(call.arguments))
    found = [
        Refusal("plan_omits", f"{number}.{path}")
        for path in dict.fromkeys((*planned.mention, *planned.values, *planned.suggest))
        if path not in flat and not any(name.startswith(f"{path}.") for name in flat)
    ]
    found += [
        Refusal("plan_value", f"{number}.{path}: plan has {value!r}; label has {flat[path]!r}")
        for path, value in planned.values.items()
        if path in flat and not same_value(flat[path], value)
    ]
    for path in flat:
        meant = path.split(".")[0] in tool.required or any(path == m or path.startswith(f"{m}.") for m in planned.mention)
        if not meant and path not in planned.values and not _evident(path, evidence):
            found.append(Refusal("plan_extra", f"{number}.{path}"))
    return found


def _items(number: int, planned: PlannedCall, call: ToolCall, request: str) -> list[Refusal]:
    """Items of a suggested list that the request says and the label lacks."""
    flat = dict(flat_arguments(call.arguments))
    return [
        Refusal("plan_omits", f"{number}.{path}: {item!r}")
        for path, hint in planned.suggest.items()
        if isinstance(hint, list) and isinstance(flat.get(path), list)
        for item in hint
        if isinstance(item, str | int | float)
        and not any(same_value(item, other) for other in flat[path])
        and said(str(item), request)
    ]


def _evident(path: str, evidence: Mapping[str, Grounding]) -> bool:
    """Whether the request states an argument, or an item of it."""
    inside = [item for name, item in evidence.items() if name == path or name.startswith(f"{path}.")]
    return any(item.how in EVIDENT or (item.how == "schema" and item.span) for item in inside)
