"""Intervals and tests for rates over rows that come in clusters.

Rows of one toolset are not independent, so intervals resample whole toolsets. Everything is seeded: the same rows
give the same figures.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist

import numpy as np

REPLICATES = 2000
"""Bootstrap resamples: the 2.5 % tail then rests on 50 of them."""


@dataclass(frozen=True)
class Rate:
    """A share of rows with its interval; all zero where there are no rows."""

    value: float
    """Share, 0 to 1."""
    low: float
    """Lower end of the interval."""
    high: float
    """Upper end of the interval."""
    n: int
    """Rows."""

    def to_dict(self) -> dict[str, float]:
        """JSON object."""
        return asdict(self)


def wilson(hits: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson score interval of a share of independent rows (E. B. Wilson, 1927); (0, 1) when there are none."""
    if n == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.5 + level / 2)
    share, spread = hits / n, z * z / n
    centre = (share + spread / 2) / (1 + spread)
    half = z * math.sqrt(share * (1 - share) / n + spread / (4 * n)) / (1 + spread)
    return max(0.0, centre - half), min(1.0, centre + half)


class Clusters:
    """Rows grouped by cluster, with one set of seeded resamples that every rate over these rows shares."""

    def __init__(self, labels: Sequence[Hashable], *, seed: int = 0, replicates: int = REPLICATES) -> None:
        numbers: dict[Hashable, int] = {}
        self.of_row = np.array([numbers.setdefault(label, len(numbers)) for label in labels], dtype=np.int64)
        self.count = len(numbers)
        """Number of clusters."""
        sizes = np.bincount(self.of_row, minlength=self.count).astype(float)
        drawn = np.random.default_rng(seed).integers(0, max(1, self.count), size=(replicates, self.count))
        cells = (drawn + self.count * np.arange(replicates)[:, None]).ravel()
        # replicates x clusters: how often each resample has each cluster
        counts = np.bincount(cells, minlength=replicates * self.count)
        self._weights = counts.reshape(replicates, self.count).astype(float)
        self._rows = self._weights @ sizes

    def means(self, values: Sequence[float]) -> np.ndarray:
        """Mean of ``values`` (one a row) in every resample of clusters."""
        sums = np.bincount(self.of_row, weights=np.asarray(values, dtype=float), minlength=self.count)
        return (self._weights @ sums) / np.maximum(self._rows, 1)

    def rate(self, hits: Sequence[bool], level: float = 0.95) -> Rate:
        """Share of rows that hit, with the wider of the cluster bootstrap and Wilson's interval over rows.

        The bootstrap widens for clustering; Wilson's stands in where it collapses: few clusters, or a share of
        exactly 0 or 1.
        """
        n, total = len(hits), int(sum(hits))
        if n == 0:
            return Rate(0.0, 0.0, 0.0, 0)
        low, high = wilson(total, n, level)
        if self.count > 1:
            tail = 50 * (1 - level)
            drawn_low, drawn_high = np.percentile(self.means(hits), [tail, 100 - tail])
            low, high = min(low, float(drawn_low)), max(high, float(drawn_high))
        return Rate(total / n, low, high, n)


def rate(hits: Sequence[bool], labels: Sequence[Hashable], *, seed: int = 0) -> Rate:
    """Share of rows that hit, with its interval clustered by ``labels``."""
    return Clusters(labels, seed=seed).rate(hits)


@dataclass(frozen=True)
class Paired:
    """Two sets of answers to the same rows: B minus A."""

    n: int
    """Rows that both answered."""
    difference: float
    """Share right in B minus share right in A."""
    low: float
    """Lower end of the clustered bootstrap interval of the difference."""
    high: float
    """Upper end."""
    p_value: float
    """Exact two-sided McNemar test over rows."""
    gained: int
    """Rows that only B has right."""
    lost: int
    """Rows that only A has right."""
    detectable: float
    """Smallest true difference that a comparison of this size finds four times in five (two-sided, 5 %)."""


def mcnemar(gained: int, lost: int) -> float:
    """Exact two-sided McNemar p-value: a fair coin over the discordant rows (Q. McNemar, 1947)."""
    n, k = gained + lost, min(gained, lost)
    if n == 0:
        return 1.0
    log_half = n * math.log(2)
    tail = math.fsum(
        math.exp(math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1) - log_half) for i in range(k + 1)
    )
    return min(1.0, 2 * tail)


def compare_paired(
    first: Sequence[bool], second: Sequence[bool], labels: Sequence[Hashable], *, seed: int = 0, level: float = 0.95
) -> Paired:
    """Paired comparison of two answers a row; the three sequences run over the same rows in the same order."""
    assert len(first) == len(second) == len(labels), "paired sequences differ in length"
    n = len(first)
    steps = [int(b) - int(a) for a, b in zip(first, second, strict=True)]
    gained, lost = steps.count(1), steps.count(-1)
    difference = (gained - lost) / n if n else 0.0
    error = math.sqrt(max(gained + lost - (gained - lost) ** 2 / n, 0)) / n if n else 0.0
    half = NormalDist().inv_cdf(0.5 + level / 2) * error
    low, high = difference - half, difference + half
    clusters = Clusters(labels, seed=seed)
    if clusters.count > 1:  # as for a rate: the wider of the two, so that a handful of clusters cannot feign precision
        drawn = clusters.means(steps)
        error = max(error, float(drawn.std()))
        tail = 50 * (1 - level)
        drawn_low, drawn_high = (float(end) for end in np.percentile(drawn, [tail, 100 - tail]))
        low, high = min(low, drawn_low), max(high, drawn_high)
    p_value = mcnemar(gained, lost)
    return Paired(n, difference, max(-1.0, low), min(1.0, high), p_value, gained, lost, smallest_detectable(error))


def smallest_detectable(error: float, level: float = 0.95, power: float = 0.8) -> float:
    """Smallest true difference found with probability ``power`` at this standard error of the difference."""
    return (NormalDist().inv_cdf(0.5 + level / 2) + NormalDist().inv_cdf(power)) * error
