"""One row through the teacher: a request, then its calls; each response stored before it is used, or found in the
store."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from needle.generate.budget import Budget
from needle.generate.plan import Plan
from needle.generate.prompts import clean_request, label_body, write_body
from needle.generate.store import ResponseStore, response_key
from needle.generate.verify import Refusal, verify_calls, verify_request
from needle.teacher.client import Teacher
from needle.teacher.errors import PermanentError, TransientError
from needle.teacher.wire import Answer, WireNames, read_answer, read_calls
from needle.tools.spec import ToolCall, ToolSpec


@dataclass(frozen=True)
class Outcome:
    """What became of one plan."""

    plan: Plan
    """The plan."""
    request: str = ""
    """What the teacher wrote."""
    calls: tuple[ToolCall, ...] = ()
    """How it labelled it."""
    refusals: tuple[Refusal, ...] = ()
    """Empty: fit for a row."""
    spans: dict[str, tuple[int, int]] = field(default_factory=dict, hash=False)
    """Where the values are said."""
    request_ids: tuple[str, ...] = ()
    """The endpoint's ids of the answers."""
    tokens: dict[str, int] = field(default_factory=dict, hash=False)
    """Tokens of the answers."""
    trouble: bool = False
    """The endpoint failed, not the answer."""


@dataclass
class Asker:
    """Teacher, store and budget together."""

    teacher: Teacher
    """Who is asked."""
    store: ResponseStore
    """Where answers are kept."""
    budget: Budget
    """What may be spent."""
    tools: list[ToolSpec]
    """The toolset."""
    temperature: float
    """For writing."""
    asked: int = 0
    """Calls that the store could not answer."""

    async def row(self, plan: Plan) -> Outcome:
        """Ask for one row. What the endpoint or the checks refuse comes back as an outcome with refusals.

        Raises:
            PermanentError: nothing further can be asked (key, quota, model).
            BudgetSpent: the next call might pass the cap.
            UserError: the store cannot be written.
        """
        answers: list[Answer] = []
        request = ""
        try:
            answers.append(await self._ask("write", write_body(plan, self.tools, self.temperature)))
            request = clean_request(answers[0].text)
            refusals = verify_request(request, self.tools)
            if refusals:
                return self._outcome(plan, answers, request, refusals=tuple(refusals))
            answers.append(await self._ask("label", label_body(request, self.tools, plan.seed)))
        except (TransientError, PermanentError) as error:
            if isinstance(error, PermanentError) and (error.stops_job or error.reason == "bad_request"):
                raise
            trouble = isinstance(error, TransientError)
            return self._outcome(
                plan, answers, request, refusals=(Refusal(f"teacher:{error.reason}", str(error)),), trouble=trouble
            )
        calls, problem = read_calls(answers[1], WireNames(self.tools))
        verdict = verify_calls(plan, request, calls, problem, self.tools)
        return self._outcome(plan, answers, request, calls=tuple(calls), refusals=verdict.refusals, spans=verdict.spans)

    def _outcome(self, plan: Plan, answers: list[Answer], request: str, **rest: Any) -> Outcome:
        tokens = {
            name: sum(answer.usage.get(name, 0) for answer in answers)
            for name in ("prompt_tokens", "completion_tokens")
        }
        return Outcome(plan, request, request_ids=tuple(answer.request_id for answer in answers), tokens=tokens, **rest)

    async def _ask(self, stage: str, body: dict[str, Any]) -> Answer:
        key = response_key(self.teacher.config.base_url, self.teacher.config.model, body)
        raw = self.store.get(key)
        if raw is not None:
            if stage == "write":
                self.teacher.recall(body)
            return read_answer(raw)
        size = len(json.dumps(body, ensure_ascii=False).encode())
        reservation = self.budget.reserve(body, size)
        self.asked += 1
        try:
            answer = await self.teacher.complete(body)
        except BaseException as error:
            # an answer that never came may have been made (and billed) all the same
            self.budget.release(reservation, maybe_billed=not isinstance(error, PermanentError))
            raise
        self.store.put(key, stage, answer.raw, self.budget.settle(reservation, answer.usage))
        return answer
