"""The label of a request, doubted as far as it deserves: one label where it agrees with the plan; else once more with the
fault in words, then up to five independent labels and a majority.

Every answer is stored by the ``Desk`` before it is read, so that all of this can be replayed for nothing.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from needle.generate.checks import STEPS, Checks
from needle.generate.desk import Desk
from needle.generate.plan import Plan
from needle.generate.refusal import DISPUTED, Refusal
from needle.generate.stated import Stated
from needle.generate.verify import Verdict, verify_calls
from needle.generate.votes import Ballot, count, decisions
from needle.teacher.endpoint import is_embedded
from needle.teacher.wire import Answer, WireNames, read_calls
from needle.tools.spec import ToolCall, ToolSpec
from needle.tools.validate import is_valid
from needle.traces.trace import NO_CALL

Body = Callable[[int], dict[str, Any]]
"""Parameters of a label question for a seed."""
TEMPERATURE = 0.7
"""Of a teacher's second vote on one request: at 0 it would only repeat itself."""
FAULT = """Your calls do not fit the message: {fault}.
Call the tools again for the same message, with this put right. Take every value from the message; leave an optional
argument out when the message does not state it. If no call is right, call none."""


@dataclass(frozen=True)
class Labelled:
    """What the labels of a request came to."""

    calls: tuple[ToolCall, ...]
    """The calls."""
    verdict: Verdict
    """What the checks say to them."""
    answers: tuple[Answer, ...]
    """Every answer, in the order asked."""
    meta: dict[str, Any] = field(default_factory=dict, hash=False)
    """``votes``, ``repaired``, ``labeller``, ``topk``: lineage of the row."""


class Labeller:
    """Asks for labels and settles them."""

    def __init__(self, desk: Desk, checks: Checks) -> None:
        self._desk, self._checks = desk, checks

    async def settle(
        self,
        plan: Plan,
        request: str,
        tools: Sequence[ToolSpec],
        body: Body,
        facts: str | None = None,
        stated: Sequence[Stated] = (),
    ) -> Labelled:
        """The label of a request.

        Args:
            plan: what the request was to ask.
            request: the message.
            tools: the tools on offer.
            body: makes the question.
            facts: what else may state values.
            stated: the author's values; the labeller never sees them.

        Raises:
            As ``Desk.ask``.
        """
        row = _Row(self._desk, self._checks, plan, request, tools, body, facts, stated)
        await row.first()
        faults = row.verdict.refusals
        if faults and self._checks.repair and all(item.mendable for item in faults) and not row.embedded:
            await row.repair()
        if self._checks.votes > 1 and any(item.code in DISPUTED for item in row.verdict.refusals):
            await row.vote()
        return row.labelled()


