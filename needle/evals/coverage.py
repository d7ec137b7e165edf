"""What a caller's confidence is worth: how wrong it is when only its surest answers are used, and whether 0.8 means 80 %.

Risk and coverage after El-Yaniv and Wiener (2010), expected calibration error after Naeini and others (2015) and Guo
and others (2017).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

BINS = 10
"""Equal-width bins of confidence for the calibration error."""
POINTS = 200
"""Most points kept of the curve."""
COVERAGES = (0.25, 0.5, 0.75, 0.9)
"""Shares of the rows at which accuracy is printed."""


def confidence_figures(confidences: Sequence[float | None], correct: Sequence[bool]) -> dict[str, Any]:
    """Figures of one run; empty where no row has a confidence or all have the same.

    A row without one (output that could not be read) is answered last. ``curve`` holds [coverage, risk] at each
    threshold, equal confidences taken together; ``area`` is the mean risk over coverage and ``area_best`` what a perfect
    ranking of the same answers would have; ``bins`` and ``ece`` cover the rows that have a confidence.
    """
    known = [value for value in confidences if value is not None]
    if len(set(known)) < 2:
        return {}
    scores = np.array([-1.0 if value is None else float(value) for value in confidences])
    hits = np.array(correct, dtype=float)
    coverage, risk = _curve(scores, hits)
    at = {str(share): float(1 - risk[np.searchsorted(coverage, share - 1e-9)]) for share in COVERAGES}
    own = scores >= 0
    return {
        "n": len(known),
        "curve": [[round(float(x), 5), round(float(y), 5)] for x, y in _thin(coverage, risk)],
        "area": _area(coverage, risk),
        "area_best": _area(*_curve(hits, hits)) if hits.any() else 1.0,
        "accuracy_at": at,
        **_calibration(scores[own], hits[own]),
    }


def _curve(scores: np.ndarray, hits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coverage and risk at every threshold, from the surest answers to all."""
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    taken = ends + 1
    return taken / len(scores), 1 - np.cumsum(hits[order])[ends] / taken


def _area(coverage: np.ndarray, risk: np.ndarray) -> float:
    """Mean risk over coverage: between thresholds a random part of the equally sure rows is answered."""
    xs, ys = np.concatenate(([0.0], coverage)), np.concatenate((risk[:1], risk))
    errors = xs * ys
    grid = np.linspace(1 / 1000, 1, 1000)
    return float(np.mean(np.interp(grid, xs, errors) / grid))


def _thin(coverage: np.ndarray, risk: np.ndarray) -> list[tuple[float, float]]:
    keep = np.unique(np.linspace(0, len(coverage) - 1, min(POINTS, len(coverage))).round().astype(int))
    return [(coverage[place], risk[place]) for place in keep]


def _calibration(scores: np.ndarray, hits: np.ndarray) -> dict[str, Any]:
    places = np.minimum((scores * BINS).astype(int), BINS - 1)
    bins = []
    for place in range(BINS):
        inside = places == place
        if inside.any():
            means = float(scores[inside].mean()), float(hits[inside].mean())
            bins.append({"n": int(inside.sum()), "confidence": means[0], "correct": means[1]})
    ece = sum(one["n"] * abs(one["confidence"] - one["correct"]) for one in bins) / len(scores)
    return {"bins": bins, "ece": float(ece)}
