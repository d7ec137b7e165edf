"""``generate``: plan -> ask -> verify -> deduplicate until the quotas of accepted rows are full, then the files.

    report = generate(GenerateConfig(tools="data/toolsets/home.json", out="out/home", n=1000), progress=print)

Plans of each kind are asked in order and judged in order, whatever order the answers come in, so that the rows
depend on seed and answers only: an interrupted run that is continued ends with the same bytes. Accepted rows go to
``rows.jsonl`` at once; at the end they are divided into the parts.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2

from needle.errors import UserError
from needle.generate.ask import Outcome
from needle.generate.budget import BudgetSpent, Halt
from needle.generate.cluster import open_cluster
from needle.generate.config import GenerateConfig, check_config
from needle.generate.coverage import ValueCaps, cap_for
from needle.generate.dedup import Deduplicator
from needle.generate.desk import NotStored, RowAccount
from needle.generate.events import EventLog
from needle.generate.noise import apply_noise
from needle.generate.plan import impossible_kinds
from needle.generate.prompts import PROMPT_VERSION
from needle.generate.quota import BATCH_ROUND, LAG, ROUND, Quotas
from needle.generate.report import GenerateReport, Snapshot, Tally
from needle.generate.rounds import LEAST_SHARE, PROBE
from needle.generate.rows import Part, TraceView
from needle.generate.seats import make_seats, resolve_teachers
from needle.generate.session import Session, open_session
from needle.generate.verify import Refusal
from needle.generate.write import split_rows, write_folder
from needle.tools.caller import Caller
from needle.tools.execute import run_sync
from needle.tools.lint import lint_tools
from needle.tools.spec import ToolSpec
from needle.traces.trace import Trace

TROUBLES = 10
"""Failed rows in a row (endpoint failures, not refusals) after which a run stops."""
BARREN = 100
"""Refused rows in a row, paid for now, after which a run stops: nobody wants to pay for rows of which none is good."""
DRAIN_S = 5.0
"""Seconds that questions under way may still take when a run is stopped."""
Judged = tuple[Outcome, RowAccount]


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, after what was under way has been waited for; the text is the exact state."""


def generate(
    config: GenerateConfig,
    progress: Callable[[Snapshot], None] | None = None,
    *,
    transport: httpx2.AsyncBaseTransport | None = None,
    reverify: bool = False,
    student: Caller | None = None,
    suites: Mapping[str, Sequence[Trace]] | None = None,
) -> GenerateReport:
    """Generate traces into a folder; the same call continues a run that was stopped.

    Args:
        config: what is wanted.
        progress: called after every answered row.
        transport: replaces the network, for endpoints that live in this process.
        student: in a round with a student, who answers first (see ``needle.generate.rounds``).
        reverify: make the rows again from the stored responses alone; nothing is asked and nothing paid.
        suites: rows of what ``checks.decontaminate`` names without being a file or folder.

    Raises:
        UserError: bad settings, a folder of another run, an endpoint that refuses or cannot be reached, a full disk,
        a hundred refused rows in a row.
        What was stored stays.
        Interrupted: Ctrl-C; the text says what is there.
    """
    tools = check_config(config)
    teachers = resolve_teachers(config)
    if config.engine == "ray":
        if student is not None or config.batch:
            raise UserError("--engine ray takes neither --student nor --batch; use the local engine for them")
        opened = open_cluster(config, tools, teachers, replay=reverify)
    else:
        seats = make_seats(config, teachers, transport)
        opened = open_session(config, tools, seats, replay=reverify, transport=transport, student=student)

    async def run() -> GenerateReport:
        async with opened as session:
            return await _Job(session, progress, suites or {}).run()

    return run_sync(run())


