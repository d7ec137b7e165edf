"""The same run on a Ray cluster: workers make the rows, one ledger holds every response and all of the money.

The job stays in this process: it plans, judges and writes as ever, so that the rows are those of a local run. What
crosses the network is plans and outcomes. The ledger is an actor on this machine with the store and the budget in it: a
worker that wants to send a question asks it first, and an answer is on disk there before the worker reads it. So a cap
holds for the whole cluster, and a run may be continued with either engine.

Keys are found by each worker in its own environment: set the variable on every node.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from needle.errors import UserError
from needle.generate.ask import Asker, Outcome
from needle.generate.budget import NOTHING, Amount, Budget, BudgetSpent, Halt
from needle.generate.config import GenerateConfig, claim_folder
from needle.generate.desk import Desk, NotStored, RowAccount, Seat, row_of
from needle.generate.plan import Plan
from needle.generate.seats import make_seats
from needle.generate.session import Session
from needle.generate.store import Question, ResponseStore
from needle.teacher.config import TeacherConfig
from needle.tools.spec import ToolSpec

FRESH_S = 0.5
"""Seconds for which the state of the ledger is taken as known."""


def connect(address: str | None) -> Any:
    """The ``ray`` module, connected.

    Raises:
        UserError: Ray is not installed, or the cluster cannot be reached.
    """
    try:
        import ray
    except ImportError:
        raise UserError('--engine ray needs Ray: pip install "needle-distill[ray]"') from None
    if not ray.is_initialized():
        try:
            ray.init(address=address, log_to_driver=False, configure_logging=False, include_dashboard=False)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise UserError(f"no Ray cluster at {address or 'this machine'} ({str(error).splitlines()[0]})") from None
    return ray


class Ledger:
    """Store and budget of a run, alone in a process; an actor."""

    def __init__(self, folder: str, usd_cap: float | None, token_cap: int | None, durable: bool) -> None:
        """``folder``: the output folder, on the machine of the job."""
        self.store = ResponseStore(Path(folder), durable=durable)
        self.budget = Budget(usd_cap, token_cap, Amount(*self.store.spent()))
        self.asked = self.hits = 0

    async def find(self, question: Question, replay: bool) -> bytes | None:
        """A stored answer."""
        return await self.store.find(question, replay)

    async def reserve(self, worst: Amount) -> Amount:
        """As ``Budget.reserve``."""
        return await self.budget.reserve(worst)

    async def take(self, worst: Amount) -> Amount:
        """As ``Budget.take``."""
        return self.budget.take(worst)

    async def settle(self, aside: Amount, cost: Amount) -> None:
        """As ``Budget.settle``."""
        self.budget.settle(aside, cost)

    async def depart(self, question: Question, usd: float, tokens: int) -> None:
        """As ``ResponseStore.depart``."""
        await self.store.depart(question, usd, tokens)

    async def arrive(self, question: Question, raw: bytes, usd: float, usage: dict[str, int], request_id: str) -> None:
        """As ``ResponseStore.arrive``."""
        await self.store.arrive(question, raw, usd, usage, request_id)

    async def lose(self, question: Question, usd: float, tokens: int, reason: str) -> None:
        """As ``ResponseStore.lose``."""
        await self.store.lose(question, usd, tokens, reason)

    async def state(self) -> tuple[Amount, Amount]:
        """Spent and set aside."""
        return self.budget.spent, self.budget.reserved

    async def look(self, what: str, *arguments: Any) -> Any:
        """``bill``, ``lost``, ``spent``, ``rows`` or ``__len__`` of the store."""
        return getattr(self.store, what)(*arguments)

    async def close(self) -> None:
        """Close the store."""
        self.store.__exit__()


class RemoteStore:
    """Stands where a ``ResponseStore`` stands, in another process."""

    def __init__(self, ray: Any, ledger: Any) -> None:
        """``ledger``: handle of the actor."""
        self._ray, self._ledger = ray, ledger

    async def find(self, question: Question, replay: bool) -> bytes | None:
        """As ``ResponseStore.find``."""
        return await self._ledger.find.remote(question, replay)

    async def depart(self, question: Question, usd: float, tokens: int) -> None:
        """As ``ResponseStore.depart``."""
        await self._ledger.depart.remote(question, usd, tokens)

    async def arrive(self, question: Question, raw: bytes, usd: float, usage: Any, request_id: str = "") -> None:
        """As ``ResponseStore.arrive``."""
        await self._ledger.arrive.remote(question, raw, usd, dict(usage), request_id)

    async def lose(self, question: Question, usd: float, tokens: int, reason: str) -> None:
        """As ``ResponseStore.lose``."""
        await self._ledger.lose.remote(question, usd, tokens, reason)

    def rows(self, query: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """As ``ResponseStore.rows``."""
        return self._ray.get(self._ledger.look.remote("rows", query, parameters))

    def bill(self) -> list[dict[str, Any]]:
        """As ``ResponseStore.bill``."""
        return self._ray.get(self._ledger.look.remote("bill"))

    def spent(self) -> tuple[float, int]:
        """As ``ResponseStore.spent``."""
        return self._ray.get(self._ledger.look.remote("spent"))

    def lost(self) -> dict[str, Any]:
        """As ``ResponseStore.lost``."""
        return self._ray.get(self._ledger.look.remote("lost"))

    def __len__(self) -> int:
        return self._ray.get(self._ledger.look.remote("__len__"))


class RemoteBudget:
    """Stands where a ``Budget`` stands, in another process."""

    def __init__(self, ray: Any, ledger: Any, usd_cap: float | None, token_cap: int | None) -> None:
        """``ledger``: handle of the actor."""
        self._ray, self._ledger = ray, ledger
        self.usd_cap, self.token_cap = usd_cap, token_cap
        self._known, self._at = (NOTHING, NOTHING), 0.0

    @property
    def spent(self) -> Amount:
        """As of half a second ago, or now."""
        if time.monotonic() - self._at > FRESH_S:
            self._known, self._at = self._ray.get(self._ledger.state.remote()), time.monotonic()
        return self._known[0]

    async def reserve(self, worst: Amount) -> Amount:
        """As ``Budget.reserve``."""
        return await _plain(self._ray, self._ledger.reserve.remote(worst))

    def take(self, worst: Amount) -> Amount:
        """As ``Budget.take``; it waits for the ledger, which is rare (a question sent again)."""
        try:
            return self._ray.get(self._ledger.take.remote(worst))
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause from None

    def settle(self, aside: Amount, cost: Amount) -> None:
        """As ``Budget.settle``."""
        self._ledger.settle.remote(aside, cost)


async def _plain(ray: Any, reference: Any) -> Any:
    """The result of a remote call, or its own error in place of Ray's wrapping."""
    try:
        return await reference
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None


