"""Caps on dollars and tokens that concurrency cannot overshoot: the worst case is set aside before a question is sent
and given back after it.

The worst case is a bound, not a guess: no tokenizer that keeps every byte makes more tokens than there are bytes, and
the answer ends at ``max_tokens``. So near the cap a question may have to wait for what others give back; only when
nothing is under way and it still does not fit is the budget spent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

OVERHEAD = 400
"""Input tokens that an endpoint may add of its own: its chat template, its words about tools."""
OPEN_END = 4096
"""Output tokens counted for a question that names no limit."""


class Halt(Exception):
    """No further question is sent in this run; the reason is the text. Those under way are waited for."""


class BudgetSpent(Halt):
    """The next question might pass a cap."""


@dataclass(frozen=True)
class Amount:
    """Dollars and tokens."""

    usd: float = 0.0
    """US dollars."""
    tokens: int = 0
    """Tokens, input and output together."""

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.usd + other.usd, self.tokens + other.tokens)

    def __sub__(self, other: Amount) -> Amount:
        return Amount(self.usd - other.usd, self.tokens - other.tokens)

    def __mul__(self, factor: float) -> Amount:
        return Amount(self.usd * factor, round(self.tokens * factor))


NOTHING = Amount()


@dataclass
class Budget:
    """What may be spent, what has been, and what is set aside. A cap of None counts only."""

    usd_cap: float | None = None
    """Most US dollars."""
    token_cap: int | None = None
    """Most tokens."""
    spent: Amount = NOTHING
    """So far, earlier runs of the folder included."""
    reserved: Amount = NOTHING
    """Worst case of what is under way."""
    surprises: int = 0
    """Answers that cost more than their worst case, which an endpoint that keeps to ``max_tokens`` never sends."""
    stretch: float = 1.0
    """Largest such excess; later worst cases are multiplied by it."""
    _changed: list[asyncio.Future[None]] = field(default_factory=list)

    async def reserve(self, worst: Amount) -> Amount:
        """Set aside the worst case of one question, waiting for others to give back where need be.

        Raises:
            BudgetSpent: nothing is under way and it would still pass a cap.
        """
        while not self._fits(worst * self.stretch) and self.reserved.tokens > 0:
            changed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._changed.append(changed)
            await changed
        return self.take(worst)

    def take(self, worst: Amount) -> Amount:
        """Set aside the worst case of one question now. Raises BudgetSpent when it might pass a cap."""
        wanted = worst * self.stretch
        if not self._fits(wanted):
            raise BudgetSpent(self.words(wanted))
        self.reserved += wanted
        return wanted

    def settle(self, set_aside: Amount, cost: Amount) -> None:
        """Replace what was set aside by what it came to."""
        self.reserved -= set_aside
        self.spent += cost
        if cost.tokens > set_aside.tokens > 0:
            self.surprises += 1
            self.stretch = max(self.stretch, cost.tokens / set_aside.tokens * self.stretch)
        waiting, self._changed = self._changed, []
        for changed in waiting:
            if not changed.done():
                changed.set_result(None)

    def words(self, wanted: Amount = NOTHING) -> str:
        """The state of the caps in a sentence."""
        caps = []
        if self.usd_cap is not None:
            caps.append(f"${self.spent.usd:.4f} of ${self.usd_cap:g} spent")
        if self.token_cap is not None:
            caps.append(f"{self.spent.tokens:,} of {self.token_cap:,} tokens used")
        more = f"; the next question might take ${wanted.usd:.4f} and {wanted.tokens:,} tokens" if wanted.tokens else ""
        return "Stopped at the budget: " + ", ".join(caps) + more

    def _fits(self, wanted: Amount) -> bool:
        after = self.spent + self.reserved + wanted
        if self.usd_cap is not None and after.usd > self.usd_cap:
            return False
        return self.token_cap is None or after.tokens <= self.token_cap


def worst_usage(body: Mapping[str, Any], size: int) -> dict[str, int]:
    """Most tokens that a question can take.

    Args:
        body: its parameters.
        size: its bytes as JSON.
    """
    limit = body.get("max_completion_tokens") or body.get("max_tokens") or OPEN_END
    return {"prompt_tokens": size + OVERHEAD, "completion_tokens": int(limit) * int(body.get("n") or 1)}