class _Job:
    """State of one run."""

    def __init__(
        self, session: Session, progress: Callable[[Snapshot], None] | None, suites: Mapping[str, Sequence[Trace]]
    ) -> None:
        self.session, self.progress = session, progress
        self.config, self.tools, self.desk = session.config, session.tools, session.desk
        self.round = BATCH_ROUND if self.config.batch else ROUND
        self.notes = [f"{finding.message}" for finding in lint_tools(self.tools) if finding.severity != "info"]
        self.quotas = self._quotas()
        self.tally = Tally(asked=self.quotas.asked, accepted=self.quotas.accepted)
        self.tally.usd = dict.fromkeys(self.quotas.wanted, 0.0)
        self.rows = Part(session.out / "rows.jsonl")
        self.quarantine = Part(session.out / "quarantine.jsonl")
        self.caps = ValueCaps(self.config.value_cap or cap_for(self.config.n))
        self.offers: dict[tuple[str, ...], tuple[ToolSpec, ...]] = {}
        self.dedup = Deduplicator(self.config.template_cap, self.config.checks.decontaminate, suites)
        # a batch holds as many rows as are ready; otherwise concurrency says how many are under way
        self.gate = asyncio.Semaphore(LAG * BATCH_ROUND if self.config.batch else self.config.concurrency)
        self.events = EventLog(session.out)
        self.began = time.monotonic()
        self.answered = self.troubles = self.barren = 0
        self.stopped = ""
        self.error: Exception | None = None
        self.tasks: set[asyncio.Task[Judged | None]] = set()

    async def run(self) -> GenerateReport:
        self.events.write("start", config=self.config.shaping(self.tools), concurrency=self.config.concurrency)
        try:
            with self._interruptible():
                await self._rounds()
            return self._end()
        finally:
            for task in self.tasks:
                task.cancel()
            await asyncio.gather(*self.tasks, return_exceptions=True)
            self.rows.close(whole=not self.stopped)
            self.quarantine.close(whole=not self.stopped)
            self.events.close()

    def _end(self) -> GenerateReport:
        state = self.snapshot()
        if self.error:
            self.events.write("stop", reason=str(self.error), **state.to_dict())
            raise self.error
        if self.stopped == INTERRUPT:
            self.events.write("stop", reason=self.stopped, **state.to_dict())
            raise Interrupted(
                f"Stopped: {state.accepted:,} of {state.total:,} rows accepted, {state.refused:,} refused, "
                f"{len(self.session.store):,} responses stored, ${state.usd:.4f} spent. "
                f"The same command goes on from here; the rows so far are in {self.rows.path}"
            )
        if self.stopped:
            self.notes.append(f"{self.stopped}; raise it and run the same command to go on.")
        self.events.write("stop" if self.stopped else "end", reason=self.stopped, **state.to_dict())
        del self.dedup, self.caps  # what they remember gives room to the counting at the end
        return self._finish()

    def _quotas(self) -> Quotas:
        """Quotas by kind, without what the toolset cannot give; says what was re-planned."""
        blocked = {kind: why for kind, why in impossible_kinds(self.tools).items() if self.config.mix.get(kind, 0) > 0}
        mix = {kind: share for kind, share in self.config.mix.items() if kind not in blocked}
        for kind, why in blocked.items():
            self.notes.append(f"No rows of kind {kind}: {why}; its share went to the other kinds.")
        if not any(mix.values()):
            raise UserError(
                f"this toolset gives none of the kinds asked for ({'; '.join(blocked.values())}); change the mix"
            )
        limits = {}
        if self.desk.replay:  # rows of which nothing is stored cannot be made
            stored = dict(self.session.store.rows("SELECT kind, MAX(plan) + 1 FROM responses GROUP BY kind"))
            limits = {kind: stored.get(kind, 0) for kind in mix}
        size = PROBE if self.session.student else self.round
        return Quotas(mix, self.config.n, size=size, limits=limits, notes=self.notes)

    async def _rounds(self) -> None:
        pending: deque[list[asyncio.Task[Judged | None]]] = deque()
        while True:
            lag = LAG if self.quotas.size == self.round else 1
            while not self.stopped and len(pending) < lag and (plans := self.quotas.next_round()):
                pending.append([self._start(kind, index) for kind, index in plans])
            if not pending:
                return
            judged = await asyncio.gather(*pending.popleft())
            self._commit([item for item in judged if item])

    def _start(self, kind: str, index: int) -> asyncio.Task[Judged | None]:
        task = asyncio.create_task(self._row(kind, index))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    async def _row(self, kind: str, index: int) -> Judged | None:
        """One row; None when it was left unasked. What stops the whole run is kept for the end."""
        async with self.gate:
            plan = self.session.plan(kind, index)
            try:
                judged = await self.session.row(plan)
            except NotStored:
                judged = Outcome(plan, refusals=(Refusal("not_stored"),)), RowAccount(kind, index)
            except BudgetSpent as spent:
                self.stopped = self.stopped or str(spent)
                return None
            except Halt:
                return None
            except asyncio.CancelledError:
                if self.stopped:
                    return None  # it took longer than a stopped run waits
                raise
            except Exception as error:
                self._stop(error)
                return None
            self._watch(judged[0])
            return judged

    def _stop(self, error: Exception | None) -> None:
        """Send nothing more, and give what is under way a few seconds."""
        if self.stopped and error is None:
            self._cut()  # Ctrl-C again
            return
        self.error = self.error or error
        self.stopped = self.stopped or (str(error) if error else INTERRUPT)
        self.desk.halt(self.stopped)
        asyncio.get_running_loop().call_later(DRAIN_S, self._cut)

    def _cut(self) -> None:
        for task in self.tasks:
            task.cancel()

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        try:
            loop.add_signal_handler(signal.SIGINT, self._stop, None)
        except (NotImplementedError, ValueError, RuntimeError):  # Windows, or not the main thread
            yield
            return
        try:
            yield
        finally:
            loop.remove_signal_handler(signal.SIGINT)

    def _watch(self, outcome: Outcome) -> None:
        self.answered += 1
        self.troubles = self.troubles + 1 if outcome.trouble else 0
        if self.troubles >= TROUBLES and not self.stopped:
            self._stop(
                UserError(
                    f"{outcome.refusals[0].detail}; {TROUBLES} rows failed in a row: mend it and run the same "
                    f"command again, what was stored stays"
                )
            )
        known = any(refusal.code == "student_right" for refusal in outcome.refusals)
        self.barren = self.barren + 1 if outcome.refusals and self.desk.asked and not known else 0
        if self.barren >= BARREN and not self.stopped:
            self._stop(
                UserError(
                    f"{BARREN} rows in a row were refused, the last as {outcome.refusals[0].code}; see `needle traces quarantine "
                    f"{self.session.out}`. What was stored stays, and the same command goes on all the same"
                )
            )
        if self.progress:
            self.progress(self.snapshot())
        if self.events.due():
            self.events.write("progress", **self.snapshot().to_dict())

    def snapshot(self) -> Snapshot:
        """The state now."""
        budget = self.desk.budget
        return Snapshot(
            accepted=len(self.rows),
            total=self.config.n,
            answered=self.answered,
            refused=len(self.quarantine),
            usd=budget.spent.usd,
            tokens=budget.spent.tokens,
            sent=self.desk.asked,
            hits=self.desk.hits,
            seconds=time.monotonic() - self.began,
            usd_cap=budget.usd_cap,
            token_cap=budget.token_cap,
            wanted=self.quotas.wanted,
            tally=self.tally,
        )

    def _commit(self, judged: list[Judged]) -> None:
        verdicts = []
        fresh: dict[str, int] = {}
        for outcome, account in judged:
            kind = outcome.plan.kind
            for name, count in outcome.tokens.items():
                self.tally.tokens[name] += count
            self.tally.usd[kind] += account.cost.usd
            trace = self._trace(outcome, account)
            reasons = [refusal.code for refusal in outcome.refusals]
            if not reasons:
                repeated = "surplus" if self.quotas.full(kind, fresh.get(kind, 0)) else self._repeats(trace)
                reasons = [repeated] if repeated else []
            if reasons:
                self._refuse(outcome, trace, reasons)
            else:
                self.caps.add(trace)
                self.rows.append(apply_noise(trace, self.config.seed, self.config.noise).to_dict())
                fresh[kind] = fresh.get(kind, 0) + 1
            verdicts.append((kind, not reasons))
        self.quotas.judge(verdicts)
        if self.session.student and self.quotas.size == PROBE:  # the first round with a student
            self.quotas.size = self.round
            failures = self.session.student.failures()
            self.quotas.shift({kind: max(failures.get(kind, 1.0), LEAST_SHARE) for kind in self.quotas.wanted})
        self.rows.flush()
        self.quarantine.flush()

    def _repeats(self, trace: Trace) -> str | None:
        """Reason code where a row brings nothing new."""
        return "value_cap" if self.caps.full(trace) else self.dedup.refuse(trace)

    def _refuse(self, outcome: Outcome, trace: Trace, reasons: list[str]) -> None:
        for reason in set(reasons):
            self.tally.refused[reason] = self.tally.refused.get(reason, 0) + 1
        details = [refusal.detail for refusal in outcome.refusals if refusal.detail]
        row = trace.to_dict()
        del row["tools"]
        self.quarantine.append(row | {"reasons": reasons, "details": details})

    def _trace(self, outcome: Outcome, account: RowAccount) -> Trace:
        toolset = Path(self.config.tools).name.partition(".")[0]
        meta: dict[str, Any] = {
            "teacher": self.config.teacher,
            "model": self.session.model,
            "prompt_version": PROMPT_VERSION,
            "seed": self.config.seed,
            "request_ids": list(outcome.request_ids),
        }
        if self.session.student and (opinion := self.session.student.opinion(outcome.plan)):
            meta |= {"round": self.config.round, "student": {"name": self.session.student.caller.name} | opinion.to_dict()}
        if account.cost.usd:
            meta["usd"] = round(account.cost.usd, 8)
        if outcome.spans:
            meta["spans"] = {path: list(span) for path, span in outcome.spans.items()}
        meta |= outcome.meta
        name = f"{toolset}-{outcome.plan.kind}-{outcome.plan.index:05d}"
        plan = outcome.plan
        meta["style"] = plan.style.to_dict()
        offered = self.offers.setdefault(plan.withheld, tuple(plan.offered(self.tools)))
        return Trace(
            name,
            outcome.request,
            offered,
            outcome.calls,
            plan.kind,
            toolset,
            toolset,
            plan.facts,
            messages=outcome.messages,
            meta=meta,
        )

    def _finish(self) -> GenerateReport:
        if not self.stopped:  # counted from the files, where a stopped run may have left more
            self.rows.trim()
            self.quarantine.trim()
        self.tally.refused = dict(sorted(self.tally.refused.items(), key=lambda item: (-item[1], item[0])))
        parts = split_rows(TraceView(self.rows, range(len(self.rows))), self.config.seed)
        settings = self.config.shaping(self.tools) | {
            "toolset": Path(self.config.tools).name.partition(".")[0],
            "model": self.session.model,
        }
        report = GenerateReport(
            out=self.session.out,
            files={part: self.session.out / f"{part}.jsonl" for part in parts},
            rows={part: len(rows) for part, rows in parts.items()},
            tally=self.tally,
            wanted=self.quotas.wanted,
            complete=len(self.rows) >= self.config.n,
            notes=self.notes,
            usd=self.session.store.spent()[0],
            asked_now=self.desk.asked,
            hits=self.desk.hits,
            bill=self.session.store.bill(),
            lost=self.session.store.lost(),
            stopped=self.stopped,
        )
        judge = self.session.asker.judge
        judged = {name: item.to_dict() for name, item in (judge.agreement or {}).items()} if judge else {}
        summary = report.summary() | ({"judge": judged} if judged else {})
        write_folder(self.session.out, parts, summary, settings, self.session.where, self.config.checks)
        return report


INTERRUPT = "interrupted"
