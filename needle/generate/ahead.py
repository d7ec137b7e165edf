"""Before a run: a few rows of each kind with their whole story, and an estimate of what the run will cost.

Both ask the questions that the run would ask first, so that their answers are in the store and nothing is paid twice.
Nothing of them counts towards the rows.
"""

from __future__ import annotations

import asyncio
import random
import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import httpx2

from needle.errors import UserError
from needle.generate.ask import Outcome
from needle.generate.budget import Halt
from needle.generate.config import GenerateConfig, check_config
from needle.generate.desk import RowAccount
from needle.generate.plan import impossible_kinds, quotas
from needle.generate.quota import LEAST_RATE
from needle.generate.seats import make_seats, resolve_teachers
from needle.generate.session import Session, open_session
from needle.tools.execute import run_sync

PILOT_ROWS = 20
"""Rows of a pilot, all kinds together; two of each kind at least."""
RESAMPLES = 500
"""Bootstrap samples behind the stated error."""
HALF = 0.5
"""Share of the online price in batches, where the profile of a teacher does not say it."""


@dataclass(frozen=True)
class PreviewRow:
    """One row and how it came about."""

    kind: str
    """Its kind."""
    plan: dict[str, Any]
    """What was asked for."""
    request: str
    """What the author wrote."""
    calls: list[dict[str, Any]]
    """How it was labelled."""
    accepted: bool
    """Whether it passed every check on its own (copies are found only in a run)."""
    reasons: list[str]
    """Why not."""
    details: list[str]
    """The same in words."""
    spans: dict[str, Any]
    """Where in the request the values are."""
    tokens: int
    """Of all its answers."""
    usd: float
    """Price of all its answers."""


@dataclass(frozen=True)
class KindEstimate:
    """What one kind will take."""

    rows: int
    """Rows wanted."""
    asked: int
    """Rows of the pilot."""
    passed: int
    """Of these, accepted."""
    tokens: int
    """Tokens of the whole kind."""
    usd: float
    """US dollars of the whole kind."""


@dataclass(frozen=True)
class Estimate:
    """What a run will take, from a pilot."""

    kinds: dict[str, KindEstimate] = field(default_factory=dict)
    """By kind."""
    tokens: int = 0
    """Of the whole run."""
    tokens_error: float = 0.0
    """Half the width of the 95 % interval, as a share of ``tokens``."""
    usd: float | None = None
    """Of the whole run; None: a price is unknown."""
    usd_error: float = 0.0
    """Half the width of the 95 % interval, as a share of ``usd``."""
    batch_usd: float | None = None
    """The same in batches; None: a price is unknown."""
    batch_assumed: bool = False
    """Whether half the price was assumed, because no profile says what batches cost."""
    pilot_usd: float = 0.0
    """What the pilot itself came to; its answers are reused by the run."""
    pilot_rows: int = 0
    """Rows of the pilot."""

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)

    def lines(self) -> list[str]:
        """Text for a terminal."""
        out = [f"{'kind':<22} {'rows':>8} {'passed':>10} {'tokens':>14} {'US dollars':>12}"]
        for kind, item in self.kinds.items():
            usd = "unknown" if self.usd is None else f"{item.usd:.4f}"
            out.append(f"{kind:<22} {item.rows:>8,} {f'{item.passed}/{item.asked}':>10} {item.tokens:>14,} {usd:>12}")
        out.append(f"tokens: about {self.tokens:,} ± {100 * self.tokens_error:.0f} %")
        if self.usd is None:
            out.append("cost: a price is unknown; give --price-in and --price-out, or `prices` in the teacher's profile")
        else:
            assumed = ", if they cost half (the profile has no batch_discount)" if self.batch_assumed else ""
            out.append(f"cost: about ${self.usd:.4f} ± {100 * self.usd_error:.0f} % online, ${self.batch_usd:.4f} in batches" + assumed)
        out.append(f"from a pilot of {self.pilot_rows} rows, ${self.pilot_usd:.4f}; ± is the 95 % interval of the pilot, copies among the rows not foreseen")
        return out


def preview(
    config: GenerateConfig, rows: int, *, transport: httpx2.AsyncBaseTransport | None = None
) -> list[PreviewRow]:
    """``rows`` rows of each kind with their story. Raises as ``generate``."""
    if rows < 1:
        raise UserError(f"a preview of {rows} rows; ask for one of each kind at least")
    judged, _ = _pilot(config, lambda mix: dict.fromkeys(mix, rows), transport)
    return [_preview_row(outcome, account) for outcome, account in judged]


def estimate(config: GenerateConfig, *, transport: httpx2.AsyncBaseTransport | None = None) -> Estimate:
    """Ask for a pilot and project it. Raises as ``generate``; ``UserError`` too when nothing came back."""

    def sizes(mix: Mapping[str, float]) -> dict[str, int]:
        return {kind: max(2, count) for kind, count in quotas(PILOT_ROWS, mix).items()}

    judged, mix = _pilot(config, sizes, transport)
    if not judged:
        raise UserError("no row of the pilot came back within the budget; raise it")
    teachers = resolve_teachers(config)
    prices = [teacher.prices for teacher in teachers.values() if teacher.base_url != "embedded"]
    said = max((held.batch_discount for held in prices if held), default=0.0)
    discount = said or HALF
    online = 1.0 / (1 - said) if config.batch else 1.0
    found = project(judged, quotas(config.n, mix), known=all(prices), online=online, batch=1 - discount, seed=config.seed)
    return replace(found, batch_assumed=not said)


