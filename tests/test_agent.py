"""``Agent``: arguments checked and converted before anything runs, each call reported on its own, memory that ends."""

from __future__ import annotations

import asyncio
import datetime
import enum
import json
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

import needle
from needle.tools import Caller, CallResult, Request, ToolCall, ToolSpec, spec_from_function
from needle.tools.bind import Bound


class Scripted(Caller):
    """Gives the calls that it was made with, and keeps the requests."""

    def __init__(self, *calls: tuple[str, dict[str, Any]], error: str | None = None) -> None:
        self.calls, self.error = [ToolCall(*call) for call in calls], error
        self.seen: list[Request] = []

    def answer(self, requests: Sequence[Request]) -> list[CallResult]:
        self.seen += requests
        return [CallResult(self.calls, error=self.error, confidence=0.5) for _ in requests]


class Mode(enum.Enum):
    HEAT = "heat"
    COOL = "cool"


class Place(BaseModel):
    city: str
    floor: int = 0


done: list[Any] = []


@pytest.fixture(autouse=True)
def nothing_done_yet():
    done.clear()


@needle.tool
def dim(room: Literal["kitchen", "hall"], percent: Annotated[int, Field(ge=0, le=100)] = 50) -> str:
    """Dim the lights of a room."""
    done.append(("dim", room, percent))
    return f"{room} at {percent}"


def remind(day: datetime.date, tags: set[str], mode: Mode | None = None, place: Place | None = None, note=None) -> dict:
    """Remind of a day."""
    done.append((day, tags, mode, place, note))
    return {"day": day, "tags": sorted(tags)}


def explode(fuse: float) -> None:
    """Break."""
    raise ZeroDivisionError("a\nlong story")


def anything(name: str, **more: int) -> dict[str, int]:
    """Take what comes."""
    return {name: sum(more.values())}


HALL = ("dim", {"room": "hall", "percent": 10})


def test_calls_are_executed_in_order_and_give_their_results():
    model = Scripted(HALL, ("dim", {"room": "kitchen"}))
    run = needle.Agent([dim], model).run("dim both")
    assert [step.result for step in run] == ["hall at 10", "kitchen at 50"] and run.ok and run.error is None
    assert done == [("dim", "hall", 10), ("dim", "kitchen", 50)]
    assert run[0].call == ToolCall(*HALL) and run.answer.confidence == 0.5
    assert model.seen[0].query == "dim both" and model.seen[0].tools == (dim.spec,)


def test_arguments_arrive_in_the_types_of_the_signature():
    given = {
        "day": "2026-05-03",
        "tags": ["b", "a", "b"],
        "mode": "cool",
        "place": {"city": "Ulm", "floor": "2"},
        "note": [1],
    }
    step = needle.Agent([remind], Scripted(("remind", given))).run("x")[0]
    day = datetime.date(2026, 5, 3)
    assert done == [(day, {"a", "b"}, Mode.COOL, Place(city="Ulm", floor=2), [1])]
    assert step.arguments["day"] == day and step.result == {"day": day, "tags": ["a", "b"]}
    assert step.call.arguments == given, "the call stays as the model wrote it"


def test_further_arguments_are_checked_too():
    agent = needle.Agent(
        [anything], Scripted(("anything", {"name": "n", "a": 1, "b": "2"}), ("anything", {"name": "n", "a": "x"}))
    )
    good, bad = agent.run("x")
    assert good.result == {"n": 3} and bad.status == "invalid" and "a: Input should be a valid integer" in bad.error


@pytest.mark.parametrize(("name", "arguments", "words"), [
    ("dim", {"room": "cellar"}, "room: Input should be 'kitchen' or 'hall' (got \"cellar\")"),
    ("dim", {"room": "hall", "percent": 140}, "percent: Input should be less than or equal to 100 (got 140)"),
    ("dim", {}, "room: missing"), ("dim", {"room": "hall", "color": "red"}, "color: no such argument"),
    ("fly", {}, "no tool is called 'fly'; there are: dim, remind"),
    ("remind", {"day": "soon", "tags": [], "place": {}}, "place.city: Field required"),
])  # fmt: skip
def test_what_does_not_fit_is_reported_and_not_executed(name, arguments, words):
    agent = needle.Agent([dim, remind], Scripted((name, arguments), HALL))
    run = agent.run("x")
    assert run[0].status == "invalid" and words in run[0].error and "\n" not in run[0].error and not run.ok
    assert run[1].status == "done" and done == [("dim", "hall", 10)]
    agent.raise_errors = True
    with pytest.raises(needle.UserError, match="no tool|dim: |remind: "):
        agent.run("x")


