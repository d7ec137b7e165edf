"""One row through the teacher: a request, then its calls, both asked for at the ``Desk``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from needle.generate.desk import Desk
from needle.generate.plan import Plan
from needle.generate.prompts import clean_request, label_body, write_body
from needle.generate.refusal import Refusal
from needle.generate.verify import verify_calls, verify_request
from needle.teacher.errors import PermanentError, TransientError
from needle.teacher.wire import Answer, WireNames, read_calls
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
    """Makes rows over one toolset."""

    desk: Desk
    """Where questions go."""
    tools: list[ToolSpec]
    """The toolset."""
    temperature: float
    """For writing."""

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
            answers.append(await self.desk.ask("write", write_body(plan, self.tools, self.temperature)))
            request = clean_request(answers[0].text)
            refusals = verify_request(request, self.tools)
            if refusals:
                return self._outcome(plan, answers, request, refusals=tuple(refusals))
            answers.append(await self.desk.ask("label", label_body(request, self.tools, plan.seed)))
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
