"""Batches: the same answers at the batch price, nothing asked twice, whatever becomes of a batch or of this process."""

from __future__ import annotations

import asyncio
import hashlib
import json

import httpx2
import pytest
from starlette.responses import JSONResponse
from starlette.routing import Route

from needle.errors import UserError
from needle.teacher.batch import BatchTeacher
from needle.teacher.batch_files import pack
from needle.teacher.config import Capabilities, TeacherConfig
from needle.teacher.errors import PermanentError, TransientError
from needle.teacher.faults import FaultApp

CONFIG = TeacherConfig(base_url="http://localhost:9/v1", model="m", backoff_s=0.001, max_attempts=4, starvation_s=0.3)
BODIES = [{"messages": [{"role": "user", "content": f"question {number}"}], "max_tokens": 9} for number in range(10)]


def key(body):
    return hashlib.blake2b(json.dumps(body, sort_keys=True).encode(), digest_size=16).hexdigest()


class Record:
    """The durable side: a list of batches and the answers that were stored."""

    def __init__(self):
        self.batches, self.answers, self.history = [], {}, []

    def load_pending(self):
        return json.loads(json.dumps(self.batches))

    def save_pending(self, batches):
        self.batches = json.loads(json.dumps(batches))
        self.history.append(len(batches))


def _teacher(app, record, **settings):
    settings = {"linger_s": 0.01, "poll_s": 0.01} | settings
    config = settings.pop("config", CONFIG)
    return BatchTeacher(config, record, key, stored=record.answers.__contains__, transport=httpx2.ASGITransport(app.asgi), **settings)


async def _ask(teacher, record, body):
    answer = await teacher.complete(body)
    record.answers[key(body)] = answer.raw
    return answer


def _run(app, record, bodies=BODIES, within=5.0, **settings):
    async def work():
        async with _teacher(app, record, **settings) as teacher:
            async with asyncio.timeout(within):
                return await asyncio.gather(*(_ask(teacher, record, body) for body in bodies), return_exceptions=True)

    return asyncio.run(work())


def _once(app):
    return sorted(app.batches.answered) == sorted({*app.batches.answered})


def test_a_batch_gives_the_answers_of_single_calls_in_any_order():
    app, record = FaultApp(), Record()
    answers = _run(app, record)
    assert [json.loads(answer.raw)["choices"] for answer in answers] == [app._teacher.complete({"model": "m"} | body)["choices"] for body in BODIES]
    assert len(app.batches.batches) == 1 and record.batches == [] and answers[0].usage["prompt_tokens"] > 0 and not app.seen


def test_the_record_is_written_before_anything_is_sent():
    app, record = FaultApp(), Record()
    _run(app, record)
    assert record.history[:2] == [0, 1] and record.history[-1] == 0


@pytest.mark.parametrize("fate", ["expired", "errors", "timeouts", "cancelled"])
def test_what_a_batch_leaves_unanswered_is_asked_again_and_the_rest_is_not(fate):
    app, record = FaultApp(batches=[fate, "ok"]), Record()
    answers = _run(app, record)
    assert len({answer.raw for answer in answers}) > 1 and len(app.batches.batches) == 2 and record.batches == []
    assert len(app.batches.answered) == 10 and _once(app)


def test_what_fails_in_every_batch_is_given_up():
    app = FaultApp(batches=["expired"])
    ends = _run(app, Record(), bodies=BODIES[:1])
    assert isinstance(ends[0], TransientError) and len(app.batches.batches) == CONFIG.max_attempts


def test_batches_that_are_too_large_for_the_account_are_halved():
    app = FaultApp(batches=["too_large", "ok"])
    assert len({answer.raw for answer in _run(app, Record())}) > 1
    sizes = [len(app.batches.files[batch["input_file_id"]].splitlines()) for batch in app.batches.batches.values()]
    assert sizes == [10, 5, 5] and _once(app)


def test_the_owner_of_the_money_is_asked_before_a_row_that_may_have_been_billed_is_sent_again():
    class Spent(Exception):
        pass

    def refuse():
        raise Spent

    async def work(fate):
        app = FaultApp(batches=[fate, "ok"])
        async with _teacher(app, Record()) as teacher:
            return await asyncio.gather(*(teacher.complete(body, on_resend=refuse) for body in BODIES), return_exceptions=True)

    assert sum(isinstance(end, Spent) for end in asyncio.run(work("timeouts"))) == 5
    for fate in ("errors", "expired"):
        assert not any(isinstance(end, Exception) for end in asyncio.run(work(fate))), "what failed or expired costs nothing"


def test_a_batch_that_is_refused_is_an_error_with_the_reason():
    ends = _run(FaultApp(batches=["failed"]), Record())
    assert all(isinstance(end, PermanentError) and "line 1 is not valid" in str(end) for end in ends)


