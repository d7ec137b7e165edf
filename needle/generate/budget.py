"""A cap on spending that concurrency cannot overshoot: the worst case is reserved before a call and refunded after
it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

BYTES_A_TOKEN = 2.5
"""Fewer bytes than any usual tokenizer needs for a token of JSON or English, so that the estimate errs upwards."""


class BudgetSpent(Exception):
    """The next call might cost more than what is left."""


@dataclass
class Budget:
    """Dollars. ``cap`` None: count only."""

    cap: float | None
    """Most that may be spent, or None."""
    price_in: float
    """US dollars for a million input tokens."""
    price_out: float
    """US dollars for a million output tokens."""
    spent: float = 0.0
    """Spent so far, earlier runs of the folder included."""
    reserved: float = 0.0
    """Worst case of the calls under way."""

    def reserve(self, body: dict[str, Any], size: int) -> float:
        """Set aside the worst case of one call.

        Args:
            body: the call, for its ``max_tokens``.
            size: bytes of the call.

        Raises:
            BudgetSpent: when the cap might be passed.
        """
        worst = self.cost(
            {"prompt_tokens": int(size / BYTES_A_TOKEN), "completion_tokens": int(body.get("max_tokens", 1000))}
        )
        if self.cap is not None and self.spent + self.reserved + worst > self.cap:
            raise BudgetSpent
        self.reserved += worst
        return worst

    def settle(self, reservation: float, usage: dict[str, int]) -> float:
        """Replace a reservation by the real cost; where the endpoint does not count, by the reservation itself."""
        counted = {"prompt_tokens", "completion_tokens"} <= usage.keys()
        cost = self.cost(usage) if counted else reservation
        self.reserved -= reservation
        self.spent += cost
        return cost

    def release(self, reservation: float, *, maybe_billed: bool) -> None:
        """Give a reservation back; a call that timed out may have been billed all the same and counts in full."""
        self.reserved -= reservation
        self.spent += reservation if maybe_billed else 0.0

    def cost(self, usage: dict[str, int]) -> float:
        """US dollars of a token count."""
        return (usage["prompt_tokens"] * self.price_in + usage["completion_tokens"] * self.price_out) / 1e6
