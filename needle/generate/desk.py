"""``Desk``: where every question to a teacher passes. Stored answers are handed out again; for the others money is set
aside, a mark is made, the question sent, the bill settled, and the answer stored before anybody reads it.

    desk = Desk([Seat("main", teacher)], store, budget)
    with row_of("single", 7):                                      # so that the bill knows what it was for
        answer = await desk.ask("write", body)                     # a teacher of the stage's role, by weight
        answer = await desk.ask("vote", body, teacher="second")    # one teacher by name
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from needle.generate.budget import NOTHING, Amount, Budget, Halt, worst_usage
from needle.generate.prompts import PROMPT_VERSION
from needle.generate.store import Question, ResponseStore, response_key
from needle.teacher.client import Teacher
from needle.teacher.config import ROLES, Prices
from needle.teacher.errors import PermanentError, TransientError
from needle.teacher.wire import Answer, read_answer

ROLE_OF_STAGE = {
    "write": "author",
    "rewrite": "author",
    "label": "labeller",
    "vote": "labeller",
    "repair": "labeller",
    "judge": "judge",
}
"""Role that answers a stage. A stage may carry a detail after a colon (``vote:2``), which only shows in the bill."""


class NotStored(Halt):
    """Only stored answers are used, and this one is not there."""


@dataclass(frozen=True)
class Seat:
    """One teacher at the desk."""

    name: str
    """How a run calls it; unique at the desk."""
    teacher: Teacher | BatchTeacher
    """The client."""
    roles: frozenset[str] = frozenset(ROLES)
    """What it may be asked for."""
    weight: float = 1.0
    """Share of the questions, and of the votes, among the teachers of a role."""
    prices: Prices = Prices(0.0, 0.0)
    """What it costs; zero where unknown."""

    def cost(self, usage: Mapping[str, int]) -> Amount:
        """Dollars and tokens of a token count."""
        tokens = usage.get("prompt_tokens", 0) + usage.get("completion_tokens", 0)
        return Amount(self.prices.cost(usage, batch=getattr(self.teacher, "batch", False)), tokens)


@dataclass
class _Flight:
    """Money of one question under way."""

    budget: Budget
    worst: Amount
    """Of one attempt."""
    aside: Amount
    """Set aside for all attempts so far."""
    lost: Amount = NOTHING
    """Worst case of attempts that may have been billed without an answer."""
    sent: bool = False
    ended: bool = False

    def resend(self) -> None:
        """Another attempt beside one that may have been billed. Raises BudgetSpent when it might pass a cap."""
        self.lost += self.worst
        self.aside += self.budget.take(self.worst)

    def end(self, cost: Amount) -> None:
        """Settle, once."""
        if not self.ended:
            self.ended = True
            self.budget.settle(self.aside, cost + self.lost)


@dataclass
class RowAccount:
    """Which row is being made, and what it has cost so far."""

    kind: str
    """Kind of the row."""
    plan: int
    """Place of its plan in the sequence of its kind."""
    steps: int = 0
    """Questions so far, stored ones included."""
    cost: Amount = Amount()
    """Price of all its answers, stored ones included."""
    teachers: dict[str, str] = field(default_factory=dict)
    """Who answered, by stage."""


_ROW: ContextVar[RowAccount | None] = ContextVar("row", default=None)


@contextmanager
def row_of(kind: str, plan: int) -> Iterator[RowAccount]:
    """Questions asked inside belong to this row."""
    account = RowAccount(kind, plan)
    token = _ROW.set(account)
    try:
        yield account
    finally:
        _ROW.reset(token)


class Desk:
    """Teachers, store and budget together."""

    def __init__(
        self, seats: Sequence[Seat], store: ResponseStore, budget: Budget, *, replay: bool = False
    ) -> None:
        """``seats``: at least one for every role that will be asked. ``replay``: stored answers only."""
        self._seats = {seat.name: seat for seat in seats}
        assert len(self._seats) == len(seats) > 0, "teachers need different names"
        self.store, self.budget, self.replay = store, budget, replay
        self.asked = self.hits = 0
        """Questions of this run that were sent, and that the store answered."""
        self._halted = ""
        self._same: dict[str, asyncio.Future[None]] = {}

    def teachers(self, role: str) -> dict[str, float]:
        """Names of the teachers of a role, in the order of the configuration, with their weights."""
        return {name: seat.weight for name, seat in self._seats.items() if role in seat.roles}

    def seat(self, name: str) -> Seat:
        """The teacher of a name."""
        return self._seats[name]

    def pick(self, stage: str, body: dict[str, Any]) -> str:
        """Name of the teacher that ``ask`` takes for a question: by weight, the same one every time."""
        names = self.teachers(_role(stage))
        assert names, f"no teacher is a {_role(stage)}"
        if len(names) == 1:
            return next(iter(names))
        digest = hashlib.blake2b(json.dumps(body, sort_keys=True).encode(), digest_size=8).digest()
        return random.Random(int.from_bytes(digest, "big")).choices(list(names), list(names.values()))[0]

    def halt(self, reason: str) -> None:
        """Send nothing more; questions that the store cannot answer end in ``Halt`` from here on."""
        self._halted = self._halted or reason

    @property
    def halted(self) -> str:
        """Why nothing more is sent, or empty."""
        return self._halted

    async def ask(self, stage: str, body: dict[str, Any], *, teacher: str | None = None) -> Answer:
        """The answer to a question, from the store where it is there.

        Args:
            stage: what it is for, a key of ``ROLE_OF_STAGE``, perhaps with a detail after a colon.
            body: parameters of a chat completion; the model is the teacher's.
            teacher: who is asked; None: a teacher of the stage's role by ``pick``.

        Raises:
            PermanentError: asking again cannot help.
            TransientError: attempts or deadline used up.
            Halt: nothing more is sent (``BudgetSpent``: the question might cost more than what is left).
            UserError: the store cannot be written.
        """
        seat = self._seats[teacher or self.pick(stage, body)]
        question = self._question(stage, body, seat)
        while question.key in self._same:
            await self._same[question.key]  # the same question is under way: its answer will do
        self._same[question.key] = done = asyncio.get_running_loop().create_future()
        try:
            raw = await self.store.find(question, self.replay)
            if raw is None and self.replay:
                raise NotStored(f"no stored answer for row {question.plan} of kind {question.kind}")
            if raw is None:
                return self._charge(stage, seat, await self._send(question, body, seat))
        finally:
            del self._same[question.key]
            done.set_result(None)
        self.hits += 1
        if _role(stage) == "author":
            seat.teacher.recall(body)
        return self._charge(stage, seat, read_answer(raw))

    async def _send(self, question: Question, body: dict[str, Any], seat: Seat) -> Answer:
        size = len(json.dumps(body, ensure_ascii=False).encode())
        if self._halted:
            raise Halt(self._halted)
        worst = seat.cost(worst_usage({**seat.teacher.config.extra_body, **body}, size))
        flight = _Flight(self.budget, worst, await self.budget.reserve(worst))
        try:
            await self.store.depart(question, flight.aside.usd, flight.aside.tokens)
            if self._halted:
                raise Halt(self._halted)
            self.asked += 1
            flight.sent = True
            answer = await seat.teacher.complete(body, on_resend=flight.resend)
            # an endpoint that does not count tokens is charged the worst case
            counted = {"prompt_tokens", "completion_tokens"} <= answer.usage.keys()
            cost = seat.cost(answer.usage) if counted else worst
            flight.end(cost)
            await asyncio.shield(self._arrived(question, answer, cost, flight.lost))
            return answer
        except (PermanentError, TransientError, Halt) as error:
            # an answer that never came may have been made (and billed) all the same; a refused question was not
            if getattr(error, "maybe_billed", False):
                flight.lost += worst
            flight.end(NOTHING)
            reason = getattr(error, "reason", "halt")
            await asyncio.shield(self.store.lose(question, flight.lost.usd, flight.lost.tokens, reason))
            raise
        finally:
            flight.end(flight.aside if flight.sent else NOTHING)  # cancelled: it may have been billed

    async def _arrived(self, question: Question, answer: Answer, cost: Amount, lost: Amount) -> None:
        await self.store.arrive(question, answer.raw, cost.usd, answer.usage, answer.request_id)
        if lost.tokens:
            await self.store.lose(question, lost.usd, lost.tokens, "sent again")

    def _question(self, stage: str, body: dict[str, Any], seat: Seat) -> Question:
        config, row = seat.teacher.config, _ROW.get()
        step = row.steps if row else 0
        if row:
            row.steps += 1
        return Question(
            key=response_key(config, body),
            stage=stage,
            kind=row.kind if row else "",
            plan=row.plan if row else -1,
            step=step,
            teacher=seat.name,
            endpoint=config.base_url,
            model=config.model,
            prompt_version=PROMPT_VERSION,
        )

    def _charge(self, stage: str, seat: Seat, answer: Answer) -> Answer:
        if row := _ROW.get():
            row.cost += seat.cost(answer.usage)
            row.teachers[stage] = seat.name
        return answer


def _role(stage: str) -> str:
    return ROLE_OF_STAGE[stage.partition(":")[0]]