def project(
    judged: list[tuple[Outcome, RowAccount]],
    wanted: Mapping[str, int],
    *,
    known: bool = True,
    online: float = 1.0,
    batch: float = HALF,
    seed: int = 0,
) -> Estimate:
    """From the rows of a pilot to the whole run.

    A kind costs its rows wanted, over the share accepted, times the mean of a row asked for. The share has Jeffreys'
    prior: (accepted + 1/2) / (asked + 1), so that two good rows of two do not promise that all will be good. The error
    draws the shares from their posterior and the means by a bootstrap. Rows that will be refused as copies of others are
    not foreseen; a small toolset has more of them.

    Args:
        judged: rows of the pilot.
        wanted: quotas of the run.
        known: whether all prices are known.
        online: factor from the price paid by the pilot to the online price.
        batch: factor from the online price to the price in batches.
        seed: of the bootstrap.
    """
    rows: dict[str, list[tuple[bool, int, float]]] = {}
    for outcome, account in judged:
        row = (not outcome.refusals, account.cost.tokens, account.cost.usd * online)
        rows.setdefault(outcome.plan.kind, []).append(row)
    kinds, pilot_usd = {}, sum(account.cost.usd for _, account in judged)
    for kind, sample in rows.items():
        tokens, usd = _kind_total(sample, wanted.get(kind, 0))
        passed = sum(row[0] for row in sample)
        kinds[kind] = KindEstimate(wanted.get(kind, 0), len(sample), passed, round(tokens), usd)
    rng = random.Random(seed)
    totals = []
    for _ in range(RESAMPLES):
        drawn = []
        for kind, sample in rows.items():
            passed = sum(row[0] for row in sample)
            share = rng.betavariate(passed + 0.5, len(sample) - passed + 0.5)
            drawn.append(_kind_total(rng.choices(sample, k=len(sample)), wanted.get(kind, 0), share))
        totals.append((sum(item[0] for item in drawn), sum(item[1] for item in drawn)))
    tokens, usd = sum(item.tokens for item in kinds.values()), sum(item.usd for item in kinds.values())
    return Estimate(
        kinds=kinds,
        tokens=tokens,
        tokens_error=_half_width([total[0] for total in totals], tokens),
        usd=usd if known else None,
        usd_error=_half_width([total[1] for total in totals], usd),
        batch_usd=usd * batch if known else None,
        pilot_usd=pilot_usd,
        pilot_rows=len(judged),
    )


def _kind_total(
    sample: list[tuple[bool, int, float]], wanted: int, share: float | None = None
) -> tuple[float, float]:
    share = (sum(row[0] for row in sample) + 0.5) / (len(sample) + 1) if share is None else share
    asked = wanted / max(share, LEAST_RATE)
    return asked * statistics.fmean(row[1] for row in sample), asked * statistics.fmean(row[2] for row in sample)


def _half_width(values: list[float], centre: float) -> float:
    ordered = sorted(values)
    low, high = ordered[int(0.025 * len(ordered))], ordered[int(0.975 * len(ordered))]
    return (high - low) / 2 / centre if centre else 0.0


def _pilot(
    config: GenerateConfig, sizes: Any, transport: httpx2.AsyncBaseTransport | None
) -> tuple[list[tuple[Outcome, RowAccount]], dict[str, float]]:
    """The first rows of each kind, as many as ``sizes(mix)`` says, and the mix without what the toolset cannot give."""
    tools = check_config(config)
    blocked = impossible_kinds(tools)
    mix = {kind: share for kind, share in config.mix.items() if share > 0 and kind not in blocked}
    if not mix:
        raise UserError(f"this toolset gives none of the kinds asked for ({'; '.join(blocked.values())}); change the mix")
    seats = make_seats(config, resolve_teachers(config), transport)

    async def run() -> list[tuple[Outcome, RowAccount]]:
        async with open_session(config, tools, seats, transport=transport) as session:
            gate = asyncio.Semaphore(config.concurrency)
            plans = [session.plan(kind, index) for kind, count in sizes(mix).items() for index in range(count)]
            rows = await asyncio.gather(*(_row(session, gate, plan) for plan in plans))
            return [row for row in rows if row]

    return run_sync(run()), mix


async def _row(session: Session, gate: asyncio.Semaphore, plan: Any) -> tuple[Outcome, RowAccount] | None:
    async with gate:
        try:
            return await session.row(plan)
        except Halt:
            return None


def _preview_row(outcome: Outcome, account: RowAccount) -> PreviewRow:
    return PreviewRow(
        kind=outcome.plan.kind,
        plan={name: value for name, value in asdict(outcome.plan).items() if value not in ("", (), {})},
        request=outcome.request,
        calls=[call.to_dict() for call in outcome.calls],
        accepted=not outcome.refusals,
        reasons=[refusal.code for refusal in outcome.refusals],
        details=[refusal.detail for refusal in outcome.refusals if refusal.detail],
        spans={path: list(span) for path, span in outcome.spans.items()},
        tokens=account.cost.tokens,
        usd=account.cost.usd,
    )
