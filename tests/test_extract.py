"""``extract``: a text becomes a Pydantic model, or None, or one line that says what does not fit."""

from __future__ import annotations

import datetime
import enum
from collections.abc import Sequence
from typing import Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, field_validator

import needle
from needle.tools import Caller, CallResult, Request, ToolCall, spec_from_model


class Mood(enum.Enum):
    CALM = "calm"
    WILD = "wild"


class Booking(BaseModel):
    """A table at a restaurant."""

    model_config = ConfigDict(strict=True)

    guests: int = Field(ge=1, description="How many people come.")
    day: datetime.date
    wishes: tuple[str, ...] = ()

    @field_validator("wishes")
    @classmethod
    def short(cls, wishes):
        if len(wishes) > 2:
            raise ValueError("too many wishes")
        return wishes


class Fixed(Caller):
    """Gives the same calls to every request."""

    def __init__(self, *arguments: dict[str, Any], name: str = "Booking", error: str | None = None) -> None:
        self.result = CallResult([ToolCall(name, one) for one in arguments], error=error)
        self.seen: list[Request] = []

    def answer(self, requests: Sequence[Request]) -> list[CallResult]:
        self.seen += requests
        return [self.result for _ in requests]


GOOD = {"guests": 4, "day": "2026-05-03", "wishes": ["quiet"]}


def test_the_first_call_becomes_an_instance_even_of_a_strict_model():
    caller = Fixed(GOOD, {"guests": 9, "day": "2026-05-04"})
    found = needle.extract("a table for four", Booking, caller, system="Today is 2026-05-01.")
    assert found == Booking(guests=4, day=datetime.date(2026, 5, 3), wishes=("quiet",))
    request = caller.seen[0]
    assert (request.query, request.system) == ("a table for four", "Today is 2026-05-01.")
    assert request.tools == (spec_from_model(Booking),)


@pytest.mark.parametrize("caller", [Fixed(), Fixed(GOOD, name="other")])
def test_nothing_found_is_none(caller):
    assert needle.extract("hello", Booking, caller) is None


@pytest.mark.parametrize(("change", "words"), [
    ({"guests": 0}, r"guests: Input should be greater than or equal to 1 \(got 0\)"),
    ({"day": "someday"}, "day: Input should be a valid date"),
    ({"wishes": ["a", "b", "c"]}, "wishes: Value error, too many wishes"),
    ({"guests": "4"}, "guests: Input should be a valid integer"),
])  # fmt: skip
def test_what_does_not_fit_is_one_line(change, words):
    with pytest.raises(needle.UserError, match=f"^Booking: what was found does not fit: .*{words}") as caught:
        needle.extract("x", Booking, Fixed(GOOD | change))
    assert "\n" not in str(caught.value)


def test_a_missing_field_is_named():
    with pytest.raises(needle.UserError, match="day: Field required"):
        needle.extract("x", Booking, Fixed({"guests": 1}))


@pytest.mark.parametrize(("text", "kind", "model", "words"), [
    (" ", Booking, Fixed(), "the text is empty"), ("x", int, Fixed(), "no tool; give a function or a Pydantic model"),
    ("x", Booking, Fixed(error="unreadable"), "nothing extracted: unreadable"), ("x", Booking, [], "model is a list"),
    ("x", Booking, "nowhere/at/all", "no checkpoint there"),
])  # fmt: skip
def test_what_cannot_be_done_says_why(text, kind, model, words):
    with pytest.raises(needle.UserError, match=words):
        needle.extract(text, kind, model)


class Leg(BaseModel):
    """A part of a journey."""

    to: str
    by: Literal["train", "plane"] = "train"
    seat: int | None = None


class Journey(BaseModel):
    """A journey."""

    legs: list[Leg]
    leave: datetime.datetime | None = None
    mood: Mood = Mood.CALM


def test_nested_models_lists_options_enums_and_moments_are_filled():
    given = {
        "legs": [{"to": "Ulm"}, {"to": "Rome", "by": "plane", "seat": None}],
        "leave": "2020-01-01T14:05",
        "mood": "wild",
    }
    facts = needle.clock_facts(datetime.datetime(2026, 11, 27, 14, 5))
    found = needle.extract(
        "to Ulm tomorrow at 7:30, then fly to Rome", Journey, Fixed(given, name="Journey"), system=facts
    )
    legs = [Leg(to="Ulm"), Leg(to="Rome", by="plane")]
    assert found == Journey(legs=legs, leave=datetime.datetime(2026, 11, 28, 7, 30), mood=Mood.WILD)
    words = r"Journey: what was found does not fit: legs.1.by: Input should be 'train' or 'plane' \(got \"boat\"\)"
    with pytest.raises(needle.UserError, match=words):
        needle.extract("x", Journey, Fixed({"legs": [{"to": "A"}, {"to": "B", "by": "boat"}]}, name="Journey"))


def test_all_that_a_text_speaks_of_comes_in_order():
    more = GOOD | {"guests": 9}
    assert [booking.guests for booking in needle.extract_all("two tables", Booking, Fixed(GOOD, more))] == [4, 9]
    assert needle.extract_all("hello", Booking, Fixed()) == []
