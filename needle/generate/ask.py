"""One row through the teacher: a request, its label, and what doubts it; everything is asked for at the ``Desk``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from needle.generate.checks import Checks
from needle.generate.cut import cut_positive
from needle.generate.desk import Desk
from needle.generate.judge import Judge
from needle.generate.labels import Labelled, Labeller
from needle.generate.plan import Plan
from needle.generate.prompts import Written, label_body, read_written, write_body
from needle.generate.refusal import Refusal
from needle.generate.verify import verify_request
from needle.teacher.errors import PermanentError, TransientError
from needle.teacher.wire import Answer
from needle.tools.caller import Request
from needle.tools.spec import ToolCall, ToolSpec


@dataclass(frozen=True)
class Outcome:
    """What became of one plan."""

    plan: Plan
    """The plan."""
    request: str = ""
    """What the teacher wrote."""
    messages: tuple[dict[str, Any], ...] = field(default=(), hash=False)
    """Earlier turns."""
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
    known: Callable[[Plan, Request, str | None], Awaitable[Refusal | None]] | None = None
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
        written, offered, meta = Written(""), plan.offered(self.tools), {}
        try:
            question = write_body(plan, self.tools, self.temperature)
            meta["author"] = self.desk.pick("write", question)
            answers.append(await self.desk.ask("write", question, teacher=meta["author"]))
            written = read_written(plan, answers[0].text, self.tools)
            meta["stated"] = written.stated is not None
            refusals = verify_request(written.request, self.tools)
            if refusals:
                return self._outcome(plan, answers, written, refusals=tuple(refusals), meta=meta)
            around = around_of(plan, written)
            asked = Request(written.request, tuple(offered), plan.facts, written.messages)
            if self.known and not plan.cut and (refusal := await self.known(plan, asked, around)):
                return self._outcome(plan, answers, written, refusals=(refusal,), meta=meta)

            def body(seed: int) -> dict[str, Any]:
                return label_body(written.request, offered, seed, facts=plan.facts, messages=written.messages)

            label = await self._labels.settle(
                plan.as_written, written.request, offered, body, around, written.stated or ()
            )
            answers += label.answers
            meta |= label.meta
            against = label.verdict.refusals
            if self.judge and not against:
                found, meta["judge"], answer = await self.judge.refusals(
                    written.request, label.calls, offered, plan.seed, around
                )
                answers.append(answer)
                against = tuple(found)
        except (TransientError, PermanentError) as error:
            if isinstance(error, PermanentError) and (error.stops_job or error.reason == "bad_request"):
                raise
            trouble = isinstance(error, TransientError)
            refused = (Refusal(f"teacher:{error.reason}", str(error)),)
            return self._outcome(plan, answers, written, refusals=refused, trouble=trouble, meta=meta)
        if plan.cut and not against:
            return self._cut(plan, answers, written, label, offered, meta)
        return self._outcome(
            plan, answers, written, calls=label.calls, refusals=against, spans=label.verdict.spans, meta=meta
        )

    def _cut(
        self,
        plan: Plan,
        answers: list[Answer],
        written: Written,
        label: Labelled,
        offered: list[ToolSpec],
        meta: dict[str, Any],
    ) -> Outcome:
        """A whole request has been verified; without one value no call is due."""
        rest = cut_positive(written.request, label.calls, offered, plan.cut, label.verdict.spans)
        refused = () if rest else (Refusal("cut_impossible", plan.cut),)
        kept = {key: value for key, value in meta.items() if key not in ("votes", "topk", "rejected")}
        kept["cut"] = {"argument": plan.cut, "request": written.request}
        return self._outcome(plan, answers, Written(rest or written.request), refusals=refused, meta=kept)

    def _outcome(self, plan: Plan, answers: list[Answer], written: Written, **rest: Any) -> Outcome:
        tokens = {
            name: sum(answer.usage.get(name, 0) for answer in answers)
            for name in ("prompt_tokens", "completion_tokens")
        }
        ids = tuple(answer.request_id for answer in answers)
        rest["meta"] = {**rest.get("meta", {}), **self._provenance(rest.get("meta", {}))}
        return Outcome(plan, written.request, written.messages, request_ids=ids, tokens=tokens, **rest)

    def _provenance(self, meta: dict[str, Any]) -> dict[str, Any]:
        """Endpoint and model of every teacher that had a hand in a row, how the author was asked, and the licence given."""
        names = {meta.get("author"), meta.get("labeller"), (meta.get("judge") or {}).get("teacher")} - {None}
        names |= {ballot["teacher"] for ballot in (meta.get("votes") or {}).get("ballots", ())}
        asked = {}
        for name in sorted(names):
            teacher = self.desk.seat(name).teacher
            asked[name] = {"endpoint": teacher.where, "model": teacher.config.model}
        found: dict[str, Any] = {"teachers": asked, "temperature": self.temperature}
        return found | ({"licence": self.checks.licence} if self.checks.licence else {})


def around_of(plan: Plan, written: Written) -> str | None:
    """What values may come from beside the request: facts and earlier turns."""
    said = [plan.facts or "", *(str(message.get("content", "")) for message in written.messages)]
    return "\n".join(filter(None, said)) or None
