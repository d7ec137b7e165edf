"""Whether a caller knows when it is right: calibration error, and accuracy over the share of rows that are answered.

Callers that give a ``confidence`` with a result can be made to answer only where they are sure. The risk-coverage
curve says what that buys (El-Yaniv and Wiener, 2010); the expected calibration error whether the numbers can be
read as probabilities (Guo et al., 2017; bins of equal width).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

BINS = 10
POINTS = 101
COVERAGES = (0.5, 0.8, 0.9, 1.0)
ACCURACIES = (0.8, 0.9, 0.95, 0.99)


def calibration(confidences: Sequence[float | None], right: Sequence[bool]) -> dict[str, Any] | None:
    """Figures of a run, or None when no row has a confidence.

    Args:
        confidences: one a row, 0 to 1; None where the caller gave none (these rows are counted and left out).
        right: whether each row is correct.

    Returns:
        ``n``, ``without``, ``ece``, ``brier``, ``auroc`` (chance that a right row is surer than a wrong one; None when
        all rows are alike), ``aurc`` (mean risk over all coverages), ``curve`` (coverage, accuracy, threshold; at most
        101 points), ``bins``, ``accuracy_at_coverage``, ``coverage_at_accuracy``.
    """
    pairs = [(float(sure), bool(hit)) for sure, hit in zip(confidences, right, strict=True) if _usable(sure)]
    if not pairs:
        return None
    sure, hits = np.array([one for one, _ in pairs]), np.array([hit for _, hit in pairs], dtype=float)
    curve = _curve(sure, hits)
    return {
        "n": len(pairs),
        "without": len(right) - len(pairs),
        **_error(sure, hits),
        "brier": float(((sure - hits) ** 2).mean()),
        "auroc": _auroc(sure, hits),
        "aurc": float(np.mean([1 - accuracy for _, accuracy, _ in curve])),
        "curve": [dict(zip(("coverage", "accuracy", "threshold"), point, strict=True)) for point in _thin(curve)],
        "accuracy_at_coverage": {f"{share:g}": _accuracy_at(curve, share) for share in COVERAGES},
        "coverage_at_accuracy": {
            f"{share:g}": max((coverage for coverage, accuracy, _ in curve if accuracy >= share), default=0.0)
            for share in ACCURACIES
        },
    }


def _usable(sure: float | None) -> bool:
    return isinstance(sure, int | float) and 0 <= sure <= 1


def _error(sure: np.ndarray, hits: np.ndarray) -> dict[str, Any]:
    place = np.minimum((sure * BINS).astype(int), BINS - 1)
    bins, total = [], 0.0
    for number in range(BINS):
        inside = place == number
        n = int(inside.sum())
        accuracy, mean = (float(hits[inside].mean()), float(sure[inside].mean())) if n else (None, None)
        bins.append(
            {"low": number / BINS, "high": (number + 1) / BINS, "n": n, "accuracy": accuracy, "confidence": mean}
        )
        total += n * abs(accuracy - mean) if accuracy is not None and mean is not None else 0.0
    return {"ece": total / len(sure), "bins": bins}


def _curve(sure: np.ndarray, hits: np.ndarray) -> list[tuple[float, float, float]]:
    """(coverage, accuracy, threshold) when only rows at least so sure are answered; ties go together."""
    order = np.argsort(-sure, kind="stable")
    sorted_sure, running = sure[order], np.cumsum(hits[order])
    ends = np.append(np.flatnonzero(np.diff(sorted_sure)), len(sure) - 1)
    return [((end + 1) / len(sure), float(running[end] / (end + 1)), float(sorted_sure[end])) for end in map(int, ends)]


def _thin(curve: list[tuple[float, float, float]]) -> list[tuple[float, float, float]]:
    if len(curve) <= POINTS:
        return curve
    return [curve[place] for place in sorted({round(step * (len(curve) - 1) / (POINTS - 1)) for step in range(POINTS)})]


def _accuracy_at(curve: list[tuple[float, float, float]], share: float) -> float:
    """Accuracy of the smallest set of surest rows that covers ``share``."""
    return next(accuracy for coverage, accuracy, _ in curve if coverage >= share - 1e-12)


def _auroc(sure: np.ndarray, hits: np.ndarray) -> float | None:
    """Mann-Whitney statistic over right and wrong rows, ties counted half."""
    right, wrong = np.sort(sure[hits == 1]), np.sort(sure[hits == 0])
    if not len(right) or not len(wrong):
        return None
    below, up_to = np.searchsorted(wrong, right, "left"), np.searchsorted(wrong, right, "right")
    return float((below + (up_to - below) / 2).mean() / len(wrong))
