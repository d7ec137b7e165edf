"""The BFCL suite on small files of its shape: rows, verdict and figures of the leaderboard, where they are shown."""

from __future__ import annotations

import json
import tarfile

import pytest

from needle.errors import UserError
from needle.evals.baselines import baseline
from needle.evals.bfcl.check import official
from needle.evals.bfcl.figures import mean_rate
from needle.evals.bfcl.literals import read_java, read_javascript
from needle.evals.bfcl.load import ANSWERED, CATEGORIES
from needle.evals.run import evaluate, rescore
from needle.evals.statistics import Rate
from needle.evals.suites import load_suite
from needle.evals.text import summary_table, to_markdown
from needle.tools import CallResult, ToolCall

PYTHON = {
    "name": "geo.area",
    "description": "Area of a shape",
    "parameters": {
        "type": "dict",
        "properties": {
            "sides": {"type": "tuple", "items": {"type": "integer"}, "description": "lengths"},
            "unit": {"type": "string", "description": "unit", "default": "m"},
            "scale": {"type": "float", "description": "factor"},
            "style": {"type": "dict", "properties": {"ink": {"type": "string"}}},
        },
        "required": ["sides"],
    },
}
JAVA = {
    "name": "Store.put",
    "description": "Store",
    "parameters": {
        "type": "dict",
        "properties": {
            "size": {"type": "long", "description": "bytes"},
            "names": {"type": "Array", "items": {"type": "String"}, "description": "names"},
            "map": {"type": "HashMap", "description": "options"},
        },
        "required": ["size"],
    },
}
SCRIPT = {
    "name": "draw",
    "description": "Draw",
    "parameters": {
        "type": "dict",
        "properties": {
            "big": {"type": "Bigint", "description": "size"},
            "at": {"type": "array", "items": {"type": "float"}, "description": "place"},
            "on": {"type": "Boolean", "description": "visible"},
        },
        "required": ["big"],
    },
}
TRUTH = {
    "geo.area": {
        "sides": [[3, 4]],
        "unit": ["", "cm"],
        "scale": [2.0, ""],
        "style": [{"ink": ["Dark Red", ""]}, ""],
    }
}
STORED = {"Store.put": {"size": [5], "names": [["a", "b"]], "map": [{"k": [1]}]}}
DRAWN = {"draw": {"big": [7], "at": [[1.5, 2.0]], "on": [True, ""]}}
SPECIAL = {"simple_java": (JAVA, STORED), "simple_javascript": (SCRIPT, DRAWN)}


@pytest.fixture
def folder(tmp_path):
    """Two rows in each of the 13 categories."""
    data = tmp_path / "bfcl"
    (data / "possible_answer").mkdir(parents=True)
    for category in CATEGORIES:
        tool, due = SPECIAL.get(category, (PYTHON, TRUTH))
        truth = [due] * (2 if "parallel" in category else 1)
        rows = [
            {
                "id": f"{category}_{n}",
                "question": [
                    [
                        {"role": "system", "content": "It is Monday."},
                        {"role": "user", "content": f"{category} {n}: area of 3 by 4"},
                    ]
                ],
                "function": [tool],
            }
            for n in range(2)
        ]
        path = data / f"BFCL_v4_{category}.json"
        path.write_text("\n".join(map(json.dumps, rows)))  # as published: no line end after the last row
        if category in ANSWERED:
            answers = [{"id": row["id"], "ground_truth": truth} for row in rows]
            (data / "possible_answer" / path.name).write_text("\n".join(map(json.dumps, answers)))
    return tmp_path


def test_rows_become_examples_with_json_schema_other_values_and_the_raw_truth(folder):
    suite = load_suite("bfcl", data=folder)
    assert len(suite.traces) == suite.total == 26 and not suite.suspects and suite.licence == "Apache-2.0"
    trace = suite.traces[0]
    assert (trace.kind, trace.system) == ("simple_python", "It is Monday.")
    assert trace.query == "simple_python 0: area of 3 by 4" and not trace.messages
    assert trace.tools[0].name == "geo.area" and trace.tools[0].parameters["properties"]["sides"]["type"] == "array"
    ink = {"style": {"ink": "Dark Red"}}
    assert trace.calls == (ToolCall("geo.area", {"sides": [3, 4], "scale": 2.0, **ink}),)  # a leading "": left out
    assert trace.alternatives == {"0.unit": ["cm"], "0.scale": [None], "0.style": [None], "0.style.ink": [None]}
    assert trace.meta["scoring"]["bfcl"]["truth"] == [TRUTH]


