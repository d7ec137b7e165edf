"""Rounds with a student: it answers each written request first, and only what it does not know goes to the teacher.

The student is wrong when its calls fail the checks that a label must pass (schemas, groundedness, agreement with the
plan), and unsure when it gives a confidence below a threshold. Rows that it gets right are dropped before the label is
paid for, but for a share against forgetting; the quotas then move towards the kinds in which it fails. This is dataset
aggregation (DAgger, Ross et al. 2011) with labels in place of probabilities, so any API can be the teacher.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

from needle.generate.plan import Plan
from needle.generate.store import ResponseStore
from needle.generate.verify import Refusal, verify_calls
from needle.tools.caller import Caller, CallResult, Request
from needle.tools.spec import ToolCall

AT_ONCE = 32
"""Requests that the student answers in one go."""
PROBE = 60
"""Rows asked for before the quotas move."""
LEAST_SHARE = 0.05
"""Of its first quota, what a kind keeps in which the student does not fail."""


@dataclass(frozen=True)
class Opinion:
    """What the student makes of a request."""

    calls: tuple[ToolCall, ...]
    """Its answer."""
    state: str
    """``right``, ``unsure`` or ``wrong``."""
    confidence: float | None = None
    """As the student gives it."""

    def to_dict(self) -> dict[str, Any]:
        """For a row's lineage."""
        found: dict[str, Any] = {"state": self.state, "calls": [call.to_dict() for call in self.calls]}
        return found | ({} if self.confidence is None else {"confidence": round(self.confidence, 4)})


class Student:
    """Asks a ``Caller`` in the background, several requests at a time, each answer stored so that it is asked once."""

    def __init__(self, caller: Caller, store: ResponseStore, *, keep_known: float, unsure_below: float) -> None:
        """``keep_known``: share of the rows it gets right that are kept; ``unsure_below``: confidence."""
        self.caller, self.store = caller, store
        self._keep, self._unsure = keep_known, unsure_below
        self._waiting: list[tuple[Request, asyncio.Future[CallResult]]] = []
        self._work: asyncio.Task[None] | None = None
        self._opinions: dict[tuple[str, int], Opinion] = {}
        self.states: dict[str, Counter[str]] = {}
        """Opinions by kind and state; counted when a row is judged."""

    async def known(self, plan: Plan, request: Request, around: str | None) -> Refusal | None:
        """A refusal when the student knows this one and it is not kept against forgetting. ``around``: facts and earlier
        turns in which values may stand."""
        calls, error, confidence = await self._answer(request)
        verdict = verify_calls(plan.as_written, request.query, calls, error, list(request.tools), around)
        state = "wrong" if verdict.refusals else "right"
        if state == "right" and confidence is not None and confidence < self._unsure:
            state = "unsure"
        self._opinions[plan.kind, plan.index] = Opinion(tuple(calls), state, confidence)
        if state == "right" and plan.seed / 2**31 >= self._keep:
            return Refusal("student_right")
        return None

    def opinion(self, plan: Plan) -> Opinion | None:
        """What it made of a row, once."""
        found = self._opinions.pop((plan.kind, plan.index), None)
        if found:
            self.states.setdefault(plan.kind, Counter())[found.state] += 1
        return found

    def failures(self) -> dict[str, float]:
        """Share of wrong and unsure answers by kind, so far (one of each is added, so that few rows do not decide)."""
        return {
            kind: (counts["wrong"] + counts["unsure"] + 1) / (sum(counts.values()) + 2)
            for kind, counts in self.states.items()
        }

    async def _answer(self, request: Request) -> tuple[list[ToolCall], str | None, float | None]:
        tools = [tool.to_dict() for tool in request.tools]
        parts = [self.caller.name, request.query, tools, request.system, request.messages]
        text = json.dumps(parts, sort_keys=True)
        key = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
        rows = self.store.rows("SELECT answer FROM students WHERE key = ?", (key,))
        if rows:
            held = json.loads(rows[0][0])
        else:
            result = await self._ask(request)
            held = {
                "calls": [call.to_dict() for call in result],
                "error": f"malformed: {result.error}" if result.error else None,
                "confidence": result.confidence,
            }
            await self.store.write(("INSERT OR REPLACE INTO students VALUES (?, ?)", (key, json.dumps(held))))
        return [ToolCall(call["name"], call["arguments"]) for call in held["calls"]], held["error"], held["confidence"]

    async def _ask(self, request: Request) -> CallResult:
        answer: asyncio.Future[CallResult] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, answer))
        if self._work is None:
            self._work = asyncio.create_task(self._run())
        return await answer

    async def _run(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:AT_ONCE], self._waiting[AT_ONCE:]
                try:
                    results = await asyncio.to_thread(self.caller.answer, [request for request, _ in batch])
                except Exception as error:
                    for _, answer in batch:
                        if not answer.done():
                            answer.set_exception(error)
                    continue
                for (_, answer), result in zip(batch, results, strict=True):
                    if not answer.done():
                        answer.set_result(result)
        finally:
            self._work = None
