"""The tools of a large set that fit a request best, by their words.

    ToolIndex(tools).best("dim the kitchen to 10", 5)        # the five tools to offer, in the order of the set

BM25 over fields (Robertson, Zaragoza and Taylor, 2004, "Simple BM25 extension to multiple weighted fields"): words of a tool's name count more
than those of its description, its parameters and their listed values. Words are compared by stem, and in part by runs of four letters, so that
"invoicing" finds ``create_invoice`` and "thermostat" ``setThermo``.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from needle.tools.arguments import leaves, listed_values, schema_at
from needle.tools.grounding.said import STOP, folded, stem
from needle.tools.spec import ToolSpec

NAME, DESCRIPTION, PARAMETER, VALUE = 3.0, 1.0, 0.7, 0.5
"""Weight of a word by where it stands: in the name, the description, names and descriptions of parameters, their listed values."""
SATURATION, LENGTH = 1.2, 0.6
"""k1 and b of BM25."""
PIECE = 0.25
"""Weight of a run of four letters beside that of a stem."""
MOST_VALUES = 40
"""Listed values of a parameter that are indexed."""
WORD = re.compile(r"[^\W_]+")
_JOINT = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Za-z])(?=\d)")


@lru_cache(maxsize=65536)
def terms(text: str) -> tuple[tuple[str, float], ...]:
    """Stems of the words that say something, weight 1, and their runs of four letters, which share ``PIECE``; identifiers are split."""
    found: Counter[str] = Counter()
    for word in WORD.findall(folded(_JOINT.sub(" ", text))[0]):
        if word in STOP:
            continue
        found[stem(word)] += 1
        runs = [word[start : start + 4] for start in range(len(word) - 3)] if len(word) > 4 else []
        for run in runs:
            found[f"~{run}"] += PIECE / math.sqrt(len(runs))
    return tuple(found.items())


class ToolIndex:
    """Word statistics of a toolset; made once, asked often."""

    def __init__(self, tools: Sequence[ToolSpec]) -> None:
        self.tools = tuple(tools)
        self._counts = [_weighted(tool) for tool in self.tools]
        lengths = [sum(weight for term, weight in counts.items() if term[0] != "~") for counts in self._counts]
        mean = sum(lengths) / max(len(lengths), 1) or 1.0
        self._norms = [SATURATION * (1 - LENGTH + LENGTH * length / mean) for length in lengths]
        holders = Counter(term for counts in self._counts for term in counts)
        total = len(self.tools)
        self._idf = {term: math.log(1 + (total - held + 0.5) / (held + 0.5)) for term, held in holders.items()}
        self._where: dict[str, list[int]] = {}
        for place, counts in enumerate(self._counts):
            for term in counts:
                self._where.setdefault(term, []).append(place)

    def scores(self, query: str) -> list[float]:
        """One score a tool, 0 for a tool that shares nothing with the request."""
        scores = [0.0] * len(self.tools)
        for term, weight in terms(query):
            for place in self._where.get(term, ()):
                count = self._counts[place][term]
                scores[place] += weight * self._idf[term] * count * (1 + SATURATION) / (count + self._norms[place])
        return scores

    def order(self, query: str) -> list[int]:
        """Places of the tools, best first; equal ones in the order of the set."""
        return best_first(self.scores(query))

    def best(self, query: str, most: int) -> tuple[ToolSpec, ...]:
        """The ``most`` best tools in the order of the set."""
        return tuple(self.tools[place] for place in sorted(self.order(query)[:most]))


def best_first(scores: Sequence[float]) -> list[int]:
    """Places by score, the highest first; equal ones in their order."""
    return sorted(range(len(scores)), key=lambda place: -scores[place])


def searched(query: str, messages: Sequence[Mapping[str, Any]] = ()) -> str:
    """The text that tools are looked for with: the request, behind the last earlier turn of the user."""
    told = [str(turn.get("content") or "") for turn in messages if turn.get("role") == "user"]
    return " ".join([*told[-1:], query])


def _weighted(tool: ToolSpec) -> Counter[str]:
    counts: Counter[str] = Counter()
    for weight, text in _fields(tool):
        for term, count in terms(text):
            counts[term] += weight * count
    return counts


def _fields(tool: ToolSpec) -> Iterator[tuple[float, str]]:
    yield NAME, tool.name
    yield DESCRIPTION, tool.description
    for path in leaves(tool):
        schema: dict[str, Any] = schema_at(tool.parameters, path)
        yield PARAMETER, f"{path} {schema.get('description') or ''}"
        for value in listed_values(schema)[:MOST_VALUES]:
            yield VALUE, str(value)
