"""Corrections: rows by hand that are added, replaced, removed and split without losing any."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from needle.errors import UserError
from needle.tools import ToolCall, ToolSpec
from needle.traces import Trace
from needle.traces.corrections import Corrections
from needle.traces.read import read_traces

DIM = ToolSpec("dim", "Dim.", {"type": "object", "properties": {"percent": {"type": "integer"}}, "required": ["percent"]})


def trace(number: int, percent: object = 5) -> Trace:
    return Trace("", f"dim number {number}", (DIM,), (ToolCall("dim", {"percent": percent}),))


def test_a_row_for_the_same_request_replaces_and_other_facts_make_another_request(tmp_path):
    kept = Corrections(tmp_path / "new" / "rows.jsonl")
    first = kept.add(trace(1))
    assert kept.add(trace(1, 7)) == first != kept.add(replace(trace(1), system="It is late."))
    assert [row["calls"][0]["arguments"]["percent"] for row in kept.rows()] == [7, 5]


def test_what_does_not_fit_is_refused_and_what_is_there_stays(tmp_path):
    kept = Corrections(tmp_path / "rows.jsonl")
    kept.add(trace(1))
    before = kept.path.read_bytes()
    with pytest.raises(UserError, match=r"not saved: wrong_type at 0\.percent"):
        kept.add(trace(2, "much"))
    assert kept.path.read_bytes() == before


def test_threads_do_not_lose_each_others_rows(tmp_path):
    kept = Corrections(tmp_path / "rows.jsonl")
    threads = [threading.Thread(target=kept.add, args=(trace(number),)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {row["query"] for row in kept.rows()} == {f"dim number {number}" for number in range(12)}


def test_a_split_holds_out_every_fifth_row_and_drops_none(tmp_path):
    kept = Corrections(tmp_path / "rows.jsonl")
    for number in range(11):
        kept.add(trace(number))
    assert kept.split(tmp_path / "parts") == (9, 2)
    parts = {part: {row.query for row in read_traces(tmp_path / "parts" / f"{part}.jsonl")[0]} for part in ("train", "validation")}
    assert not parts["train"] & parts["validation"] and len(parts["train"] | parts["validation"]) == 11
