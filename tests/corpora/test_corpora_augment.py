"""Swapped values: the same new words in request and call, everything else as it was, valid, reproducible."""

from __future__ import annotations

import gzip
import itertools
import json
import random
import re
from pathlib import Path

import pytest

from needle.corpora.augment import ValueSwap
from needle.tools import ToolCall, ToolSpec, is_valid
from needle.traces import Trace
from needle.traces.formats import trace_from_dict

FILE = Path(__file__).parents[2] / "data" / "traces" / "train.jsonl.gz"
NOTE = ToolSpec("note", "", {"type": "object", "properties": {
    "text": {"type": "string"}, "to": {"type": "string"}, "kind": {"enum": ["memo", "list"]},
    "day": {"type": "string", "format": "date"}, "code": {"type": "string", "pattern": "^[A-Z]+$"},
    "count": {"type": "integer"}, "tags": {"type": "array", "items": {"type": "string"}},
}})  # fmt: skip
NAMES = ("Ada", "Bob", "Cleo", "Dan", "Eve", "Finn", "Gus", "Hal", "Ivy", "Jo", "Kim", "Lou")


def note(query: str, *arguments: dict, **fields: object) -> Trace:
    return Trace("x", query, (NOTE,), tuple(ToolCall("note", values) for values in arguments), **fields)


BANK = [note(f"a note to {name}", {"to": name}) for name in NAMES]


@pytest.fixture(scope="module")
def traces() -> list[Trace]:
    """400 recorded traces from all over the training file."""
    with gzip.open(FILE, "rt", encoding="utf-8") as lines:
        return [trace_from_dict(json.loads(line)) for line in itertools.islice(lines, 0, 28_000, 70)]


def leaves(value: object) -> list[object]:
    if isinstance(value, dict | list):
        return [leaf for item in (value.values() if isinstance(value, dict) else value) for leaf in leaves(item)]
    return [value]


def spoken(text: str, query: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(text)}(?!\w)", query) is not None


def test_a_swapped_value_stands_in_request_and_call_and_nothing_else_changes(traces: list[Trace]) -> None:
    swap, rng, swapped = ValueSwap(traces, share=1.0), random.Random(0), 0
    for trace in traces:
        fresh = swap(trace, rng)
        assert (fresh.tools, fresh.kind, fresh.toolset, fresh.id, fresh.system) == (
            trace.tools,
            trace.kind,
            trace.toolset,
            trace.id,
            trace.system,
        )
        assert [(call.name, list(call.arguments)) for call in fresh.calls] == [
            (call.name, list(call.arguments)) for call in trace.calls
        ]
        query, changed = trace.query, []
        for old_call, new_call in zip(trace.calls, fresh.calls, strict=True):
            for key, old in old_call.arguments.items():
                new = new_call.arguments[key]
                if new != old:
                    assert isinstance(old, str) and isinstance(new, str)
                    changed.append((old, new))
        for old, new in changed:
            assert spoken(old, trace.query) and new in fresh.query, (trace.id, old, new)
            query = query.replace(old, new)
        assert fresh.query == query, trace.id
        swapped += bool(changed)
    assert swapped > 60


def test_swapped_calls_stay_valid(traces: list[Trace]) -> None:
    swap, rng = ValueSwap(traces, share=1.0), random.Random(1)
    for trace in traces:
        if is_valid(trace.calls, trace.tools):
            fresh = swap(trace, rng)
            assert is_valid(fresh.calls, fresh.tools), (trace.id, fresh.calls)


def test_every_value_that_was_spoken_is_spoken_after_the_swap(traces: list[Trace]) -> None:
    swap, rng, lost = ValueSwap(traces, share=1.0), random.Random(2), []
    for trace in traces:
        fresh = swap(trace, rng)
        for old_call, new_call in zip(trace.calls, fresh.calls, strict=True):
            for old, new in zip(leaves(old_call.arguments), leaves(new_call.arguments), strict=True):
                if (
                    isinstance(old, str)
                    and len(old) > 1
                    and spoken(old, trace.query)
                    and not spoken(str(new), fresh.query)
                ):
                    lost.append((trace.id, old, new, fresh.query))
    assert not lost, lost[:5]


