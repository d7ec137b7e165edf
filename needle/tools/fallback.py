"""``FallbackCaller``: a small model answers where it is sure, another caller where it is not.

    caller = FallbackCaller(student, teacher, threshold=0.7)
    caller.call("dim the kitchen to 10", tools).answered_by
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from needle.errors import UserError
from needle.tools.caller import Caller, CallResult, Request

THRESHOLD = 0.7
"""Confidence below which an answer is unsure, where nothing else is said."""


class FallbackCaller(Caller):
    """Asks ``first``; what it is unsure of goes to ``fallback``, all of a batch at once.

    Unsure is an answer that failed or whose confidence is below ``threshold``; an answer without a confidence counts as sure. Where the
    fallback fails too, or there is none, the first answer stays and is marked ``unsure``: the calls are kept, the application decides.
    Selective prediction, after Chow, 1970; with a fallback also called a cascade.
    """

    def __init__(self, first: Caller, fallback: Caller | None = None, *, threshold: float = THRESHOLD) -> None:
        """``threshold``: 0 to 1. Raises ``UserError`` for another one."""
        if not 0 <= threshold <= 1:
            raise UserError(f"threshold {threshold:g}: a probability from 0 to 1")
        self.first, self.fallback, self.threshold = first, fallback, threshold
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
        if self.fallback is None or not unsure:
            return results
        try:
            second = ask(self.fallback, [requests[place] for place in unsure])
        except UserError as error:  # an endpoint that cannot be asked at all is no reason to lose the first answers
            for place in unsure:
                results[place].fallback_error = str(error)
            return results
        for place, answer in zip(unsure, second, strict=True):
            results[place] = self._better(results[place], answer)
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