def test_java_arguments_are_source_text_that_the_rules_read_back(folder):
    trace = load_suite("bfcl/simple_java", data=folder).traces[0]
    assert {schema["type"] for schema in trace.tools[0].properties.values()} == {"string"}
    assert "Java Array of String" in trace.tools[0].properties["names"]["description"]
    size, names, options = trace.calls[0].arguments.values()
    assert (read_java(size, "long"), read_java(options, "HashMap")) == (5, {"k": 1})
    assert read_java(names, "Array", "String") == ["a", "b"]
    assert official(trace.meta["scoring"]["bfcl"], trace.calls)


def test_a_sample_has_every_category_and_a_part_can_be_asked_for_alone(folder):
    suite = load_suite("bfcl", limit=13, data=folder)
    assert [trace.kind for trace in suite.traces] == list(CATEGORIES)
    part = load_suite("bfcl/parallel", data=folder)
    assert part.name == "bfcl/parallel" and {trace.kind for trace in part.traces} == {"parallel"}
    assert part.hash != suite.hash


def test_an_archive_and_the_environment_variable_serve_as_well(folder, tmp_path, monkeypatch):
    whole = load_suite("bfcl", data=folder)
    with tarfile.open(tmp_path / "bfcl.tar.xz", "w:xz") as archive:
        archive.add(folder / "bfcl", "bfcl")
    assert load_suite("bfcl", data=tmp_path / "bfcl.tar.xz").hash == whole.hash
    monkeypatch.setenv("NEEDLE_DATA", str(folder))
    assert load_suite("bfcl").hash == whole.hash


def test_missing_and_broken_files_are_refused_in_one_line(folder):
    path = folder / "bfcl" / "possible_answer" / "BFCL_v4_parallel.json"
    path.write_text(path.read_text().splitlines()[0])
    with pytest.raises(UserError, match="no answer to parallel_1"):
        load_suite("bfcl", data=folder)
    path.write_text("{")
    with pytest.raises(UserError, match=r"BFCL_v4_parallel.json:1: broken JSON"):
        load_suite("bfcl", data=folder)
    path.unlink()
    with pytest.raises(UserError, match="has no possible_answer/BFCL_v4_parallel.json"):
        load_suite("bfcl", data=folder)


@pytest.mark.parametrize(
    ("arguments", "right"),
    [
        ({"sides": [3, 4], "scale": 2.0}, True),
        ({"sides": [3, 4], "scale": 2}, True),  # a whole number for a float
        ({"sides": [3, 4], "unit": " C-M."}, True),  # case, blanks, punctuation
        ({"sides": [3, 4], "unit": "m"}, False),  # the default, which the truth does not list
        ({"sides": [3, 4], "unit": ""}, True),  # equals the mark for leaving it out
        ({"sides": [4, 3]}, False),
        ({"sides": [3.0, 4]}, False),
        ({"sides": (3, 4)[0]}, False),
        ({"sides": [3, 4], "style": {"ink": "darkred"}}, True),
        ({"sides": [3, 4], "style": {}}, True),
        ({"sides": [3, 4], "style": {"ink": "dark red", "pen": 1}}, False),
        ({"sides": [3, 4], "hue": 1}, False),
        ({}, False),
    ],
)
def test_the_rules_of_the_leaderboard_on_one_call(folder, arguments, right):
    facts = load_suite("bfcl/simple_python", data=folder).traces[0].meta["scoring"]["bfcl"]
    assert official(facts, [ToolCall("geo.area", arguments)]) is right
    assert not official(facts, [ToolCall("geo_area", arguments)]) and not official(facts, [])