class Worker:
    """Makes rows; an actor, several on a cluster."""

    def __init__(
        self, config: GenerateConfig, tools: list[ToolSpec], teachers: dict[str, TeacherConfig], ledger: Any, replay: bool
    ) -> None:
        """Everything that a worker needs comes with the call, so that no file has to be there."""
        import ray

        store = RemoteStore(ray, ledger)
        budget = RemoteBudget(ray, ledger, config.budget_usd, config.max_tokens_total)
        # the workers share the keys, so each may use its part of what an endpoint allows
        own = {name: replace(teacher, limits=teacher.limits.share(config.workers)) for name, teacher in teachers.items()}
        self.seats: list[Seat] = make_seats(config, own)
        self.desk = Desk(self.seats, store, budget, replay=replay)  # type: ignore[arg-type]
        self.asker = Asker(self.desk, tools, config.temperature, config.checks)

    async def row(self, plan: Plan) -> tuple[Outcome | None, RowAccount, int, int, tuple[str, str]]:
        """As ``Session.row``, with the questions sent and found so far by this worker, and what stopped the row: name and
        text, since not every exception crosses processes whole."""
        outcome, stopped = None, ("", "")
        with row_of(plan.kind, plan.index) as account:
            try:
                outcome = await self.asker.row(plan)
            except (Halt, UserError) as error:
                stopped = type(error).__name__, str(error)
        return outcome, account, self.desk.asked, self.desk.hits, stopped

    async def halt(self, reason: str) -> None:
        """As ``Desk.halt``."""
        self.desk.halt(reason)