def test_everything_that_is_wrong_is_said_at_once():
    error = needle.Agent([dim], Scripted(("dim", {"percent": "many", "color": 1}))).run("x")[0].error
    assert all(word in error for word in ("room: missing", "percent: Input", "color: no such"))


def test_an_exception_of_a_tool_is_reported_with_its_call_unless_asked_to_raise():
    agent = needle.Agent([explode, dim], Scripted(("explode", {"fuse": 1}), HALL))
    failed, fine = agent.run("x")
    assert (failed.status, failed.error, fine.status) == ("failed", "ZeroDivisionError: a long story", "done")
    assert isinstance(failed.exception, ZeroDivisionError)
    with pytest.raises(ZeroDivisionError):
        needle.Agent([explode], Scripted(("explode", {"fuse": 1})), raise_errors=True).run("x")


def test_a_dry_run_converts_but_executes_and_remembers_nothing():
    agent = needle.Agent([dim, explode], Scripted(HALL, ("explode", {"fuse": "2"})), dry_run=True)
    run = agent.run("x")
    assert [step.status for step in run] == ["dry", "dry"] and run.ok and run[1].arguments == {"fuse": 2.0}
    assert done == [] and agent.messages == []
    assert agent.run("x", dry_run=False)[0].status == "done" and done


def test_the_confirmation_hook_sees_converted_arguments_and_can_decline():
    asked = []

    def confirm(call, arguments):
        asked.append((call.name, dict(arguments)))
        return arguments["percent"] < 50

    run = needle.Agent([dim], Scripted(("dim", {"room": "hall", "percent": "90"}), HALL), confirm=confirm).run("x")
    assert [step.status for step in run] == ["declined", "done"] and done == [("dim", "hall", 10)]
    assert asked == [("dim", {"room": "hall", "percent": 90}), ("dim", {"room": "hall", "percent": 10})]


def test_the_conversation_goes_on_until_reset_and_facts_are_fresh():
    model, day = Scripted(HALL, ("explode", {"fuse": 1})), iter(["Monday", "Tuesday", "Wednesday"])
    agent = needle.Agent([dim, explode], model, system=lambda: next(day))
    agent.run("dim the hall")
    agent.run("again")
    user, assistant, result, error = model.seen[1].messages
    assert user == {"role": "user", "content": "dim the hall"}
    function = assistant["tool_calls"][0]["function"]
    assert (function["name"], json.loads(function["arguments"])) == HALL
    assert (result["tool_call_id"], result["content"]) == (assistant["tool_calls"][0]["id"], '"hall at 10"')
    assert error["content"] == "error: ZeroDivisionError: a long story"
    agent.reset()
    agent.run("new")
    assert [request.system for request in model.seen] == ["Monday", "Tuesday", "Wednesday"]
    assert (model.seen[0].messages, model.seen[2].messages) == ((), ())


@pytest.mark.parametrize("turns", [0, 1, 2])
def test_only_the_last_turns_are_remembered(turns):
    model = Scripted()
    agent = needle.Agent([dim], model, turns=turns)
    for number in range(4):
        agent.run(f"request {number}")
    users = [message["content"] for message in model.seen[-1].messages if message["role"] == "user"]
    assert users == [f"request {number}" for number in range(3 - turns, 3)]


def test_a_model_that_gives_no_readable_answer_is_reported_and_not_remembered():
    agent = needle.Agent([dim], Scripted(HALL, error="truncated"))
    run = agent.run("x")
    assert list(run) == [] and run.error == "truncated" and not run.ok and done == [] and agent.messages == []
    agent.raise_errors = True
    with pytest.raises(needle.UserError, match="no calls: truncated"):
        agent.run("x")


