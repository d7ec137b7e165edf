"""``needle calibrate``: rows answered, confidence fitted, the file written, both figures told."""

from __future__ import annotations

import math
import random

import pytest
from typer.testing import CliRunner

from needle import calibrate as module
from needle.cli import app
from needle.student.confidence import Calibration
from needle.tools import Caller, CallResult, ToolCall, ToolSpec
from needle.traces import Trace
from needle.traces.write import write_traces

LIGHT = ToolSpec("light", "Switch a light.", {"type": "object", "properties": {"level": {"type": "integer"}}})


class Boaster(Caller):
    """Right in half of the cases of which it says nine in ten, in nearly none of the others."""

    def answer(self, requests):
        results = []
        for request in requests:
            level = int(request.query.split()[-1])
            sure = 0.9 if level % 2 else 0.2
            right = random.Random(level).random() < (0.5 if level % 2 else 0.05)
            signals = {"probability": sure, "total": math.log(sure), "rest": math.log(1 - sure), "least": sure, "name": 1.0, "none": 0.0, "calls": 1.0}
            results.append(CallResult([ToolCall("light", {"level": level if right else -1})], signals=signals, confidence=sure))
        return results


@pytest.fixture
def rows(tmp_path):
    traces = [Trace(f"r{n}", f"light to {n}", (LIGHT,), (ToolCall("light", {"level": n}),), toolset=f"t{n % 20}") for n in range(200)]
    write_traces(tmp_path / "held.jsonl", traces)
    return tmp_path / "held.jsonl"


def test_a_boaster_is_brought_down_and_the_file_says_on_what(rows, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "load", lambda model: Boaster())
    done = CliRunner().invoke(app, ["calibrate", "--traces", str(rows), "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    made = Calibration.load(tmp_path / "out")
    facts = made.fitted_on
    assert (facts["rows"], facts["toolsets"], facts["source"]) == (200, 20, "held.jsonl")
    assert facts["ece"]["raw"] > 0.2 > 0.1 > facts["ece"]["held_out"] and facts["brier"]["held_out"] < facts["brier"]["raw"]
    low, high = (made.confidence({"probability": p, "total": math.log(p), "rest": math.log(1 - p), "least": p, "name": 1, "none": 0, "calls": 1}) for p in (0.2, 0.9))
    assert low < 0.15 and 0.35 < high < 0.65
    assert f"{facts['ece']['raw']:.3f} raw, {facts['ece']['held_out']:.3f} fitted" in done.output and "calibration.json" in done.output.split()[-1]


def test_the_bundled_base_is_not_written_to_without_being_told_where(rows):
    done = CliRunner().invoke(app, ["calibrate", "--traces", str(rows)])
    assert done.exit_code != 0 and "--out" in str(done.exception or done.output)
