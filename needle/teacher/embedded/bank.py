"""What the recorded traces teach, indexed for look-up: tools with their requests, values by parameter, requests
that need no call."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from needle.teacher.embedded.lexicon import PERSONS
from needle.teacher.embedded.text import content, words
from needle.tools.arguments import flat_arguments


@dataclass(frozen=True)
class BankTool:
    """One recorded tool with the single requests that called it."""

    toolset: str
    """Name of its toolset."""
    name: str
    """Name of the tool."""
    parameters: dict[str, Any] = field(hash=False)
    """JSON Schema of its arguments."""
    tokens: Counter[str] = field(hash=False)
    """Content words of name (counted twice) and description."""
    examples: list[tuple[str, dict[str, Any]]] = field(default_factory=list, hash=False)
    """``(request, arguments)`` of traces with exactly one call."""


class Bank:
    """Index over recorded rows; ``Bank(())`` knows nothing and every look-up comes back empty."""

    def __init__(self, rows: Iterable[dict[str, Any]]) -> None:
        self.tools: dict[tuple[str, str], BankTool] = {}
        self.arguments: dict[str, list[tuple[str, Any, BankTool, str]]] = defaultdict(list)
        """Each word of a parameter's name to ``(request, value, tool, path)``."""
        self.by_kind: dict[str, list[tuple[str, BankTool | None]]] = defaultdict(list)
        """Kind to ``(request, first tool called)``; requests to far-off tools are material for requests that fit no
        tool."""
        self.spread: Counter[str] = Counter()
        """In how many toolsets' requests a word occurs."""
        seen: dict[str, set[str]] = defaultdict(set)
        for row in rows:
            self._add(row)
            seen[row["toolset"]].update(content(row["query"]))
        for vocabulary in seen.values():
            self.spread.update(vocabulary)
        self._weights = self._inverse_frequencies()

    @cached_property
    def people(self) -> set[str]:
        """Values of arguments that are people, to be kept out of other arguments."""
        return {value for name in PERSONS for _, value, _, _ in self.arguments.get(name, ()) if isinstance(value, str)}

    def weight(self, word: str) -> float:
        """Inverse document frequency of a word over the recorded tools (1.0 when nothing is recorded)."""
        return self._weights.get(word, self._unseen)

    def similar(self, tokens: Counter[str], limit: int, floor: float) -> list[tuple[float, BankTool]]:
        """Recorded tools by cosine of weighted words, best first, above ``floor``."""
        norm = self._norm(tokens)
        scored = []
        for tool in self.tools.values():
            common = tokens.keys() & tool.tokens.keys()
            if common and tool.examples:
                dot = sum(tokens[word] * tool.tokens[word] * self.weight(word) ** 2 for word in common)
                score = dot / (norm * self._norm(tool.tokens))
                if score >= floor:
                    scored.append((score, tool))
        return sorted(scored, key=lambda item: (-item[0], item[1].toolset, item[1].name))[:limit]

    def topic(self, tokens: Counter[str]) -> set[str]:
        """Words that people use with tools like this one, beyond the words of the tool itself."""
        counts = Counter(
            word
            for _, tool in self.similar(tokens, 30, 0.4)
            for word in {word for text, _ in tool.examples for word in content(text)}
        )
        return {word for word, count in counts.items() if count >= 2 and self.spread[word] < len(self.tools) / 30}

    def overlap(self, tokens: Iterable[str], vocabulary: Counter[str] | set[str]) -> float:
        """Share of the weight of ``tokens`` that ``vocabulary`` holds, 0 to 1."""
        own = set(tokens)
        total = sum(self.weight(word) for word in own)
        return sum(self.weight(word) for word in own if word in vocabulary) / total if total else 0.0

    def arguments_named(self, names: Iterable[str]) -> Iterator[tuple[str, Any, BankTool, str]]:
        """``(request, value, tool, path)`` of recorded arguments with one of these words in their name."""
        for name in sorted(names):
            yield from self.arguments.get(name, ())

    def _add(self, row: dict[str, Any]) -> None:
        toolset, calls = row["toolset"], row["calls"]
        for tool in row["tools"]:
            key = (toolset, tool["name"])
            if key not in self.tools:
                self.tools[key] = BankTool(
                    toolset, tool["name"], tool["parameters"], tool_tokens(tool["name"], tool.get("description", ""))
                )
        for call in calls:
            tool = self.tools.get((toolset, call["name"]))
            if tool is None:
                continue
            for path, value in flat_arguments(call["arguments"]):
                for name in set(content(path)) or set(words(path)):
                    self.arguments[name].append((row["query"], value, tool, path))
            if len(calls) == 1 and row["kind"] == "single":
                tool.examples.append((row["query"], call["arguments"]))
        called = self.tools.get((toolset, calls[0]["name"])) if calls else None
        self.by_kind[row["kind"]].append((row["query"], called))

    def _inverse_frequencies(self) -> dict[str, float]:
        counts = Counter(word for tool in self.tools.values() for word in tool.tokens)
        total = max(len(self.tools), 1)
        self._unseen = math.log(1 + total)
        if not self.tools:
            self._unseen = 1.0
        return {word: math.log(1 + total / count) for word, count in counts.items()}

    def _norm(self, tokens: Counter[str]) -> float:
        return math.sqrt(sum((count * self.weight(word)) ** 2 for word, count in tokens.items())) or 1.0


def tool_tokens(name: str, description: str) -> Counter[str]:
    """Content words of a tool; those of its name count twice."""
    return Counter(content(name)) + Counter(content(name)) + Counter(content(description))
