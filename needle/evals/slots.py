"""Every argument of a row under the glass: what was due, what came, of which type and origin, grounded or made up.

``Verdict`` counts arguments; a slot says which one, so that counts by tool, parameter, type and derivation add up from
slots, and a report can say what a model is bad at: dates it has to resolve, say, rather than dates.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from needle.evals import match
from needle.evals.grounding import derivation, locate
from needle.evals.verdict import align
from needle.tools.caller import CallResult
from needle.tools.spec import ToolCall, ToolSpec
from needle.traces.trace import Trace

NOT_DUE = "not_due"
"""Derivation of an argument that no gold call has."""


@dataclass(frozen=True)
class Slot:
    """One argument, gold or predicted or both."""

    tool: str
    """Name of the tool."""
    parameter: str
    """Name of the argument."""
    type: str
    """``string``, ``string:date``, ``integer``, ``number``, ``boolean``, ``array``, ``object``, ``enum``, ``any``."""
    derivation: str
    """One of ``grounding.DERIVATIONS`` for what is due, or ``not_due``."""
    outcome: str
    """``right``, ``wrong_value``, ``missing``, ``extra``, ``default_equivalent``, ``excused``: see ``match``."""
    given: bool
    """The prediction has a value."""
    grounded: bool = False
    """The predicted value stands in the request, in some form."""
    bound: bool = False
    """It stands there where the due value stands, or is right anyway."""
    free: bool = False
    """A value that needs words: no listed one, no truth value, not the default. Only these can be made up."""

    def to_dict(self) -> dict[str, Any]:
        """JSON object, as it stands in ``rows.jsonl``."""
        return {key: value for key, value in asdict(self).items() if value is not False}


def slots(trace: Trace, result: CallResult) -> tuple[Slot, ...]:
    """All slots of one answer; none for a row that any call answers. Unread output leaves all that is due missing."""
    if match.any_call(trace):
        return ()
    calls = [] if result.error is not None or result.infra_error else list(result)
    return tuple(_slots(trace, calls))


def _slots(trace: Trace, calls: Sequence[ToolCall]) -> Iterator[Slot]:
    grid = match.match_grid(trace, calls)
    pairs = {i: (i, grid[i][i]) for i in range(len(calls))} if match.ordered(trace, calls, grid) else align(grid)
    specs = {tool.name: tool for tool in trace.tools}
    for i, gold in enumerate(trace.calls):
        spec = specs.get(gold.name) or ToolSpec(gold.name)
        if i not in pairs:
            for name, value in gold.arguments.items():
                yield _slot(trace, spec, name, match.MISSING, want=value)
            continue
        j, found = pairs[i]
        for name, outcome in found.arguments.items():
            want, got = gold.arguments.get(name, _NOTHING), calls[j].arguments.get(name, _NOTHING)
            yield _slot(trace, spec, name, outcome, want, got)
    taken = {j for j, _ in pairs.values()}
    for j, call in enumerate(calls):
        if j not in taken:
            spec = specs.get(call.name) or ToolSpec(call.name)
            for name, value in call.arguments.items():
                yield _slot(trace, spec, name, match.EXTRA, got=value)


_NOTHING: Any = object()


def _slot(trace: Trace, spec: ToolSpec, name: str, outcome: str, want: Any = _NOTHING, got: Any = _NOTHING) -> Slot:
    schema = match.local_schema(spec.properties.get(name), spec.parameters)
    due = derivation(want, trace.query, schema) if want is not _NOTHING else NOT_DUE
    if got is _NOTHING:
        return Slot(spec.name, name, type_of(schema), due, outcome, given=False)
    place = locate(got, trace.query)
    home = locate(want, trace.query) if want is not _NOTHING else None
    bound = outcome in match.GOOD or (place is not None and home is not None and place.meets(home))
    listed = schema.get("enum") or match.local_schema(schema.get("items"), spec.parameters).get("enum")
    free = not (listed or isinstance(got, bool) or got is None or match.same_value(got, schema.get("default", ...)))
    return Slot(spec.name, name, type_of(schema), due, outcome, True, place is not None, bound, free)


def type_of(schema: dict[str, Any]) -> str:
    """Type of a parameter in one word; the format of texts that have one joins it."""
    if schema.get("enum"):
        return "enum"
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), None)
    if kind == "string" and schema.get("format"):
        return f"string:{schema['format']}"
    return str(kind or "any")