@pytest.mark.parametrize(
    ("read", "text", "kind", "item", "value"),
    [
        (read_java, "5L", "long", None, 5),
        (read_java, "5", "long", None, "5"),
        (read_java, "-2.5e1f", "float", None, -25.0),
        (read_java, "2.5f", "double", None, "2.5f"),
        (read_java, "new ArrayList<>(Arrays.asList(1, 2))", "ArrayList", "integer", [1, 2]),
        (read_java, "new ArrayList<String>() {{ add(\"a\"); add(\"b\"); }}", "ArrayList", "String", ["a", "b"]),
        (read_java, "new int[]{}", "Array", "integer", []),
        (read_java, 'new HashMap<>() {{ put("a", true); put("b", 2L); }}', "HashMap", None, {"a": True, "b": 2}),
        (read_javascript, "12n", "Bigint", None, 12),
        (read_javascript, "'x'", "String", None, "x"),
        (read_javascript, "[1, 2.5]", "array", "float", [1.0, 2.5]),
        (read_javascript, "[[1, 2], ['a']]", "array", "array", [[1, 2], ["a"]]),
        (read_javascript, "{'a': 1, b: [true, 'x']}", "dict", None, {"a": 1, "b": [True, "x"]}),
        (read_javascript, "nameOfAnArray", "array", "String", "nameOfAnArray"),
    ],
)  # fmt: skip
def test_literals_are_read_by_their_type_or_stay_text(read, text, kind, item, value):
    found = read(text, kind, item)
    assert found == value and type(found) is type(value)


def test_gold_has_everything_and_unreadable_output_is_credited_in_the_official_figure_only(folder, scripted, tmp_path):
    suite = load_suite("bfcl", data=folder)
    gold = evaluate(baseline("gold", suite.traces), suite, tmp_path / "gold")
    assert gold.rate().value == 1.0 and gold.summary["bfcl"]["mean"]["value"] == 1.0
    assert gold.summary["arguments"]["f1"] == 1.0
    garbage = evaluate(scripted(lambda query: "{oops"), suite, tmp_path / "garbage")
    found = garbage.summary["bfcl"]
    assert found["mean"]["value"] == pytest.approx(2 / 13) and found["abstention"]["value"] == 1.0
    assert found["mean_uncredited"]["value"] == found["abstention_uncredited"]["value"] == garbage.rate().value == 0.0
    assert found["credited"] == 4 and "4 malformed answers pass" in summary_table(garbage)
    assert garbage.summary["abstention"]["recall"] == 0.0
    down = evaluate(scripted(lambda query: CallResult(error="x", infra_error=True)), suite, tmp_path / "down")
    assert down.summary["bfcl"]["mean"]["value"] == 0.0


def test_any_call_answers_a_relevance_row_and_none_does_not(folder, scripted, tmp_path):
    suite = load_suite("bfcl/live_relevance", data=folder)
    two = '[{"name":"x","arguments":{"a":1}},{"name":"y","arguments":{}}]'
    some = evaluate(scripted(lambda query: two), suite, tmp_path / "a")
    assert some.rate().value == 1.0 and some.summary["bfcl"]["mean"]["value"] == 1.0
    assert some.summary["arguments"]["false_positives"] == 0
    none = evaluate(scripted(lambda query: "[]"), suite, tmp_path / "b")
    assert none.rate().value == 0.0 and none.summary["causes"] == {"under_call": 2}


def test_the_figures_are_shown_apart_and_survive_rescoring(folder, tmp_path):
    suite = load_suite("bfcl", data=folder)
    results = evaluate(baseline("never"), suite, tmp_path / "run")
    found = results.summary["bfcl"]
    assert found["floors"]["never"] == found["mean"]["value"] == pytest.approx(2 / 13)
    assert found["pooled"]["n"] == 26 and found["must_call"] | {"n": 22, "value": 0.0} == found["must_call"]
    assert found["groups"] == {"non_live": 0.0, "live": 0.0, "irrelevance": 1.0} and found["all_categories"]
    assert "BFCL verdict, mean of 13 categories" in summary_table(results)
    assert "| irrelevance | 2 | 100.0 | 100.0 | 100.0 |" in to_markdown(results)
    page = (tmp_path / "run" / "report.html").read_text()
    assert "By the rules of the BFCL leaderboard" in page and "mean of 13 categories" in page
    assert rescore(tmp_path / "run").summary["bfcl"] == found


def test_other_suites_have_no_such_section(make_suite, tmp_path):
    results = evaluate(baseline("never"), make_suite(), tmp_path)
    assert "bfcl" not in results.summary and "BFCL" not in summary_table(results) + to_markdown(results)
    assert "leaderboard" not in (tmp_path / "report.html").read_text()


def test_the_mean_of_categories_counts_each_the_same_and_widens_with_small_ones():
    mean = mean_rate([Rate(1.0, 0.9, 1.0, 1000), Rate(0.0, 0.0, 0.3, 10)])
    assert mean.value == 0.5 and mean.n == 2
    assert (mean.low, mean.high) == (pytest.approx(0.45), pytest.approx(0.65))
