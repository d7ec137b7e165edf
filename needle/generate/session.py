"""What a run, an estimate and a preview share: the folder, the store, the teachers at their desk, and the asking of
one row."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2

from needle.generate.ask import Asker, Outcome
from needle.generate.budget import Amount, Budget
from needle.generate.config import GenerateConfig, claim_folder
from needle.generate.desk import Desk, RowAccount, Seat, row_of
from needle.generate.plan import Plan, plan_for
from needle.generate.rounds import Student
from needle.generate.seats import in_batches
from needle.generate.store import ResponseStore
from needle.teacher.endpoint import is_embedded
from needle.tools.caller import Caller
from needle.tools.spec import ToolSpec


@dataclass
class Session:
    """Everything that is open while rows are asked for."""

    config: GenerateConfig
    """What is wanted."""
    tools: list[ToolSpec]
    """The toolset."""
    out: Path
    """The folder."""
    store: ResponseStore
    """Responses."""
    desk: Desk
    """Teachers, store and budget."""
    asker: Asker
    """Makes rows."""
    student: Student | None = None
    """Who answers first, in a round with a student."""

    def plan(self, kind: str, index: int) -> Plan:
        """The ``index``-th plan of a kind."""
        return plan_for(kind, index, self.tools, self.config.seed, self.config.locales)

    async def row(self, plan: Plan) -> tuple[Outcome, RowAccount]:
        """Ask for one row; what it cost comes with it. Raises as ``Asker.row``."""
        with row_of(plan.kind, plan.index) as account:
            return await self.asker.row(plan), account

    @property
    def model(self) -> str:
        """The model that labels, the heaviest where there are several."""
        labellers = self.desk.teachers("labeller")
        return self.desk.seat(max(labellers, key=labellers.__getitem__)).teacher.config.model

    @property
    def where(self) -> str:
        """The teachers in words."""
        parts = []
        for name in dict.fromkeys(name for role in ("author", "labeller", "judge") for name in self.desk.teachers(role)):
            teacher = self.desk.seat(name).teacher
            embedded = is_embedded(teacher.config.base_url)
            parts.append(teacher.where if embedded else f"{teacher.config.model} at {teacher.where}")
        return "; ".join(parts)


@asynccontextmanager
async def open_session(
    config: GenerateConfig,
    tools: list[ToolSpec],
    seats: list[Seat],
    *,
    replay: bool = False,
    transport: httpx2.AsyncBaseTransport | None = None,
    student: Caller | None = None,
) -> AsyncIterator[Session]:
    """Claim the folder, open its store, and seat the teachers.

    Args:
        config: checked settings.
        tools: the toolset.
        seats: the teachers, made before the folder is touched, so that a missing key leaves nothing behind.
        replay: stored answers only; nothing is sent.
        transport: replaces the network of batches.
        student: answers first; rows that it knows are not labelled.

    Raises:
        UserError: the folder belongs to another run or is in use.
    """
    out = claim_folder(config, tools, replay=replay)
    async with AsyncExitStack() as stack:
        durable = not all(is_embedded(seat.teacher.config.base_url) for seat in seats)
        store = stack.enter_context(ResponseStore(out, durable=durable))
        if config.batch and not replay:
            seats = in_batches(seats, store, transport)
        for seat in seats:
            await stack.enter_async_context(seat.teacher)
        usd, tokens = store.spent()
        budget = Budget(config.budget_usd, config.max_tokens_total, Amount(usd, tokens))
        desk = Desk(seats, store, budget, replay=replay)
        asker, pupil = Asker(desk, tools, config.temperature, config.checks), None
        if student is not None:
            pupil = Student(student, store, keep_known=config.keep_known, unsure_below=config.unsure_below)
            asker.known = pupil.known
        yield Session(config, tools, out, store, desk, asker, pupil)