def test_no_fitting_tool_is_an_empty_run_that_is_fine():
    run = needle.Agent([dim], Scripted()).run("how are you")
    assert list(run) == [] and run.ok


def test_the_model_may_be_a_name_and_is_loaded_once():
    first = needle.Agent([dim], "baseline:first-tool")
    assert first.run("dim", dry_run=True)[0].call.name == "dim"
    assert needle.Agent([dim], "baseline:first-tool")._caller is first._caller


@pytest.mark.parametrize(("tools", "options", "words"), [
    ([], {}, "no tools"), ([dim, dim], {}, "two tools are called 'dim'"), ([Place], {}, "Place cannot be executed"),
    ([dim.spec], {}, "cannot be executed"), ([dim], {"timeout": 0}, "timeout is 0"), ([dim], {"model": 3}, "model is a int"),
    ([dim], {"turns": -1}, "turns is -1"),
])  # fmt: skip
def test_what_cannot_be_an_agent_is_said_at_once(tools, options, words):
    with pytest.raises(needle.UserError, match=words):
        needle.Agent(tools, **({"model": Scripted()} | options))


@pytest.mark.parametrize("ask", [
    lambda: needle.Agent([dim], Scripted()).run(" "), lambda: Scripted().call("", [dim]), lambda: next(Scripted().stream(" \n", [dim])),
    lambda: asyncio.run(Scripted().acall("", [dim], messages=[{"role": "user", "content": "dim the hall"}])),
])  # fmt: skip
def test_an_empty_request_is_refused_however_it_is_asked(ask):
    with pytest.raises(needle.UserError, match="the request is empty; say what should be done"):
        ask()


async def fetch(page: int) -> str:
    """Fetch a page."""
    await asyncio.sleep(0)
    return f"page {page}"


class Shelf:
    """An object with a method as a tool."""

    async def put(self, book: str) -> str:
        """Put a book on the shelf."""
        return f"{book} by {type(self).__name__}"


@pytest.mark.parametrize("loop", [False, True])
def test_plain_and_async_tools_hooks_and_facts_mix_in_plain_and_async_code(loop):
    async def confirm(call, arguments):
        return call.name != "explode"

    async def facts():
        return "Locale: de."

    model = Scripted(HALL, ("fetch", {"page": 3}), ("put", {"book": "Emma"}), ("explode", {"fuse": 1}))
    agent = needle.Agent([dim, fetch, Shelf().put, explode], model, confirm=confirm, system=facts)
    run = asyncio.run(agent.arun("x")) if loop else agent.run("x")
    assert [step.result for step in run] == ["hall at 10", "page 3", "Emma by Shelf", None]
    assert run[3].status == "declined" and model.seen[0].system == "Locale: de." and len(agent.messages) == 6


def test_async_code_goes_on_while_a_plain_tool_works():
    ready = threading.Event()

    def wait_for_others() -> bool:
        """Wait."""
        return ready.wait(20)

    async def both():
        waiting = asyncio.create_task(needle.Agent([wait_for_others], Scripted(("wait_for_others", {}))).arun("x"))
        await needle.Agent([fetch], Scripted(("fetch", {"page": 1}))).arun("y")
        ready.set()
        return await waiting

    assert asyncio.run(both())[0].result is True


@pytest.mark.parametrize("loop", [False, True])
def test_a_tool_that_takes_too_long_is_given_up_and_the_others_run(loop):
    hold = threading.Event()

    def hang() -> None:
        """Hang."""
        hold.wait(20)

    async def hang_too() -> None:
        """Hang as well."""
        await asyncio.sleep(20)

    def give_up() -> None:
        """Time out by itself."""
        raise TimeoutError("the hub is away")

    slow = [Bound(spec_from_function(tool), tool, timeout=0.02) for tool in (hang, hang_too)]
    model = Scripted(("hang", {}), ("hang_too", {}), ("give_up", {}), HALL)
    agent = needle.Agent([*slow, give_up, dim], model, timeout=30)
    other = needle.Agent([hang], Scripted(("hang", {})), timeout=0.02)
    run = asyncio.run(agent.arun("x")) if loop else agent.run("x")
    late = "TimeoutError: no result within 0.02 seconds"
    assert [step.error for step in run] == [late, late, "TimeoutError: the hub is away", None]
    assert run[3].result == "hall at 10" and other.run("x")[0].error == late
    hold.set()


