"""How varied the values of a data set are: for each argument how many different values, which one most often, and which
members of an enum have been seen; and a cap on repeats while rows are made.

    for slot in coverage(traces): print(slot.line())
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from needle.tools.arguments import flat_arguments, leaves, schema_at, value_class
from needle.tools.spec import ToolSpec
from needle.traces.trace import Trace

CAPPED = frozenset({"text", "email", "uri"})
"""Kinds of arguments whose values may not come too often; numbers, days and enums are few by nature."""


@dataclass(frozen=True)
class SlotCoverage:
    """One argument of one tool over all rows."""

    tool: str
    """Name of the tool."""
    path: str
    """Dotted path of the argument."""
    kind: str
    """``text``, ``enum``, ``number``, ``boolean``, ``time``, ``date`` ..."""
    calls: int
    """Calls of the tool."""
    given: int
    """Values given; an item of a list counts by itself."""
    distinct: int
    """Different ones among them."""
    top: str
    """The one most often given, as JSON; empty when none is."""
    top_count: int
    """How often that is."""
    unseen: tuple[Any, ...] = ()
    """Members of the enum (or of a boolean) that never came."""

    @property
    def top_share(self) -> float:
        """Share of the values that the most frequent one has, 0 to 1."""
        return self.top_count / self.given if self.given else 0.0

    def line(self) -> str:
        """One line for a terminal or a card."""
        missing = f"; never: {', '.join(map(str, self.unseen))}" if self.unseen else ""
        return (
            f"{self.tool}.{self.path} ({self.kind}): {self.given:,} of {self.calls:,} calls, {self.distinct:,} values, "
            f"most often {self.top or '-'} ({self.top_share:.0%}){missing}"
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self) | {"top_share": round(self.top_share, 4)}


def coverage(traces: Iterable[Trace]) -> list[SlotCoverage]:
    """Every argument of every tool on offer, in the order of the tools; tools of one name count as one."""
    tools: dict[str, ToolSpec] = {}
    calls: Counter[str] = Counter()
    values: dict[tuple[str, str], Counter[str]] = {}
    for trace in traces:
        for tool in trace.tools:
            tools.setdefault(tool.name, tool)
        for call in trace.calls:
            calls[call.name] += 1
            for path, value in flat_arguments(call.arguments):
                counter = values.setdefault((call.name, path), Counter())
                counter.update(json.dumps(item, ensure_ascii=False) for item in _items(value))
    return [
        _slot(tool, path, calls[tool.name], values.get((tool.name, path), Counter()))
        for tool in tools.values()
        for path in leaves(tool)
    ]


def _slot(tool: ToolSpec, path: str, calls: int, counter: Counter[str]) -> SlotCoverage:
    schema = schema_at(tool.parameters, path)
    inner = schema.get("items") if isinstance(schema.get("items"), dict) else schema
    members: Sequence[Any] = inner.get("enum") or ((True, False) if inner.get("type") == "boolean" else ())
    top, count = max(counter.items(), key=lambda item: (item[1], item[0]), default=("", 0))
    return SlotCoverage(
        tool=tool.name,
        path=path,
        kind=value_class(inner),
        calls=calls,
        given=counter.total(),
        distinct=len(counter),
        top=top,
        top_count=count,
        unseen=tuple(item for item in members if json.dumps(item, ensure_ascii=False) not in counter),
    )


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


class ValueCaps:
    """Refuses a row whose free-text value has come too often in the same argument."""

    def __init__(self, cap: int) -> None:
        """``cap``: rows that may have one value in one argument."""
        self._cap = cap
        self._seen: Counter[int] = Counter()
        """By hash of tool, argument and value: the values of a long run would fill the memory."""

    def full(self, trace: Trace) -> str | None:
        """The first argument that has its value too often already (``send_message.recipient``), or None."""
        return next((slot for slot, key in self._slots(trace) if self._seen[key] >= self._cap), None)

    def add(self, trace: Trace) -> None:
        """Count an accepted row."""
        self._seen.update({key for _, key in self._slots(trace)})

    def _slots(self, trace: Trace) -> list[tuple[str, int]]:
        by_name = {tool.name: tool for tool in trace.tools}
        found = []
        for call in trace.calls:
            for path, value in flat_arguments(call.arguments):
                schema = schema_at(by_name[call.name].parameters, path)
                inner = schema.get("items") if isinstance(schema.get("items"), dict) else schema
                if value_class(inner) in CAPPED and "enum" not in inner:
                    slot = f"{call.name}.{path}"
                    found += [(slot, hash((slot, item.casefold()))) for item in _items(value) if isinstance(item, str)]
        return found


def cap_for(n: int) -> int:
    """A cap that leaves room in small runs and keeps a value below a fiftieth of large ones."""
    return max(8, math.ceil(n / 50))
