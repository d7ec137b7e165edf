"""One row through the teacher: a request, its label, and what doubts it; everything is asked for at the ``Desk``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from needle.generate.checks import Checks
from needle.generate.desk import Desk
from needle.generate.judge import Judge
from needle.generate.labels import Labeller
from needle.generate.plan import Plan
from needle.generate.prompts import clean_request, label_body, write_body
from needle.generate.refusal import Refusal
from needle.generate.verify import verify_request
from needle.teacher.errors import PermanentError, TransientError
from needle.teacher.wire import Answer
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
    meta: dict[str, Any] = field(default_factory=dict, hash=False)
    """Lineage of the row: who wrote, labelled and judged it, votes, repair, what was rejected."""


@dataclass
class Asker:
    """Makes rows over one toolset."""

    desk: Desk
    """Where questions go."""
    tools: list[ToolSpec]
    """The toolset."""
    temperature: float
    """For writing."""
    checks: Checks = Checks()
    """How far labels are doubted."""
    known: Callable[[Plan, str], Awaitable[Refusal | None]] | None = None
    """With a student: a refusal when it knows the answer to a request, asked before the label is paid for."""

    def __post_init__(self) -> None:
        self._labels = Labeller(self.desk, self.checks)
        self.judge = Judge(self.desk) if self.checks.judge else None

    async def row(self, plan: Plan) -> Outcome:
        """Ask for one row. What the endpoint or the checks refuse comes back as an outcome with refusals.

        Raises:
            PermanentError: nothing further can be asked (key, quota, model).
            BudgetSpent: the next call might pass the cap.
            UserError: the store cannot be written.
        """
        answers: list[Answer] = []
        request, meta = "", {}
        try:
            question = write_body(plan, self.tools, self.temperature)
            meta["author"] = self.desk.pick("write", question)
            answers.append(await self.desk.ask("write", question, teacher=meta["author"]))
            request = clean_request(answers[0].text)
            refusals = verify_request(request, self.tools)
            if refusals:
                return self._outcome(plan, answers, request, refusals=tuple(refusals), meta=meta)
            if self.known and (refusal := await self.known(plan, request)):
                return self._outcome(plan, answers, request, refusals=(refusal,), meta=meta)
            label = await self._labels.settle(plan, request, self.tools, lambda seed: label_body(request, self.tools, seed))
            answers += label.answers
            meta |= label.meta
            against = label.verdict.refusals
            if self.judge and not against:
                found, meta["judge"], answer = await self.judge.refusals(request, label.calls, self.tools, plan.seed)
                answers.append(answer)
                against = tuple(found)
        except (TransientError, PermanentError) as error:
            if isinstance(error, PermanentError) and (error.stops_job or error.reason == "bad_request"):
                raise
            trouble = isinstance(error, TransientError)
            refused = (Refusal(f"teacher:{error.reason}", str(error)),)
            return self._outcome(plan, answers, request, refusals=refused, trouble=trouble, meta=meta)
        return self._outcome(
            plan, answers, request, calls=label.calls, refusals=against, spans=label.verdict.spans, meta=meta
        )

    def _outcome(self, plan: Plan, answers: list[Answer], request: str, **rest: Any) -> Outcome:
        tokens = {
            name: sum(answer.usage.get(name, 0) for answer in answers)
            for name in ("prompt_tokens", "completion_tokens")
        }
        return Outcome(plan, request, request_ids=tuple(answer.request_id for answer in answers), tokens=tokens, **rest)
