"""Variations of a trace whose label is known: argument values swapped in the request and in the call together.

Only strings that stand verbatim in the request are swapped, for values that the same kind of argument has elsewhere, so that the pair stays
right while the model cannot learn values by heart.
"""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from needle.tools import ToolCall
from needle.traces import Trace

_SHAPES = (("code", re.compile(r"(?=.*\d)[\w#./:-]+")), ("name", re.compile(r"[A-Z][\w'-]*( [A-Z][\w'-]*)*")), ("words", re.compile(r"[a-z' -]+")))


def shape_of(text: str) -> str:
    """Rough form of a value: a code with digits, a capitalised name, plain words by their count, or other."""
    for name, pattern in _SHAPES:
        if pattern.fullmatch(text):
            return f"{name}{min(len(text.split()), 4)}" if name != "code" else name
    return "other"


def free_strings(trace: Trace) -> Iterable[tuple[int, str, str]]:
    """(call index, argument, value) of top-level free-text values that stand exactly once in the request."""
    tools = {tool.name: tool for tool in trace.tools}
    for index, call in enumerate(trace.calls):
        for key, value in call.arguments.items():
            schema = tools[call.name].properties.get(key) or {}
            plain = isinstance(value, str) and schema.get("type") == "string" and not schema.keys() & {"enum", "format", "pattern", "const"}
            if plain and len(value) > 1 and len(re.findall(rf"(?<!\w){re.escape(value)}(?!\w)", trace.query)) == 1:
                yield index, key, value


class ValueSwap:
    """Callable ``(trace, rng) -> trace`` that swaps values with probability ``share`` a row, from a bank learnt from ``traces``."""

    def __init__(self, traces: Iterable[Trace], share: float = 0.5) -> None:
        banks: dict[tuple[str, str], dict[str, None]] = defaultdict(dict)
        for trace in traces:
            for _, key, value in free_strings(trace):
                banks[key.lower(), shape_of(value)][value] = None
                banks["", shape_of(value)][value] = None
        self.banks = {key: list(values) for key, values in banks.items()}
        self.share = share

    def __call__(self, trace: Trace, rng: random.Random) -> Trace:
        """The trace with some values swapped, or the trace itself. Rows with alternatives are left alone: they name the old values."""
        if trace.alternatives or rng.random() >= self.share:
            return trace
        query, calls = trace.query, [dict(call.arguments) for call in trace.calls]
        places: dict[str, list[tuple[int, str]]] = defaultdict(list)
        for index, key, value in free_strings(trace):
            places[value].append((index, key))
        leaves = [leaf for call in trace.calls for leaf in _leaves(call.arguments)]
        for value, found in places.items():
            bank = self.banks.get((found[0][1].lower(), shape_of(value)), ())
            if len(bank) < 8 or rng.random() < 0.3:
                bank = self.banks.get(("", shape_of(value)), ())
            fresh = rng.choice(bank) if bank else value
            apart = leaves.count(value) == len(found) and not any(_touch(leaf, value) for leaf in leaves if leaf != value)
            new = not any(fresh == leaf or _touch(leaf, fresh) for leaf in leaves) and fresh.lower() not in query.lower()
            if apart and new and query.count(value) == 1:
                query = query.replace(value, fresh)
                leaves = [fresh if leaf == value else leaf for leaf in leaves]
                for index, key in found:
                    calls[index][key] = fresh
        swapped = tuple(ToolCall(call.name, arguments) for call, arguments in zip(trace.calls, calls, strict=True))
        return replace(trace, query=query, calls=swapped)


def _leaves(value: Any) -> Iterable[str]:
    """Every scalar of nested arguments as text."""
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _leaves(item)
    elif value is not None and not isinstance(value, bool):
        yield str(value)


def _touch(one: str, other: str) -> bool:
    """Whether one text lies inside the other: then neither can be swapped alone."""
    one, other = one.lower(), other.lower()
    return one in other or other in one
