"""``needle calibrate``: rows answered, confidence fitted, the file written, both figures told; or a head that finds tools."""

from __future__ import annotations

import json
import math
import random
import shutil

import numpy as np
import pytest
from typer.testing import CliRunner

from needle import calibrate as module
from needle import models
from needle.cli import app
from needle.student.agreement import FEATURES
from needle.student.confidence import Calibration
from needle.student.decoding import Choice, Decoded
from needle.student.prior import Judging, Naming, Prior
from needle.student.reranking import Candidates
from needle.student.retrieval import RetrievalHead
from needle.student.tokenizer import load_tokenizer
from needle.tools import ToolCall, ToolSpec
from needle.traces import Trace
from needle.traces.write import write_traces

LIGHT = ToolSpec("light", "Switch a light.", {"type": "object", "properties": {"level": {"type": "integer"}}})


class Boaster:
    """Right in half of the cases of which it says nine in ten, in nearly none of the others."""

    tokenizer, constraint = load_tokenizer(), None

    def shown(self, request):
        return request

    def stepper(self, request):
        raise AssertionError(request)  # of a single tool without listed values nothing is asked

    def considered(self, request):
        level = int(request.query.split()[-1])
        sure = 0.9 if level % 2 else 0.2
        right = random.Random(level).random() < (0.5 if level % 2 else 0.05)
        answer = Decoded([5], (Choice(0, math.log(sure)),))
        return Candidates([answer], [[ToolCall("light", {"level": level if right else -1})]], np.array([math.log(sure)]), np.zeros((len(FEATURES), 1)))


@pytest.fixture
def rows(tmp_path):
    traces = [Trace(f"r{n}", f"light to {n}", (LIGHT,), (ToolCall("light", {"level": n}),), toolset=f"t{n % 20}") for n in range(200)]
    write_traces(tmp_path / "held.jsonl", traces)
    return tmp_path / "held.jsonl"


def _fitted(student, rows, out, monkeypatch) -> str:
    """What ``needle calibrate`` says of a student."""
    monkeypatch.setattr(module, "load", lambda model, **_: student)
    monkeypatch.setattr(module, "open_choices", lambda *_: ())
    done = CliRunner().invoke(app, ["calibrate", "--traces", str(rows), "--out", str(out)])
    assert done.exit_code == 0, done.output
    return done.output


def test_a_boaster_is_brought_down_and_the_file_says_on_what(rows, tmp_path, monkeypatch):
    said = _fitted(Boaster(), rows, tmp_path / "out", monkeypatch)
    made = Calibration.load(tmp_path / "out")
    facts = made.fitted_on
    assert (facts["rows"], facts["toolsets"], facts["source"]) == (200, 20, "held.jsonl")
    assert facts["ece"]["raw"] > 0.2 > 0.1 > facts["ece"]["held_out"] and facts["brier"]["held_out"] < facts["brier"]["raw"]
    low, high = (made.confidence({"probability": p, "total": math.log(p), "rest": math.log(1 - p), "least": p, "name": 1, "none": 0, "calls": 0, "share": p}) for p in (0.2, 0.9))
    assert low < 0.15 and 0.35 < high < 0.65
    assert f"{facts['ece']['raw']:.3f} raw, {facts['ece']['held_out']:.3f} fitted" in said and "calibration.json" in said.split()[-1]


def test_what_was_fitted_before_is_replaced_even_where_it_cannot_be_read(cli, rows, tiny_base, tmp_path, monkeypatch):
    shutil.copytree(tiny_base, tmp_path / "checkpoint")
    for name in ("prior.json", "calibration.json"):
        (tmp_path / "checkpoint" / name).write_text("{")
    assert "needle calibrate" in cli("run", "light to 5", "--tools", _tools(tmp_path), "--model", tmp_path / "checkpoint").err
    monkeypatch.setattr(module, "is_right", lambda trace, answer: len(trace.query) % 2 == 0)
    done = cli("calibrate", "--model", tmp_path / "checkpoint", "--traces", rows, "--limit", 40)
    assert done.code == 0, done.err
    assert cli("run", "light to 5", "--tools", _tools(tmp_path), "--model", tmp_path / "checkpoint").code == 0


class Rambler(Boaster):
    """Likes its wrong answers a little better, and they repeat what they say."""

    def considered(self, request):
        level = int(request.query.split()[-1])
        right, wrong = ToolCall("light", {"level": level}), ToolCall("light", {"level": -1})
        answers = [Decoded([5], (Choice(0, math.log(0.4)),)), Decoded([5], (Choice(0, math.log(0.35)),))]
        features = np.zeros((len(FEATURES), 2))
        features[FEATURES.index("again")] = [1.0, random.Random(level).random() < 0.1]
        return Candidates(answers, [[wrong, wrong], [right] if level % 10 else [wrong]], np.log([0.4, 0.35]), features)


def test_what_counts_among_answers_is_fitted_on_those_that_hold_the_right_one(rows, tmp_path, monkeypatch):
    said = _fitted(Rambler(), rows, tmp_path / "out", monkeypatch)
    prior = Prior.load(tmp_path / "out")
    assert prior.answers.again < -0.5 and prior.fitted_on["answers"]["rows"] == 180
    assert prior.fitted_on["answers"]["right"]["student"] == 0 < 0.8 < prior.fitted_on["answers"]["right"]["both"] and "180 choices" in said
    assert Calibration.load(tmp_path / "out").fitted_on["right"] > 140