def test_sessions_share_tools_and_model_but_no_memory_and_threads_lose_no_turn():
    agent = needle.Agent([dim], Scripted(), turns=100)
    agent.run("first")
    other = agent.session()
    other.run("second")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(agent.run, [f"request {number}" for number in range(40)]))
    users = [message["content"] for message in agent.messages if message["role"] == "user"]
    assert sorted(users) == sorted(["first", *(f"request {number}" for number in range(40))])
    assert [message["content"] for message in other.messages if message["role"] == "user"] == ["second"]


def test_tomorrow_is_a_day_of_the_calendar_where_a_tool_takes_one():
    now, given = datetime.datetime(2026, 11, 27, 14, 5), {"day": "2023-01-01", "tags": []}
    for system, told, day in (
        (None, "Today is Friday, 27 November 2026; it is 14:05.", 28), ("Locale: en-GB.", "Today is Friday, 27 November 2026; it is 14:05. Locale: en-GB.", 28),
        ("Today is Friday, 2026-11-20.", "Today is Friday, 2026-11-20.", 21),
    ):  # fmt: skip
        model = Scripted(("remind", given))
        step = needle.Agent([remind, dim], model, system=system, clock=lambda: now).run("remind me tomorrow")[0]
        assert (
            model.seen[0].system == told
            and step.arguments["day"] == datetime.date(2026, 11, day)
            and step.call.arguments["day"] == f"2026-11-{day}"
        )
    for tools, clock in (([remind], None), ([dim], lambda: now)):
        model = Scripted(("remind", given) if clock is None else HALL)
        step = needle.Agent(tools, model, clock=clock).run("tomorrow")[0]
        assert model.seen[0].system is None and step.call == model.calls[0]


def test_tomorrow_at_seven_is_a_moment_of_the_calendar():
    def wake(at: datetime.datetime) -> None:
        """Set an alarm."""

    now, model = datetime.datetime(2026, 11, 27, 14, 5), Scripted(("wake", {"at": "2023-01-01T14:05"}))
    (step,) = needle.Agent([wake], model, clock=lambda: now).run("wake me tomorrow at 7")
    assert step.arguments == {"at": datetime.datetime(2026, 11, 28, 7)} and step.status == "done"
    (step,) = needle.Agent([wake], model, clock=None).run("wake me tomorrow at 7")
    assert step.arguments == {"at": datetime.datetime(2023, 1, 1, 14, 5)}


def test_one_call_can_be_awaited_and_a_caller_that_decides_at_once_streams_whole_calls():
    model = Scripted(HALL)
    assert asyncio.run(model.acall("x", [dim], system="It is Monday.")) == [ToolCall(*HALL)]
    assert model.seen[0].system == "It is Monday." and model.seen[0].tools == (dim.spec,)
    piece, whole = model.stream("x", [dim])
    assert (piece.call, piece.name, json.loads(piece.arguments)) == (0, *HALL) and whole == [ToolCall(*HALL)]


def test_a_tool_with_a_schema_of_its_own_is_checked_by_it():
    spec = ToolSpec(
        "send", "", {"type": "object", "properties": {"n": {"type": "integer", "maximum": 5}}, "required": ["n"]}
    )
    agent = needle.Agent(
        [Bound(spec, lambda n: n + 1)], Scripted(("send", {"n": 4}), ("send", {"n": 9}), ("send", {"m": 1}))
    )
    good, large, other = agent.run("x")
    assert good.result == 5 and (large.status, other.status) == ("invalid", "invalid")
    assert large.error == "send: n: 9 is greater than the maximum of 5" and "n: 'n' is required" in other.error
