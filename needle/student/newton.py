"""Newton's method for the few weights of a likelihood that has one peak."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

ROUNDS, CLOSE = 100, 1e-9
"""Most steps; the largest change of a weight at which it is over."""


def newton(weights: np.ndarray, at: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]], longest: float) -> np.ndarray:
    """The weights at the peak, from ``weights`` on.

    ``at``: slope ``[W]`` of the logarithm of the likelihood and its negative curvature ``[W, W]``. ``longest``: most that a weight changes in a step.
    """
    for _ in range(ROUNDS):
        step = np.linalg.solve(*reversed(at(weights)))
        weights = weights + step * min(1.0, longest / max(float(np.abs(step).max()), 1e-12))
        if np.abs(step).max() < CLOSE:
            break
    return weights
