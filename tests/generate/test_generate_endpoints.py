"""A run against endpoints: every known fault ends with the right reason, and the Batch API gives the same rows for half."""

from __future__ import annotations

import asyncio
import json
from collections import Counter

import httpx2
import pytest
from generate_helpers import bytes_of, rows_of

from needle.errors import UserError
from needle.generate.checks import Checks
from needle.generate.store import ResponseStore
from needle.teacher.batch import BatchTeacher
from needle.teacher.embedded.brain import EmbeddedTeacher
from needle.teacher.faults import FaultApp

LOCAL = {"teacher": "http://localhost:9/v1", "model": "m"}


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """No waiting between attempts and looks."""
    monkeypatch.setattr("needle.teacher.client.Teacher._backoff", lambda self, attempt: 0.0)
    monkeypatch.setattr("needle.generate.seats.LINGER_S", 0.05)
    monkeypatch.setattr("needle.generate.seats.POLL_S", 0.02)


FAULTS = {
    # fault of the label: reasons of which one must be the row's; rows that recover are accepted
    "truncated": {"label_truncated"}, "bad_arguments": {"label_malformed"}, "list_arguments": {"label_malformed"},
    "unknown_tool": {"schema:unknown_tool"}, "filtered": {"label_filtered"}, "content_filter": {"teacher:content_filter"},
    "duplicate_ids": {"label_malformed"},
    "nan_argument": {"label_malformed", "schema:missing_required", "schema:wrong_type"},
    "twice_argument": {"label_malformed", "schema:missing_required"},
    "empty": {"expected_call"}, "rate_limit_ms": set(), "rate_limit_date": set(), "rate_limit_words": set(), "rate_limit_google": set(),
    "rate_limit_reset": set(), "rate_limit": set(), "overloaded": set(), "server_error": set(), "bad_gateway": set(), "html": set(),
    "no_choices": set(), "error_in_body": set(), "cut_body": set(), "no_usage": set(),
}  # fmt: skip


def test_every_row_of_a_run_through_all_faults_ends_with_the_right_reason(run):
    """Each fault in turn meets the label of one row; whatever can pass by waiting is asked again."""
    script, expected = [], []
    for fault, reasons in FAULTS.items():
        retried = not reasons and fault != "no_usage"
        script += ["ok", fault] + (["ok"] if retried else [])
        expected.append(reasons)
    app = FaultApp(script + ["ok"])
    report = run(
        n=len(FAULTS), mix={"single": 1.0}, concurrency=1, template_cap=100, checks=Checks(repair=False),
        transport=httpx2.ASGITransport(app.asgi), **LOCAL,
    )  # fmt: skip
    refused = [json.loads(line) for line in (report.out / "quarantine.jsonl").read_text().splitlines()]
    ends = {row["id"]: row["reasons"] for row in refused} | {row["id"]: [] for row in rows_of(report)}
    for number, (fault, reasons) in enumerate(FAULTS.items()):
        ended = ends[f"app-single-{number:05d}"]
        if fault == "no_usage":  # it answers text where calls were wanted
            assert ended == ["expected_call"], (fault, ended)
        elif reasons:
            assert set(ended) & reasons, (fault, ended)
        else:
            assert not [reason for reason in ended if reason.startswith(("teacher:", "label_"))], (fault, ended)
    assert report.complete


@pytest.mark.parametrize(("fault", "words"), [
    ("quota", "quota"), ("payment", "quota|credit"), ("auth", "key"), ("auth_echo", "key"), ("forbidden", "allow"), ("not_found", "model"),
    ("rate_limit_long", "limit"),
])  # fmt: skip
def test_a_fault_that_meets_every_question_stops_the_run_and_says_why(run, fault, words, monkeypatch, tmp_path):
    monkeypatch.setenv("NEEDLE_API_KEY", "sk-very-secret-1")
    app = FaultApp(["ok"] * 10 + [fault])
    monkeypatch.setattr("needle.generate.seats._resolve", _starving)
    with pytest.raises(UserError, match=words) as caught:
        run(transport=httpx2.ASGITransport(app.asgi), **LOCAL)
    assert "secret" not in str(caught.value)
    for path in (file for file in (tmp_path / "out").rglob("*") if file.is_file()):
        assert b"very-secret" not in path.read_bytes(), path