class _Row:
    """One request on its way to a label."""

    def __init__(
        self,
        desk: Desk,
        checks: Checks,
        plan: Plan,
        request: str,
        tools: Sequence[ToolSpec],
        body: Body,
        facts: str | None,
        stated: Sequence[Stated],
    ) -> None:
        self.desk, self.checks, self.plan, self.request = desk, checks, plan, request
        self.tools, self.body, self.facts, self.stated = tools, body, facts, stated
        self.calls: tuple[ToolCall, ...] = ()
        self.verdict = Verdict()
        self.answers: list[Answer] = []
        self.ballots: list[Ballot] = []
        self.meta: dict[str, Any] = {}

    @property
    def embedded(self) -> bool:
        """Whether the labeller is the stand-in, which answers what it meant to ask and knows no corrections."""
        return is_embedded(self.desk.seat(self.meta["labeller"]).teacher.config.base_url)

    async def first(self) -> None:
        question = self.body(self.plan.seed)
        teacher = self.desk.pick("label", question)
        self.calls, problem = await self._ask("label", question, teacher)
        self.verdict = self._check(self.calls, problem)
        self.meta["labeller"] = teacher
        if tokens := token_alternatives(self.answers[-1]):
            self.meta["topk"] = tokens

    async def repair(self) -> None:
        """Ask the same teacher once more, its answer and the fault before it. A better label takes the first one's place."""
        teacher = self.meta["labeller"]
        question = self.body(self.plan.seed)
        faults = "; ".join(dict.fromkeys(fault_in_words(item) for item in self.verdict.refusals))
        said = json.dumps([call.to_dict() for call in self.calls], ensure_ascii=False)
        question["messages"] = [
            *question["messages"],
            {"role": "assistant", "content": said},
            {"role": "user", "content": FAULT.format(fault=faults)},
        ]
        calls, problem = await self._ask("repair", question, teacher)
        verdict = self._check(calls, problem)
        if not verdict.refusals:
            self.meta["repaired"] = sorted({item.code for item in self.verdict.refusals})
            self.meta["rejected"] = [call.to_dict() for call in self.calls]
            self.calls, self.verdict = calls, verdict

    async def vote(self) -> None:
        """Further labels, 3 and then 5 in all, until a share of them agrees."""
        self._cast(self.meta["labeller"], self.calls)
        names = self.desk.teachers("labeller")
        order = sorted(names, key=lambda name: (name == self.meta["labeller"], name))
        result = count(self.ballots)
        for step in [step for step in STEPS if 1 < step <= self.checks.votes]:
            while len(self.ballots) < step:
                number = len(self.ballots)
                teacher = order[(number - 1) % len(order)]
                again = any(ballot.teacher == teacher for ballot in self.ballots)
                question = self.body((self.plan.seed + number) % 2**31)
                question |= {"temperature": TEMPERATURE} if again else {}
                calls, problem = await self._ask(f"vote:{number}", question, teacher)
                self._cast(teacher, None if problem else calls)
            result = count(self.ballots)
            if result.winner is not None and result.share >= self.checks.share:
                break
        self._decide(result.winner, result.share, result.groups)

    def _decide(self, winner: int | None, share: float, groups: tuple[int, ...]) -> None:
        votes = [{"teacher": b.teacher, "group": group} for b, group in zip(self.ballots, groups, strict=True)]
        self.meta["votes"] = {"k": len(self.ballots), "share": round(share, 4), "ballots": votes}
        if winner is None or share < self.checks.share:
            split = "/".join(f"{groups.count(group)}" for group in sorted(set(groups)))
            self.verdict = Verdict((*self.verdict.refusals, Refusal("votes_split", split)), self.verdict.spans)
            return
        calls = self.ballots[winner].calls or ()
        if self.ballots[0].calls is not None and groups[0] != groups[winner]:
            self.meta["rejected"] = [call.to_dict() for call in self.ballots[0].calls]
        self.meta["votes"]["decisions"] = decisions(self.ballots, winner, self.tools)
        self.calls = calls
        verdict = self._check(calls, None)
        # a plan that disagrees hides what the request itself says against the calls
        own = verify_calls(None, self.request, calls, None, self.tools, self.facts).refusals
        left = tuple(item for item in own if item.code not in DISPUTED)
        left += () if self._same_kind(calls) else verdict.refusals
        self.verdict = Verdict(left, verdict.spans, verdict.origins)
        if not left and verdict.refusals:
            self.meta["votes"]["settled"] = sorted({item.code for item in verdict.refusals})

    def _same_kind(self, calls: Sequence[ToolCall]) -> bool:
        """Whether the calls still make a row of the plan's kind: as many as planned, none where none is due."""
        due = self.plan.due
        return not calls if self.plan.kind in NO_CALL else len(calls) == len(due)

    def _cast(self, teacher: str, calls: Sequence[ToolCall] | None) -> None:
        fits = calls is not None and is_valid(calls, self.tools)
        weight = self.desk.teachers("labeller").get(teacher, 1.0)
        self.ballots.append(Ballot(teacher, weight, tuple(calls) if calls is not None and fits else None))

    def _check(self, calls: Sequence[ToolCall], problem: str | None) -> Verdict:
        return verify_calls(self.plan, self.request, list(calls), problem, list(self.tools), self.facts, self.stated)

    async def _ask(self, stage: str, question: dict[str, Any], teacher: str) -> tuple[tuple[ToolCall, ...], str | None]:
        answer = await self.desk.ask(stage, question, teacher=teacher)
        self.answers.append(answer)
        strict = self.desk.seat(teacher).teacher.config.strict
        calls, problem = read_calls(answer, WireNames(self.tools), nulls_left_out=strict)
        return tuple(calls), problem

    def labelled(self) -> Labelled:
        return Labelled(self.calls, self.verdict, tuple(self.answers), self.meta)


def fault_in_words(refusal: Refusal) -> str:
    """A refusal as one would tell a person."""
    words = {
        "ungrounded": "the message does not state the value of {0}",
        "dropped": "the message states something that no argument has ({0})",
        "swapped": "two values seem to be in each other's place ({0})",
        "repeated": "something is there twice ({0})",
        "label_malformed": "the arguments are not valid JSON ({0})",
    }
    return words.get(refusal.code, "{0}").format(refusal.detail or refusal.code)


def token_alternatives(answer: Answer, most: int = 5) -> list[dict[str, Any]] | None:
    """Likely tokens of an answer where the endpoint gave them: ``t`` the token, ``p`` its log-probability, ``alt`` the others,
    ``rest`` the mass of all not listed (never scaled away). Bytes are Latin-1 text. None without them."""
    tokens = answer.logprobs
    if not tokens:
        return None
    rows = []
    for token in tokens:
        alternatives = sorted(token.alternatives, key=lambda item: -item[1])[:most]
        row: dict[str, Any] = {"t": token.token.decode("latin-1"), "p": round(token.logprob, 4)}
        if alternatives:
            row["alt"] = [[text.decode("latin-1"), round(logprob, 4)] for text, logprob in alternatives]
            listed = {token.token: token.logprob, **dict(alternatives)}
            row["rest"] = round(max(0.0, 1.0 - math.fsum(math.exp(value) for value in listed.values())), 6)
        rows.append(row)
    return rows
