"""The store: bytes come back, marks of what is under way, keys that miss whenever anything that shapes an answer changes."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest
from generate_helpers import TOOLS

from needle.errors import UserError
from needle.generate.budget import Budget
from needle.generate.desk import Desk, Halt, NotStored, Seat, row_of
from needle.generate.plan import plan_for
from needle.generate.prompts import label_body, write_body
from needle.generate.store import Question, ResponseStore, response_key
from needle.teacher.config import TeacherConfig
from needle.teacher.wire import read_answer
from needle.tools.read import read_tools

SPECS = read_tools(TOOLS)
Q = Question("k", "write", "single", 3, 0, "main", "http://a/v1", "m", "1")


def test_stored_responses_come_back_byte_for_byte_with_what_is_known_of_them(tmp_path):
    raw = bytes(range(256)) * 40

    async def fill() -> None:
        with ResponseStore(tmp_path, durable=True) as store:
            await store.depart(Q, 0.5, 100)
            await store.arrive(Q, raw, 0.25, {"prompt_tokens": 7, "completion_tokens": 2}, "req-1")
            await store.arrive(dataclasses.replace(Q, key="l", stage="label", step=1), b"", 0.5, {}, "req-2")

    asyncio.run(fill())
    with ResponseStore(tmp_path, durable=False) as store:
        assert store.get("k") == raw and store.get("l") == b"" and store.get("m") is None
        assert store.spent() == (0.75, 9) and len(store) == 2 and store.lost()["calls"] == 0
        assert [(row["kind"], row["stage"], row["calls"]) for row in store.bill()] == [("single", "label", 1), ("single", "write", 1)]
        known = store.rows("SELECT teacher, endpoint, model, prompt_version, request_id FROM responses WHERE key = 'k'")
        assert known == [("main", "http://a/v1", "m", "1", "req-1")]


def test_what_was_under_way_when_the_process_ended_is_known_and_counted(tmp_path):
    async def leave() -> None:
        with ResponseStore(tmp_path) as store:
            await store.depart(Q, 0.5, 100)

    asyncio.run(leave())
    for _ in range(2):
        with ResponseStore(tmp_path) as store:
            assert store.lost() == {"calls": 1, "usd": 0.5, "tokens": 100} and store.spent() == (0.5, 100)


def test_commits_that_are_waited_for_together_share_a_write(tmp_path, monkeypatch):
    writes = []
    real = ResponseStore._write
    monkeypatch.setattr(ResponseStore, "_write", lambda self, batch: (writes.append(len(batch)), real(self, batch)))

    async def fill() -> None:
        with ResponseStore(tmp_path) as store:
            await asyncio.gather(*(store.arrive(dataclasses.replace(Q, key=str(n)), b"x", 0, {}) for n in range(100)))
            assert len(store) == 100

    asyncio.run(fill())
    assert sum(writes) == 100 and len(writes) < 20


def test_others_may_read_while_a_run_holds_the_store_but_not_run(tmp_path):
    with ResponseStore(tmp_path), ResponseStore(tmp_path, read_only=True) as reader:
        assert len(reader) == 0
        with pytest.raises(UserError, match="in use"):
            ResponseStore(tmp_path)


def test_a_store_of_another_layout_is_refused(tmp_path):
    with ResponseStore(tmp_path) as store:
        store._db.execute("PRAGMA user_version = 99")
    with pytest.raises(UserError, match="another version"):
        ResponseStore(tmp_path)


BODY = write_body(plan_for("single", 0, SPECS, seed=0), SPECS, 1.0)
PROFILE = TeacherConfig(base_url="http://a/v1", model="m")


def _keys() -> dict[str, str]:
    """A key for every way in which a question can differ."""
    key = lambda config=PROFILE, body=BODY: response_key(config, body)  # noqa: E731
    changed = {"temperature": 0.5, "seed": 1, "max_tokens": 1, "n": 2, "top_p": 0.5, "tool_choice": "required",
               "response_format": {"type": "json_object"}, "logprobs": True, "messages": BODY["messages"][::-1], "tools": []}  # fmt: skip
    system = [{**BODY["messages"][0], "content": BODY["messages"][0]["content"] + " "}, *BODY["messages"][1:]]
    return {
        "same": key(),
        **{name: key(body=BODY | {name: value}) for name, value in changed.items()},
        "system prompt": key(body=BODY | {"messages": system}),
        "toolset": key(body=write_body(plan_for("single", 0, SPECS[:3], seed=0), SPECS[:3], 1.0)),
        "description": key(body=write_body(plan_for("single", 0, SPECS, 0), [dataclasses.replace(SPECS[0], description="x"), *SPECS[1:]], 1.0)),
        "plan": key(body=write_body(plan_for("single", 1, SPECS, seed=0), SPECS, 1.0)),
        "stage": key(body=label_body("hello", SPECS, 1)),
        "sample": key(body=label_body("hello", SPECS, 2)),
        **{name: key(dataclasses.replace(PROFILE, **{name: value})) for name, value in _profile_changes().items()},
    }


def _profile_changes() -> dict[str, object]:
    return {
        "base_url": "http://b/v1", "model": "n", "extra_body": {"reasoning_effort": "low"},
        "headers": {"x-route": "eu"}, "top_logprobs": 3,
    }  # fmt: skip


def test_a_change_of_anything_that_shapes_an_answer_misses():
    keys = _keys()
    assert len(set(keys.values())) == len(keys)
    assert keys["same"] == response_key(PROFILE, dict(reversed(BODY.items())))
    for name, value in {"deadline_s": 1.0, "max_attempts": 2}.items():  # patience shapes nothing
        assert response_key(dataclasses.replace(PROFILE, **{name: value}), BODY) == keys["same"]


class Slow:
    """A teacher that takes a moment and counts."""

    def __init__(self) -> None:
        self.config, self.calls = PROFILE, 0

    def recall(self, body: dict) -> None:
        pass

    async def complete(self, body: dict, on_resend=None):
        self.calls += 1
        await asyncio.sleep(0.02)
        return read_answer(b'{"choices": [{"message": {"content": "x"}}]}')


def desk_run(folder, work, **options):
    teacher = Slow()

    async def run():
        with ResponseStore(folder, durable=False) as store:
            return await work(Desk([Seat("t", teacher)], store, Budget(), **options))  # type: ignore[arg-type]

    return asyncio.run(run()), teacher.calls


def test_the_same_question_asked_twice_at_once_is_paid_once(tmp_path):
    async def work(desk: Desk) -> list:
        return await asyncio.gather(*(desk.ask("label", BODY) for _ in range(10)))

    answers, calls = desk_run(tmp_path, work)
    assert calls == 1 and {answer.text for answer in answers} == {"x"}


def test_a_replay_sends_nothing_and_finds_answers_to_older_prompts_by_their_place(tmp_path):
    async def ask(desk: Desk, body=BODY) -> str:
        with row_of("single", 4):
            return (await desk.ask("write", body)).text

    assert desk_run(tmp_path, ask)[1] == 1
    newer = BODY | {"messages": [{"role": "user", "content": "reworded"}]}
    assert desk_run(tmp_path, lambda desk: ask(desk, newer), replay=True) == ("x", 0)

    async def other_row(desk: Desk) -> None:
        with row_of("single", 5), pytest.raises(NotStored):
            await desk.ask("write", newer)

    assert desk_run(tmp_path, other_row, replay=True)[1] == 0


def test_a_halted_desk_hands_out_what_it_has_and_sends_nothing(tmp_path):
    async def work(desk: Desk) -> None:
        await desk.ask("label", BODY)
        desk.halt("enough")
        assert (await desk.ask("label", BODY)).text == "x"
        with pytest.raises(Halt, match="enough"):
            await desk.ask("label", BODY | {"seed": 9})

    assert desk_run(tmp_path, work)[1] == 1