def test_a_fine_tune_takes_over_the_second_look_of_its_start_and_nothing_else(cli, tiny_base, tmp_path, monkeypatch):
    start, rows = tmp_path / "start", tmp_path / "rows.jsonl"
    write_traces(rows, [Trace(f"r{n}", f"{SAID[n % 20]} and {SAID[n // 20]} the {NAMES[n % 19]}", (LIGHT,), (ToolCall("light", {"level": 1}),)) for n in range(300)])
    shutil.copytree(tiny_base, start)
    train = ("train", "--traces", rows, "--base", start, "--steps", 1, "--rows", 4, "--set", "validation_rows=24", "--curves", "none")
    assert cli(*train, "--out", tmp_path / "without").code == 0 and Prior.load(tmp_path / "without" / "best") is None
    Prior(Naming(0.3, 2.0), answers=Judging(left=-0.5)).save(start)
    monkeypatch.setattr(module, "is_right", lambda trace, answer: len(trace.query) % 2 == 0)
    assert cli(*train, "--out", tmp_path / "with").code == 0
    made = Prior.load(tmp_path / "with" / "best")
    assert made.answers == Judging(left=-0.5) and made.names == Naming() and "start" in made.fitted_on["source"]
    assert Calibration.load(tmp_path / "with" / "best").fitted_on["rows"] >= 20


def test_the_weight_of_no_call_is_where_most_answers_are_right():
    features = np.zeros((len(FEATURES), 2))
    features[FEATURES.index("none"), 1] = 1
    call, doubted = [ToolCall("light", {"level": 1})], Decoded([1], (Choice(0, math.log(0.5)),))
    close = Candidates([doubted, doubted], [call, []], np.log([0.3, 0.4]), features)  # the call is 0.29 behind
    far = Candidates([doubted, doubted], [call, []], np.log([0.1, 0.4]), features)  # and here 1.39, out of reach
    assert module.most_right(Judging(none=0.25), [(close, [True, False])] * 3 + [(far, [False, True])]).none == -0.5  # the smallest step that wins the three
    assert module.most_right(Judging(none=0.25), [(close, [False, True]), (far, [False, True])]).none == 0.25
    assert module.most_right(Judging(), [(close, [True, False])]) == Judging()


def _tools(folder):
    path = folder / "tools.json"
    path.write_text(json.dumps([LIGHT.to_dict()]))
    return path


def test_the_bundled_base_is_not_written_to_without_being_told_where(rows):
    done = CliRunner().invoke(app, ["calibrate", "--traces", str(rows)])
    assert done.exit_code != 0 and "--out" in str(done.exception or done.output)


NAMES = "apple bridge candle dragon engine feather garden hammer island jacket kettle ladder mirror needle orange pencil rocket saddle tunnel window".split()
SAID = "swim jump read cook sing draw walk climb fly run dance write build drive sleep paint count shout laugh melt".split()


@pytest.fixture
def parts(tmp_path):
    """Requests that name each of twenty tools in words that the tool has not, in training and validation toolsets."""
    tools = [ToolSpec(f"do_{name}", f"Everything about the {name}.") for name in NAMES]
    for part, count in (("train", 300), ("validation", 60)):
        rows = []
        for number in range(count):
            place = number % len(tools)
            offered = (tools[place], tools[(place + 7) % len(tools)])
            rows.append(Trace(f"{part}{number}", f"please {SAID[place]} {number}", offered, (ToolCall(offered[0].name, {}),), toolset=f"{part}{number % 10}"))
        write_traces(tmp_path / "traces" / f"{part}.jsonl", rows)
    return tmp_path / "traces"


def test_a_fitted_head_lies_beside_the_weights_goes_into_exports_and_is_used(cli, parts, tiny_base, tmp_path):
    checkpoint, small = tmp_path / "checkpoint", tmp_path / "small"
    shutil.copytree(tiny_base, checkpoint)
    done = cli("calibrate", "--retrieval", "--model", checkpoint, "--traces", parts)
    assert done.code == 0, done.err
    head = RetrievalHead.load(checkpoint)
    assert head.weight > 0 and (head.fitted_on["requests"], head.fitted_on["tools"]) == (300, 20) and "retrieval.safetensors" in done.out
    for at in head.fitted_on["recall"].values():
        assert at["3"]["both"] > at["3"]["words"]
    cli("export", "--model", checkpoint, "--out", small, "--bits", 16, "--check", 0)
    tools = [ToolSpec(f"do_{name}", f"Everything about the {name}.") for name in NAMES]
    ranks = {}
    for kind, folder in (("learnt", small), ("words", tiny_base)):
        orders = [models.load(folder, most_tools=3).call(f"please {said} 5", tools).ranked for said in SAID]
        ranks[kind] = sum(order.index(f"do_{name}") for name, order in zip(NAMES, orders, strict=True))
    assert ranks["learnt"] < ranks["words"] / 2
    again = tmp_path / "again"
    cli("calibrate", "--retrieval", "--model", checkpoint, "--traces", parts, "--out", again)
    assert (again / "retrieval.safetensors").read_bytes() == (checkpoint / "retrieval.safetensors").read_bytes()


def test_a_head_is_not_fitted_on_half_of_what_it_needs(cli, parts, tiny_base, tmp_path):
    (parts / "validation.jsonl").unlink()
    assert "validation" in cli("calibrate", "--retrieval", "--model", tiny_base, "--traces", parts, "--out", tmp_path / "o").complaint
    assert not (tmp_path / "o").exists()
