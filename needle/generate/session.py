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
from needle.generate.plan import Plan
from needle.generate.store import ResponseStore
from needle.teacher.client import Teacher
from needle.teacher.config import Prices, TeacherConfig
from needle.teacher.endpoint import is_embedded
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

    async def row(self, plan: Plan) -> tuple[Outcome, RowAccount]:
        """Ask for one row; what it cost comes with it. Raises as ``Asker.row``."""
        with row_of(plan.kind, plan.index) as account:
            return await self.asker.row(plan), account

    @property
    def where(self) -> str:
        """The teachers in words."""
        parts = []
        for name in dict.fromkeys(name for role in ("author", "labeller", "judge") for name in self.desk.teachers(role)):
            teacher = self.desk.seat(name).teacher
            embedded = is_embedded(teacher.config.base_url)
            parts.append(teacher.where if embedded else f"{teacher.config.model} at {teacher.where}")
        return "; ".join(parts)


def make_seats(config: GenerateConfig, transport: httpx2.AsyncBaseTransport | None = None) -> list[Seat]:
    """The teachers of a run.

    Raises:
        UserError: bad address, no key, no model.
    """
    teacher = TeacherConfig(base_url=config.teacher, model=config.model_name, deadline_s=config.deadline_s)
    prices = Prices(config.price_in or 0.0, config.price_out or 0.0)
    return [Seat("teacher", Teacher(teacher, transport=transport), prices=prices)]


@asynccontextmanager
async def open_session(
    config: GenerateConfig, tools: list[ToolSpec], seats: list[Seat], *, replay: bool = False
) -> AsyncIterator[Session]:
    """Claim the folder, open its store, and seat the teachers.

    Args:
        config: checked settings.
        tools: the toolset.
        seats: the teachers, made before the folder is touched, so that a missing key leaves nothing behind.
        replay: stored answers only; nothing is sent.

    Raises:
        UserError: the folder belongs to another run or is in use.
    """
    out = claim_folder(config, tools, replay=replay)
    async with AsyncExitStack() as stack:
        for seat in seats:
            await stack.enter_async_context(seat.teacher)
        durable = not all(is_embedded(seat.teacher.config.base_url) for seat in seats)
        store = stack.enter_context(ResponseStore(out, durable=durable))
        usd, tokens = store.spent()
        budget = Budget(config.budget_usd, config.max_tokens_total, Amount(usd, tokens))
        desk = Desk(seats, store, budget, replay=replay)
        yield Session(config, tools, out, store, desk, Asker(desk, tools, config.temperature, config.checks))
