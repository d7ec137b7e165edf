"""A whole generation: quotas, determinism, resumption, faults, bad input."""

from __future__ import annotations

import json
import os
import sqlite3
from collections import Counter

import httpx2
import pytest
from generate_helpers import bytes_of, rows_of

import needle.generate.store as store_module
from needle.errors import UserError
from needle.generate import DEFAULT_MIX, GenerateConfig, generate
from needle.generate.dedup import wording
from needle.generate.plan import quotas
from needle.teacher.embedded.brain import EmbeddedTeacher
from needle.teacher.faults import FaultApp
from needle.tools.grounding.ground import ground_calls
from needle.tools.read import load_toolset
from needle.tools.validate import validate_calls
from needle.traces.read import read_traces
from needle.traces.trace import NO_CALL

LOCAL = {"teacher": "http://localhost:9/v1", "model": "m"}


def _transport(script: list[str], teacher: EmbeddedTeacher | None = None) -> tuple[httpx2.ASGITransport, FaultApp]:
    app = FaultApp(script, teacher)
    return httpx2.ASGITransport(app.asgi), app


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """No waiting between attempts."""
    monkeypatch.setattr("needle.teacher.client.Teacher._backoff", lambda self, attempt: 0.0)


def test_quotas_are_met_over_accepted_rows(run):
    report, possible = run(n=120), {kind: share for kind, share in DEFAULT_MIX.items() if kind != "extraction"}
    assert report.complete and Counter(row["kind"] for row in rows_of(report)) == quotas(120, possible)


def test_every_accepted_row_is_valid_and_grounded_and_carries_its_lineage(run, tools_file):
    report = run(n=120)
    tools = load_toolset(tools_file)
    traces, problems = read_traces(list(report.files.values()))
    assert problems == [] and len(traces) == 120 and len({trace.id for trace in traces}) == 120
    for trace in traces:
        assert validate_calls(trace.calls, trace.tools) == [] and set(trace.tools) <= set(tools)
        facts = " ".join([trace.system or "", *(turn["content"] for turn in trace.messages)])
        ungrounded = [item.path for item in ground_calls(list(trace.calls), tools, trace.query, facts) if not item.grounded]
        assert not ungrounded, (trace.query, trace.calls, facts)
        assert bool(trace.calls) == (trace.kind not in NO_CALL)
        assert {"teacher", "model", "prompt_version", "seed", "request_ids"} <= trace.meta.keys()
        for path, (start, end) in trace.meta.get("spans", {}).items():
            assert path.split(".")[0].isdigit() and trace.query[start:end].strip()


def test_no_wording_is_in_two_parts(run):
    report = run(n=100)
    forms = {part: {wording(trace) for trace in read_traces(path)[0]} for part, path in report.files.items()}
    assert all(forms.values())
    assert (
        not forms["train"] & forms["test"]
        and not forms["train"] & forms["validation"]
        and not forms["validation"] & forms["test"]
    )


def test_same_seed_same_bytes_and_another_seed_other_rows(run):
    first = bytes_of(run("a", n=40))
    assert first == bytes_of(run("b", n=40, concurrency=3))
    assert first["train.jsonl"] != bytes_of(run("c", n=40, seed=1))["train.jsonl"]


def test_a_finished_run_asks_nothing_again(run):
    first, again = run(), run()
    assert first.asked_now > 0 and again.asked_now == 0 and bytes_of(first) == bytes_of(again)


@pytest.mark.parametrize("stop_at", [1, 23])
def test_interrupted_and_resumed_equals_uninterrupted(run, stop_at):
    def stop(snapshot):
        if snapshot.answered == stop_at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run("halved", n=40, progress=stop)
    whole = run("whole", n=40)
    assert not (whole.out.parent / "halved" / "manifest.json").exists()
    resumed = run("halved", n=40)
    assert bytes_of(resumed) == bytes_of(whole) and 0 < resumed.asked_now


