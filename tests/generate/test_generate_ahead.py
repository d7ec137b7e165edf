"""Before, beside and after a run: estimate, preview, reading stored responses again, settings files, rounds with a student."""

from __future__ import annotations

import json
from collections import Counter

import httpx2
import jsonschema
import pytest
from generate_helpers import TOOLS, bytes_of, rows_of

from needle.errors import UserError
from needle.generate import DEFAULT_MIX, GenerateConfig, generate
from needle.generate.ahead import estimate, preview
from needle.generate.plan import impossible_kinds
from needle.generate.rows import Part, TraceView
from needle.generate.settings import config_schema, load_config
from needle.teacher.faults import FaultApp
from needle.tools.caller import Caller, CallResult
from needle.tools.read import read_tools

POSSIBLE = set(DEFAULT_MIX) - set(impossible_kinds(read_tools(TOOLS)))
"""Kinds that the small toolset can give."""
PRICES = {"price_in": 2.0, "price_out": 8.0}


@pytest.fixture
def settings(tools_file, tmp_path):
    return lambda folder="out", **more: GenerateConfig(tools_file, tmp_path / folder, **({"n": 100} | PRICES | more))


def test_the_cost_of_a_run_is_within_the_stated_error_of_its_estimate(settings):
    foreseen = estimate(settings(n=70))
    spent = generate(settings(n=70))
    assert abs(spent.usd - foreseen.usd) / foreseen.usd <= foreseen.usd_error < 0.5, (spent.usd, foreseen)
    assert foreseen.batch_usd == pytest.approx(foreseen.usd / 2) and foreseen.pilot_rows >= 20
    assert foreseen.batch_assumed and "if they cost half" in "\n".join(foreseen.lines())
    assert set(foreseen.kinds) == POSSIBLE and sum(item.rows for item in foreseen.kinds.values()) == 70


def test_a_pilot_is_paid_once_and_changes_no_row(settings):
    foreseen = estimate(settings("a"))
    after, alone = generate(settings("a")), generate(settings("b"))
    assert after.asked_now < alone.asked_now and after.usd == pytest.approx(alone.usd) and foreseen.pilot_usd > 0
    assert (after.out / "train.jsonl").read_bytes() == (alone.out / "train.jsonl").read_bytes()


def test_an_unknown_price_gives_tokens_but_no_dollars(settings):
    app = httpx2.ASGITransport(FaultApp(["ok"]).asgi)
    config = settings(teacher="http://localhost:9/v1", model="m", price_in=None, price_out=None)
    foreseen = estimate(config, transport=app)
    assert foreseen.usd is None and foreseen.tokens > 0 and "--price-in" in "\n".join(foreseen.lines())


def test_a_cap_with_an_unknown_price_is_refused_and_says_where_prices_go(settings):
    config = settings(teacher="http://localhost:9/v1", model="m", price_in=None, price_out=None, budget_usd=1.0)
    for work in (generate, estimate):
        with pytest.raises(UserError, match="--price-in and --price-out, or `prices` in its profile"):
            work(config)


def test_a_preview_shows_rows_of_each_kind_with_their_story_and_adds_none(settings):
    rows = preview(settings(), 2)
    assert Counter(row.kind for row in rows) == dict.fromkeys(POSSIBLE, 2)
    assert all(row.request and row.plan and row.tokens > 0 and row.usd > 0 for row in rows)
    assert all(row.accepted == (not row.reasons) for row in rows)
    assert not (settings().out / "train.jsonl").exists() and not (settings().out / "rows.jsonl").exists()


def test_stored_responses_can_be_verified_again_with_nothing_asked_and_the_same_rows(settings, monkeypatch):
    first = generate(settings(n=60))
    monkeypatch.setattr("needle.teacher.client.Teacher.complete", None)  # whoever asks now fails
    before = bytes_of(first)
    again = generate(settings(n=60), reverify=True)
    assert again.asked_now == 0 and bytes_of(again) == before


def test_a_stricter_check_takes_effect_on_stored_responses(settings, monkeypatch):
    first = generate(settings(n=60))
    monkeypatch.setattr("needle.generate.verify.MAX_REQUEST", 40)
    again = generate(settings(n=60), reverify=True)
    assert again.asked_now == 0 and again.tally.refused["request_long"] > 0 and sum(again.rows.values()) < sum(first.rows.values())
    assert max(len(row["query"]) for row in rows_of(again)) <= 40


