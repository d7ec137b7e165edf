"""Calibration and risk over coverage against what they promise."""

from __future__ import annotations

import numpy as np
import pytest

from needle.evals.calibration import calibration


def test_a_calibrated_caller_has_no_error_and_a_boaster_has_its_excess():
    rng = np.random.default_rng(0)
    sure = rng.random(20_000)
    right = rng.random(20_000) < sure
    found = calibration(list(sure), list(right))
    assert found["ece"] < 0.02 and found["brier"] == pytest.approx(1 / 6, abs=0.01)
    assert calibration([0.95] * 100, [True] * 60 + [False] * 40)["ece"] == pytest.approx(0.35)


def test_a_perfect_ranking_answers_all_right_rows_first():
    found = calibration([0.9] * 30 + [0.1] * 70, [True] * 30 + [False] * 70)
    assert found["auroc"] == 1.0 and found["coverage_at_accuracy"]["0.99"] == 0.3
    assert [point["coverage"] for point in found["curve"]] == [0.3, 1.0]
    assert found["curve"][-1]["accuracy"] == found["accuracy_at_coverage"]["1"] == 0.3
    assert calibration([0.1] * 30 + [0.9] * 70, [True] * 30 + [False] * 70)["auroc"] == 0.0


def test_chance_has_half_an_auroc_and_a_flat_curve():
    rng = np.random.default_rng(1)
    found = calibration(list(rng.random(4000)), list(rng.random(4000) < 0.5))
    assert found["auroc"] == pytest.approx(0.5, abs=0.03) and found["aurc"] == pytest.approx(0.5, abs=0.05)
    assert len(found["curve"]) <= 101


def test_equal_confidences_are_one_point_and_no_order_is_invented():
    found = calibration([0.5] * 10, [True, False] * 5)
    assert len(found["curve"]) == 1 and found["auroc"] == 0.5
    assert calibration([0.5] * 4, [True] * 4)["auroc"] is None


def test_rows_without_a_usable_confidence_are_counted_and_left_out():
    assert calibration([None, None], [True, False]) is None
    found = calibration([None, 0.9, float("nan"), 1.5, 0.2], [True, True, True, True, False])
    assert found["n"] == 2 and found["without"] == 3