def test_progress_counts_up_to_the_end(run):
    seen = []
    report = run(progress=seen.append)
    assert [item.answered for item in seen] == list(range(1, sum(report.tally.asked.values()) + 1)) and seen[
        -1
    ].total == 60


def test_a_run_through_a_flaky_endpoint_ends_as_one_through_a_steady_one(run):
    steady, _ = _transport(["ok"])
    flaky, _ = _transport(["rate_limit", "server_error", "ok", "html", "rate_limit", "ok"])
    assert bytes_of(run("a", transport=steady, **LOCAL)) == bytes_of(run("b", transport=flaky, **LOCAL))


@pytest.mark.parametrize(("fault", "words"), [
    ("auth", "OPENAI_API_KEY"), ("quota", "no quota"), ("not_found", "model"), ("bad_request", "400"),
    ("server_error", "failed in a row"),
])  # fmt: skip
def test_an_endpoint_that_refuses_stops_the_job_and_what_was_stored_stays(run, fault, words):
    memory = EmbeddedTeacher(learn=False)  # labels what it wrote from memory, as one endpoint would
    broken, _ = _transport(["ok"] * 20 + [fault], memory)
    with pytest.raises(UserError, match=words) as caught:
        run(n=30, transport=broken, **LOCAL)
    assert "\n" not in str(caught.value)
    mended, app = _transport(["ok"], memory)
    report = run(n=30, transport=mended, **LOCAL)
    fresh, whole = _transport(["ok"])
    other = run("fresh", n=30, transport=fresh, **LOCAL)
    assert bytes_of(report) == bytes_of(other) and len(app.seen) < len(whole.seen)


@pytest.mark.parametrize(("fault", "reason"), [
    ("truncated", "label_truncated"), ("bad_arguments", "label_malformed"), ("unknown_tool", "schema:unknown_tool"),
    ("empty", "request_empty"),
    ("content_filter", "teacher:content_filter"),
])  # fmt: skip
def test_each_faulty_answer_is_quarantined_with_its_reason(run, fault, reason):
    # one request at a time: writing and labelling alternate, so that the fault meets the stage it belongs to
    script = [fault] if fault in ("empty", "content_filter") else ["ok", fault]
    transport, _ = _transport(script + ["ok"])
    report = run(n=10, mix={"single": 1.0}, concurrency=1, transport=transport, **LOCAL)
    quarantined = [json.loads(line) for line in (report.out / "quarantine.jsonl").read_text().splitlines()]
    assert reason in quarantined[0]["reasons"] and report.tally.refused[reason] == 1 and report.complete


def test_the_key_is_sent_and_never_written(run, monkeypatch):
    monkeypatch.setenv("NEEDLE_API_KEY", "sk-very-secret-123")
    transport, app = _transport(["ok"])
    report = run(transport=transport, **LOCAL)
    assert app.keys[0] == "Bearer sk-very-secret-123"
    for path in report.out.rglob("*"):
        assert b"very-secret" not in path.read_bytes(), path


def test_a_budget_is_never_passed_and_more_money_continues(run):
    transport, _ = _transport(["ok"])
    prices = {"price_in": 100.0, "price_out": 100.0}
    short = run(transport=transport, budget_usd=5.0, **prices, **LOCAL)
    assert not short.complete and 0 < short.usd <= 5.0 and any("budget" in note for note in short.notes)
    long = run(transport=transport, budget_usd=500.0, **prices, **LOCAL)
    assert long.complete and long.usd > short.usd


def test_a_run_of_which_no_row_is_good_stops_early_and_may_be_gone_on_with(run):
    asked = []
    for _ in range(2):
        transport, app = _transport(["empty"])
        with pytest.raises(UserError, match="100 rows in a row were refused, the last as request_empty") as caught:
            run(n=1000, transport=transport, **LOCAL)
        asked.append(len(app.seen))
        assert "needle traces quarantine" in str(caught.value)
    assert all(100 <= count < 200 for count in asked), "the second time what is stored counts for nothing"


