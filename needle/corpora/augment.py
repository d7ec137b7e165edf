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


def _shape(text: str) -> str:
    """Rough form of a value: a code with digits, a capitalised name, plain words by their count, or other."""
    for name, pattern in _SHAPES:
        if pattern.fullmatch(text):
            return f"{name}{min(len(text.split()), 4)}" if name != "code" else name
    return "other"


def _free_strings(trace: Trace) -> Iterable[tuple[int, str, str]]:
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
            for _, key, value in _free_strings(trace):
                banks[key.lower(), _shape(value)][value] = None
                banks["", _shape(value)][value] = None
        self.banks = {key: list(values) for key, values in banks.items()}
        self.share = share

    def __call__(self, trace: Trace, rng: random.Random) -> Trace:
        """The trace with some values swapped, or the trace itself. Rows with alternatives are left alone: they name the old values."""
        if trace.alternatives or rng.random() >= self.share:
            return trace
        query, calls = trace.query, [dict(call.arguments) for call in trace.calls]
        used: set[str] = set()
        for index, key, value in _free_strings(trace):
            bank = self.banks.get((key.lower(), _shape(value)), ())
            if len(bank) < 8 or rng.random() < 0.3:
                bank = self.banks.get(("", _shape(value)), ())
            fresh = rng.choice(bank) if bank else value
            clash = fresh.lower() in query.lower() or any(value in other for other in used) or fresh in used
            if not clash and query.count(value) == 1:
                query = query.replace(value, fresh)
                calls[index][key] = fresh
                used.add(fresh)
        return replace(trace, query=query, calls=tuple(_renamed(call, arguments) for call, arguments in zip(trace.calls, calls, strict=True)))


def _renamed(call: ToolCall, arguments: dict[str, Any]) -> ToolCall:
    return ToolCall(call.name, arguments)
