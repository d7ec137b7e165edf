"""What is in a set of traces: counts by kind, tools, argument types, lengths, and how much of the answers is copied.

print(trace_stats(traces).table())
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from needle.errors import UserError
from needle.tools.close import resolve
from needle.tools.spec import ToolSpec, fingerprint
from needle.traces.split import family
from needle.traces.trace import Trace


@dataclass(frozen=True)
class TraceStats:
    """Counts over a list of traces. Counters are dictionaries, most frequent first (numbers: ascending)."""

    rows: int
    """Number of traces."""
    toolsets: int
    """Number of different toolset names; of different tool lists where rows have no name."""
    tools: int
    """Number of different tools within their toolsets."""
    calls: int
    """Number of calls in all rows."""
    kinds: dict[str, int]
    """Rows by kind."""
    families: dict[str, int]
    """Rows by family (see ``needle.traces.split.family``)."""
    calls_a_row: dict[int, int]
    """Rows by number of calls."""
    tools_a_row: dict[int, int]
    """Rows by number of tools on offer."""
    argument_types: dict[str, int]
    """Parameters of the tools by type; ``enum`` for any enumeration, ``string:date`` and the like for formats."""
    used_types: dict[str, int]
    """Arguments of the calls by the type of their parameter."""
    words_median: float
    """Words a request, median."""
    words_p95: int
    """Words a request, 95th percentile."""
    words_longest: int
    """Words of the longest request."""
    copied: int
    """Free-text string arguments that stand verbatim (case aside) in the request, its facts or earlier turns."""
    free_text: int
    """Free-text string arguments: string parameters without enumeration and format."""
    with_alternatives: int
    """Rows that list other accepted values."""
    repeated: int
    """Rows whose toolset and request (case and spaces aside) an earlier row has."""

    @property
    def copy_rate(self) -> float | None:
        """Share of free-text string arguments that are copied; None when there are none."""
        return self.copied / self.free_text if self.free_text else None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; counters with text keys."""
        plain = {
            key: {str(k): v for k, v in value.items()} if isinstance(value, dict) else value
            for key, value in asdict(self).items()
        }
        return plain | {"copy_rate": self.copy_rate}

    def table(self) -> str:
        """Two columns of plain text for a terminal."""
        rows = self.lines()
        width = max(len(name) for name, _ in rows)
        return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)

    def lines(self) -> list[tuple[str, str]]:
        """Name and value of every figure, as text."""
        rate = (
            "no free-text argument"
            if self.copy_rate is None
            else f"{self.copy_rate:.1%} of {self.free_text:,} free-text strings"
        )
        return [
            ("rows", f"{self.rows:,}"),
            ("toolsets", f"{self.toolsets:,}"),
            ("tools", f"{self.tools:,}"),
            ("calls", f"{self.calls:,}"),
            ("kinds", _counts(self.kinds)),
            ("families", _counts(self.families)),
            ("calls a row", _counts(self.calls_a_row)),
            ("tools a row", _counts(self.tools_a_row)),
            ("parameter types", _counts(self.argument_types)),
            ("argument types used", _counts(self.used_types)),
            (
                "words a request",
                f"median {self.words_median:g}, 95th percentile {self.words_p95}, longest {self.words_longest}",
            ),
            ("copied from the request", rate),
            ("rows with alternatives", f"{self.with_alternatives:,}"),
            ("repeated requests", f"{self.repeated:,}"),
        ]


