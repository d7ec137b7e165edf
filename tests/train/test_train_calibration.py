"""The checkpoint that is kept comes with the confidence fitted on the rows that it was judged by."""

from __future__ import annotations

import math
import random

import torch
from train_helpers import rows, settings, tiny_model, trainer

from needle.student.confidence import Calibration
from needle.tools import CallResult
from needle.train import validate as module
from needle.train.examples import ExampleSet
from needle.train.validate import Validator


class _Fake:
    """Stands for a student that is right as often as it says."""

    def __init__(self, *_: object) -> None:
        self.random = random.Random(0)

    def answer(self, requests):
        results = []
        for _ in requests:
            sure = self.random.uniform(0.05, 0.95)
            signals = {"probability": sure, "total": math.log(sure), "rest": math.log(1 - sure), "least": sure, "name": 1.0, "none": 0.0, "calls": 1.0, "share": sure}
            results.append(CallResult(signals=signals, confidence=sure, raw="right" if self.random.random() < sure else "wrong"))
        return results


def test_the_best_checkpoint_has_the_calibration_of_its_validation(tokenizer, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "StudentCaller", _Fake)
    held = rows() * 12
    examples = ExampleSet(rows(), tokenizer, tiny_model().config)
    validator = Validator(held, examples, tokenizer, settings().token_weights, torch.float32, lambda trace, answer: answer.raw == "right")
    trainer(tokenizer, tmp_path, settings(steps=1, validations=1), validator).run()
    made = Calibration.load(tmp_path / "best")
    assert made is not None and made.fitted_on["rows"] == len(held) and made.fitted_on == validator.calibration.fitted_on
    fresh = _Fake().answer([None] * 300)
    assert sum(abs(made.confidence(one.signals) - one.confidence) for one in fresh) / 300 < 0.12


def test_rows_that_are_all_wrong_give_no_calibration_and_no_error(tokenizer, tmp_path):
    validator = Validator(rows(), ExampleSet(rows(), tokenizer, tiny_model().config), tokenizer, settings().token_weights, torch.float32, lambda *_: False)
    validator.calibration = Calibration((), (), (), (), 0.0)
    validator(tiny_model(max_target_tokens=16))
    assert validator.calibration is None
