"""Files and options that are wrong in ways that a newcomer's are: one line that says so, and nothing that was there is lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from needle.errors import UserError
from needle.models import open_caller
from needle.teacher.endpoint import check_url, find_key
from needle.tools.openapi import openapi_tools
from needle.traces.read import read_traces

ROOT = Path(__file__).parents[1]
HOME = ROOT / "data" / "toolsets" / "home.json"
ROW = {"id": "r1", "query": "ping it", "tools": [{"name": "ping", "description": "Ping.", "parameters": {"type": "object", "properties": {}}}],
       "calls": [{"name": "ping", "arguments": {}}]}  # fmt: skip
REFUSED = {"id": "q1", "query": "ring", "calls": [], "kind": "single", "reasons": ["ungrounded"], "details": ["0.who"]}


@pytest.fixture
def rows(tmp_path) -> Path:
    file = tmp_path / "some.jsonl"
    file.write_text(json.dumps(ROW) + "\n" + json.dumps(ROW | {"id": "r2", "meta": [1]}) + "\n")
    return file


@pytest.fixture
def run(cli, tmp_path) -> Path:
    """A finished evaluation."""
    assert cli("eval", "--model", "baseline:never", "--suite", "home-smoke", "--limit", 4, "--out", tmp_path / "run").code == 0
    return tmp_path / "run"


@pytest.mark.parametrize("points", ["nan", "-1", "inf"])
def test_a_gate_that_nothing_could_fail_is_refused(cli, run, points):
    assert "0 to 100" in cli("compare", run, run, "--max-regression", points).complaint


def test_an_evaluation_into_a_folder_of_something_else_touches_nothing(cli, tmp_path):
    (tmp_path / "rows.jsonl").write_text(json.dumps({"raw": "an answer"}) + "\n")
    (tmp_path / "report.html").write_text("mine")
    assert "another folder" in cli("eval", "--model", "baseline:never", "--suite", "home-smoke", "--limit", 4, "--out", tmp_path).complaint
    assert (tmp_path / "report.html").read_text() == "mine"


def test_a_run_whose_rows_were_cut_off_is_not_scored_again(cli, run):
    file = run / "rows.jsonl"
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:1]))
    before = (run / "results.json").read_bytes()
    assert "1 of the 4 rows" in cli("eval", "--rescore", run).complaint and (run / "results.json").read_bytes() == before


@pytest.mark.parametrize("change", [{"suite": "x"}, {"suite": {}}, {"rates": []}, {"n": None}])
def test_results_of_another_kind_are_refused(cli, run, change):
    file = run / "results.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    assert "not the results" in cli("report", run).complaint and "not the results" in cli("leaderboard", run).complaint


def test_an_empty_suite_name_is_no_suite(cli, tmp_path):
    assert "--suite is empty" in cli("eval", "--model", "baseline:never", "--suite", "", "--out", tmp_path / "run").complaint


def test_rows_are_not_converted_onto_themselves(cli, rows):
    before = rows.read_bytes()
    assert "another file" in cli("traces", "convert", rows, rows).complaint and rows.read_bytes() == before


def test_a_row_with_an_odd_lineage_is_left_out_and_the_others_are_read(cli, rows):
    for verb in ("stats", "show"):
        assert cli("traces", verb, rows).code == 0, verb
    assert "meta" in read_traces(rows)[1][0].reason


def test_refused_rows_are_not_written_onto_themselves(cli, tmp_path):
    file = tmp_path / "quarantine.jsonl"
    file.write_text(json.dumps(REFUSED) + "\n" + json.dumps(REFUSED | {"reasons": ["invalid"]}) + "\n")
    before = file.read_bytes()
    assert "another file" in cli("traces", "quarantine", tmp_path, "--reason", "ungrounded", "--out", file).complaint and file.read_bytes() == before
    assert cli("traces", "quarantine", tmp_path, "--reason", "ungrounded", "--out", tmp_path / "other.jsonl").code == 0


@pytest.mark.parametrize("line", [b"[1,2]", b'{"query": "caf\xe9"}', json.dumps(REFUSED | {"calls": [{}]}).encode(), json.dumps(REFUSED | {"meta": [1]}).encode()])
def test_a_damaged_file_of_refused_rows_is_named(cli, tmp_path, line):
    (tmp_path / "quarantine.jsonl").write_bytes(json.dumps(REFUSED).encode() + b"\n" + line + b"\n")
    for command in (("show", tmp_path), ("quarantine", tmp_path), ("report", tmp_path)):
        assert "quarantine.jsonl:2: not readable" in cli("traces", *command).complaint


@pytest.mark.parametrize("spans", [5, {"0.x": 5}])
def test_odd_spans_of_a_row_are_no_obstacle_to_showing_it(cli, tmp_path, spans):
    (tmp_path / "some.jsonl").write_text(json.dumps(ROW | {"meta": {"spans": spans}}) + "\n")
    assert cli("traces", "show", tmp_path / "some.jsonl", "--id", "r1").code == 0


def test_a_page_about_a_file_lies_beside_it(cli, tmp_path):
    (tmp_path / "some.jsonl").write_text(json.dumps(ROW) + "\n")
    assert cli("traces", "report", tmp_path / "some.jsonl").code == 0 and (tmp_path / "report.html").is_file()


@pytest.mark.parametrize("options", [("traces", "show", "FILE", "--limit", -1), ("traces", "contamination", "FILE", "--against", "FILE", "--show", -1),
                                     ("train-tokenizer", "--traces", "FILE", "--out", "OUT", "--vocabulary", -1)])  # fmt: skip
def test_numbers_below_what_makes_sense_are_refused(cli, rows, tmp_path, options):
    outcome = cli(*({"FILE": rows, "OUT": tmp_path / "t.json"}.get(part, part) for part in options))
    assert outcome.code == 2 and "Traceback" not in outcome.err + outcome.out


def test_a_tokenizer_is_not_written_onto_a_folder(cli, rows, tmp_path):
    assert str(tmp_path) in cli("train-tokenizer", "--traces", rows, "--vocabulary", 400, "--out", tmp_path).complaint


@pytest.mark.parametrize("key", ["sk-SÉCRET", "sk-two\nlines", "sk-\x00"])
def test_a_key_that_cannot_be_sent_is_refused_and_not_shown(key):
    with pytest.raises(UserError, match="OPENAI_API_KEY holds a character") as told:
        find_key("https://api.example.com/v1", {"OPENAI_API_KEY": key})
    assert key not in str(told.value)
    assert find_key("https://api.example.com/v1", {"OPENAI_API_KEY": " sk-1\n"}) == "sk-1"


@pytest.mark.parametrize("address", ["http://127.0.0.1:99999/v1", "http://[::1", "http://host:port/v1", "http://host:0/v1"])
def test_an_address_that_is_none_is_refused_before_anything_is_asked(address):
    with pytest.raises(UserError, match="no URL"):
        check_url(address)
    assert check_url("http://[::1]:8000/v1/") == "http://[::1]:8000/v1"


def test_a_mark_of_a_run_that_is_none_is_refused(cli, tmp_path):
    (tmp_path / "job.json").write_text("[1]")
    assert "not the settings of a run" in cli("generate", "--tools", HOME, "--n", 3, "--out", tmp_path).complaint


@pytest.mark.parametrize("operation", [
    {"requestBody": {"content": {"application/json": {"schema": {"type": "object", "properties": [1]}}}}},
    {"parameters": [{"name": "q", "in": "query", "schema": "x"}]},
])  # fmt: skip
def test_an_interface_with_a_broken_schema_is_refused(operation):
    with pytest.raises(UserError, match="should be described by an object"):
        openapi_tools({"openapi": "3.1.0", "paths": {"/a": {"post": {"operationId": "a", **operation}}}})


def test_a_request_that_is_no_text_is_refused():
    with pytest.raises(UserError, match="not text"):
        open_caller("baseline:never").call(5, [])  # type: ignore[arg-type]
