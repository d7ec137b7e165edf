"""``Trace``: one verified example (request, tools, calls), the unit of every file in the project."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from needle.tools.caller import Request
from needle.tools.spec import ToolCall, ToolSpec

KINDS = (
    "single", "sibling", "parallel", "several", "extraction", "corrected", "half",
    "irrelevant", "near_miss", "missing", "negated", "chat",
)  # fmt: skip
"""Kinds of requests; ``docs/formats.md`` says what each is."""
NO_CALL = frozenset({"irrelevant", "near_miss", "missing", "negated", "chat"})
"""Kinds whose right answer is no call."""


@dataclass(frozen=True)
class Trace:
    """One example. Field for field the row format of ``docs/formats.md``."""

    id: str
    """Unique within a file."""
    query: str
    """The request."""
    tools: tuple[ToolSpec, ...]
    """The tools on offer."""
    calls: tuple[ToolCall, ...]
    """The right calls in order; empty when no call is due."""
    kind: str = "single"
    """One of ``KINDS``, or another label that a corpus brings."""
    toolset: str = ""
    """Name of the toolset; splits are made by it."""
    domain: str = ""
    """Subject in words; splits are stratified by it."""
    system: str | None = None
    """Facts that hold for the request (date, locale, place)."""
    alternatives: dict[str, list[Any]] = field(default_factory=dict)
    """``"0.room" -> other accepted values``; ``None`` among them: leaving it out is also right; a path that the call lacks: it may be present."""
    messages: tuple[dict[str, Any], ...] = ()
    """Earlier turns in OpenAI's shape."""
    meta: dict[str, Any] = field(default_factory=dict)
    """Lineage (teacher, prompt version, seed, votes, spans ...). Never used as model input."""

    @property
    def request(self) -> Request:
        """What a caller is given."""
        return Request(self.query, self.tools, self.system, self.messages)

    def to_dict(self) -> dict[str, Any]:
        """JSON row; empty optional fields are left out."""
        row: dict[str, Any] = {
            "id": self.id,
            "query": self.query,
            "tools": [tool.to_dict() for tool in self.tools],
            "calls": [call.to_dict() for call in self.calls],
            "kind": self.kind,
            "toolset": self.toolset,
            "domain": self.domain,
        }
        optional = {"system": self.system, "alternatives": self.alternatives, "messages": list(self.messages), "meta": self.meta}
        return row | {key: value for key, value in optional.items() if value}
