"""Values are traced however they are said, in the unit that is wanted; what is dropped, exchanged or misread is seen."""

from __future__ import annotations

import pytest

from needle.generate.dropped import dropped
from needle.generate.intent import intent_refusals, same_value
from needle.generate.plan import Plan, PlannedCall
from needle.generate.swapped import swapped
from needle.tools.grounding.ground import ground_calls
from needle.tools.grounding.hearing import today_in
from needle.tools.grounding.said import by_code, said
from needle.tools.spec import ToolCall, ToolSpec

TEXT, NUMBER, WHOLE = {"type": "string"}, {"type": "number"}, {"type": "integer"}


def grounding(value, schema, request, name="v", facts=None):
    tool = ToolSpec("t", "", {"type": "object", "properties": {name: schema}})
    return ground_calls([ToolCall("t", {name: value})], [tool], request, facts)[0]


@pytest.mark.parametrize(("value", "schema", "request_", "name", "span"), [
    (300, WHOLE, "a timer for five minutes", "seconds", "five minutes"), (5, WHOLE, "a timer for five minutes", "minutes", "five minutes"),
    (80, WHOLE, "an hour and twenty minutes", "duration_min", "an hour and twenty minutes"), (90, WHOLE, "an hour and a half of yoga", "minutes", None),
    (0.3, NUMBER | {"description": "Fraction between 0 and 1."}, "hold out 30% for testing", "test_size", "30%"),
    (1250, WHOLE, "pay him 12.50", "amount_cents", "12.50"), (0.5, NUMBER | {"description": "Kilograms."}, "a 500 g football", "mass", "500 g"),
    (25, WHOLE, "show it to a quarter of our users", "percent", None), (1984, WHOLE, "in nineteen eighty four", "year", "nineteen eighty four"),
    (502, WHOLE, "room five oh two", "room", "five oh two"), (2.1, NUMBER, "at two point one", "rate", "two point one"),
    (2, WHOLE, "pay the second installment", "installment", "second"), (500000, WHOLE, "half a million please", "principal", "half a million"),
    (1.5, NUMBER, "one minute and thirty seconds", "minutes", "one minute and thirty seconds"), (32, NUMBER, "0 C frost alert", "fahrenheit", None),
    (-30, WHOLE, "minus 30 degrees", "deg", None), (12, WHOLE, "zwölf Minuten bitte", "minuten", None), (70, WHOLE, "soixante-dix euros", "montant", None),
    ("San José", TEXT, "weather in san jose", "city", "san jose"), ("Köln", TEXT, "KOELN? no, köln", "city", "köln"),
    ("AKL", TEXT, "from auckland to sydney", "iata", "auckland"), ("GBP", TEXT, "a fine of £70", "currency", "£"), ("name", TEXT, "names of students", "column", "names"),
    ("Salem, MA", TEXT, "movies in salem massachusetts", "city", "salem"), ("Europe/Berlin", TEXT, "at 18:00 in Berlin", "zone", "Berlin"),
    ("2027-09-05", TEXT, "from 5 to 8 sept 2027", "from", None), ("07:50", TEXT, "alarm at ten to eight in the morning", "at", None),
    ("09:00", TEXT, "somewhere quiet between nine and one", "from", "nine"), ("2026-11", TEXT, "run november 2026 payroll", "month", "november 2026"),
    ("2027-01-01", TEXT, "eclipses in 2027", "from", "2027"),
])  # fmt: skip
def test_values_are_traced_to_the_words_that_say_them(value, schema, request_, name, span):
    found = grounding(value, schema, request_, name)
    assert found.grounded and (span is None or request_[slice(*found.span)] == span)


@pytest.mark.parametrize(("value", "schema", "request_", "name"), [
    (5, WHOLE, "a timer for five minutes", "seconds"), (300, WHOLE, "a timer for five minutes", "minutes"), (30, NUMBER | {"maximum": 1}, "hold out 25%", "test_size"),
    (-20, WHOLE, "set it to 20", "level"), (1800, WHOLE, "18 euros", "price"), (18000, NUMBER, "18 kg of bread", "kg"), (0.009, NUMBER | {"maximum": 1}, "threshold 0.9", "threshold"),
    ("15:05", TEXT, "alarm at 3:05 in the morning", "at"), ("18:20", TEXT, "wake me at 06:20", "at"), ("2028-06-01", TEXT, "on 1 June 2027", "date"),
    ("2027-05-04", TEXT, "on the 5th of April 2027", "date"), ("Lyon", TEXT, "weather in Leon", "city"), ("SYD", TEXT, "from auckland to perth", "iata"),
])  # fmt: skip
def test_a_wrong_form_or_an_invented_value_is_not_traced(value, schema, request_, name):
    assert not grounding(value, schema, request_, name).grounded


