"""Seal-Tools and SNIPS on small files of their shape."""

from __future__ import annotations

import json

import pytest

from needle.errors import UserError
from needle.evals.baselines import baseline
from needle.evals.definition import read_definition
from needle.evals.finding import named_suites
from needle.evals.run import evaluate
from needle.evals.snips import TOOLS
from needle.evals.suites import load_suite
from needle.evals.text import summary_table
from needle.tools import ToolCall, load_toolset

FILES = {"in-domain": "test_in_domain", "out-of-domain": "test_out_domain"}


def api(name, **parameters):
    schema = {key: {"type": kind, "description": key, "example": "x"} for key, kind in parameters.items()}
    return {
        "api_name": name,
        "api_description": f"does {name}",
        "field": "Sport/Ball",
        "parameters": schema,
        "required": list(parameters)[:1],
        "responses": {},
    }


CANDIDATES = [api("kick", speed="float", by="str"), api("throw", far="int"), api("run"), api("sit"), api("lie")]
CALLS = [
    [{"api": "kick", "parameters": {"speed": 2.5}, "responses": ["API_call_0"]}],
    [{"api": "throw", "parameters": {"far": "7"}, "responses": ["API_call_0"]}],
    [
        {"api": "throw", "parameters": {"far": 7}, "responses": ["API_call_0"]},
        {"api": "kick", "parameters": {"speed": 1.0, "by": "API_call_0"}, "responses": ["API_call_1"]},
    ],
]


@pytest.fixture
def seal(tmp_path):
    folder = tmp_path / "seal-tools"
    (folder / "with_candidates").mkdir(parents=True)
    for stem in FILES.values():
        rows = [{"id": f"{stem}-{n}", "query": f'do {n} "so"', "calling": CALLS[n % 3]} for n in range(12)]
        (folder / f"{stem}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        prompts = [
            {"id": row["id"], "conversations": [{"value": f'...\napi_list = {CANDIDATES}\ntask_instruction = "x"\n'}]}
            for row in rows
        ]
        (folder / "with_candidates" / f"{stem}.json").write_text(json.dumps(prompts))
    return tmp_path


@pytest.fixture
def snips(tmp_path):
    folder = tmp_path / "snips"
    folder.mkdir()
    for tool in load_toolset(TOOLS):
        slot = next(iter(tool.properties))
        pieces = [{"text": "please "}, {"text": f"Some {slot}", "entity": slot}, {"text": " now "}]
        twice = [*pieces, {"text": "other", "entity": slot}]
        rows = {tool.name: [{"data": pieces}, {"data": twice}]}
        (folder / f"validate_{tool.name}.json").write_text(json.dumps(rows))
    return tmp_path


def test_seal_tools_rows_keep_references_and_gold_that_breaks_its_schema(seal):
    suite = load_suite("seal-tools", data=seal)
    assert len(suite.traces) == 24 and len({trace.id for trace in suite.traces}) == 24
    assert len(suite.suspects) == 8  # "7" for a whole number, in a third of the rows
    last = suite.traces[2]
    assert last.calls[1] == ToolCall("kick", {"speed": 1.0, "by": "API_call_0"})
    assert last.kind == "in-domain, 2-3 calls" and last.query == 'do 2 "so"' and last.domain == "Sport/Ball"
    kick = next(tool for tool in last.tools if tool.name == "kick")
    assert kick.properties["speed"] == {"type": "number", "description": "speed (example: x)"}
    assert kick.required == ("speed",)
    assert {trace.kind for trace in load_suite("seal-tools/out-of-domain", data=seal).traces} == {
        "out-of-domain, 1 call",
        "out-of-domain, 2-3 calls",
    }


def test_the_order_of_candidates_follows_the_seed_and_tells_nothing(seal):
    one, again, other = (load_suite("seal-tools", data=seal, seed=seed) for seed in (0, 0, 1))
    assert one.hash == again.hash != other.hash
    orders = {tuple(tool.name for tool in trace.tools) for trace in one.traces}
    assert len(orders) > 12 and all(set(order) == {"kick", "throw", "run", "sit", "lie"} for order in orders)
    assert len({trace.toolset for trace in one.traces}) == 1


def test_order_of_calls_counts_on_seal_tools(seal, scripted, tmp_path):
    suite = load_suite("seal-tools/in-domain", data=seal)
    assert evaluate(baseline("gold", suite.traces), suite, tmp_path / "gold").rate().value == 1.0
    known = {trace.query: list(reversed([call.to_dict() for call in trace.calls])) for trace in suite.traces}
    results = evaluate(scripted(lambda query: json.dumps(known[query])), suite, tmp_path / "reversed")
    assert results.rate().value == pytest.approx(2 / 3) and results.rate("correct_unordered").value == 1.0


def test_snips_rows_are_calls_with_the_marked_words(snips):
    suite = load_suite("snips", data=snips)
    first, second = suite.traces[:2]
    slot = next(iter(load_toolset(TOOLS)[0].properties))
    assert first.query == f"please Some {slot} now" and len(first.tools) == 7 and not suite.suspects
    assert first.calls == (ToolCall("AddToPlaylist", {slot: f"Some {slot}"}),)
    assert second.alternatives == {f"0.{slot}": ["other"]}
    assert len({tuple(tool.name for tool in trace.tools) for trace in suite.traces}) > 7
    alone = load_suite("snips/gold", data=snips)
    assert all([tool.name for tool in trace.tools] == [trace.calls[0].name] for trace in alone.traces)
    assert load_suite("snips/7-way", data=snips).hash == suite.hash != alone.hash


def test_field_micro_f1_stands_in_the_closing_table(snips, tmp_path):
    suite = load_suite("snips", data=snips)
    gold = evaluate(baseline("gold", suite.traces), suite, tmp_path / "gold")
    assert gold.summary["arguments"]["f1"] == 1.0 and "f1 100.0" in summary_table(gold)
    never = evaluate(baseline("never"), suite, tmp_path / "never")
    assert never.summary["arguments"]["f1"] == 0.0 and never.summary["arguments"]["false_negatives"] == 14


@pytest.mark.parametrize("name", ["seal-tools", "snips"])
def test_data_that_are_not_here_or_not_in_form_are_refused_in_one_line(name, seal, snips, tmp_path, monkeypatch):
    monkeypatch.delenv("NEEDLE_DATA", raising=False)
    definition = read_definition(named_suites()[name])
    assert definition.place() == "not here" and "not here (set NEEDLE_DATA" in definition.line()
    with pytest.raises(UserError, match="NEEDLE_DATA names no folder .*; set NEEDLE_DATA to a folder"):
        load_suite(name)
    monkeypatch.setenv("NEEDLE_DATA", str(tmp_path))
    assert definition.place() == "here" and " here. [" in definition.line()
    broken = {"seal-tools": "with_candidates/test_in_domain.json", "snips": "validate_RateBook.json"}[name]
    for text in ("{", "[]", "[1]", '{"RateBook": [{"data": [{}]}]}'):
        (tmp_path / name / broken).write_text(text)
        with pytest.raises(UserError, match="not in its published form") as caught:
            load_suite(name)
        assert "\n" not in str(caught.value)
