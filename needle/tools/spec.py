"""The two nouns of the whole program: what a tool looks like, and what a call of it looks like."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

EMPTY_PARAMETERS: dict[str, Any] = {"type": "object", "properties": {}}


@dataclass(frozen=True)
class ToolSpec:
    """One tool as every room of the house sees it: a name, a sentence, and a JSON Schema (draft 2020-12) of its arguments."""

    name: str
    """Identifier that a call must repeat exactly."""
    description: str = ""
    """What the tool does, in words; may be empty."""
    parameters: dict[str, Any] = field(default_factory=lambda: dict(EMPTY_PARAMETERS), hash=False)
    """JSON Schema of type ``object``."""

    def to_dict(self) -> dict[str, Any]:
        """Bare ``{name, description, parameters}``, the shape of example rows."""
        return {"name": self.name, "description": self.description, "parameters": self.parameters}

    @property
    def properties(self) -> dict[str, Any]:
        """Schemas of the top-level arguments by name, in the order in which the schema lists them."""
        return self.parameters.get("properties") or {}

    @property
    def required(self) -> tuple[str, ...]:
        """Names of the arguments that every call must give."""
        return tuple(self.parameters.get("required") or ())


@dataclass(frozen=True)
class ToolCall:
    """One call: the tool's name and its arguments as plain JSON values."""

    name: str
    """Name of the tool."""
    arguments: dict[str, Any] = field(default_factory=dict, hash=False)
    """JSON object of arguments."""

    def to_dict(self) -> dict[str, Any]:
        """``{"name", "arguments"}``, the shape of example rows."""
        return {"name": self.name, "arguments": self.arguments}


def fingerprint(tools: list[ToolSpec] | tuple[ToolSpec, ...]) -> str:
    """Content hash of a toolset: 16 hex digits, the key of every cache that depends on tools.

    Order matters, that of tools and that of arguments: both shape the prompt and the grammar.
    """
    text = json.dumps([tool.to_dict() for tool in tools], ensure_ascii=False, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