def test_a_toolset_without_arguments_is_replanned_and_says_so(run, tmp_path):
    bare = tmp_path / "bare.json"
    bare.write_text(
        json.dumps(
            [
                {"name": f"{verb}_{noun}", "description": ""}
                for verb in ("start", "stop")
                for noun in ("pump", "fan", "heater")
            ]
        )
    )
    report = run("bare", tools=bare, n=40)
    assert report.complete and any("missing" in note for note in report.notes)
    assert Counter(row["kind"] for row in rows_of(report))["missing"] == 0


@pytest.mark.slow
def test_a_kind_that_runs_out_gives_its_share_to_the_others(run, tmp_path):
    one = tmp_path / "one.json"
    one.write_text(json.dumps([{"name": "stop", "description": "Stop."}]))
    report = run("one", tools=one, n=80, template_cap=1, mix={"single": 0.5, "irrelevant": 0.5})
    kinds = Counter(row["kind"] for row in rows_of(report))
    assert any("short" in note for note in report.notes) and min(kinds.values()) < 40
    assert kinds == {kind: wanted for kind, wanted in report.wanted.items() if wanted}


@pytest.mark.parametrize(("settings", "words"), [
    ({"n": 0}, "at least one"), ({"n": -5}, "at least one"), ({"mix": {"sngle": 1}}, "sngle"),
    ({"mix": {"single": 0}}, "mix"), ({"mix": {}}, "mix"),
    ({"tools": "nowhere.json"}, "nowhere.json"), ({"teacher": "nonsense"}, "no teacher"),
    ({"teacher": "http://localhost:9/v1"}, "--model"),
    ({"teacher": "http://localhost:9/v1", "model": "m", "budget_usd": 1.0}, "prices"), ({"budget_usd": 0.0},
    "positive"), ({"concurrency": 0}, "positive"),
    ({"teacher": "https://api.example.com/v1", "model": "m"}, "OPENAI_API_KEY"),
])  # fmt: skip
def test_bad_settings_are_refused_in_one_line_before_anything_is_made(run, tmp_path, monkeypatch, settings, words):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("NEEDLE_API_KEY", raising=False)
    with pytest.raises(UserError, match=words) as caught:
        run(**settings)
    assert "\n" not in str(caught.value) and not (tmp_path / "out").exists()


def test_a_folder_of_another_run_is_refused_and_the_difference_named(run, tmp_path):
    run(n=20)
    with pytest.raises(UserError, match="seed 0 there, 5 now"):
        run(n=20, seed=5)
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "train.jsonl").write_text("{}\n")
    with pytest.raises(UserError, match="did not make"):
        run("foreign")


def test_a_folder_in_use_is_refused(run, tmp_path):
    report = run(n=20)
    holder = sqlite3.connect(report.out / "responses.sqlite", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(UserError, match="in use"):
        run(n=20)
    holder.close()


def test_a_full_disk_is_one_clear_line_and_what_was_stored_stays(run, monkeypatch):
    real = store_module.ResponseStore._write

    def fill(self, batch):
        if self._db.execute("SELECT COUNT(*) FROM responses").fetchone()[0] >= 30:
            self._db.execute("PRAGMA max_page_count = 1")  # from here on the database cannot grow
            batch = [[*work, ("INSERT INTO losses(reason) VALUES (?)", (os.urandom(200_000),))] for work in batch]
        real(self, batch)

    monkeypatch.setattr(store_module.ResponseStore, "_write", fill)
    with pytest.raises(UserError, match="disk is full"):
        run()
    monkeypatch.setattr(store_module.ResponseStore, "_write", real)
    resumed, whole = run(), run("whole")
    assert bytes_of(resumed) == bytes_of(whole) and 30 <= whole.asked_now - resumed.asked_now < 60


def test_an_unreachable_teacher_says_so(tools_file, tmp_path):
    config = GenerateConfig(tools=tools_file, out=tmp_path / "out", teacher="http://127.0.0.1:9/v1", model="m", n=20)
    with pytest.raises(UserError, match="cannot reach http://127.0.0.1:9/v1"):
        generate(config)
