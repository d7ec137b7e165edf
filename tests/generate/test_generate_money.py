"""Money: caps that concurrency cannot overshoot, worst cases that are worst cases, and a bill that adds up."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from needle.generate.budget import Amount, Budget, BudgetSpent, worst_usage
from needle.generate.desk import Desk, Seat, row_of
from needle.generate.store import ResponseStore
from needle.teacher.config import Prices, TeacherConfig
from needle.teacher.errors import PermanentError, TransientError
from needle.teacher.wire import read_answer


class Billing:
    """A teacher that bills the worst case that a question allows, and counts what it has billed itself."""

    def __init__(
        self, price: Prices, share: float = 1.0, fault: Exception | None = None, counts: bool = True, resends: int = 0
    ) -> None:
        self.config = TeacherConfig(base_url="http://bill/v1", model="m")
        self.prices, self.share, self.fault, self.counts = price, share, fault, counts
        self.billed = Amount()
        self.calls = self.under_way = self.most = 0
        self.resends = resends

    def recall(self, body: dict) -> None:
        pass

    async def complete(self, body: dict, on_resend=None):
        for _ in range(self.resends):  # answers that are billed and lost on the way
            await self._answer(body)
            on_resend()
        answer = await self._answer(body)
        if self.fault:
            raise self.fault
        return answer

    async def _answer(self, body: dict):
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await asyncio.sleep(0.001)
        self.under_way -= 1
        self.calls += 1
        usage = worst_usage(body, len(json.dumps(body, ensure_ascii=False).encode()))
        usage = {name: int(count * self.share) for name, count in usage.items()}
        self.billed += Amount(self.prices.cost(usage), sum(usage.values()))
        message = {"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}]}
        return read_answer(json.dumps(message | ({"usage": usage} if self.counts else {})).encode())


def ask_many(teacher: Billing, folder, count: int, usd: float | None = None, tokens: int | None = None):
    """Send ``count`` questions at once; how many were answered, and the budget at the end."""
    budget = Budget(usd, tokens)

    async def run() -> list[bool]:
        with ResponseStore(folder, durable=False) as store:
            desk = Desk([Seat("t", teacher, prices=teacher.prices)], store, budget)  # type: ignore[arg-type]

            async def one(number: int) -> bool:
                body = {"messages": [{"role": "user", "content": f"question {number}"}], "max_tokens": 1000}
                try:
                    with row_of("single", number):
                        await desk.ask("write", body)
                except (BudgetSpent, TransientError, PermanentError):
                    return False
                return True

            return await asyncio.gather(*(one(number) for number in range(count)))

    return sum(asyncio.run(run())), budget


@pytest.mark.parametrize(("share", "resends"), [(1.0, 0), (0.3, 0), (1.0, 1), (0.5, 2)])
def test_200_concurrent_calls_cannot_overshoot_a_dollar(tmp_path, share, resends):
    teacher = Billing(Prices(10.0, 30.0), share, resends=resends)
    answered, budget = ask_many(teacher, tmp_path, 200, usd=1.0)
    assert teacher.billed.usd <= 1.0 and teacher.most > 10
    if resends:
        assert budget.spent.usd >= teacher.billed.usd > 0.3
        return
    assert 0 < answered < 200 and teacher.calls == answered
    assert teacher.billed.usd <= 1.0 and budget.spent.usd == pytest.approx(teacher.billed.usd)
    one = worst_usage({"max_tokens": 1000}, 80)
    assert teacher.billed.usd > 1.0 - Prices(10.0, 30.0).cost(one) * 1.1, "money was left that one more call fits into"


def test_200_concurrent_calls_cannot_overshoot_a_cap_on_tokens(tmp_path):
    teacher = Billing(Prices(0.0, 0.0))
    answered, budget = ask_many(teacher, tmp_path, 200, tokens=50_000)
    assert 0 < answered < 200 and teacher.billed.tokens <= 50_000 and budget.spent.tokens == teacher.billed.tokens


def test_without_a_cap_everything_is_asked_and_counted(tmp_path):
    teacher = Billing(Prices(1.0, 1.0))
    answered, budget = ask_many(teacher, tmp_path, 50)
    assert answered == 50 and budget.spent.usd == pytest.approx(teacher.billed.usd) and budget.reserved.tokens == 0


@pytest.mark.parametrize(("fault", "billed"), [
    (TransientError("t", "timeout"), True), (TransientError("c", "connection"), True),
    (TransientError("r", "rate_limit", maybe_billed=False), False), (PermanentError("f", "content_filter"), False),
])  # fmt: skip
def test_an_answer_that_never_came_counts_in_full_when_it_may_have_been_billed(tmp_path, fault, billed):
    teacher = Billing(Prices(1.0, 1.0), fault=fault)
    _, budget = ask_many(teacher, tmp_path, 3)
    with ResponseStore(tmp_path, durable=False) as store:  # and it still counts for the next run of the folder
        assert store.spent()[0] == pytest.approx(budget.spent.usd) and store.lost()["calls"] == (3 if billed else 0)
    assert (budget.spent.usd == pytest.approx(teacher.billed.usd)) if billed else budget.spent.usd == 0
    assert budget.reserved.tokens == 0


def test_an_endpoint_that_does_not_count_is_charged_the_worst_case(tmp_path):
    teacher = Billing(Prices(1.0, 1.0), counts=False)
    _, budget = ask_many(teacher, tmp_path, 2)
    assert budget.spent.usd == pytest.approx(teacher.billed.usd)


def test_an_endpoint_that_bills_more_than_max_tokens_is_noticed_and_met_with_larger_reservations():
    async def run() -> Budget:
        budget = Budget(10.0)
        first = await budget.reserve(Amount(1.0, 1000))
        budget.settle(first, Amount(2.0, 2000))
        second = await budget.reserve(Amount(1.0, 1000))
        assert second == Amount(2.0, 2000)
        return budget

    assert asyncio.run(run()).surprises == 1


def test_the_bill_by_kind_and_stage_adds_up_to_what_was_spent(run):
    prices = {"price_in": 2.0, "price_out": 8.0, "budget_usd": 50.0}
    report = run(n=40, **prices)
    assert report.usd > 0 and sum(row["usd"] for row in report.bill) == pytest.approx(report.usd)
    assert {row["stage"] for row in report.bill} == {"write", "label"}
    assert sum(report.tally.usd.values()) == pytest.approx(report.usd)
    assert f"{report.usd:.4f}" in report.bill_table().splitlines()[-1]
    stats = json.loads((report.out / "stats.json").read_text())["generation"]
    assert sum(row["usd"] for row in stats["bill"]) == pytest.approx(report.usd, abs=1e-4)
    assert sum(stats["usd"].values()) == pytest.approx(report.usd, abs=1e-4)


def test_a_cap_on_tokens_stops_the_run_and_a_larger_one_continues_it(run):
    short = run(max_tokens_total=60_000)
    assert not short.complete and sum(row["prompt_tokens"] + row["completion_tokens"] for row in short.bill) <= 60_000
    assert any("60,000 tokens" in note for note in short.notes)
    assert run(max_tokens_total=60_000_000).complete


def test_a_folder_whose_run_never_reached_its_teacher_is_free_for_another_and_a_paid_one_is_not(cli, tmp_path, no_traces, monkeypatch):
    monkeypatch.setenv("NEEDLE_DATA", no_traces)
    monkeypatch.setattr("needle.teacher.client.Teacher._backoff", lambda *_: 0.0)  # half a minute, for a server that is starting
    home = Path(__file__).parents[2] / "data" / "toolsets" / "home.json"
    command = ("generate", "--tools", home, "--n", 4, "--out", tmp_path / "out")
    assert "cannot reach" in cli(*command, "--teacher", "http://127.0.0.1:9/v1", "--model", "m").err
    assert cli(*command).code == 0
    assert "belongs to another run" in cli(*command, "--seed", 5).complaint
