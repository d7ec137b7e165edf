"""Suites: where rows come from, samples of them, and bad input."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from needle.errors import UserError
from needle.evals import finding
from needle.evals.definition import read_definition
from needle.evals.finding import named_suites, suite_lines
from needle.evals.loaders import LOADERS
from needle.evals.sampling import sample_by_kind
from needle.evals.suites import load_suite, suite_hash
from needle.traces.write import write_traces


def write_rows(path: Path, traces, *extra: str) -> Path:
    path.write_text(
        "".join(json.dumps(trace.to_dict()) + "\n" for trace in traces) + "".join(line + "\n" for line in extra)
    )
    return path


def test_every_named_suite_of_the_repository_loads_and_says_what_it_is():
    names = named_suites()
    assert {"needle-unseen", "home-smoke"} <= names.keys()
    for name, path in names.items():
        definition = read_definition(path)
        assert {"title", "licence", "source", "measures"} <= definition.about.keys()
        assert definition.rows and definition.skills
        if definition.loader:  # not part of the repository, or made from another suite; their own tests load them
            assert definition.remedy or definition.loader not in LOADERS
            continue
        suite = load_suite(name, limit=20)
        assert suite.title and suite.licence != "unknown" and suite.source and suite.measures
        assert len(suite.traces) == 20 and not suite.problems and not suite.suspects
        assert suite.total == definition.rows


def test_file_folder_and_compressed_file_give_the_same_suite(make_suite, tmp_path):
    traces = make_suite().traces
    plain = write_rows(tmp_path / "mine.jsonl", traces)
    write_traces(tmp_path / "data" / "test.jsonl.gz", traces)
    hashes = {load_suite(source).hash for source in (plain, tmp_path / "data", tmp_path / "data" / "test.jsonl.gz")}
    assert hashes == {suite_hash(traces)}
    assert load_suite(plain).name == "mine"


def test_the_hash_follows_content_and_order_but_not_lineage(make_trace):
    a, b = make_trace(id="a"), make_trace(("set_light", {"room": "hall"}), id="b")
    assert suite_hash([a, b]) != suite_hash([b, a])
    assert suite_hash([a]) == suite_hash([make_trace(id="a", meta={"seed": 1})])
    assert suite_hash([a]) != suite_hash([make_trace(id="a", alternatives={"0.room": ["x"]})])


@pytest.mark.parametrize("limit", [1, 2, 7, 29, 100, 299, 300, 1000])
def test_a_sample_keeps_the_kinds_in_proportion_and_is_no_prefix(make_trace, limit):
    kinds = ["single"] * 200 + ["irrelevant"] * 90 + ["negated"] * 10
    traces = [make_trace(id=str(place), kind=kind) for place, kind in enumerate(kinds)]
    chosen = sample_by_kind(traces, limit, seed=4)
    counts = Counter(trace.kind for trace in chosen)
    assert len(chosen) == len({trace.id for trace in chosen}) == min(limit, 300)
    for kind, size in Counter(kinds).items():
        assert abs(counts[kind] - min(limit, 300) * size / 300) < 1.01
        assert counts[kind] > 0 or limit < 3
    places = [int(trace.id) for trace in chosen]
    assert places == sorted(places)
    assert limit < 7 or limit >= 299 or places[-1] > limit
    assert chosen == sample_by_kind(traces, limit, seed=4)
    assert not 7 <= limit < 299 or chosen != sample_by_kind(traces, limit, seed=5)


def test_rows_that_cannot_be_used_are_named_with_line_and_counted(make_suite, tmp_path):
    path = write_rows(tmp_path / "mixed.jsonl", make_suite(6).traces, "{broken", json.dumps({"id": "x", "query": "hi"}))
    suite = load_suite(path)
    assert len(suite.traces) == 6 and suite.unusable == 2
    assert any("mixed.jsonl:7:" in problem for problem in suite.problems)
    assert suite.to_dict()["unusable"] == 2


def test_an_id_used_twice_is_named_counted_and_both_rows_kept_apart(make_suite, tmp_path, monkeypatch):
    folder = tmp_path / "evals" / "suites" / "twice"
    folder.mkdir(parents=True)
    for name in ("a.jsonl", "b.jsonl"):
        write_rows(folder / name, make_suite(3).traces)
    (folder / "suite.toml").write_text('title = "Twice"\nlicence = "CC0-1.0"\nfiles = ["a.jsonl", "b.jsonl"]\n')
    monkeypatch.setattr(finding, "REPOSITORY", tmp_path)
    suite = load_suite("twice")
    assert [trace.id for trace in suite.traces] == ["r0", "r1", "r2", "r0#2", "r1#2", "r2#2"]
    assert suite.duplicate_ids == 3 and "given twice" in suite.problems[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("title = ", "not valid TOML"),
        ('title = "x"', "files must be a list"),
        ('files = ["none.jsonl"]', "is missing"),
        ('files = ["a.jsonl"]\nlicense = "MIT"', "unknown: license"),
        ('files = ["a.jsonl"]\ntitle = 5', "as text"),
        ('files = ["a.jsonl"]\nrows = "many"', "whole number"),
        ('loader = "magic"', "loader must be one of bfcl"),
    ],
)
def test_a_faulty_definition_is_refused_with_its_path(tmp_path, text, message):
    (tmp_path / "suite.toml").write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        load_suite(tmp_path)
    assert "suite.toml" in str(caught.value)


def test_unknown_empty_and_hopeless_suites_are_refused_in_one_line(make_suite, tmp_path):
    (tmp_path / "empty.jsonl").write_text("")
    (tmp_path / "bad.jsonl").write_text("{\n[]\n")
    for source, message in (
        ("nope", "home-smoke"),
        (tmp_path, "no test split"),
        (tmp_path / "empty.jsonl", "no usable row"),
        (tmp_path / "bad.jsonl", "no usable row"),
    ):
        with pytest.raises(UserError, match=message) as caught:
            load_suite(source)
        assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="at least one row"):
        load_suite("home-smoke", limit=0)


def test_the_list_of_suites_for_people_is_true():
    text = (finding.REPOSITORY / "evals" / "README.md").read_text()
    listed = {
        name: int(rows.replace(",", ""))
        for name, rows in re.findall(r"^\| `([\w-]+)` \| ([\d,]+) \|", text, re.MULTILINE)
    }
    assert listed == {name: read_definition(path).rows for name, path in named_suites().items()}


def test_each_suite_has_a_line_with_size_licence_and_whether_its_rows_are_here():
    lines = {line.split()[0]: line for line in suite_lines()}
    assert lines.keys() == named_suites().keys()
    assert "40 rows" in lines["home-smoke"] and "Apache-2.0" in lines["home-smoke"] and "here." in lines["home-smoke"]
    assert all("\n" not in line for line in lines.values())


def test_rows_that_are_not_here_are_refused_with_the_way_to_get_them(tmp_path):
    with pytest.raises(UserError, match="not in .*pip install --no-deps bfcl-eval") as caught:
        load_suite("bfcl", data=tmp_path)
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="no such part of bfcl .*simple_python"):
        load_suite("bfcl/hard", data=tmp_path)
    with pytest.raises(UserError, match="home-smoke has no parts"):
        load_suite("home-smoke/first")
