"""The rate limit: no minute holds more than it may, waits are shared, concurrency adapts, starvation is said."""

from __future__ import annotations

import asyncio
import time

import httpx2
import pytest

from needle.teacher.client import Teacher, TeacherConfig
from needle.teacher.config import Limits
from needle.teacher.faults import FaultApp
from needle.teacher.limits import Limiter, Starved, Window, limiter_for

BODY = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 100}


def _sent_in_any(times: list[float], length: float) -> int:
    return max(sum(start <= other < start + length for other in times) for start in times)


def test_a_window_holds_no_more_than_its_limit_at_any_time():
    window = Window(10, minute=60)
    now, sent = 0.0, []
    for number in range(100):
        amount = 1 + number % 4
        now += window.wait(now, amount) + 0.1
        assert window.wait(now, amount) == 0
        window.add(now, amount)
        sent.append((now, amount))
        assert sum(amount for at, amount in sent if at > now - 60) <= 10


def test_a_window_gives_back_what_was_not_used_and_lets_the_too_large_through_alone():
    window = Window(100, minute=60)
    entry = window.add(0, 90)
    assert window.wait(1, 20) == 59
    window.correct(entry, 30, 1)
    assert window.wait(1, 20) == 0 and window.wait(1, 1000) == 59 and window.wait(61, 1000) == 0


def test_what_others_use_counts_and_a_learned_limit_never_lifts_ones_own():
    window = Window(None)
    window.learn(0, limit=100, remaining=40)
    assert window.limit == 100 and window.used(0) == 60 and window.wait(0, 50) == 60
    own = Window(10)
    own.learn(0, limit=100, remaining=100)
    assert own.limit == 10 and own.used(0) == 0


def _run(work):
    return asyncio.run(work())


@pytest.mark.parametrize("limits", [
    Limits(requests_per_minute=20), Limits(input_tokens_per_minute=2000), Limits(output_tokens_per_minute=2000), Limits(tokens_per_minute=4000),
])  # fmt: skip
def test_forty_workers_keep_every_limit_together(limits):
    minute = 0.2

    async def work():
        limiter, times = Limiter(limits, minute=minute), []

        async def one():
            ticket = await limiter.acquire(100, 100)
            times.append(ticket.request.at)
            await asyncio.sleep(0.001)
            limiter.release(ticket, {})

        await asyncio.gather(*(one() for _ in range(50)))
        return times

    times = _run(work)
    assert _sent_in_any(times, minute) <= 20 and 2 * minute <= max(times) - min(times) < 10 * minute


def test_usage_refunds_let_more_through():
    async def work(usage):
        limiter = Limiter(Limits(output_tokens_per_minute=1000), minute=30)

        async def one():
            limiter.release(await limiter.acquire(0, 500), usage)

        async with asyncio.timeout(0.3):
            await asyncio.gather(*(one() for _ in range(10)))

    _run(lambda: work({"completion_tokens": 50}))
    _run(lambda: work(None))
    with pytest.raises(TimeoutError):
        _run(lambda: work({}))


def test_a_wait_holds_for_all_workers_of_the_endpoint_also_in_another_teacher():
    app = FaultApp(["rate_limit_seconds", "plain"])
    config = TeacherConfig(base_url="http://localhost:9/v1", model="m")

    async def work():
        transport, started = httpx2.ASGITransport(app.asgi), time.monotonic()
        async with Teacher(config, transport=transport) as first, Teacher(config, transport=transport) as second:
            one = asyncio.create_task(first.complete(BODY))
            while not app.played:
                await asyncio.sleep(0.001)
            await asyncio.sleep(0.01)
            await asyncio.gather(one, *(second.complete(BODY) for _ in range(5)))
        return time.monotonic() - started

    assert 1.0 <= _run(work) < 1.6 and app.played == {"rate_limit_seconds": 1, "plain": 6}