def test_relative_dates_count_from_the_date_among_the_facts():
    facts = "Today is Tuesday, 2027-05-04."
    assert today_in(facts).isoformat() == "2027-05-04" and today_in("no date") is None
    for value, request in [("2027-05-05", "remind me tomorrow"), ("2027-05-07", "on friday"), ("2027-05-18", "in two weeks"), ("2027-05-03", "what was yesterday")]:
        assert grounding(value, TEXT, request, facts=facts).how == "normalised", request
    assert not grounding("2027-05-06", TEXT, "remind me tomorrow", facts=facts).grounded and not grounding("2027-05-05", TEXT, "remind me tomorrow").grounded
    assert grounding("Graz", TEXT, "trains from here", facts="You are in Graz.").how == "facts"


def test_spans_survive_letters_that_fold_to_two():
    request = "Straße 5 and Ærø please"
    assert request[slice(*said("aero", request))] == "Ærø" and request[slice(*said("strasse", request))] == "Straße"
    assert by_code("NZD", "in New Zealand dollars") and not by_code("XYZ", "in New Zealand dollars")


def _tool(name="t", required=(), **properties):
    return ToolSpec(name, "", {"type": "object", "properties": properties, "required": list(required)})


ALARM = _tool("set_alarm", ["time"], time=TEXT | {"format": "time"}, label=TEXT, volume=WHOLE | {"minimum": 0, "maximum": 10},
              days={"type": "array", "items": TEXT}, mode={"type": "string", "enum": ["vibrate", "loud"]})  # fmt: skip


@pytest.mark.parametrize(("request_", "arguments", "lost"), [
    ("alarm at 7:30 with volume 5", {"time": "07:30"}, "5"), ("alarm at 7:30 with volume 5", {"time": "07:30", "volume": 5}, None),
    ("alarm at 7:30 called 'Gym time'", {"time": "07:30"}, "'Gym time'"), ("alarm at 7:30, loud", {"time": "07:30"}, "loud"),
    ("alarm at 7:30 on A1, B2 and C3", {"time": "07:30", "days": ["A1", "C3"]}, "B2"), ("alarm at 7:30 on A1 and B2", {"time": "07:30", "days": ["A1", "B2"]}, None),
    ("alarm at 7:30, no wait, not 6 but 7:30", {"time": "07:30"}, None), ("alarm at 7:30 for the three of us", {"time": "07:30"}, None),
])  # fmt: skip
def test_what_the_request_states_and_the_calls_omit_is_found(request_, arguments, lost):
    found = dropped([ToolCall("set_alarm", arguments)], [ALARM], request_)
    assert [item.text for item in found] == ([lost] if lost else [])


@pytest.mark.parametrize(("request_", "arguments", "is_swapped"), [
    ("trains from Graz to Linz", {"origin": "Linz", "destination": "Graz"}, True), ("trains from Graz to Linz", {"origin": "Graz", "destination": "Linz"}, False),
    ("to Linz from Graz", {"origin": "Graz", "destination": "Linz"}, False), ("closed from 2027-01-05 until 2027-01-09", {"start": "2027-01-09", "end": "2027-01-05"}, True),
])  # fmt: skip
def test_exchanged_values_are_seen_by_the_words_beside_them(request_, arguments, is_swapped):
    tool = _tool("t", **{name: TEXT for name in arguments})
    assert bool(swapped([ToolCall("t", arguments)], [tool], request_)) == is_swapped


def test_a_label_is_held_against_its_plan():
    plan = Plan("single", 0, 1, (PlannedCall("set_alarm", ("label", "mode"), {"mode": "loud"}, suggest={"label": "Gym"}),))

    def codes(**arguments):
        calls = [ToolCall("set_alarm", arguments)]
        return [item.code for item in intent_refusals(plan, calls, [ALARM], ground_calls(calls, [ALARM], "loud gym alarm at 7"))]

    assert codes(time="07:00", label="gym", mode="loud") == [] and codes(time="07:00", label="gym") == ["plan_omits"]
    assert codes(time="07:00", label="gym", mode="vibrate") == ["plan_value"]
    assert codes(time="07:00", label="gym", mode="loud", volume=3) == ["plan_extra"]


def test_a_value_meant_for_another_argument_is_exchanged():
    tool = _tool("send", ["to", "text"], to=TEXT, text=TEXT)
    plan = Plan("single", 0, 1, (PlannedCall("send", suggest={"text": "running late"}),))
    calls = [ToolCall("send", {"to": "running late", "text": "Ann"})]
    assert [item.code for item in intent_refusals(plan, calls, [tool], [])] == ["plan_exchanged"]
    assert intent_refusals(plan, [ToolCall("send", {"to": "Ann", "text": "something else"})], [tool], []) == []


def test_planned_values_are_recognised_in_the_labels_words():
    assert same_value("the Living Room", "living room") and same_value(5, 5.0) and not same_value(True, 1) and not same_value("hall", "kitchen")