def test_equal_questions_are_one():
    app, record = FaultApp(), Record()
    answers = _run(app, record, bodies=[BODIES[0]] * 5)
    assert len({answer.raw for answer in answers}) == 1 and len(app.batches.answered) == 1


def test_large_sets_are_cut_into_batches():
    app, record = FaultApp(), Record()
    assert len(_run(app, record, most_requests=4)) == 10 and len(app.batches.batches) == 3
    content, taken = pack([(str(number), {"x": "y" * 50}) for number in range(10)], 400)
    assert len(content) <= 400 and len(content.splitlines()) == len(taken) == 3
    assert pack([("1", {"x": "y" * 500})], 10)[1] == ["1"]


def _leave(app, record, when):
    """Ask, and leave without a goodbye as soon as ``when`` holds."""

    async def work():
        teacher = _teacher(app, record)
        await teacher.__aenter__()
        tasks = [asyncio.create_task(_ask(teacher, record, body)) for body in BODIES]
        async with asyncio.timeout(5):
            while not when(app):
                await asyncio.sleep(0.001)
        for task in (*tasks, *teacher._tasks):
            task.cancel()

    asyncio.run(work())


def test_a_run_that_is_killed_while_a_batch_is_under_way_finds_it_again():
    app, record = FaultApp(batches=["slow"]), Record()
    _leave(app, record, lambda app: record.batches and record.batches[0]["batch_id"])
    app.batches.finish("batch_0")
    answers = _run(app, record)
    assert len(answers) == 10 and len(app.batches.batches) == 1 and len(app.batches.answered) == 10 and record.batches == []


def test_a_batch_whose_number_was_never_received_is_found_by_its_tag():
    app, record = FaultApp(batches=["slow"]), Record()
    _leave(app, record, lambda app: record.batches and record.batches[0]["batch_id"])
    record.batches[0]["batch_id"] = ""
    app.batches.finish("batch_0")
    _run(app, record)
    assert len(app.batches.batches) == 1 and _once(app)


def test_a_batch_that_was_never_made_is_made_again():
    app, record = FaultApp(), Record()
    record.batches = [{"tag": "gone", "keys": [key(body) for body in BODIES], "batch_id": ""}]
    assert len(_run(app, record)) == 10 and len(app.batches.batches) == 1


def test_answers_that_were_fetched_but_not_stored_are_fetched_again():
    app, record = FaultApp(), Record()
    _run(app, record, bodies=BODIES)
    stored = dict(list(record.answers.items())[:4])
    record.answers, record.batches = stored, [{"tag": "t", "keys": [key(body) for body in BODIES], "batch_id": "batch_0"}]
    missing = [body for body in BODIES if key(body) not in stored]
    assert len(_run(app, record, bodies=missing)) == 6 and len(app.batches.batches) == 1 and record.batches == []


def test_a_batch_that_the_endpoint_has_forgotten_is_asked_again():
    app, record = FaultApp(), Record()
    record.batches = [{"tag": "t", "keys": [key(body) for body in BODIES], "batch_id": "batch_77"}]
    assert all(not isinstance(answer, Exception) for answer in _run(app, record)) and len(app.batches.batches) == 1


def test_an_endpoint_without_batches_is_refused_or_said():
    with pytest.raises(UserError, match="batch"):
        _teacher(FaultApp(), Record(), config=TeacherConfig(base_url="http://x/v1", capabilities=Capabilities(batch=False)))
    app = FaultApp()
    app.asgi.router.routes[:] = []
    ends = _run(app, Record())
    assert all(isinstance(end, PermanentError) and "has no batches" in str(end) for end in ends)


def test_an_endpoint_that_goes_away_ends_the_run_and_not_the_batch():
    app, record = FaultApp(batches=["slow"]), Record()

    async def work():
        async with _teacher(app, record) as teacher:
            tasks = [asyncio.create_task(_ask(teacher, record, body)) for body in BODIES]
            while not app.batches.batches:
                await asyncio.sleep(0.001)
            routes, app.asgi.router.routes[:] = list(app.asgi.router.routes), []
            app.asgi.router.routes.append(Route("/v1/batches/{name}", lambda request: JSONResponse({}, 503)))
            ends = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 5)
            again = (await asyncio.gather(_ask(teacher, record, BODIES[0]), return_exceptions=True))[0]
        app.asgi.router.routes[:] = routes
        return ends, again

    ends, again = asyncio.run(work())
    assert all(isinstance(end, TransientError) for end in (*ends, again)) and len(record.batches) == 1
    app.batches.finish("batch_0")
    assert len(_run(app, record)) == 10 and len(app.batches.batches) == 1 and _once(app)
