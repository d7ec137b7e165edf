"""Callers that know nothing: the floors under every score, and the ceiling that proves the harness itself.

``never`` abstains always; ``first-tool`` calls the first tool; ``random`` any tool or none; ``lexical`` the tool
whose words overlap the request most, or none. Two know the answers: ``copy`` calls the right tools with those values
that stand in the request or are listed by the schema and leaves out the rest, the ceiling of a model that only
copies; ``gold`` writes the right calls as text in a dialect and reads them back, and must score 100.
"""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any

from needle.errors import UserError
from needle.evals.causes import words
from needle.evals.fill import Extractor
from needle.evals.parsers import parse_output
from needle.evals.parsers.render import RENDERERS
from needle.tools.caller import Caller, CallResult, Request
from needle.tools.spec import ToolCall, ToolSpec
from needle.traces.trace import Trace

LEXICAL_THRESHOLD = 0.75
"""Overlap below which ``lexical`` abstains. On 4,000 training rows 0.75 has 28.5 % right (1.25 the most, 29.1 %) and
calls twice as readily.
"""

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_COMMON = frozenset(
    [
        "a",
        "an",
        "and",
        "any",
        "are",
        "as",
        "at",
        "be",
        "by",
        "can",
        "do",
        "for",
        "from",
        "get",
        "have",
        "how",
        "i",
        "if",
        "in",
        "is",
        "it",
        "its",
        "me",
        "my",
        "of",
        "on",
        "or",
        "please",
        "set",
        "that",
        "the",
        "this",
        "to",
        "up",
        "use",
        "want",
        "what",
        "when",
        "which",
        "will",
        "with",
        "you",
        "your",
    ]
)


class Baseline(Caller):
    """A caller whose answer to one request is a plain function."""

    def __init__(self, name: str, choose: Callable[[Request], list[ToolCall]], dialect: str = "json") -> None:
        self.name = f"baseline:{name}" + ("" if dialect == "json" else f" ({dialect})")
        self._choose, self.dialect = choose, dialect

    def answer(self, requests: Sequence[Request]) -> list[CallResult]:
        """Answer each request; the calls pass through text and the parser like any model's."""
        write = RENDERERS[self.dialect]
        return [parse_output(write(self._choose(request)), self.dialect, request.tools) for request in requests]


def _never(request: Request) -> list[ToolCall]:
    return []


def _call(tool: ToolSpec, request: Request) -> list[ToolCall]:
    return [ToolCall(tool.name, Extractor(request.query).fill(tool))]


def _first_tool(request: Request) -> list[ToolCall]:
    return _call(request.tools[0], request) if request.tools else []


def _random(seed: int) -> Callable[[Request], list[ToolCall]]:
    def choose(request: Request) -> list[ToolCall]:
        # seeded by the request, so that batches and resumed runs give the same answers
        chance = random.Random(f"{seed}\0{request.query}\0{len(request.tools)}".encode("utf-8", "surrogatepass"))
        place = chance.randrange(len(request.tools) + 1)
        return _call(request.tools[place], request) if place < len(request.tools) else []

    return choose


def _lexical(request: Request) -> list[ToolCall]:
    best = max(zip(lexical_scores(request), request.tools, strict=True), key=lambda pair: pair[0], default=None)
    return _call(best[1], request) if best and best[0] >= LEXICAL_THRESHOLD else []


def lexical_scores(request: Request) -> list[float]:
    """Overlap of the request with each tool: the sum over shared words of weight / number of tools with the word."""
    bags = [_bag(tool) for tool in request.tools]
    spread = Counter(word for bag in bags for word in bag)
    asked = {_stem(word) for word in words(request.query)} - _COMMON
    return [sum(bag[word] / spread[word] for word in asked if word in bag) for bag in bags]


