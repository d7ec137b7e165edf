"""``FallbackCaller``: a small model answers where it is sure, another caller where it is not.

    caller = FallbackCaller(student, teacher, threshold=0.7)
    caller.call("dim the kitchen to 10", tools).answered_by
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from needle.errors import UserError
from needle.tools.caller import Caller, CallResult, Request

THRESHOLD = 0.7
"""Confidence below which an answer is unsure, where nothing else is said."""
FAILURES, PAUSE = 3, 60.0
"""Requests in a row that a fallback fails before it is left out, and seconds until it is tried again."""
log = logging.getLogger("needle.fallback")


class Breaker:
    """Keeps a caller that is dead from costing every request its retries: after some failures in a row it is left out for a while.

    Then one request tries it; when that works, all go there again. Circuit breaker, after Nygard, Release It!, 2007. Safe for threads.
    """

    def __init__(self, name: str, failures: int = FAILURES, pause: float = PAUSE, clock: Callable[[], float] = time.monotonic) -> None:
        """``failures`` in a row after which it is left out for ``pause`` seconds. Raises ``UserError`` for none, or no time."""
        if failures < 1 or not pause > 0:
            raise UserError(f"{failures} failures, {pause:g} seconds: a fallback is left out after at least one failure, and for some time")
        self.name, self.failures, self.pause, self._clock = name, failures, pause, clock
        self._row, self._until, self._why = 0, 0.0, ""
        self._lock = threading.Lock()

    def admits(self, count: int) -> int:
        """How many of ``count`` requests may be asked now: all, one to see whether it works again, or none."""
        with self._lock:
            if self._row < self.failures:
                return count
            if self._clock() < self._until:
                return 0
            self._until = self._clock() + self.pause  # others wait for the one that tries
            return min(count, 1)

    def heard(self, failures: Sequence[str | None]) -> None:
        """What became of requests, in order: None, or why the caller failed. Says once that it is left out, and that it works again."""
        for why in failures:
            with self._lock:
                before, self._row = self._row, 0 if why is None else self._row + 1
                if why is not None:
                    self._why = why
                    self._until = self._clock() + self.pause
            if why is not None and before + 1 == self.failures:
                log.warning("the fallback %s failed %d times in a row and is left out, tried again every %g s: %s", self.name, self.failures, self.pause, why)
            elif why is None and before >= self.failures:
                log.warning("the fallback %s answers again", self.name)

    @property
    def words(self) -> str:
        """Why it is left out."""
        with self._lock:
            left = max(self._until - self._clock(), 0)
            return f"left out after {self._row} failures in a row, tried again in {left:.0f} s ({self._why})"


class FallbackCaller(Caller):
    """Asks ``first``; what it is unsure of goes to ``fallback``, all of a batch at once.

    Unsure is an answer that failed or whose confidence is below ``threshold``; an answer without a confidence counts as sure. Where the
    fallback fails too, or there is none, the first answer stays and is marked ``unsure``: the calls are kept, the application decides.
    A fallback that cannot be reached is left out for a while (``Breaker``). Selective prediction, after Chow, 1970; with a fallback also called
    a cascade.
    """

    def __init__(
        self, first: Caller, fallback: Caller | None = None, *, threshold: float = THRESHOLD, failures: int = FAILURES, pause: float = PAUSE
    ) -> None:
        """``threshold``: 0 to 1; ``failures``, ``pause``: see ``Breaker``. Raises ``UserError`` for others."""
        if not 0 <= threshold <= 1:
            raise UserError(f"threshold {threshold:g}: a probability from 0 to 1")
        self.first, self.fallback, self.threshold = first, fallback, threshold
        self._breaker = Breaker("" if fallback is None else fallback.name, failures, pause)
        self.parallel = first.parallel and (fallback is None or fallback.parallel)
        self.name = f"{first.name}, below {threshold:g} {fallback.name if fallback else 'unsure'}"

    @property
    def settings(self) -> dict[str, Any]:
        """What decides the answers beside the name: settings of both callers."""
        callers = {"first": self.first, "fallback": self.fallback}
        return {role: dict(getattr(caller, "settings", None) or {}) for role, caller in callers.items() if caller}

    def prepare(self, tools: Iterable[Any]) -> Any:
        """What the first caller makes of a toolset ahead of requests (``StudentCaller.prepare``); the tools themselves where it makes nothing."""
        ready = getattr(self.first, "prepare", None)
        return ready(tools) if ready else tools

    def prompt_length(self, request: Request) -> int:
        """Tokens (characters over four, where the first caller does not count them) of a request with its tools."""
        count = getattr(self.first, "prompt_length", None)
        return count(request) if count else (len(request.query) + sum(len(str(tool.to_dict())) for tool in request.tools)) // 4

    def facts(self) -> dict[str, Any]:
        """Facts of the first caller."""
        found = getattr(self.first, "facts", None)
        return found() if found else {}

    def answer(self, requests: Sequence[Request]) -> list[CallResult]:
        """Answer each request, in order."""
        return self._answer(requests, lambda caller, some: caller.answer(some))

    def answer_explained(self, requests: Sequence[Request]) -> list[CallResult]:
        """The same with evidence, by whoever answered."""
        return self._answer(requests, lambda caller, some: caller.answer_explained(some))

    def _answer(self, requests: Sequence[Request], ask: Callable[[Caller, Sequence[Request]], list[CallResult]]) -> list[CallResult]:
        results = ask(self.first, requests)
        unsure = [place for place, result in enumerate(results) if self._is_unsure(result)]
        for result in results:
            result.answered_by = result.answered_by or self.first.name
        for place in unsure:
            results[place].unsure = True
        while self.fallback is not None and unsure and (count := self._breaker.admits(len(unsure))):
            some, unsure = unsure[:count], unsure[count:]
            try:
                second = ask(self.fallback, [requests[place] for place in some])
            except UserError as error:  # an endpoint that cannot be asked at all is no reason to lose the first answers
                second = [CallResult(error=str(error), infra_error=True) for _ in some]
            self._breaker.heard([answer.error or "no answer" if answer.infra_error else None for answer in second])
            for place, answer in zip(some, second, strict=True):
                results[place] = self._better(results[place], answer)
        if self.fallback is not None:
            for place in unsure:
                results[place].fallback_error = self._breaker.words
        return results

    def _is_unsure(self, result: CallResult) -> bool:
        return result.error is not None or result.unsure or (result.confidence is not None and result.confidence < self.threshold)

    def _better(self, before: CallResult, answer: CallResult) -> CallResult:
        """The fallback's answer, or the first one where that failed; usage and seconds are those of both."""
        assert self.fallback is not None
        usage = {"escalated": 1} | {f"fallback_{name}": count for name, count in answer.usage.items()}
        for name in before.usage.keys() | answer.usage.keys():
            usage[name] = before.usage.get(name, 0) + answer.usage.get(name, 0)
        chosen = before if answer.error is not None else answer
        if chosen is answer:
            answer.answered_by = answer.answered_by or self.fallback.name
        else:
            before.fallback_error = answer.error
        if before.seconds is not None and answer.seconds is not None:
            chosen.seconds = before.seconds + answer.seconds
        chosen.usage = usage
        return chosen
