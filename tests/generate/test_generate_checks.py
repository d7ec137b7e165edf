"""Doubt within a whole run: repair, votes, decontamination, and a card that tells what happened."""

from __future__ import annotations

import json

import httpx2
import pytest
from generate_helpers import bytes_of, rows_of

from needle.errors import UserError
from needle.generate.agreement import agreement, folder_rows
from needle.generate.checks import Checks
from needle.generate.settings import load_config
from needle.teacher.faults import FaultApp
from needle.traces.read import read_traces
from needle.traces.write import write_traces

LOCAL = {"teacher": "http://localhost:9/v1", "model": "m"}


def _transport(script):
    return httpx2.ASGITransport(FaultApp(script).asgi)


def test_rows_carry_who_wrote_and_labelled_them_and_where_every_value_is_said(run):
    report = run(n=40)
    for row in rows_of(report):
        meta = row["meta"]
        assert meta["teachers"][meta["author"]] == {"endpoint": "the embedded teacher", "model": "embedded-teacher"} and "temperature" in meta
        assert meta["author"] and meta["labeller"] and meta["prompt_version"] and len(meta["request_ids"]) >= 2
        for path, (start, end) in meta.get("spans", {}).items():
            assert path.split(".")[0].isdigit() and row["query"][start:end].strip()


def test_a_faulty_label_is_asked_for_again_and_counted(run):
    report = run(n=8, mix={"single": 1.0}, concurrency=1, transport=_transport(["ok", "unknown_tool"] + ["ok"]), **LOCAL)
    stats = json.loads((report.out / "stats.json").read_text())["generation"]
    refused = run("no", n=8, mix={"single": 1.0}, concurrency=1, checks=Checks(repair=False), transport=_transport(["ok", "unknown_tool", "ok"]), **LOCAL)
    assert refused.tally.refused["schema:unknown_tool"] == 1 and "repaired" not in (refused.out / "README.md").read_text()
    repaired = [row for row in rows_of(report) if "repaired" in row["meta"]]
    assert stats["agreement"]["repaired"] == len(repaired)


def test_rows_that_a_suite_knows_are_refused_and_the_card_says_so(run, tmp_path):
    first = run(n=30)
    known = tmp_path / "known.jsonl"
    write_traces(known, read_traces(first.files["train"])[0][:10])
    second = run("clean", n=30, checks=Checks(decontaminate=(str(known),)))
    asked = {row["query"] for row in rows_of(second)}
    assert second.tally.refused["contaminated"] >= 10 and not asked & {trace.query for trace in read_traces(known)[0]}
    assert "known.jsonl were refused" in (second.out / "README.md").read_text()


def test_the_card_tells_what_happened_and_asks_for_what_it_cannot_know(run):
    report = run(n=30)
    card = (report.out / "README.md").read_text()
    assert "| kind | wanted | asked | accepted | pass rate |" in card and "license: apache-2.0" in card and "stand-in" in card
    other = run("paid", n=10, transport=_transport(["ok"]), **LOCAL)
    card = (other.out / "README.md").read_text()
    assert "license: other" in card and "Teacher's terms: not stated" in card and "Licence: not stated" in card
    told = run("told", n=10, checks=Checks(teacher_terms="training allowed", licence="cc-by-4.0"), transport=_transport(["ok"]), **LOCAL)
    card = (told.out / "README.md").read_text()
    assert "license: cc-by-4.0" in card and "Teacher's terms: training allowed." in card


def test_the_same_doubt_gives_the_same_bytes_and_another_is_another_run(run):
    again = {"n": 20, "checks": Checks(votes=3), **LOCAL}
    assert bytes_of(run("a", transport=_transport(["ok"]), **again)) == bytes_of(run("b", transport=_transport(["ok"]), **again))
    with pytest.raises(UserError, match="votes"):
        run("a", n=20, transport=_transport(["ok"]), **LOCAL)


def test_agreement_is_counted_by_kind_and_pair_over_rows_that_were_put_to_a_vote():
    ballots = [{"teacher": "a", "group": 0}, {"teacher": "b", "group": 1}, {"teacher": "b", "group": 0}]
    rows = [
        ("single", {"labeller": "a", "votes": {"ballots": ballots}}, True),
        ("single", {"labeller": "b", "votes": {"ballots": [{"teacher": "a", "group": -1}, {"teacher": "b", "group": -1}]}}, False),
        ("chat", {"labeller": "a", "repaired": ["ungrounded"]}, True),
    ]
    found = agreement(rows)
    assert found["matrix"] == {"single": {"a | b": {"agreed": 1, "of": 3}}} and found["repaired"] == 1
    assert found["teachers"] == {"a": {"labelled": 2, "accepted": 2}, "b": {"labelled": 1, "accepted": 0}}
    assert found["voted"] == 2 and found["settled_by_vote"] == 1


def test_every_judged_row_of_a_folder_is_counted(run):
    report = run(n=30)
    assert sum(1 for _ in folder_rows(report.out)) == sum(report.tally.asked.values())


def test_settings_of_doubt_come_from_file_and_flags_together(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text('tools = "a.json"\nout = "o"\n[checks]\nvotes = 3\nlicence = "mit"\n')
    assert load_config(path, {"checks": {"votes": 5}}).checks == Checks(votes=5, licence="mit")
    with pytest.raises(UserError, match="1, 3 or 5"):
        load_config(path, {"checks": {"votes": 4}})


def test_a_suite_may_be_named_and_stored_responses_read_again_against_it(tools_file, tmp_path):
    from typer.testing import CliRunner

    from needle.cli import app

    command = ["generate", "--tools", str(tools_file), "--out", str(tmp_path / "out"), "--teacher", "embedded", "--n", "8"]
    assert CliRunner().invoke(app, command).exit_code == 0
    again = CliRunner().invoke(app, [*command, "--reverify", "--decontaminate", "home-smoke"])
    assert again.exit_code == 0, again.output
    assert "known to home-smoke were refused" in (tmp_path / "out" / "README.md").read_text()
    wrong = CliRunner().invoke(app, [*command, "--decontaminate", "nonesuch"])
    assert wrong.exit_code != 0 and "no suite 'nonesuch'" in str(wrong.exception)


def test_ctrl_c_is_one_line_with_the_state_and_exit_code_130(tools_file, tmp_path, monkeypatch, capsys):
    from needle.cli import app, guarded
    from needle.generate import Interrupted, job

    def stopped(*_, **__):
        raise Interrupted("Stopped: 3 of 8 rows accepted")

    monkeypatch.setattr(job, "generate", stopped)
    words = ["generate", "--tools", str(tools_file), "--out", str(tmp_path / "out"), "--teacher", "embedded"]
    assert guarded(lambda: app(words, standalone_mode=False)) == 130
    assert capsys.readouterr().err.splitlines() == ["Stopped: 3 of 8 rows accepted"]