def trace_stats(traces: Iterable[Trace]) -> TraceStats:
    """Count everything in one pass that keeps no trace. Raises UserError when there is none."""
    tools: dict[tuple[str, str], ToolSpec] = {}
    prints: dict[int, tuple[tuple[ToolSpec, ...], str]] = {}
    counters = {name: Counter() for name in ("kinds", "families", "calls", "tools", "used")}
    asked: set[int] = set()
    names: set[str] = set()
    words: list[int] = []
    copied = free = alternatives = 0
    for trace in traces:
        if id(trace.tools) not in prints:  # the tuple is kept, so that its id stays its own
            prints[id(trace.tools)] = (trace.tools, fingerprint(trace.tools))
            name = trace.toolset or prints[id(trace.tools)][1]
            tools.update({(name, tool.name): tool for tool in trace.tools})
        name = trace.toolset or prints[id(trace.tools)][1]
        names.add(name)
        asked.add(hash((name, " ".join(trace.query.casefold().split()))))  # texts would fill the memory
        words.append(len(trace.query.split()))
        row = {"kinds": trace.kind, "families": family(trace) or "(none)", "calls": len(trace.calls), "tools": len(trace.tools)}
        for counter, value in row.items():
            counters[counter][value] += 1
        for kind, value in _arguments(trace):
            counters["used"][kind] += 1
            if kind == "string" and isinstance(value, str):
                free += 1
                copied += value.casefold() in _source(trace)
        alternatives += bool(trace.alternatives)
    if not words:
        raise UserError("no traces to count; give a file with at least one row")
    words.sort()
    return TraceStats(
        rows=len(words),
        toolsets=len(names),
        tools=len(tools),
        calls=sum(count * rows for count, rows in counters["calls"].items()),
        kinds=dict(counters["kinds"].most_common()),
        families=dict(counters["families"].most_common()),
        calls_a_row=dict(sorted(counters["calls"].items())),
        tools_a_row=dict(sorted(counters["tools"].items())),
        argument_types=_frequent(
            parameter_type(schema, tool) for tool in tools.values() for schema in tool.properties.values()
        ),
        used_types=dict(counters["used"].most_common()),
        words_median=statistics.median(words),
        words_p95=words[min(len(words) - 1, int(0.95 * len(words)))],
        words_longest=words[-1],
        copied=copied,
        free_text=free,
        with_alternatives=alternatives,
        repeated=len(words) - len(asked),
    )


def parameter_type(schema: Any, tool: ToolSpec) -> str:
    """``string``, ``string:date``, ``enum``, ``integer`` ...; ``X or null`` counts as X; ``any`` has no type."""
    for _ in range(8):  # a chain of references is short; a circle must end
        target = resolve(schema["$ref"], tool.parameters) if isinstance(schema, dict) and "$ref" in schema else None
        if target is None:
            break
        schema = target
    if not isinstance(schema, dict):
        return "any"
    if "enum" in schema or "const" in schema:
        return "enum"
    branches = [branch for key in ("anyOf", "oneOf") for branch in schema.get(key, ()) if branch != {"type": "null"}]
    if branches:
        return parameter_type(branches[0], tool) if len(branches) == 1 else "union"
    kind = schema.get("type", "any")
    if isinstance(kind, list):
        rest = [item for item in kind if item != "null"]
        kind = rest[0] if len(rest) == 1 else "union"
    return f"string:{schema['format']}" if kind == "string" and "format" in schema else kind


def _arguments(trace: Trace) -> Iterator[tuple[str, Any]]:
    by_name = {tool.name: tool for tool in trace.tools}
    for call in trace.calls:
        tool = by_name.get(call.name)
        for name, value in call.arguments.items():
            yield parameter_type(tool.properties.get(name), tool) if tool else "any", value


def _source(trace: Trace) -> str:
    earlier = " ".join(str(message.get("content", "")) for message in trace.messages)
    return f"{trace.query} {trace.system or ''} {earlier}".casefold()


def _frequent(items: Iterable[str]) -> dict[str, int]:
    return dict(Counter(items).most_common())


def _counts(counter: dict[Any, int], most: int = 12) -> str:
    """``a 3, b 1``; a long tail is summed up."""
    shown = list(counter.items())[:most]
    rest = list(counter.values())[most:]
    return ", ".join(
        [f"{key}: {value:,}" for key, value in shown] + ([f"{len(rest)} others: {sum(rest):,}"] if rest else [])
    )