def _starving(choice, config):
    from needle.teacher.config import TeacherConfig

    return TeacherConfig(base_url=choice.use, model=choice.model, starvation_s=0.5)


@pytest.fixture
def half(tmp_path, monkeypatch):
    """A profile with prices and a batch discount, and a way to run in batches."""
    (tmp_path / "needle-teachers.toml").write_text(
        '[half]\nbase_url = "http://localhost:9/v1"\nmodel = "m"\nprices."*" = {input = 2.0, output = 8.0, batch_discount = 0.5}\n'
    )
    monkeypatch.chdir(tmp_path)


def test_a_run_in_batches_gives_the_rows_of_a_run_online_at_half_the_price(run, half):
    online = run("online", n=60, teacher="half", transport=httpx2.ASGITransport(FaultApp().asgi))
    app = FaultApp()
    report = run("batch", n=60, teacher="half", batch=True, transport=httpx2.ASGITransport(app.asgi))
    assert report.complete and not app.seen and len(app.batches.batches) >= 2
    assert report.usd == pytest.approx(online.usd / 2) and report.lost["calls"] == 0
    assert (report.out / "rows.jsonl").read_text().count("\n") == 60
    strip = lambda rows: [{k: v for k, v in row.items() if k != "meta"} for row in rows]  # noqa: E731
    assert strip(rows_of(report)) == strip(rows_of(online))


@pytest.mark.parametrize("fate", ["expired", "errors", "cancelled"])
def test_what_a_batch_leaves_unanswered_is_asked_again(run, half, fate):
    app = FaultApp(batches=[fate, "ok"])
    report = run(n=30, teacher="half", batch=True, transport=httpx2.ASGITransport(app.asgi))
    assert report.complete and max(Counter(app.batches.answered).values()) == 1


def test_a_batch_under_way_at_the_end_of_a_process_is_found_again_and_nothing_paid_twice(run, half, monkeypatch):
    memory = EmbeddedTeacher(learn=False)
    app = FaultApp(batches=["ok", "slow", "ok"], teacher=memory)
    real, watched = BatchTeacher._watch, []

    async def killed(self, batch):
        watched.append(batch)
        if len(watched) == 2:  # the batch of labels is under way
            for task in asyncio.all_tasks():
                task.cancel()
        return await real(self, batch)

    monkeypatch.setattr(BatchTeacher, "_watch", killed)
    with pytest.raises(BaseException):  # noqa: B017: a stand-in for the end of the process
        run(n=30, teacher="half", batch=True, transport=httpx2.ASGITransport(app.asgi))
    monkeypatch.setattr(BatchTeacher, "_watch", real)
    for name in [name for name, batch in app.batches.batches.items() if batch["status"] == "in_progress"]:
        app.batches.finish(name)
    report = run(n=30, teacher="half", batch=True, transport=httpx2.ASGITransport(app.asgi))
    assert report.complete and report.lost["calls"] == 0
    assert max(Counter(app.batches.answered).values()) == 1
    with ResponseStore(report.out, read_only=True) as store:
        assert {key for (key,) in store.rows("SELECT key FROM responses")} == set(app.batches.answered)
    whole = run("whole", n=30, teacher="half", batch=True, transport=httpx2.ASGITransport(FaultApp().asgi))
    assert bytes_of(report)["train.jsonl"] == bytes_of(whole)["train.jsonl"]


def test_the_embedded_teacher_has_no_batches(run):
    with pytest.raises(UserError, match="no batches"):
        run(batch=True)
