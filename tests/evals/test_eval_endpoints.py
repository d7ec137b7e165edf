"""Endpoints that fail, against the fault-playing server; and the plain install, which evaluates them without torch."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest

from needle.errors import UserError
from needle.evals.run import RESULTS, ROWS, evaluate
from needle.evals.suites import load_suite
from needle.evals.text import summary_table
from needle.teacher import EndpointCaller, TeacherConfig
from needle.teacher.faults import FaultApp

ROOT = Path(__file__).parents[2]
CONFIG = TeacherConfig(base_url="http://localhost:9/v1", model="m", backoff_s=0.001, max_attempts=1)


@pytest.fixture(scope="module")
def smoke():
    return load_suite("home-smoke")


def caller(script, **options):
    app = FaultApp(script)
    return EndpointCaller(config=CONFIG, transport=httpx2.ASGITransport(app.asgi), concurrency=1, **options), app


def test_an_endpoint_that_dies_half_way_is_counted_wrong_named_and_asked_again(smoke, tmp_path):
    dying, _ = caller(["ok"] * 15 + ["server_error"])
    first = evaluate(dying, smoke, tmp_path)
    missing = first.summary["infra_errors"]
    assert missing["count"] == 25 and not first.complete and first.summary["n"] == 40
    assert first.summary["causes"]["infra_error"] == 25 and "malformed_json" not in first.summary["causes"]
    assert all(row["verdict"]["decision"] == "infra" for row in first.rows if row["id"] in missing["ids"])
    assert "Incomplete: 25 of 40 rows" in summary_table(first)
    alive, app = caller(["ok"])
    second = evaluate(alive, smoke, tmp_path)
    assert second.complete and len(app.seen) == 25 and second.rate().value > first.rate().value
    whole = evaluate(caller(["ok"])[0], smoke, tmp_path / "whole")
    assert second.summary["rates"] == whole.summary["rates"]


def test_what_the_model_breaks_is_malformed_and_what_the_server_breaks_is_not(smoke, tmp_path):
    for fault, code, infra in (
        ("bad_arguments", "malformed_json", 0),
        ("truncated", "truncated", 0),
        ("html", "infra_error", 40),
    ):
        summary = evaluate(caller([fault])[0], smoke, tmp_path / fault).summary
        assert summary["causes"] == {code: 40} and summary["infra_errors"]["count"] == infra


def test_a_wrong_key_stops_at_once_and_keeps_what_was_answered(smoke, tmp_path):
    wrong, _ = caller(["ok"] * 10 + ["auth"])
    with pytest.raises(UserError):
        evaluate(wrong, smoke, tmp_path)
    assert (
        not (tmp_path / RESULTS).exists() and len((tmp_path / ROWS).read_text().splitlines()) == 8
    )  # two portions of 4
    right, app = caller(["ok"])
    assert evaluate(right, smoke, tmp_path).complete and len(app.seen) == 32


def test_another_temperature_is_another_question(smoke, tmp_path):
    few = replace(smoke, traces=smoke.traces[:4])
    evaluate(caller(["ok"])[0], few, tmp_path)
    warm, app = caller(["ok"], temperature=1.0)
    assert (
        evaluate(warm, few, tmp_path).summary["provenance"]["settings"] == {"temperature": 1.0} and len(app.seen) == 4
    )
    assert json.loads(warm.show_prompt(few.traces[0].request))["temperature"] == 1.0


def test_the_plain_install_evaluates_any_endpoint_over_http(tmp_path):
    code = f"""
import sys, threading, time
for name in ("torch", "transformers", "datasets", "tensorboard", "faker"):
    sys.modules[name] = None  # importing it fails
import uvicorn
from needle.teacher.faults import FaultApp
server = uvicorn.Server(uvicorn.Config(FaultApp(["ok"]).asgi, port=0, log_level="error"))
threading.Thread(target=server.run, daemon=True).start()
while not server.started:
    time.sleep(0.02)
port = server.servers[0].sockets[0].getsockname()[1]
from needle.cli import app, guarded
command = ["eval", "--model", f"http://127.0.0.1:{{port}}/v1#fault", "--suite", "home-smoke", "--limit", "6", "--out", {str(tmp_path / "run")!r}]
sys.exit(guarded(lambda: app(command, standalone_mode=False)))
"""
    environment = {"PYTHONPATH": str(ROOT), "NEEDLE_DATA": str(tmp_path), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "run" / RESULTS).read_text())
    assert summary["complete"] and summary["n"] == 6 and summary["rates"]["well_formed"]["value"] == 1.0


def test_importing_the_harness_takes_under_a_second_of_work():
    code = "import time; start = time.process_time(); import needle.evals; print(time.process_time() - start)"
    spent = [
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout)
        for _ in range(3)
    ]
    assert min(spent) < 1.0, spent


def test_an_endpoint_that_asks_or_declines_in_words_is_told_apart_from_silence():
    from needle.evals.decisions import ASK, CANNOT, SILENT, done_by
    from needle.tools import CallResult

    def said(content):
        return CallResult(raw=json.dumps({"choices": [{"message": {"role": "assistant", "content": content}}]}))

    assert done_by(said("Which room do you mean?")) == ASK
    assert done_by(said("None of the tools can order food.")) == CANNOT
    assert done_by(said(None)) == done_by(said("")) == SILENT