@pytest.mark.parametrize(
    ("query", "arguments"),
    [
        ("tell Bob that it works and remind Zoe", [{"to": "Zoe"}, {"to": "Zoe", "text": "it works"}]),
        ("remind Zoe: lunch with Zoe's boss", [{"to": "Zoe", "text": "lunch with Zoe's boss"}]),
        ("a note to Zoe", [{"to": "Zoe", "tags": ["Zoe"]}]),
        ("a note to Zoe", [{"to": "Zoe", "text": "for Zoe"}]),
    ],
)
def test_a_name_that_stands_in_several_places_of_the_calls_is_changed_in_all_or_none(
    query: str, arguments: list[dict]
) -> None:
    swap = ValueSwap(BANK, share=1.0)
    for seed in range(10):
        fresh = swap(note(query, *arguments), random.Random(seed))
        said = [leaf for call in fresh.calls for leaf in leaves(call.arguments) if "Zoe" in str(leaf)]
        before = [leaf for values in arguments for leaf in leaves(values) if "Zoe" in str(leaf)]
        assert said in ([], before), (fresh.query, said)


def test_swaps_are_determined_by_the_random_generator(traces: list[Trace]) -> None:
    swap = ValueSwap(traces, share=0.5)
    first, second, third = ([swap(trace, rng) for trace in traces] for rng in map(random.Random, (3, 3, 4)))
    assert first == second != third
    assert [swap(trace, random.Random(9)) for trace in traces[:20]] == [
        ValueSwap(traces)(trace, random.Random(9)) for trace in traces[:20]
    ]


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_the_share_says_how_many_rows_may_change(share: float) -> None:
    swap, rng = ValueSwap(BANK, share=share), random.Random(0)
    changed = sum(swap(trace, rng).query != trace.query for trace in BANK * 20)
    assert 0.6 * share * 240 <= changed <= min(share * 240 + 30, 240) and (changed > 0) == (share > 0)


@pytest.mark.parametrize(
    "trace",
    [
        note("Bob, a memo", {"kind": "memo"}),
        note("on 2026-11-29", {"day": "2026-11-29"}),
        note("code ABC", {"code": "ABC"}),
        note("3 notes", {"count": 3}),
        note("tag it home", {"tags": ["home"]}),
        note("a note to Bob, yes to Bob", {"to": "Bob"}),
        note("a note to Bobby", {"to": "Bob"}),
        note("a note to bob", {"to": "Bob"}),
        note("a note to Bob", {"to": "Bob"}, alternatives={"0.to": ["Robert"]}),
        note("hello"),
    ],
    ids=lambda trace: trace.query,
)
def test_what_cannot_be_swapped_safely_stays(trace: Trace) -> None:
    swap = ValueSwap(BANK, share=1.0)
    for seed in range(10):
        fresh = swap(trace, random.Random(seed))
        assert (fresh.query, fresh.calls) == (trace.query, trace.calls)


def test_a_name_is_swapped_for_a_name_that_is_not_in_the_request() -> None:
    swap = ValueSwap(BANK, share=1.0)
    seen = {
        swap(note("Ada wants a note to Bob", {"to": "Bob"}), random.Random(seed)).calls[0].arguments["to"]
        for seed in range(60)
    }
    assert len(seen) > 5 and "Ada" not in seen and seen <= set(NAMES)


def test_the_trace_that_went_in_is_not_changed(traces: list[Trace]) -> None:
    before = [json.dumps(trace.to_dict()) for trace in traces[:100]]
    swap, rng = ValueSwap(traces, share=1.0), random.Random(0)
    for trace in traces[:100]:
        swap(trace, rng)
    assert [json.dumps(trace.to_dict()) for trace in traces[:100]] == before