def test_reading_again_needs_a_run(settings):
    with pytest.raises(UserError, match="no run there"):
        generate(settings("nowhere"), reverify=True)


def test_settings_come_from_a_file_and_the_command_line_goes_over_it(tmp_path):
    (tmp_path / "run.toml").write_text(
        'tools = "a.json"\nout = "o"\nn = 5\nbudget_usd = 2.5\nmix = {single = 1}\n'
        '[[teachers]]\nuse = "embedded"\nroles = ["author"]\n[[teachers]]\nuse = "http://localhost:1/v1#m"\nweight = 2.0\n'
    )
    config = load_config(tmp_path / "run.toml", {"n": 9, "out": None, "seed": 3})
    assert (config.n, config.out, config.seed, config.budget_usd, config.mix) == (9, "o", 3, 2.5, {"single": 1})
    assert [(choice.use, choice.roles) for choice in config.teachers] == [("embedded", ("author",)), ("http://localhost:1/v1#m", ())]
    (tmp_path / "run.json").write_text(json.dumps({"tools": "a.json", "out": "o", "n": 5}))
    assert load_config(tmp_path / "run.json", {}).n == 5


@pytest.mark.parametrize(("text", "words"), [
    ("n = 'many'", "n: "), ("colour = 1", "colour"), ("n = ", "write TOML"), ("[[teachers]]\nname='x'", "teachers.0.use"),
    ("engine = 'cloud'", "engine"),
])  # fmt: skip
def test_a_wrong_settings_file_is_one_line_that_names_the_place(tmp_path, text, words):
    path = tmp_path / "run.toml"
    path.write_text("tools = 'a'\nout = 'b'\n" + text)
    with pytest.raises(UserError, match=words) as caught:
        load_config(path, {})
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


def test_the_published_schema_accepts_what_is_read_and_refuses_what_is_not():
    schema = config_schema()
    good = {"tools": "a", "out": "b", "n": 3, "teachers": [{"use": "x", "roles": ["judge"]}]}
    jsonschema.Draft202012Validator.check_schema(schema)
    assert not list(jsonschema.Draft202012Validator(schema).iter_errors(good))
    for bad in ({"n": "x"}, {"colour": 1}, {"teachers": [{}]}):
        assert list(jsonschema.Draft202012Validator(schema).iter_errors(good | bad))


def test_several_teachers_share_the_work_by_role_and_weight(settings):
    teachers = [
        {"use": "embedded", "name": "writer", "roles": ["author"]},
        {"use": "embedded", "name": "small", "roles": ["labeller"], "weight": 1.0},
        {"use": "embedded", "name": "large", "roles": ["labeller"], "weight": 3.0},
    ]
    config = load_config(None, {"tools": settings().tools, "out": settings().out, "n": 40, "teachers": teachers})
    report = generate(config)
    import sqlite3

    asked = Counter(sqlite3.connect(report.out / "responses.sqlite").execute("SELECT teacher, stage FROM responses"))
    assert asked["writer", "label"] == asked["small", "write"] == asked["large", "write"] == 0
    assert asked["large", "label"] > asked["small", "label"] > 0
    assert {row["meta"]["author"] for row in rows_of(report)} == {"writer"}


@pytest.mark.parametrize(("teachers", "words"), [
    ([{"use": "embedded", "roles": ["judge"]}], "no teacher is an author"), ([{"use": "embedded"}] * 2, "two teachers"),
    ([{"use": "embedded", "weight": 0.0}], "positive"), ([{"use": "nobody"}], "no teacher 'nobody'"),
])  # fmt: skip
def test_teachers_that_cannot_work_are_refused(settings, teachers, words):
    with pytest.raises(UserError, match=words):
        generate(load_config(None, {"tools": settings().tools, "out": settings().out, "teachers": teachers}))
    assert not settings().out.exists()


class Silent(Caller):
    """A student that never calls: right whenever no call is due."""

    name = "silent"

    def __init__(self, confidence: float | None = None) -> None:
        self.confidence, self.asked = confidence, 0

    def answer(self, requests):
        self.asked += len(requests)
        return [CallResult(confidence=self.confidence) for _ in requests]


