"""How many requests to answer together, learned from what batches cost.

A decoder that reads its weights once for all rows gains by company; one that is bound by arithmetic, or has short cuts
for a single row, may not, and then each request is served soonest alone. The cost of a request is kept for batches of
1, 2, 4 ... requests as a moving average.
"""

from __future__ import annotations

WEIGHT = 0.2
"""Weight of the newest batch in an average."""
TRIED_AGAIN = 40
"""Batches after which a size that is not the best is tried once more: times change."""
GAIN = 1.05
"""How many times cheaper a larger batch must be: at equal cost the smaller one answers sooner."""


class Pace:
    """Seconds a request by size of its batch. Used from one event loop."""

    def __init__(self) -> None:
        self._seconds: dict[int, float] = {}
        self._last: dict[int, int] = {}
        self._batches = 0

    def note(self, size: int, seconds: float) -> None:
        """A batch of ``size`` requests took ``seconds`` in all."""
        key, each = _rounded(size), seconds / size
        before = self._seconds.get(key, each)
        self._seconds[key] = before + WEIGHT * (each - before)
        self._batches += 1
        self._last[key] = self._batches

    def best(self, most: int) -> int:
        """Requests to answer together when ``most`` wait: all of them until smaller batches have been seen to cost
        less."""
        largest = _rounded(most)
        if largest not in self._seconds:
            return most
        known = [size for size in self._seconds if size <= largest]
        stale = [size for size in known if self._batches - self._last[size] >= TRIED_AGAIN]
        if stale:
            return min(stale[0], most)
        chosen = min(sorted(known), key=lambda size: self._seconds[size] * (1 if size == 1 else GAIN))
        return most if chosen == largest else chosen


def _rounded(size: int) -> int:
    """The power of two that is next below."""
    return 1 << (size.bit_length() - 1)
