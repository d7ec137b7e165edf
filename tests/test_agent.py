"""``Agent``: arguments checked and converted before anything runs, each call reported on its own, memory that ends."""

from __future__ import annotations

import datetime
import enum
import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

import needle
from needle.tools import Caller, CallResult, Request, ToolCall


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


async def later() -> None:
    """Not now."""


@pytest.mark.parametrize(("tools", "options", "words"), [
    ([], {}, "no tools"), ([dim, dim], {}, "two tools are called 'dim'"), ([Place], {}, "Place cannot be executed"),
    ([dim.spec], {}, "cannot be executed"), ([later], {}, "async"), ([dim], {"model": 3}, "model is a int"),
    ([dim], {"turns": -1}, "turns is -1"),
])  # fmt: skip
def test_what_cannot_be_an_agent_is_said_at_once(tools, options, words):
    with pytest.raises(needle.UserError, match=words):
        needle.Agent(tools, **({"model": Scripted()} | options))


def test_an_empty_request_is_refused():
    with pytest.raises(needle.UserError, match="the request is empty"):
        needle.Agent([dim], Scripted()).run(" ")