def test_a_round_keeps_what_the_student_gets_wrong_and_moves_the_quotas_there(settings):
    mix = {"single": 0.5, "chat": 0.25, "irrelevant": 0.25}
    report = generate(settings(n=80, mix=mix, round=1, keep_known=0.0), student=Silent())
    kinds = Counter(row["kind"] for row in rows_of(report))
    assert report.wanted["single"] > 40 and kinds["single"] == report.wanted["single"] and set(kinds) == {"single"}
    assert report.tally.refused["student_right"] > 0
    for row in rows_of(report):
        assert row["meta"]["round"] == 1 and row["meta"]["student"] == {"name": "silent", "state": "wrong", "calls": []}


def test_an_unsure_student_is_helped_and_some_of_what_it_knows_is_kept(settings):
    mix = {"single": 0.5, "chat": 0.5}
    unsure = generate(settings("unsure", n=40, mix=mix, round=2, keep_known=0.0), student=Silent(confidence=0.5))
    assert {row["meta"]["student"]["state"] for row in rows_of(unsure) if row["kind"] == "chat"} == {"unsure"}
    kept = generate(settings("kept", n=40, mix=mix, round=2, keep_known=0.5), student=Silent(confidence=1.0))
    assert "right" in {row["meta"]["student"]["state"] for row in rows_of(kept)}


def test_a_student_is_asked_once_and_a_resumed_round_has_the_same_rows(settings):
    first, second = Silent(), Silent()
    config = settings(n=30, mix={"single": 1.0}, round=1)
    before = bytes_of(generate(config, student=first))
    assert first.asked > 0 and bytes_of(generate(config, student=second)) == before and second.asked == 0


def test_rows_can_be_read_while_they_grow_and_never_shrink_under_a_reader(tmp_path):
    path, sizes = tmp_path / "rows.jsonl", []
    rows = [{"id": str(number), "query": "x" * number} for number in range(20)]
    for again in range(2):
        with Part(path) as part:
            for row in rows[: 15 + 5 * again]:
                part.append(row)
                part.flush()
                sizes.append(path.stat().st_size)
            part.close(whole=True)
    assert sizes == sorted(sizes) and [json.loads(line) for line in path.read_text().splitlines()] == rows
    with Part(path) as part:  # other code, other rows: written anew from the first difference
        for row in [*rows[:3], {"id": "new"}]:
            part.append(row)
        part.close(whole=True)
    assert [json.loads(line) for line in path.read_text().splitlines()] == [*rows[:3], {"id": "new"}]


def test_rows_on_disk_look_like_a_list_of_traces(run):
    report = run(n=30)
    with Part(report.out / "rows.jsonl") as part:
        for line in (report.out / "rows.jsonl").read_text().splitlines():
            part.append(json.loads(line))
        part.flush()
        view = TraceView(part, range(30))
        assert len(view) == 30 and [trace.to_dict() for trace in view] == [json.loads(line) for line in part.path.read_text().splitlines()]
        assert view[3] == list(view)[3] and list(view[5:8]) == list(view)[5:8] and view[0].tools is view[9].tools


def test_events_tell_the_story_of_a_run_to_programs(run):
    report = run(n=30)
    events = [json.loads(line) for line in (report.out / "events.jsonl").read_text().splitlines()]
    assert events[0]["event"] == "start" and events[-1]["event"] == "end" and events[-1]["accepted"] == 30
    assert sum(kind["accepted"] for kind in events[-1]["kinds"].values()) == 30


def test_importing_the_generator_is_light():
    import subprocess
    import sys


    code = (  # the OpenAI SDK takes most of a second, whoever imports it
        "import time; began = time.process_time(); import needle.generate; package = time.process_time() - began\n"
        "import openai, sys; began = time.process_time(); from needle.generate import generate\n"
        "print(package); print(time.process_time() - began); print(*(set(sys.modules) & {'torch', 'ray', 'datasets', 'rich.live'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    package, rest, heavy = done.stdout.splitlines()
    assert float(package) < 0.5 and float(rest) < 1.5 and heavy == "", "processor time, so that other work does not count"

