"""Rows that a suite knows are found in any dress; rows that only sound alike are not."""


import pytest
from typer.testing import CliRunner

from needle.cli import app
from needle.errors import UserError
from needle.tools import ToolSpec
from needle.traces import Trace, write_traces
from needle.traces.contamination import contamination, drop_contaminated, tool_key

LONG = "could you please book a quiet table for four people at the harbour grill next friday evening around eight"


def tool(name="book", description="Book.", **properties):
    schema = {"type": "object", "properties": properties or {"n": {"type": "integer"}}}
    return ToolSpec(name, description, schema)


def row(query, name="r", tools=()):
    return Trace(name, query, tuple(tools) or (tool(name + "_only"),), ())


SUITE = [row("Dim the kitchen to 10%!", "s1"), row(LONG, "s2"), row("two chairs", "s3", [tool("book")])]


@pytest.mark.parametrize(("query", "sign"), [
    ("dim the KITCHEN to 10", "request"), ("dim  the kítchen, to 10 %", "request"), ("dim the kitchen to 11", None),
    (LONG.replace("around eight", "at nine, and tell Ann"), "overlap"), ("hello there. " + LONG, "overlap"),
    ("book a quiet table for four people at the club", None), ("please book a table", None), ("10% to dim kitchen the", None),
])  # fmt: skip
def test_requests_are_recognised_in_any_dress(query, sign):
    hits = contamination([row(query)], SUITE).hits
    assert [hit.sign for hit in hits] == ([sign] if sign else [])


def test_a_row_that_shares_half_of_a_long_request_is_found_and_less_than_half_is_not():
    words = LONG.split()
    half, less = " ".join(words[:10]), " ".join(words[:9])
    assert len(words) == 19
    assert contamination([row(half)], SUITE).rows_hit() == {"r"} and not contamination([row(less)], SUITE).hits


def test_a_tool_is_the_same_whatever_its_words_and_order_and_another_with_other_parameters():
    both = {"a": {"type": "string", "description": "x"}, "b": {"enum": [1, 2]}}
    again = {"b": {"enum": [2, 1]}, "a": {"type": "string", "description": "y"}}
    assert tool_key(tool("t", "one", **both)) == tool_key(tool("t", "two", **again))
    assert tool_key(tool("t", "one", **both)) != tool_key(tool("t", "one", a={"type": "integer"}, b={"enum": [1, 2]}))
    assert tool_key(tool("t", **both)) != tool_key(tool("u", **both))
    named = tool("t", description={"type": "string"})  # a parameter may be called like a word for people
    assert tool_key(named) != tool_key(tool("t", title={"type": "string"}))


def test_dropping_takes_requests_by_default_and_tools_on_demand():
    rows = [row("two chairs", "a"), row("fresh", "b", [tool("book", "Reworded.")]), row("fresh too", "c")]
    kept, report = drop_contaminated(rows, {"one": SUITE, "two": SUITE[:1]})
    assert [trace.id for trace in kept] == ["b", "c"]
    assert report.counts() == {"one": {"request": 1, "overlap": 0, "tool": 1}, "two": dict.fromkeys(("request", "overlap", "tool"), 0)}
    assert [trace.id for trace in drop_contaminated(rows, SUITE, ("request", "tool"))[0]] == ["c"]
    with pytest.raises(UserError, match="nothing to compare"):
        contamination(rows, [])
    with pytest.raises(UserError, match="fuzzy"):
        drop_contaminated(rows, SUITE, ["fuzzy"])


def test_the_verb_reports_and_writes_what_is_clean(tmp_path):
    rows, suite, clean = tmp_path / "rows.jsonl", tmp_path / "suite.jsonl", tmp_path / "clean.jsonl"
    write_traces(rows, [row("two chairs", "a"), row("fresh", "b")])
    write_traces(suite, SUITE)
    outcome = CliRunner().invoke(app, ["traces", "contamination", str(rows), "--against", str(suite), "--out", str(clean)])
    assert outcome.exit_code == 0 and "suite" in outcome.output and "1 of 2 rows" in outcome.output
    assert [line.split('"')[3] for line in clean.read_text().splitlines()] == ["b"]
