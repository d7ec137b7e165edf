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
FLIPS = 10_000
"""Sign flips of the permutation test, unless all of them can be tried."""
FEW_CLUSTERS = 6
"""With fewer clusters no sign-flip test can reach 5 % (2 / 2**5 > 0.05); the test over rows stands in."""


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
    """Lower end of the interval: the wider of Agresti and Min's over rows and the bootstrap over clusters."""
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
    p_permutation: float = 1.0
    """Two-sided sign-flip test over clusters; what counts where rows hang together."""
    clusters: int = 0
    """Clusters that the rows come in."""
    p_adjusted: float | None = None
    """``p`` after Holm's correction over all comparisons of the same report; None before that."""

    @property
    def p(self) -> float:
        """The p-value that counts: over clusters if there are enough of them and they are not just the rows."""
        return self.p_permutation if FEW_CLUSTERS <= self.clusters < self.n else self.p_value

    @property
    def significant(self) -> bool:
        """Different from nothing at 5 %, after correction if there was one."""
        return (self.p if self.p_adjusted is None else self.p_adjusted) < 0.05


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
    low, high, error = _matched(gained, lost, n, level)
    clusters = Clusters(labels, seed=seed)
    if clusters.count > 1:  # as for a rate: the wider of the two, so that a handful of clusters cannot feign precision
        drawn = clusters.means(steps)
        error = max(error, float(drawn.std()))
        tail = 50 * (1 - level)
        drawn_low, drawn_high = (float(end) for end in np.percentile(drawn, [tail, 100 - tail]))
        low, high = min(low, drawn_low), max(high, drawn_high)
    p_value = mcnemar(gained, lost)
    flipped = permutation(steps, labels, seed=seed)
    ends = (max(-1.0, low), min(1.0, high))
    return Paired(n, difference, *ends, p_value, gained, lost, smallest_detectable(error), flipped, clusters.count)


def _matched(gained: int, lost: int, n: int, level: float) -> tuple[float, float, float]:
    """Interval and standard error of the difference over rows, half a row added to each of the four cells (A. Agresti
    and Y. Min, 2005): a handful of rows without a flip proves nothing, and must not look as if it did."""
    if n == 0:
        return 0.0, 0.0, 0.0
    up, down, total = gained + 0.5, lost + 0.5, n + 2
    centre = (up - down) / total
    error = math.sqrt(up + down - (up - down) ** 2 / total) / total
    half, seen = NormalDist().inv_cdf(0.5 + level / 2) * error, (gained - lost) / n
    return min(seen, centre - half), max(seen, centre + half), error


def permutation(steps: Sequence[int], labels: Sequence[Hashable], *, seed: int = 0, flips: int = FLIPS) -> float:
    """Two-sided p-value of the sum of ``steps`` when the sign of every cluster's sum is a coin's (Fisher, 1935).

    Exact for up to 12 clusters that differ from 0, seeded draws beyond that (then never below 1 / ``flips``).
    """
    sums: dict[Hashable, int] = {}
    for step, label in zip(steps, labels, strict=True):
        sums[label] = sums.get(label, 0) + step
    moved = np.array([one for one in sums.values() if one], dtype=np.float32)
    k, seen = len(moved), abs(float(moved.sum())) if len(moved) else 0.0
    if k == 0:
        return 1.0
    if k <= 12:
        signs = 1 - 2 * ((np.arange(2**k)[:, None] >> np.arange(k)) & 1)
        return float((abs(signs @ moved) >= seen - 1e-6).mean())
    rng, extreme = np.random.default_rng(seed), 0
    for start in range(0, flips, 1000):
        signs = rng.integers(0, 2, size=(min(1000, flips - start), k), dtype=np.int8) * 2 - 1
        extreme += int((abs(signs.astype(np.float32) @ moved) >= seen - 1e-3).sum())
    return (1 + extreme) / (1 + flips)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted so that all tests together err in 5 % of cases at most (S. Holm, 1979), in the order given."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted, highest = [1.0] * len(p_values), 0.0
    for rank, place in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - rank) * p_values[place]))
        adjusted[place] = highest
    return adjusted


def smallest_detectable(error: float, level: float = 0.95, power: float = 0.8) -> float:
    """Smallest true difference found with probability ``power`` at this standard error of the difference."""
    return (NormalDist().inv_cdf(0.5 + level / 2) + NormalDist().inv_cdf(power)) * error
