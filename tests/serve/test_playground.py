"""The playground's server: who may ask, what is saved and what is refused."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from playground_helpers import BARE, MARK, spelled_desk
from serve_helpers import get, post

from needle.serve.playground import create_playground
from needle.serve.playground.files import examples
from needle.tools.lint import lint_tools
from needle.tools.read import toolset_from_text
from needle.traces.read import read_traces

ROOT = Path(__file__).parents[2]
ASK = {"tools": BARE, "query": 'dim {"room": "hall", "percent": 10}', "toolset": "lamps"}
CALLS = [{"name": "dim", "arguments": {"room": "hall", "percent": 20}}]


@pytest.fixture
def desk(tmp_path):
    return spelled_desk(tmp_path / "desk")


@pytest.fixture
def page(desk):
    return create_playground(desk)


def send(page, path: str, body: object, **headers: str):
    return post(page, json.dumps(body).encode(), MARK | headers, path)


@pytest.mark.parametrize("headers", [
    {"host": "rebound.example"}, {"host": "127.0.0.1.example:8378"}, {"host": "localhost@evil.example"}, {"host": ""},
    {"origin": "http://evil.example"}, {"origin": "null"}, {"origin": "http://127.0.0.1:9999"},
    {"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}, {"x-needle-playground": "0"},
])  # fmt: skip
def test_nobody_but_the_page_itself_may_change_anything(page, desk, headers):
    answer = send(page, "/api/corrections", ASK | {"calls": CALLS}, **headers)
    assert answer.status_code == 403 and not desk.kept.path.exists()
    assert "access-control-allow-origin" not in answer.headers


def test_other_names_of_this_machine_are_its_own(page):
    for host in ("localhost:1234", "127.0.0.1", "[::1]:8378", "LOCALHOST"):
        assert get(page, "/api/state", {"host": host, "origin": f"http://{host}"}).status_code == 200, host


def test_every_answer_says_what_the_page_may_load(page):
    for path in ("/", "/page/app.js", "/api/state", "/nothing", "/page/../app.py", "/page/%2e%2e/app.py", "/vendor/VENDOR.md/.."):
        answer = get(page, path, {"host": "localhost"})
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe-inline" not in policy and "http" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert (answer.status_code == 200) == (".." not in path and "%2e" not in path and path != "/nothing")


def test_the_page_hears_numbers_and_dates_by_the_tables_of_python(page):
    answer = get(page, "/page/model/tables.js", {"host": "localhost"})
    assert answer.headers["content-type"].startswith("text/javascript")
    for word in ("seventeen", "quatre-vingt-dix", "september", "kilowatt hour", "day after tomorrow"):
        assert f'"{word}"' in answer.text, word
    assert "(?P<" not in answer.text  # as Python names a group


def test_of_a_model_folder_only_the_model_can_be_read(page, desk, tmp_path, monkeypatch):
    for name in ("config.json", "prior.json", "secret.txt"):
        (tmp_path / name).write_text("{}")
    monkeypatch.setattr(desk, "browser_model", lambda: tmp_path)
    for name in ("config.json", "prior.json"):
        assert get(page, f"/model/{name}", {"host": "localhost"}).status_code == 200, name
    for name in ("secret.txt", "calibration.json", "../desk/corrections.jsonl"):
        assert get(page, f"/model/{name}", {"host": "localhost"}).status_code == 404, name


def test_tools_are_read_and_judged_as_the_program_does_it(page):
    text = (ROOT / "data" / "toolsets" / "home.json").read_text()
    found = send(page, "/api/tools", {"text": text}).json()
    tools, notes = toolset_from_text(text)
    assert found["tools"] == [tool.to_dict() for tool in tools] and found["notes"] == notes
    assert [finding["message"] for finding in found["findings"]] == [finding.message for finding in lint_tools(tools)]
    assert "line 2, column 1" in send(page, "/api/tools", {"text": "[\n"}).json()["error"]


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"tools": NaN}', b'{"query": "\\ud800"}', b"[" * 100_000, b'{"tools": 5, "query": "x"}', b'{"query": 5}',
                                  b'{"tools": [{"name": "a", "parameters": {"type": 7}}], "query": "x"}', b'{"a": "' + b"x" * (1 << 21) + b'"}'])  # fmt: skip
def test_bodies_that_are_no_requests_are_refused_not_tripped_over(page, body):
    for path in ("/api/call", "/api/check", "/api/corrections"):
        assert 400 <= post(page, body, MARK, path).status_code < 500


def test_an_answer_has_calls_confidence_evidence_and_faults(page):
    found = send(page, "/api/call", ASK).json()
    assert found["calls"][0]["arguments"] == {"room": "hall", "percent": 10} and found["confidence"] == 0.75
    assert found["evidence"] == [{"path": "0.room", "start": 0, "end": 3, "score": 0.5}] and found["violations"] == []
    wrong = send(page, "/api/call", ASK | {"query": 'dim {"percent": "much"}'}).json()
    assert [item["path"] for item in wrong["violations"]] == ["0.percent"]
    assert send(page, "/api/call", ASK | {"query": "too long"}).json()["error"] == "too long"


def test_a_correction_is_a_trace_that_training_reads(page, desk):
    saved = send(page, "/api/corrections", ASK | {"calls": CALLS, "system": "Today is Monday.", "answer": {"calls": [], "confidence": 0.1}}).json()
    assert saved["path"] == str(desk.kept.path) and len(saved["rows"]) == 1
    (trace,), problems = read_traces(desk.kept.path)
    assert (trace.id, trace.query, trace.system, trace.toolset, trace.kind) == (saved["id"], ASK["query"], "Today is Monday.", "lamps", "single")
    assert not problems and [call.to_dict() for call in trace.calls] == CALLS
    assert trace.meta["answer"] == {"calls": [], "confidence": 0.1}


def test_a_second_correction_of_a_request_replaces_the_first_and_rows_can_be_taken_out(page, desk):
    desk.kept.path.parent.mkdir()
    desk.kept.path.write_text('{"id": "other", "query": "q", "tools": [], "calls": []}\nnot json\n')
    for calls in (CALLS, []):
        saved = send(page, "/api/corrections", ASK | {"calls": calls}).json()
    assert [row["id"] for row in saved["rows"]] == ["other", saved["id"]] and saved["rows"][1]["calls"] == []
    assert desk.forget(saved["id"]) and not desk.forget(saved["id"])
    assert desk.kept.path.read_text().splitlines()[1] == "not json"


@pytest.mark.parametrize(("change", "words"), [
    ({"calls": [{"name": "fly", "arguments": {}}]}, "no tool is called 'fly'"),
    ({"calls": [{"name": "dim", "arguments": {"percent": "much"}}]}, "0.percent"),
    ({"calls": [{"name": "dim", "arguments": {"colour": "red"}}]}, "colour"),
    ({"calls": "none"}, "calls must be a list"),
    ({"query": "  "}, "the request is empty"),
    ({"tools": [{"name": ""}]}, "tool 1"),
])  # fmt: skip
def test_what_does_not_fit_the_tools_is_not_saved(page, desk, change, words):
    answer = send(page, "/api/corrections", ASK | {"calls": CALLS} | change)
    assert 400 <= answer.status_code < 500 and words in answer.json()["error"]["message"]
    assert not desk.kept.path.exists()


def test_too_few_rows_or_no_checkpoint_is_said_before_anything_is_trained(page, desk):
    assert "needs 8 corrections or more, there are 0" in send(page, "/api/training", {}).json()["error"]["message"]
    for number in range(8):
        send(page, "/api/corrections", ASK | {"query": f"number {number}", "calls": []})
    assert "only a checkpoint can be fine-tuned" in send(page, "/api/training", {"minutes": 1}).json()["error"]["message"]
    assert send(page, "/api/training", {"minutes": "long"}).status_code == 400
    assert "no finished fine-tune" in send(page, "/api/model", {"trained": True}).json()["error"]["message"]


def test_the_packaged_examples_are_those_of_the_source_tree():
    assert {one["name"] for one in examples()} == {path.stem for path in (ROOT / "data" / "toolsets").glob("*.json")}
    for one in examples():
        assert one["text"] == (ROOT / "data" / "toolsets" / f"{one['name']}.json").read_text() and one["requests"]


def test_the_command_serves_the_page_until_ctrl_c(tmp_path):
    command = [sys.executable, "-m", "needle.cli", "playground", "--model", "baseline:never", "--port", "0", "--out", str(tmp_path / "desk")]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        words = process.stdout.readline() + process.stdout.readline()
        url = re.search(r"The page is at (http://127\.0\.0\.1:\d+) until", words)
        assert url and "corrections.jsonl" in words, (words, process.stderr.read() if process.poll() is not None else "")
        with urllib.request.urlopen(url[1]) as page:
            assert b"<title>Playground" in page.read()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (process.returncode, err) == (0, "") and not (tmp_path / "desk").exists()


@pytest.mark.parametrize(("options", "words"), [
    (["--model", "baseline:nobody"], "nobody"), (["--tools", "missing.json"], "missing.json: no such file"), (["--port", "70000"], "port 70000 does not exist"),
])  # fmt: skip
def test_a_page_that_cannot_start_says_why_in_one_line(cli, options, words):
    assert words in cli("playground", *(options if "--model" in options else [*options, "--model", "baseline:never"])).complaint
