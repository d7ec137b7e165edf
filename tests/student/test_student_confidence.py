"""Confidence that is fitted, kept in a file, and evidence from where the decoder looked."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from student_helpers import tiny_model

from needle.errors import UserError
from needle.evals.calibration import calibration
from needle.student.alignment import request_weights, value_tokens
from needle.student.caller import StudentCaller
from needle.student.confidence import FILE, Calibration, _loss, features, fit
from needle.student.decoding import Choice, Decoded
from needle.student.modeling.engine import TorchEngine
from needle.student.rendering import render_answer
from needle.tools import Request, ToolCall, ToolSpec

LIGHT = ToolSpec("light", "Switch a light.", {"type": "object", "properties": {"room": {"type": "string"}, "on": {"type": "boolean"}}})


def _boaster(rows: int, seed: int = 0) -> tuple[list[dict[str, float]], list[bool], list[int]]:
    """Answers whose raw probability is the square root of what it should be."""
    rng = np.random.default_rng(seed)
    truth = rng.random(rows) ** 1.5
    signals = []
    for value in np.sqrt(truth):
        total = math.log(max(value, 1e-6))
        signals.append({"probability": float(value), "total": total, "rest": math.log(max(1 - value, 1e-5)), "least": float(value),
                        "name": 1.0, "none": 0.0, "calls": 1.0, "share": float(value)})  # fmt: skip
    return signals, (rng.random(rows) < truth).tolist(), rng.integers(0, 30, rows).tolist()


def test_a_fit_takes_the_excess_out_of_a_boaster_and_keeps_its_order():
    signals, right, groups = _boaster(3000)
    made, held = fit(signals, right, groups)
    raw = calibration([one["probability"] for one in signals], right)
    mended = calibration(held, right)
    assert raw["ece"] > 0.1 and mended["ece"] < 0.03 and mended["brier"] < raw["brier"]
    fresh, outcome, _ = _boaster(3000, seed=1)
    assert calibration([made.confidence(one) for one in fresh], outcome)["ece"] < 0.04
    assert mended["auroc"] == pytest.approx(raw["auroc"], abs=0.01)


def test_a_fit_never_replaces_a_raw_probability_that_does_better_on_rows_it_did_not_see():
    kept = 0
    for seed in range(8):
        signals, _, groups = _boaster(40, seed)
        right = (np.random.default_rng(seed + 50).random(40) < [one["probability"] for one in signals]).tolist()
        made, held = fit(signals, right, groups)
        raw = [one["probability"] for one in signals]
        assert _loss(np.array(held), np.array(right, float)) <= _loss(np.array(raw), np.array(right, float)) + 1e-12
        if held == raw:
            kept += 1
            assert [made.confidence(one) for one in signals] == pytest.approx(raw, abs=1e-4)
    assert kept >= 3


def test_few_or_one_sided_answers_cannot_be_fitted():
    signals, _, groups = _boaster(30)
    for right in ([True] * 30, [False] * 30):
        with pytest.raises(UserError, match="right and wrong"):
            fit(signals, right, groups)
    with pytest.raises(UserError, match="at least 20"):
        fit(signals[:19], [True, False] * 9 + [True], groups[:19])


def test_a_calibration_survives_its_file_and_a_broken_file_is_named(tmp_path):
    made, _ = fit(*_boaster(400))
    made.save(tmp_path)
    read = Calibration.load(tmp_path)
    signals, _, _ = _boaster(50, seed=3)
    assert [read.confidence(one) for one in signals] == pytest.approx([made.confidence(one) for one in signals], abs=1e-4)
    first = (tmp_path / FILE).read_bytes()
    fit(*_boaster(400))[0].save(tmp_path)
    assert (tmp_path / FILE).read_bytes() == first and Calibration.load(tmp_path / "none") is None
    broken = json.loads(first)
    for change in ({"format": 9}, {"scale": [0, 0]}, {"features": ["magic"]}, {"weights": []}):
        (tmp_path / FILE).write_text(json.dumps(broken | change))
        with pytest.raises(UserError, match="not a calibration"):
            Calibration.load(tmp_path)


def test_features_read_names_decisions_and_lengths(tokenizer):
    ids, _ = render_answer(tokenizer, [ToolCall("light", {"room": "hall"})], [LIGHT])
    name = next(place for place, token in enumerate(ids) if tokenizer.id_to_token(token) == "light")
    found = features(Decoded(ids, (Choice(0, math.log(0.5), -9.0), Choice(name, math.log(0.25), -9.0))), tokenizer)
    assert found["probability"] == pytest.approx(0.125) and found["name"] == pytest.approx(0.25) and found["least"] == pytest.approx(0.25)
    assert (found["none"], found["calls"]) == (0.0, 1.0)
    none, _ = render_answer(tokenizer, [], [LIGHT])
    assert features(Decoded(none, (Choice(0, 0.0, -9.0),)), tokenizer)["none"] == 1.0


def test_values_are_found_among_the_tokens_of_an_answer(tokenizer):
    calls = [ToolCall("f", {"a": 'Zoë "q" – 5', "b": [1, -2.5, True], "c": {"d": None}}), ToolCall("f", {"a": "two"})]
    ids, _ = render_answer(tokenizer, calls, [ToolSpec("f", "", {"type": "object", "properties": {"a": {"type": "string"}}})])
    texts = {path: tokenizer.decode([ids[place] for place in places]) for path, places in value_tokens(tokenizer, ids).items()}
    assert texts == {"0.a": 'Zoë \\"q\\" – 5', "0.b.0": "1", "0.b.1": "-2.5", "0.b.2": "true", "0.c.d": "null", "1.a": "two"}
    assert set(value_tokens(tokenizer, ids[:9])) <= {"0.a"}


def test_attention_is_spread_over_the_characters_of_the_request(tokenizer):
    query = "hall light"
    size = len(tokenizer.encode(query, add_special_tokens=False).ids)
    looked = np.zeros((3, 7 + size))
    looked[1, 7] = 0.8  # the first word of the request, after seven other tokens
    looked[2, 2] = 1.0
    weights = request_weights(tokenizer, query, looked, [1])
    assert sum(weights[:4]) == pytest.approx(0.8) and sum(weights[4:]) == 0


def test_a_student_explains_with_the_answer_it_gives_anyway(tokenizer):
    engine = TorchEngine(tiny_model(max_target_tokens=40))
    caller = StudentCaller(engine, tokenizer)
    requests = [Request(query, (LIGHT,)) for query in ("lights in the hall", "light on", "no light, please")]
    plain, explained = caller.answer(requests), caller.answer_explained(requests)
    assert explained == plain and any(result.evidence for result in explained) and not any(result.evidence for result in plain)
    assert [result.confidence for result in explained] == pytest.approx([result.confidence for result in plain], abs=1e-4)
    for request, result in zip(requests, explained, strict=True):
        assert all(0 <= one.start < one.end <= len(request.query) and 0 <= one.score <= 1 for one in result.evidence)
    always = StudentCaller(engine, tokenizer, explain=True).answer(requests)
    assert [len(result.evidence) for result in always] == [len(result.evidence) for result in explained]


def test_a_calibrated_student_says_so_and_a_free_one_keeps_the_raw_probability(model, tokenizer):
    made = Calibration(("probability",), (0.0,), (1.0,), (0.0,), 2.0)
    request = Request("light on", (LIGHT,))
    (sure,) = StudentCaller(TorchEngine(model), tokenizer, calibration=made).answer([request])
    assert sure.calibrated and sure.confidence == pytest.approx(1 / (1 + math.exp(-2)))
    (free,) = StudentCaller(TorchEngine(model), tokenizer, calibration=made, beams=2).answer([request])
    assert not free.calibrated and free.confidence == pytest.approx(free.signals["probability"])
