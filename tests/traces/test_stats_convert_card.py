"""Statistics count what is there; conversions keep what the target can hold and name the rest; the card is counted."""

import json

import pytest

from needle.errors import UserError
from needle.tools import ToolCall, ToolSpec
from needle.traces import (
    CardText,
    Trace,
    convert_traces,
    dataset_card,
    load_card_text,
    read_traces,
    trace_stats,
    write_traces,
)
from needle.traces.stats import parameter_type

TOOL = ToolSpec(
    "book",
    "Book a table.",
    {
        "type": "object",
        "properties": {
            "place": {"type": "string", "description": "where"},
            "day": {"type": "string", "format": "date"},
            "seat": {"enum": ["in", "out"]},
            "guest": {"$ref": "#/$defs/guest"},
            "n": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        },
        "required": ["place"],
        "$defs": {"guest": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}},
    },
)
OTHER = ToolSpec("wait")
ONE = ToolCall("book", {"place": "Da Mario", "day": "2026-11-29", "seat": "out", "guest": {"name": "Li"}, "n": 3})
TWO = ToolCall("book", {"place": "Chez Nous"})
ROWS = [
    Trace(
        "1",
        "table at da mario, outside",
        (TOOL, OTHER),
        (ONE,),
        "single",
        "d-eat",
        "food",
        alternatives={"0.n": [None]},
    ),
    Trace(
        "2",
        "book it",
        (TOOL, OTHER),
        (TWO, ToolCall("wait")),
        "parallel",
        "d-eat",
        "food",
        system="They mean Chez Nous.",
    ),
    Trace("3", "what is love", (TOOL,), (), "chat", "b-eat", "food"),
    Trace("4", "What is  LOVE", (TOOL,), (), "chat", "b-eat", "food"),
    Trace("5", "book it", (TOOL, OTHER), (ToolCall("book", {"place": "somewhere else"}),), "single", "x", "food"),
]


def test_counts_are_those_of_the_rows():
    stats = trace_stats(ROWS)
    assert (stats.rows, stats.toolsets, stats.tools, stats.calls) == (5, 3, 5, 4)
    assert stats.kinds == {"single": 2, "chat": 2, "parallel": 1}
    assert stats.families == {"d": 2, "b": 2, "food": 1}
    assert stats.calls_a_row == {0: 2, 1: 2, 2: 1} and stats.tools_a_row == {1: 2, 2: 3}
    assert stats.used_types == {"string": 3, "string:date": 1, "enum": 1, "object": 1, "integer": 1}
    assert stats.argument_types == {"string": 3, "string:date": 3, "enum": 3, "object": 3, "integer": 3}
    assert (stats.words_median, stats.words_longest) == (3, 5)
    assert (stats.copied, stats.free_text, stats.with_alternatives, stats.repeated) == (2, 3, 1, 1)
    assert stats.copy_rate == pytest.approx(2 / 3)


def test_the_table_and_the_dictionary_show_every_figure():
    stats = trace_stats(ROWS)
    assert "66.7% of 3" in stats.table() and "chat: 2" in stats.table()
    assert json.loads(json.dumps(stats.to_dict()))["copy_rate"] == pytest.approx(2 / 3)
    assert trace_stats(ROWS[2:4]).copy_rate is None
    with pytest.raises(UserError, match="no traces"):
        trace_stats([])


def test_a_circle_of_references_has_no_type_but_ends():
    tool = ToolSpec(
        "t", "", {"type": "object", "properties": {"x": {"$ref": "#/$defs/x"}}, "$defs": {"x": {"$ref": "#/$defs/x"}}}
    )
    assert parameter_type(tool.properties["x"], tool) == "any"


@pytest.mark.parametrize("to", ["needle", "openai", "xlam"])
def test_conversion_and_back_keeps_request_tools_and_calls(tmp_path, to):
    source = write_traces(tmp_path / "rows.jsonl", ROWS)
    count, problems, lost = convert_traces(source, tmp_path / "out.jsonl.gz", to)
    back, bad = read_traces(tmp_path / "out.jsonl.gz")
    assert (count, problems, bad) == (5, [], [])
    for old, new in zip(ROWS, back, strict=True):
        assert (new.query, new.tools, new.calls) == (old.query, old.tools, old.calls)
    assert ("alternatives" in lost) == (to != "needle") and lost.get("alternatives", 1) == 1
    assert ("system" in lost) == (to == "xlam")


def test_flat_parameters_say_which_are_required(tmp_path):
    source = write_traces(tmp_path / "rows.jsonl", [ROWS[4]])
    _, _, lost = convert_traces(source, tmp_path / "out.jsonl", "needle-v1")
    row = json.loads((tmp_path / "out.jsonl").read_text())
    parameters = json.loads(row["tools"])[0]["parameters"]
    assert parameters["place"] == {"type": "string", "description": "where", "required": True}
    assert parameters["day"]["required"] is False and "shared definitions" in lost


def test_openai_rows_are_what_its_fine_tuning_takes(tmp_path):
    convert_traces(write_traces(tmp_path / "rows.jsonl", ROWS[:3]), tmp_path / "out.jsonl", "openai")
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    answer = rows[1]["messages"][-1]
    assert rows[1]["messages"][0] == {"role": "system", "content": "They mean Chez Nous."}
    assert [call["function"]["name"] for call in answer["tool_calls"]] == ["book", "wait"]
    assert all(isinstance(call["function"]["arguments"], str) for call in answer["tool_calls"])
    assert len({call["id"] for call in answer["tool_calls"]}) == 2
    assert rows[2]["messages"][-1] == {"role": "assistant", "content": ""}
    assert rows[0]["tools"][0]["type"] == "function"


def test_an_unknown_target_format_is_one_line(tmp_path):
    with pytest.raises(UserError, match="unknown format 'csv'; use one of needle"):
        convert_traces(write_traces(tmp_path / "rows.jsonl", ROWS), tmp_path / "o.jsonl", "csv")


def test_the_card_has_a_head_and_counted_figures(tmp_path):
    text = CardText(title="T", summary="S", provenance="P", limits="L", command="do it")
    card = dataset_card({"train": ROWS[:3], "test": ROWS[3:]}, text, "traces")
    assert card.startswith("---\nlicense: apache-2.0\n") and "path: traces/test.*" in card
    assert "| train | 3 | 2 | 3 | 3 | 1 | 1 | 1 |" in card
    assert all(word in card for word in ("## Where it comes from\n\nP", "## Known limits\n\nL", "Apache-2.0", "do it"))


def test_a_card_text_that_is_none_is_one_line(tmp_path):
    path = tmp_path / "card.json"
    for content in ("oops", '{"titel": "x"}', "[]"):
        path.write_text(content)
        with pytest.raises(UserError, match="title, summary"):
            load_card_text(path)
    with pytest.raises(UserError, match="cannot be read"):
        load_card_text(tmp_path / "no.json")
