"""``generate``: rounds of plan -> ask -> verify -> deduplicate until the quotas of accepted rows are full, then the
files.

    report = generate(GenerateConfig(tools="data/toolsets/home.json", out="out/home", n=1000), progress=print)

Plans of each kind are asked in order and accepted in order, whatever order the answers come in, so that the rows
depend on seed and answers only: an interrupted run that is continued ends with the same bytes.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2

from needle.errors import UserError
from needle.generate.ask import Asker, Outcome
from needle.generate.budget import Budget, BudgetSpent
from needle.generate.config import GenerateConfig, check_config, claim_folder
from needle.generate.dedup import Deduplicator
from needle.generate.desk import Desk, Seat
from needle.generate.plan import Plan, impossible_kinds, plan_for, quotas
from needle.generate.prompts import PROMPT_VERSION
from needle.generate.report import GenerateReport, Snapshot, Tally
from needle.generate.store import ResponseStore
from needle.generate.write import split_rows, write_folder
from needle.teacher.caller import run_sync
from needle.teacher.client import Teacher, TeacherConfig
from needle.teacher.endpoint import is_embedded
from needle.tools.lint import lint_tools
from needle.tools.spec import ToolSpec
from needle.traces.trace import Trace

ROUND = 200
"""Plans of one round; a constant, so that concurrency does not shape the rows."""
TROUBLES = 10
"""Failed rows in a row (endpoint failures, not refusals) after which a run stops."""
PATIENCE = 3
"""Rounds without an accepted row of a kind after which its remaining quota goes to the other kinds."""


def generate(
    config: GenerateConfig,
    progress: Callable[[Snapshot], None] | None = None,
    *,
    transport: httpx2.AsyncBaseTransport | None = None,
) -> GenerateReport:
    """Generate traces into a folder; the same call continues a run that was stopped.

    Args:
        config: what is wanted.
        progress: called after every answered row.
        transport: replaces the network, for endpoints that live in this process.

    Raises:
        UserError: bad settings, a folder of another run, an endpoint that refuses or cannot be reached, a full disk.
        What was stored stays.
    """
    tools = check_config(config)
    teacher_config = TeacherConfig(base_url=config.teacher, model=config.model_name, deadline_s=config.deadline_s)
    teacher = Teacher(teacher_config, transport=transport)  # before the folder is touched: no key is found out here
    out = claim_folder(config, tools)
    with ResponseStore(out, durable=not is_embedded(config.teacher)) as store:
        return run_sync(_Job(config, tools, out, store, teacher, progress).run())


class _Job:
    """State of one run."""

    def __init__(
        self,
        config: GenerateConfig,
        tools: list[ToolSpec],
        out: Path,
        store: ResponseStore,
        teacher: Teacher,
        progress: Callable[[Snapshot], None] | None,
    ) -> None:
        self.config, self.tools, self.out = config, tools, out
        self.teacher, self.progress = teacher, progress
        budget = Budget(config.budget_usd, config.price_in or 0.0, config.price_out or 0.0, spent=store.spent())
        self.desk = Desk([Seat("teacher", teacher)], store, budget)
        self.asker = Asker(self.desk, tools, config.temperature)
        self.notes = [f"{finding.message}" for finding in lint_tools(tools) if finding.severity != "info"]
        self.quota = self._quotas()
        self.tally = Tally(asked=dict.fromkeys(self.quota, 0), accepted=dict.fromkeys(self.quota, 0))
        self.rows: list[Trace] = []
        self.quarantine: list[dict[str, Any]] = []
        self.dedup = Deduplicator(config.template_cap)
        self.idle: Counter[str] = Counter()
        self.answered = self.troubles = 0
        self.broke = False

    async def run(self) -> GenerateReport:
        async with self.teacher:
            while not self.broke and (plans := self._next_round()):
                self._commit(await self._ask_all(plans))
        if self.broke:
            self.notes.append(
                f"Stopped at the budget: {self.desk.budget.spent:.4f} of {self.config.budget_usd} US dollars spent; "
                "raise it and run the same command to go on."
            )
        return self._finish()

    def _quotas(self) -> dict[str, int]:
        """Quotas by kind, without what the toolset cannot give; says what was re-planned."""
        blocked = {kind: why for kind, why in impossible_kinds(self.tools).items() if self.config.mix.get(kind, 0) > 0}
        mix = {kind: share for kind, share in self.config.mix.items() if kind not in blocked}
        for kind, why in blocked.items():
            self.notes.append(f"No rows of kind {kind}: {why}; its share went to the other kinds.")
        if not any(mix.values()):
            raise UserError(
                f"this toolset gives none of the kinds asked for ({'; '.join(blocked.values())}); change the mix"
            )
        return quotas(self.config.n, mix)

    def _next_round(self) -> list[Plan]:
        """Plans for what is missing, more of them where many were refused; empty when there is nothing left to ask."""
        self._give_up_on_idle_kinds()
        need = {kind: wanted - self.tally.accepted[kind] for kind, wanted in self.quota.items()}
        total = sum(need.values())
        plans: list[Plan] = []
        for kind, missing in need.items():
            if missing <= 0:
                continue
            asked = self.tally.asked[kind]
            rate = max(self.tally.accepted[kind] / asked, 0.2) if asked else 1.0
            count = min(math.ceil(missing / rate), math.ceil(ROUND * missing / total))
            plans += [plan_for(kind, asked + step, self.tools, self.config.seed) for step in range(count)]
        return plans

    def _give_up_on_idle_kinds(self) -> None:
        open_kinds = [kind for kind, wanted in self.quota.items() if self.tally.accepted[kind] < wanted]
        for kind in [kind for kind in open_kinds if self.idle[kind] >= PATIENCE]:
            missing = self.quota[kind] - self.tally.accepted[kind]
            self.quota[kind] = self.tally.accepted[kind]
            others = {
                name: self.config.mix[name]
                for name in self.quota
                if self.idle[name] < PATIENCE and self.config.mix[name] > 0
            }
            said = "its remaining share went to the other kinds" if others else "and no other kind gives more"
            self.notes.append(
                f"Only {self.quota[kind]} different rows of kind {kind} could be had, {missing} short; {said}."
            )
            for name, count in (quotas(missing, others) if others else {}).items():
                self.quota[name] += count

    async def _ask_all(self, plans: list[Plan]) -> list[Outcome]:
        """Outcomes in the order of the plans, without those that the budget left unasked; an error cancels the rest."""
        gate = asyncio.Semaphore(self.config.concurrency)

        async def bounded(plan: Plan) -> Outcome | None:
            async with gate:
                try:
                    outcome = await self.asker.row(plan)
                except BudgetSpent:
                    self.broke = True
                    return None
            self._watch(outcome)
            return outcome

        tasks = [asyncio.create_task(bounded(plan)) for plan in plans]
        try:
            return [outcome for outcome in await asyncio.gather(*tasks) if outcome]
        except BaseException:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            raise

    def _watch(self, outcome: Outcome) -> None:
        self.answered += 1
        self.troubles = self.troubles + 1 if outcome.trouble else 0
        if self.troubles >= TROUBLES:
            raise UserError(
                f"{outcome.refusals[0].detail}; {TROUBLES} rows failed in a row: mend it and run the same "
                f"command again, what was stored stays"
            )
        if self.progress:
            accepted = len(self.rows)
            self.progress(
                Snapshot(accepted, self.config.n, self.answered, len(self.quarantine), self.desk.budget.spent)
            )

    def _commit(self, outcomes: list[Outcome]) -> None:
        before = Counter(self.tally.accepted)
        for outcome in outcomes:
            kind = outcome.plan.kind
            self.tally.asked[kind] += 1
            for name, count in outcome.tokens.items():
                self.tally.tokens[name] += count
            trace = self._trace(outcome)
            reasons = [refusal.code for refusal in outcome.refusals]
            if not reasons:
                repeated = "surplus" if self.tally.accepted[kind] >= self.quota[kind] else self.dedup.refuse(trace)
                reasons = [repeated] if repeated else []
            if reasons:
                self._refuse(outcome, trace, reasons)
            else:
                self.rows.append(trace)
                self.tally.accepted[kind] += 1
        for kind in {outcome.plan.kind for outcome in outcomes}:
            self.idle[kind] = 0 if self.tally.accepted[kind] > before[kind] else self.idle[kind] + 1

    def _refuse(self, outcome: Outcome, trace: Trace, reasons: list[str]) -> None:
        for reason in set(reasons):
            self.tally.refused[reason] = self.tally.refused.get(reason, 0) + 1
        details = [refusal.detail for refusal in outcome.refusals if refusal.detail]
        row = trace.to_dict()
        del row["tools"]
        self.quarantine.append(row | {"reasons": reasons, "details": details})

    def _trace(self, outcome: Outcome) -> Trace:
        toolset = Path(self.config.tools).name.partition(".")[0]
        meta: dict[str, Any] = {
            "teacher": self.config.teacher,
            "model": self.config.model_name,
            "prompt_version": PROMPT_VERSION,
            "seed": self.config.seed,
            "request_ids": list(outcome.request_ids),
        }
        if outcome.spans:
            meta["spans"] = {path: list(span) for path, span in outcome.spans.items()}
        name = f"{toolset}-{outcome.plan.kind}-{outcome.plan.index:05d}"
        return Trace(
            name, outcome.request, tuple(self.tools), outcome.calls, outcome.plan.kind, toolset, toolset, meta=meta
        )

    def _finish(self) -> GenerateReport:
        self.tally.refused = dict(sorted(self.tally.refused.items(), key=lambda item: (-item[1], item[0])))
        parts = split_rows(self.rows, self.config.seed)
        settings = self.config.shaping(self.tools) | {"toolset": Path(self.config.tools).name.partition(".")[0]}
        report = GenerateReport(
            out=self.out,
            files={part: self.out / f"{part}.jsonl" for part in parts},
            rows={part: len(rows) for part, rows in parts.items()},
            tally=self.tally,
            wanted=self.quota,
            complete=len(self.rows) >= self.config.n,
            notes=self.notes,
            usd=self.desk.budget.spent,
            asked_now=self.desk.asked,
        )
        source = (
            self.teacher.where
            if is_embedded(self.config.teacher)
            else f"{self.config.model_name} at {self.teacher.where}"
        )
        write_folder(self.out, parts, self.quarantine, report.summary(), settings, source)
        return report
