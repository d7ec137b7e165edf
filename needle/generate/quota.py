"""What is asked next, so that the quotas of accepted rows fill up: rounds of plans, more of a kind where more of it
is refused.

A round is planned from the rounds before it that have been judged and from the number under way, never from what
happens to have come back: so the plans depend on seed and answers only, whatever the concurrency.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from needle.generate.plan import quotas

ROUND = 200
"""Plans of one round; a constant, so that concurrency does not shape the rows."""
BATCH_ROUND = 5000
"""The same for runs in batches, where a round takes hours."""
LAG = 5
"""Rounds that may be under way at a time; so up to ``LAG * ROUND`` rows can be asked for at once."""
PATIENCE = 3
"""Rounds without an accepted row of a kind after which its remaining quota goes to the other kinds."""
LEAST_RATE = 0.2
"""Share of accepted rows that is assumed at least, so that a bad start does not ask for thousands."""


@dataclass
class Quotas:
    """Wanted, asked, under way, accepted and refused, by kind."""

    mix: Mapping[str, float]
    """Shares of the kinds, all of them possible."""
    n: int
    """Accepted rows wanted in all."""
    size: int = ROUND
    """Plans of a round."""
    limits: Mapping[str, int] = field(default_factory=dict)
    """Most plans of a kind, where there is a limit."""
    notes: list[str] = field(default_factory=list)
    """What was re-planned, in words."""

    def __post_init__(self) -> None:
        self.wanted = quotas(self.n, self.mix)
        self.asked: dict[str, int] = dict.fromkeys(self.wanted, 0)
        self.accepted: dict[str, int] = dict.fromkeys(self.wanted, 0)
        self.under_way: Counter[str] = Counter()
        self._idle: Counter[str] = Counter()

    def next_round(self) -> list[tuple[str, int]]:
        """``(kind, index)`` of the plans to ask for now; empty when nothing is missing beyond what is under way."""
        self._give_up_on_idle_kinds()
        need = {kind: self._need(kind) for kind in self.wanted}
        total = sum(need.values())
        plans: list[tuple[str, int]] = []
        for kind, count in need.items():
            if not count:
                continue
            count = min(count, math.ceil(self.size * count / total))
            first = self.asked[kind] + self.under_way[kind]
            count = max(0, min(count, self.limits.get(kind, first + count) - first))
            plans += [(kind, first + step) for step in range(count)]
            self.under_way[kind] += count
        return plans

    def judge(self, verdicts: list[tuple[str, bool]]) -> None:
        """Close a round: each plan's kind, and whether its row was accepted."""
        fresh: Counter[str] = Counter()
        for kind, accepted in verdicts:
            self.asked[kind] += 1
            self.under_way[kind] -= 1
            self.accepted[kind] += accepted
            fresh[kind] += accepted
        for kind, count in fresh.items():
            self._idle[kind] = 0 if count else self._idle[kind] + 1

    def shift(self, weights: Mapping[str, float]) -> None:
        """Divide what is still missing anew: each kind's share times its weight (1 for a kind without one)."""
        missing = self.n - sum(self.accepted.values())
        mix = {kind: share * weights.get(kind, 1.0) for kind, share in self.mix.items()}
        if missing > 0 and any(mix.values()):
            self.mix = mix
            more = quotas(missing, mix)
            self.wanted = {kind: self.accepted[kind] + more.get(kind, 0) for kind in self.wanted}

    def full(self, kind: str, accepted_in_round: int = 0) -> bool:
        """Whether a kind has what it needs."""
        return self.accepted[kind] + accepted_in_round >= self.wanted[kind]

    def rate(self, kind: str) -> float:
        """Share of the rows of a kind that are accepted, as far as is known."""
        return max(self.accepted[kind] / self.asked[kind], LEAST_RATE) if self.asked[kind] else 1.0

    def _need(self, kind: str) -> int:
        missing = self.wanted[kind] - self.accepted[kind]
        if missing <= 0 or self._idle[kind] >= PATIENCE:
            return 0
        return max(0, math.ceil(missing / self.rate(kind)) - self.under_way[kind])

    def _give_up_on_idle_kinds(self) -> None:
        open_kinds = [kind for kind, wanted in self.wanted.items() if self.accepted[kind] < wanted]
        for kind in [kind for kind in open_kinds if self._idle[kind] >= PATIENCE and not self.under_way[kind]]:
            missing = self.wanted[kind] - self.accepted[kind]
            self.wanted[kind] = self.accepted[kind]
            others = {
                name: self.mix[name] for name in self.wanted if self._idle[name] < PATIENCE and self.mix[name] > 0
            }
            said = "its remaining share went to the other kinds" if others else "and no other kind gives more"
            self.notes.append(
                f"Only {self.wanted[kind]} different rows of kind {kind} could be had, {missing} short; {said}."
            )
            for name, count in (quotas(missing, others) if others else {}).items():
                self.wanted[name] += count