@lru_cache(maxsize=16384)
def _bag(tool: ToolSpec) -> dict[str, float]:
    """Stemmed words of a tool with weights: 1 in the name or a listed value, 0.5 in a description or parameter name."""
    strong, weak = [tool.name], [tool.description]
    for key, schema in tool.properties.items():
        weak.append(key)
        if isinstance(schema, dict):
            weak.append(str(schema.get("description") or ""))
            strong += [str(value) for value in schema.get("enum") or ()]
    bag = dict.fromkeys(_tokens(weak), 0.5) | dict.fromkeys(_tokens(strong), 1.0)
    return {word: weight for word, weight in bag.items() if word not in _COMMON}


def _tokens(texts: Iterable[str]) -> set[str]:
    return {_stem(word) for text in texts for word in words(_CAMEL.sub(" ", text.replace("_", " ")))}


def _stem(word: str) -> str:
    for ending in ("ing", "ed", "es", "s", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word.removesuffix(ending)
    return word


def _gold(traces: Iterable[Trace]) -> Callable[[Request], list[ToolCall]]:
    known: dict[Any, tuple[ToolCall, ...]] = {}
    for trace in traces:
        known.setdefault(_key(trace.request), trace.calls)

    def choose(request: Request) -> list[ToolCall]:
        calls = known.get(_key(request))
        if calls is None:
            raise UserError(
                f"no gold calls for {request.query!r}; build copy and gold from the suite that they are to answer"
            )
        return list(calls)

    return choose


def _copy(traces: Iterable[Trace]) -> Callable[[Request], list[ToolCall]]:
    gold = _gold(traces)
    return lambda request: copied(request, gold(request))


def copied(request: Request, calls: Iterable[ToolCall]) -> list[ToolCall]:
    """The calls with those values that stand in the request or are listed by the schema; the others are left out."""
    tools = {tool.name: tool for tool in request.tools}
    words_of = Extractor(request.query)
    return [_copied(call, tools.get(call.name), words_of) for call in calls]


def _copied(call: ToolCall, tool: ToolSpec | None, request: Extractor) -> ToolCall:
    schemas = tool.properties if tool else {}
    kept = {key: value for key, value in call.arguments.items() if _at_hand(value, schemas.get(key), request)}
    return ToolCall(call.name, kept)


def _at_hand(value: Any, schema: Any, request: Extractor) -> bool:
    """Whether a value can be had without thinking: it stands in the request, or the schema lists it."""
    if isinstance(value, dict):
        return all(_at_hand(one, None, request) for one in value.values())
    if isinstance(value, list):
        items = schema.get("items") if isinstance(schema, dict) else None
        return all(_at_hand(one, items, request) for one in value)
    if isinstance(value, bool) or (isinstance(schema, dict) and value in (schema.get("enum") or ())):
        return True
    if isinstance(value, int | float):
        return value in request.numbers
    return value is None or request.mentions(value)


def _key(request: Request) -> tuple[Any, ...]:
    return request.query, request.system, request.tools, json.dumps(request.messages, ensure_ascii=False)


BASELINES = ("never", "first-tool", "random", "lexical", "copy", "gold")
CEILINGS = ("copy", "gold")
"""Baselines that are told the answers."""
FLOORS = ("never", "first-tool", "lexical")
"""Baselines that every run scores beside the model."""


def baseline(name: str, traces: Iterable[Trace] = (), *, seed: int = 0, dialect: str = "json") -> Caller:
    """Baseline by name (one of ``BASELINES``), writing a dialect of ``RENDERERS``.

    Those of ``CEILINGS`` need the traces that they are to answer. Raises ``UserError``.
    """
    made: dict[str, Callable[[], Callable[[Request], list[ToolCall]]]] = {
        "never": lambda: _never,
        "first-tool": lambda: _first_tool,
        "random": lambda: _random(seed),
        "lexical": lambda: _lexical,
        "copy": lambda: _copy(traces),
        "gold": lambda: _gold(traces),
    }
    if name not in made:
        raise UserError(f"no baseline {name!r}; choose one of {', '.join(BASELINES)}")
    if dialect not in RENDERERS:
        raise UserError(f"no dialect {dialect!r}; choose one of {', '.join(RENDERERS)}")
    return Baseline(name, made[name](), dialect)