def test_an_endpoint_that_enforces_its_limit_is_obeyed_from_its_headers_alone():
    app = FaultApp(["plain"], limits=Limits(requests_per_minute=30), minute=60)
    config = TeacherConfig(base_url="http://localhost:9/v1", model="learned")

    async def work():
        async with Teacher(config, transport=httpx2.ASGITransport(app.asgi)) as teacher:
            await teacher.complete(BODY)
            limiter = limiter_for(config)
            assert limiter.requests.limit == 30
            try:
                async with asyncio.timeout(0.5):
                    await asyncio.gather(*(teacher.complete(BODY) for _ in range(60)))
            except TimeoutError:
                pass
        return app.played

    assert _run(work) == {"plain": 30}, "nothing was turned away, and nothing was sent beyond the limit"


def test_a_limit_for_a_day_is_not_taken_for_one_of_a_minute():
    async def work():
        limiter = Limiter(Limits())
        limiter.answered({"x-ratelimit-limit-requests": "10000", "x-ratelimit-remaining-requests": "9999", "x-ratelimit-reset-requests": "8.64s"})
        limiter.answered({"x-ratelimit-limit-tokens": "150000", "x-ratelimit-remaining-tokens": "149984", "x-ratelimit-reset-tokens": "6ms"})
        return limiter.requests.limit, limiter.tokens.limit

    assert _run(work) == (None, 150000)


def test_concurrency_falls_at_push_back_once_for_all_that_met_it_and_grows_again():
    async def work():
        limiter = Limiter(Limits(concurrency=40), backoff_s=0.001)
        tickets = [await limiter.acquire() for _ in range(16)]
        for ticket in tickets[:8]:
            limiter.release(ticket, None)
            limiter.pushed_back(0.001)
        fallen = limiter.allowed
        for ticket in tickets[8:]:
            limiter.release(ticket, {})
        grown = limiter.allowed
        for _ in range(60):
            held = [await limiter.acquire() for _ in range(int(limiter.allowed))]
            for ticket in held:
                limiter.answered({})
                limiter.release(ticket, {})
        return fallen, grown, limiter.allowed

    fallen, grown, recovered = _run(work)
    assert fallen == pytest.approx(12) and grown == fallen and recovered == 40


def test_no_more_are_under_way_than_allowed():
    app = FaultApp(["plain"], latency_s=0.01)
    config = TeacherConfig(base_url="http://localhost:9/v1", model="few", limits=Limits(concurrency=3))

    async def work():
        async with Teacher(config, transport=httpx2.ASGITransport(app.asgi)) as teacher:
            await asyncio.gather(*(teacher.complete(BODY) for _ in range(20)))

    _run(work)
    assert app.most_in_flight == 3


def test_a_starving_endpoint_says_so_to_every_worker():
    async def work():
        limiter = Limiter(Limits(), where="here", starvation_s=0.15, backoff_s=0.01)

        async def one():
            while True:
                ticket = await limiter.acquire()
                limiter.release(ticket, None)
                limiter.pushed_back(None)

        return await asyncio.gather(*(one() for _ in range(5)), return_exceptions=True)

    ends = _run(work)
    assert all(isinstance(end, Starved) and "here limits the rate" in str(end) for end in ends)


def test_one_answer_ends_the_hunger():
    async def work():
        limiter = Limiter(Limits(), starvation_s=0.1)
        for _ in range(5):
            limiter.pushed_back(0.05)
            await asyncio.sleep(0.06)
            limiter.answered({})

    _run(work)


def test_processes_that_share_a_key_share_its_limits():
    whole = Limits(requests_per_minute=600, output_tokens_per_minute=9000, concurrency=7)
    part = whole.share(3)
    assert (part.requests_per_minute, part.output_tokens_per_minute, part.tokens_per_minute, part.concurrency) == (200, 3000, None, 2)
    assert whole.share(100).concurrency == 1 and whole.share(1) == whole


def test_a_cancelled_wait_leaves_the_gate_open():
    async def work():
        limiter = Limiter(Limits(concurrency=1))
        ticket = await limiter.acquire()
        waiting = [asyncio.create_task(limiter.acquire()) for _ in range(3)]
        await asyncio.sleep(0.01)
        waiting[0].cancel()
        await asyncio.sleep(0)
        limiter.release(ticket, {})
        return await asyncio.wait_for(waiting[1], 1), limiter.in_flight

    assert _run(work)[1] == 1
