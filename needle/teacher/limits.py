"""The rate limit of one endpoint, shared by everything in this process that asks it.

A request, its input tokens and its largest possible output are set aside before it is sent and corrected from the
usage afterwards, so that no minute ever holds more than the limits allow. Limits and foreign use (another program with
the same key) are learned from the ``x-ratelimit-*`` headers. Concurrency adapts: a quarter less when the endpoint
pushes back, slowly more while it does not (additive increase, multiplicative decrease, as TCP does it: Chiu and Jain
1989). A wait that the endpoint asks for holds for all workers, exactly. When nothing but push-back has come for
``starvation_s``, ``Starved`` says so and the job stops, to be continued later.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from needle.teacher.config import Limits, TeacherConfig
from needle.teacher.errors import PermanentError
from needle.teacher.waits import RESETS, duration, in_words, number

MINUTE = 60.0
LONG_PERIOD = 90.0
"""Seconds above which a limit in the headers is taken for one of a longer time than a minute (a day, say)."""
LESS, CALM_S = 0.75, 2.0
"""Factor of the concurrency at push-back, and seconds in which it counts once: the calls under way all meet the same
limit."""
MOST_BACKOFF_S = 20.0
SLACK = 1e-6
"""Rounding of sums."""


class Starved(PermanentError):
    """Nothing but push-back for too long; what is stored stays, and the same command continues later."""

    def __init__(self, message: str) -> None:
        super().__init__(message, "starved")


@dataclass
class Entry:
    """An amount that was sent at a time."""

    at: float
    """Time of the event loop."""
    amount: float
    """Requests or tokens."""


class Window:
    """What was sent in the last minute of one countable thing, exactly (a sliding window, not a bucket that bursts)."""

    def __init__(self, limit: float | None, minute: float = MINUTE) -> None:
        """``limit``: most in any minute; None: no limit, nothing is counted until one is learned."""
        self.limit = self._own = limit
        self._minute = minute
        self._entries: deque[Entry] = deque()
        self._sum = 0.0

    def wait(self, now: float, amount: float) -> float:
        """Seconds until ``amount`` may be sent; what is larger than the limit itself may go when all else has
        passed."""
        if self.limit is None:
            return 0.0
        self._expire(now)
        over = self._sum + min(amount, self.limit) - self.limit
        if over <= SLACK:
            return 0.0
        for entry in self._entries:
            over -= entry.amount
            if over <= SLACK:
                return entry.at + self._minute - now
        return 0.0

    def used(self, now: float) -> float:
        """What was sent in the last minute."""
        self._expire(now)
        return self._sum

    def add(self, now: float, amount: float) -> Entry:
        """Count ``amount`` as sent."""
        self._expire(now)
        entry = Entry(now, amount)
        self._entries.append(entry)
        self._sum += amount
        return entry

    def correct(self, entry: Entry, amount: float, now: float) -> None:
        """An entry turned out to be another amount."""
        self._expire(now)
        if now - entry.at < self._minute:
            self._sum += amount - entry.amount
        entry.amount = amount

    def learn(self, now: float, limit: float, remaining: float) -> None:
        """The endpoint says how much it allows and how much is left; what others used counts as sent now."""
        self.limit = limit if self._own is None else min(self._own, limit)
        self._expire(now)
        foreign = limit - remaining - self._sum
        if foreign > 0:
            self.add(now, foreign)

    def _expire(self, now: float) -> None:
        while self._entries and now - self._entries[0].at >= self._minute:
            self._sum -= self._entries.popleft().amount
        if not self._entries:
            self._sum = 0.0


@dataclass
class Ticket:
    """What was set aside for one request."""

    request: Entry
    """In the window of requests."""
    tokens_in: Entry
    """In the window of input tokens."""
    tokens_out: Entry
    """In the window of output tokens."""
    tokens: Entry
    """In the window of both together."""


class Limiter:
    """The gate of one endpoint and model. Belongs to one event loop."""

    def __init__(
        self,
        limits: Limits,
        *,
        where: str = "the endpoint",
        backoff_s: float = 0.5,
        starvation_s: float = 900.0,
        minute: float = MINUTE,
    ) -> None:
        """``minute`` is shortened by tests only."""
        self._where, self._backoff_s, self._starvation_s, self._minute = where, backoff_s, starvation_s, minute
        self._most = limits.concurrency
        self.requests = Window(limits.requests_per_minute, minute)
        self.tokens_in = Window(limits.input_tokens_per_minute, minute)
        self.tokens_out = Window(limits.output_tokens_per_minute, minute)
        self.tokens = Window(limits.tokens_per_minute, minute)
        self.allowed = float(limits.concurrency)
        """Requests that may be under way at a time, at present."""
        self.in_flight = 0
        """Requests under way."""
        self.waited_s = 0.0
        """Seconds that requests waited here, all together."""
        self._paused_until = self._calm_until = 0.0
        self._strikes = 0
        self._hungry_since: float | None = None
        self._turn = asyncio.Lock()  # first come, first served; only the first in the queue looks at the windows
        self._changed = asyncio.Event()

    @property
    def counts_tokens(self) -> bool:
        """A limit on tokens is known, so that they need an estimate."""
        return any(window.limit is not None for window in (self.tokens_in, self.tokens_out, self.tokens))

    async def acquire(self, tokens_in: int = 0, tokens_out: int = 0) -> Ticket:
        """Wait until a request may be sent, and set aside what it may use.

        Args:
            tokens_in: input tokens, rather too many.
            tokens_out: most output tokens that it may give.

        Raises:
            Starved: the endpoint has answered nothing but push-back for too long.
        """
        loop = asyncio.get_running_loop()
        asked = loop.time()
        async with self._turn:
            while (wait := self._wait(loop.time(), tokens_in, tokens_out)) != 0.0:
                self._changed.clear()
                try:
                    async with asyncio.timeout(wait):
                        await self._changed.wait()
                except TimeoutError:
                    pass
            now = loop.time()
            self.in_flight += 1
            self.waited_s += now - asked
            return Ticket(
                self.requests.add(now, 1),
                self.tokens_in.add(now, tokens_in),
                self.tokens_out.add(now, tokens_out),
                self.tokens.add(now, tokens_in + tokens_out),
            )

    def release(self, ticket: Ticket, usage: Mapping[str, int] | None) -> None:
        """The request is over: correct what was set aside to what was used.

        Args:
            ticket: from ``acquire``.
            usage: token counts of the answer; empty when the endpoint does not count (the reservation stays, as it
                does for a call that may have been served); None: turned away, so its tokens are given back.
        """
        now = asyncio.get_running_loop().time()
        self.in_flight -= 1
        used_in = 0 if usage is None else usage.get("prompt_tokens", ticket.tokens_in.amount)
        used_out = 0 if usage is None else usage.get("completion_tokens", ticket.tokens_out.amount)
        self.tokens_in.correct(ticket.tokens_in, used_in, now)
        self.tokens_out.correct(ticket.tokens_out, used_out, now)
        self.tokens.correct(ticket.tokens, used_in + used_out, now)
        self._changed.set()

    def answered(self, headers: Mapping[str, str]) -> None:
        """An answer came: the endpoint is well, and its headers say what it allows."""
        self._hungry_since, self._strikes = None, 0
        if self.in_flight >= self.allowed / 2:  # a limit that was not tried out is no evidence
            self.allowed = min(self._most, self.allowed + 1 / self.allowed)
        self._learn(headers)

    def pushed_back(self, retry_after: float | None) -> None:
        """The endpoint turned a request away (429, 503, 529): fewer at a time, and nobody asks before it said.

        Raises:
            Starved: no answer for ``starvation_s``, or it asks to wait longer than that.
        """
        now = asyncio.get_running_loop().time()
        self._hungry_since = self._hungry_since or now
        if now >= self._calm_until:
            self.allowed = max(1.0, min(self.allowed, self.in_flight + 1) * LESS)
            self._calm_until = now + CALM_S
        if retry_after is None and now >= self._paused_until:
            self._strikes += 1
            retry_after = min(self._backoff_s * 2 ** (self._strikes - 1), MOST_BACKOFF_S)
        self.pause(retry_after or 0.0)
        self._check_starved(self._paused_until)

    def pause(self, seconds: float) -> None:
        """Nobody asks for so long."""
        self._paused_until = max(self._paused_until, asyncio.get_running_loop().time() + seconds)

    def _wait(self, now: float, tokens_in: int, tokens_out: int) -> float | None:
        """Seconds to wait; 0: go; None: until another request is over."""
        self._check_starved(now)
        wait = max(
            self._paused_until - now,
            self.requests.wait(now, 1),
            self.tokens_in.wait(now, tokens_in),
            self.tokens_out.wait(now, tokens_out),
            self.tokens.wait(now, tokens_in + tokens_out),
        )
        if wait > 0:
            return wait
        return 0.0 if self.in_flight < max(1, int(self.allowed)) else None

    def _check_starved(self, until: float) -> None:
        if self._hungry_since is None or until - self._hungry_since <= self._starvation_s:
            return
        wait, patience = self._paused_until - asyncio.get_running_loop().time(), in_words(self._starvation_s)
        said = (
            f"asks to wait {in_words(wait)}, longer than the {patience} that this run waits"
            if wait > 1
            else f"gave no answer for {patience}"
        )
        raise Starved(
            f"{self._where} limits the rate and {said}; stopped, what is stored stays: run the same command again "
            f"later, perhaps with fewer requests at a time"
        )

    def _learn(self, headers: Mapping[str, str]) -> None:
        now = asyncio.get_running_loop().time()
        for what, window in zip(RESETS, (self.requests, self.tokens), strict=True):
            limit, remaining = (
                number(headers, f"x-ratelimit-limit-{what}"),
                number(headers, f"x-ratelimit-remaining-{what}"),
            )
            if limit is None or remaining is None or limit <= 0:
                continue
            used, reset = limit - remaining, duration(headers.get(f"x-ratelimit-reset-{what}") or "")
            # the reset is the time in which all that was used comes back, so it tells the length of the period
            if reset is not None and used > 0 and reset * limit / used > LONG_PERIOD * self._minute / MINUTE:
                if remaining <= 0:
                    self.pause(reset / used)
                continue
            window.learn(now, limit, remaining)


_LIMITERS: dict[asyncio.AbstractEventLoop, dict[tuple[str, str, str | None], Limiter]] = {}


def limiter_for(config: TeacherConfig) -> Limiter:
    """The limiter of an endpoint, model and key in the running event loop: the same one for all that share them (the
    limits of the first hold)."""
    for loop in [loop for loop in list(_LIMITERS) if loop.is_closed()]:
        _LIMITERS.pop(loop, None)
    mine = _LIMITERS.setdefault(asyncio.get_running_loop(), {})
    key = (config.base_url, config.model, config.key_env)
    if key not in mine:
        mine[key] = Limiter(
            config.limits, where=config.where, backoff_s=config.backoff_s, starvation_s=config.starvation_s
        )
    return mine[key]
