"""When are calls right? Pure functions from a gold row and predicted calls to a yes or no, argument by argument.

The rules, the same in every mode:

* Names are equal character by character.
* Strings are equal after Unicode NFC and stripping of outer white space; nothing else is forgiven (case, articles and
  punctuation count).
* Numbers are equal by value (``5 == 5.0``); a boolean is no number and a numeral in quotes is no number.
* Arrays are equal item by item in order, objects key by key in any order.
* ``alternatives`` of the row (path -> other accepted values) widen this: one of the values may stand in the gold one's
  place; ``None`` among them lets the argument be left out; a path that the gold call lacks lets it be present.
* A suite may declare a looser comparison for single parameters (``needle.evals.comparators``).
* Spelling out an argument at its schema default, or leaving out one whose gold value is the default, changes nothing
  for whoever runs the call: right, and recorded as ``default_equivalent``.

A mode decides how whole calls pair up. ``MODES`` lists them; a further mode is one more function there. ``strict``
knows neither alternatives nor defaults nor comparators; ``leaderboard`` applies the BFCL's rules to any row.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from needle.evals.bfcl.anywhere import fits_anywhere
from needle.evals.comparators import rule_for
from needle.tools.close import resolve
from needle.tools.spec import ToolCall, ToolSpec
from needle.traces.trace import Trace

RIGHT, DEFAULT_EQUIVALENT, EXCUSED = "right", "default_equivalent", "excused"
WRONG_VALUE, MISSING, EXTRA = "wrong_value", "missing", "extra"
GOOD = frozenset({RIGHT, DEFAULT_EQUIVALENT, EXCUSED})
"""Outcomes of one argument that leave the call right; ``EXCUSED`` rests on ``alternatives`` about presence."""

_ABSENT: Any = object()
Alternatives = Mapping[str, Sequence[Any]]


def normalise(text: str) -> str:
    """The string rule: Unicode NFC, outer white space removed."""
    return (text if text.isascii() else unicodedata.normalize("NFC", text)).strip()


def same_value(left: Any, right: Any) -> bool:
    """Whether two JSON values are equal under the rules above, without alternatives or defaults."""
    if isinstance(left, str) and isinstance(right, str):
        return left == right or normalise(left) == normalise(right)
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, (int, float)) and isinstance(right, (int, float)):
        return left == right
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same_value(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same_value, left, right))
    return left is None and right is None


def local_schema(schema: Any, root: dict[str, Any], depth: int = 0) -> dict[str, Any]:
    """``schema`` with a local ``$ref`` followed; keywords beside the reference win. Anything unusable gives ``{}``."""
    if not isinstance(schema, dict):
        return {}
    reference = schema.get("$ref")
    if not isinstance(reference, str) or depth > 8:  # depth: a reference may lead back to itself
        return schema
    beside = {key: value for key, value in schema.items() if key != "$ref"}
    return local_schema(resolve(reference, root), root, depth + 1) | beside


@dataclass(frozen=True)
class CallMatch:
    """One gold call beside one predicted call."""

    same_name: bool
    """The names are equal."""
    arguments: dict[str, str] = field(default_factory=dict)
    """Outcome of every argument that either side has, by name."""

    @property
    def right(self) -> bool:
        """Name and every argument are right."""
        return self.same_name and all(outcome in GOOD for outcome in self.arguments.values())

    @property
    def agreeing(self) -> int:
        """How many arguments are right; used to pair calls that are not right as a whole."""
        return sum(outcome in GOOD for outcome in self.arguments.values())


@dataclass(frozen=True)
class _Call:
    """What the comparison of one gold call with one predicted call looks things up in."""

    tool: str
    root: dict[str, Any]
    alternatives: Alternatives
    comparators: Mapping[str, str]


def match_call(
    gold: ToolCall,
    predicted: ToolCall,
    spec: ToolSpec | None,
    alternatives: Alternatives | None = None,
    index: int = 0,
    comparators: Mapping[str, str] | None = None,
) -> CallMatch:
    """Compare one predicted call with one gold call.

    ``spec`` (None: unknown tool) gives the defaults; ``index`` is the gold call's place, the first part of its paths;
    ``comparators`` maps ``tool.parameter`` to a looser rule.
    """
    if gold.name != predicted.name:
        return CallMatch(False)
    schema = spec.parameters if spec else {}
    facts = _Call(gold.name, schema, alternatives or {}, comparators or {})
    return CallMatch(True, dict(_match_object(gold.arguments, predicted.arguments, schema, facts, str(index))))


def _match_object(
    gold: Mapping[str, Any], predicted: Mapping[str, Any], schema: dict[str, Any], facts: _Call, path: str
) -> Iterator[tuple[str, str]]:
    properties = schema.get("properties") or {}
    for key in (*gold, *(key for key in predicted if key not in gold)):
        sub = local_schema(properties.get(key), facts.root)
        yield key, _outcome(gold.get(key, _ABSENT), predicted.get(key, _ABSENT), sub, facts, f"{path}.{key}")


def _outcome(want: Any, got: Any, schema: dict[str, Any], facts: _Call, path: str) -> str:
    default = schema.get("default", _ABSENT)
    others = facts.alternatives.get(path, ())
    if got is _ABSENT:
        if None in others:
            return EXCUSED
        return DEFAULT_EQUIVALENT if default is not _ABSENT and same_value(want, default) else MISSING
    accepted = [other for other in others if other is not None] if others else ()
    if want is _ABSENT:
        if any(same_value(other, got) for other in accepted):
            return EXCUSED
        return DEFAULT_EQUIVALENT if default is not _ABSENT and same_value(got, default) else EXTRA
    if same_value(want, got) or any(same_value(other, got) for other in accepted):
        return RIGHT
    if facts.comparators:
        same = rule_for(facts.comparators, facts.tool, path.partition(".")[2])
        if same and any(same(value, got) for value in (want, *accepted)):
            return RIGHT
    return RIGHT if _same_inside(want, got, schema, facts, path) else WRONG_VALUE


def _same_inside(want: Any, got: Any, schema: dict[str, Any], facts: _Call, path: str) -> bool:
    """Objects and arrays that differ as plain values may still agree through alternatives and defaults further down."""
    if isinstance(want, dict) and isinstance(got, dict):
        return all(outcome in GOOD for _, outcome in _match_object(want, got, schema, facts, path))
    if isinstance(want, list) and isinstance(got, list) and len(want) == len(got):
        items = local_schema(schema.get("items"), facts.root)
        places = (f"{path}.{place}" for place in range(len(want)))
        return all(
            _outcome(one, other, items, facts, here) in GOOD for one, other, here in zip(want, got, places, strict=True)
        )
    return False


def scoring_of(trace: Trace) -> dict[str, Any]:
    """``{"scoring": ...}`` of a row whose suite has scoring facts beside calls and alternatives, else ``{}``.

    ``any_call``: that a call is made is all that is asked; ``bfcl``: what ``needle.evals.bfcl.check`` needs;
    ``comparators``: looser rules by parameter; ``due``: ``ask`` where the right answer is a question.
    """
    return {"scoring": trace.meta["scoring"]} if "scoring" in trace.meta else {}


def any_call(trace: Trace) -> bool:
    """Whether any call answers the row; its gold call then only stands for that."""
    scoring = trace.meta.get("scoring")
    return bool(scoring and scoring.get("any_call"))


Grid = list[list[CallMatch]]
"""Every gold call (rows) beside every predicted call (columns)."""


def match_grid(trace: Trace, calls: Sequence[ToolCall]) -> Grid:
    """Compare every gold call with every predicted one; all modes read from this one table."""
    specs = {tool.name: tool for tool in trace.tools}
    rules = trace.meta.get("scoring", {}).get("comparators")
    return [
        [match_call(gold, call, specs.get(gold.name), trace.alternatives, index, rules) for call in calls]
        for index, gold in enumerate(trace.calls)
    ]


def ordered(trace: Trace, calls: Sequence[ToolCall], grid: Grid) -> bool:
    """The headline mode: as many calls as the gold row has, each right, in the same order."""
    if any_call(trace):
        return bool(calls)
    return len(calls) == len(trace.calls) and all(grid[place][place].right for place in range(len(calls)))


def unordered(trace: Trace, calls: Sequence[ToolCall], grid: Grid) -> bool:
    """As ``ordered``, in any order: some pairing makes every call right (a maximum matching, not a greedy one)."""
    if len(calls) < 2 or any_call(trace) or len(calls) != len(trace.calls):
        return ordered(trace, calls, grid)
    return perfect_pairing([[found.right for found in row] for row in grid])


def perfect_pairing(fits: Sequence[Sequence[bool]]) -> bool:
    """Whether rows and columns of a square table can be paired so that every pair fits (Kuhn's augmenting paths)."""
    owner: dict[int, int] = {}

    def place(row: int, seen: set[int]) -> bool:
        for column, fit in enumerate(fits[row]):
            if fit and column not in seen:
                seen.add(column)
                if column not in owner or place(owner[column], seen):
                    owner[column] = row
                    return True
        return False

    return all(place(row, set()) for row in range(len(fits)))


def strict(trace: Trace, calls: Sequence[ToolCall], grid: Grid) -> bool:
    """The gold calls themselves, in order: the same names, the same arguments, equal values, nothing excused."""
    if any_call(trace):
        return bool(calls)
    return len(calls) == len(trace.calls) and all(
        gold.name == call.name and same_value(gold.arguments, call.arguments)
        for gold, call in zip(trace.calls, calls, strict=True)
    )


def leaderboard(trace: Trace, calls: Sequence[ToolCall], grid: Grid) -> bool:
    """The BFCL's rules for one to many calls, on any row; rows of its own suite have its own verdict (``bfcl``) too."""
    if any_call(trace):
        return bool(calls)
    return fits_anywhere(trace, calls)


Mode = Callable[[Trace, Sequence[ToolCall], Grid], bool]
MODES: dict[str, Mode] = {"ordered": ordered, "unordered": unordered, "strict": strict, "leaderboard": leaderboard}
"""Match modes by name; all are scored in every run."""


def correct(trace: Trace, calls: Sequence[ToolCall], mode: str = "ordered") -> bool:
    """Whether well-formed ``calls`` answer ``trace`` under ``mode``, one of ``MODES``."""
    return MODES[mode](trace, calls, match_grid(trace, calls))