class ClusterSession(Session):
    """A session whose rows are made by workers."""

    ray: Any
    workers: list[Any]
    _turn: Any
    _counts: dict[int, tuple[int, int]]

    async def row(self, plan: Plan) -> tuple[Outcome, RowAccount]:
        """The next worker makes it."""
        number = next(self._turn)
        outcome, account, asked, hits, stopped = await _plain(self.ray, self.workers[number].row.remote(plan))
        held = self._counts.get(number, (0, 0))
        self._counts[number] = max(held[0], asked), max(held[1], hits)
        self.desk.asked = sum(count[0] for count in self._counts.values())
        self.desk.hits = sum(count[1] for count in self._counts.values())
        if outcome is None:
            raise STOPS.get(stopped[0], UserError)(stopped[1])
        return outcome, account


class _ClusterDesk(Desk):
    """The job's own desk, which sends nothing; a halt goes on to the workers."""

    workers: list[Any]

    def halt(self, reason: str) -> None:
        super().halt(reason)
        for worker in self.workers:
            worker.halt.remote(reason)


STOPS = {"Halt": Halt, "BudgetSpent": BudgetSpent, "NotStored": NotStored}


@asynccontextmanager
async def open_cluster(
    config: GenerateConfig, tools: list[ToolSpec], teachers: dict[str, TeacherConfig], *, replay: bool = False
) -> AsyncIterator[Session]:
    """Claim the folder, start the ledger on this machine and the workers anywhere.

    Raises:
        UserError: as ``open_session``, and no Ray or no cluster.
    """
    ray = connect(config.ray_address)
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    seats = make_seats(config, teachers)  # a missing key is found out here
    out = claim_folder(config, tools, replay=replay).absolute()
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    durable = not all(teacher.base_url == "embedded" for teacher in teachers.values())
    ledger = ray.remote(Ledger).options(num_cpus=0, max_concurrency=10_000, scheduling_strategy=here).remote(
        str(out), config.budget_usd, config.max_tokens_total, durable
    )  # fmt: skip
    share = math.ceil(config.concurrency / config.workers)
    make = ray.remote(Worker).options(num_cpus=1, max_concurrency=share + 1)
    workers = [make.remote(config, tools, teachers, ledger, replay) for _ in range(config.workers)]
    store, budget = RemoteStore(ray, ledger), RemoteBudget(ray, ledger, config.budget_usd, config.max_tokens_total)
    desk = _ClusterDesk(seats, store, budget, replay=replay)  # type: ignore[arg-type]
    desk.workers = workers
    session = ClusterSession(config, tools, out, store, desk, Asker(desk, tools, config.temperature, config.checks))  # type: ignore[arg-type]
    session.ray, session.workers, session._turn, session._counts = ray, workers, itertools.cycle(range(len(workers))), {}
    try:
        await _plain(ray, ledger.state.remote())  # a folder in use is found out here
        yield session
    except ray.exceptions.RayActorError as error:
        raise UserError(f"a worker or the ledger ended ({str(error).splitlines()[0]}); run the same command again") from None
    finally:
        for worker in workers:
            ray.kill(worker)
        try:
            await asyncio.wait_for(_plain(ray, ledger.close.remote()), 30)
        except (ray.exceptions.RayError, TimeoutError):
            pass  # it never opened the folder
        ray.kill(ledger)
