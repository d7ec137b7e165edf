"""The author's own values: read off any answer, forgiving about form, strict about what belongs where."""

from __future__ import annotations

import json

import pytest

from needle.generate.plan import Plan, PlannedCall
from needle.generate.prompts import read_written, write_body
from needle.generate.stated import Stated, read_reply
from needle.generate.verify import verify_calls
from needle.tools.read import read_tools
from needle.tools.spec import ToolCall

TOOLS = read_tools([
    {"name": "cal.move", "description": "Move an appointment.", "parameters": {"type": "object", "properties": {
        "title": {"type": "string"}, "start": {"type": "string", "format": "time"}, "end": {"type": "string", "format": "time"},
        "day": {"type": "string", "format": "date"}, "minutes": {"type": "integer", "description": "reminder, minutes before"},
        "guests": {"type": "array", "items": {"type": "string"}}, "private": {"type": "boolean"},
        "colour": {"type": "string", "enum": ["dark_red", "blue"]}}, "required": ["title"]}},
    {"name": "message", "description": "Send a text.", "parameters": {"type": "object", "properties": {
        "sender": {"type": "string"}, "receiver": {"type": "string"}}, "required": ["sender", "receiver"]}},
])  # fmt: skip
PLAN = Plan("single", 0, 0, (PlannedCall("cal.move", tuple(TOOLS[0].properties)[1:]),))


def refusals(request, calls, stated, plan=None, facts=None):
    verdict = verify_calls(plan, request, calls, None, TOOLS, facts, stated)
    return [item.code for item in verdict.refusals]


def move(**arguments):
    return ToolCall("cal.move", arguments)


@pytest.mark.parametrize(("request_", "given", "told"), [
    ("move the dentist to half past two in the afternoon", {"start": "14:30"}, {"start": "half past two in the afternoon"}),
    ("move the dentist to half past two in the afternoon", {"start": "14:30"}, {"start": "14:30"}),
    ("dentist on 3 March 2027", {"day": "2027-03-03"}, {"day": "3 March 2027"}),
    ("dentist tomorrow", {"day": "2026-11-28"}, {"day": "tomorrow"}),
    ("dentist, remind me two hours before", {"minutes": 120}, {"minutes": "two hours"}),
    ("dentist, remind me two hours before", {"minutes": 120}, {"minutes": 2}),
    ("dentist, remind me 15 minutes before", {"minutes": 15}, {"minutes": "15"}),
    ("dentist with Zoë and Bob", {"guests": ["Zoë", "Bob"]}, {"guests": ["bob", "zoe"]}),
    ("dentist with Zoë and Bob", {"guests": ["Zoë", "Bob"]}, {"guests": "Zoë and Bob"}),
    ("dentist in dark red", {"colour": "dark_red"}, {"colour": "dark red"}),
    ("dentist, make it private", {"private": True}, {"private": "yes"}),
    ("dentist in blue", {"colour": "blue"}, {}),
    ("dentist", {}, {"colour": "blue"}),
])  # fmt: skip
def test_values_as_said_or_as_meant_agree_and_what_the_request_lacks_is_not_asked_for(request_, given, told):
    facts = "Today is Friday, 27 November 2026."
    stated = (Stated("cal.move", {"title": "the dentist"} | told),)
    assert refusals(request_, [move(title="dentist", **given)], stated, facts=facts) == []


@pytest.mark.parametrize(("given", "told"), [
    ({"start": "10:00", "end": "11:00"}, {"start": "11 am", "end": "10 am"}),
    ({"start": "10:00", "end": "11:00"}, {"start": "11:00", "end": "10:00"}),
    ({"start": "10:00", "end": "11:00", "guests": ["Ann"]}, {"guests": ["Ann", "Bob"]}),
    ({"start": "10:00", "end": "11:00", "guests": ["Ann", "Bob"]}, {"guests": "Ann"}),
    ({"start": "10:00", "end": "11:00", "colour": "blue"}, {"colour": "dark_red"}),
])  # fmt: skip
def test_exchanged_missing_and_other_values_are_refused(given, told):
    request = "move lunch from 10 am to 11 am with Ann and Bob, in blue not dark red"
    stated = (Stated("cal.move", {"title": "lunch"} | told),)
    call = {"guests": ["Ann", "Bob"], "colour": "blue"} | given
    codes = refusals(request, [move(title="lunch", **call)], stated)
    assert codes and set(codes) <= {"author_disagrees", "dropped"}
    assert "author_disagrees" in codes or len(call["guests"]) == 1


def test_a_value_inside_another_is_still_told_apart():
    request = "a text from Aziz to Aziz's studio"
    right, wrong = {"sender": "Aziz", "receiver": "Aziz's studio"}, {"sender": "Aziz's studio", "receiver": "Aziz"}
    stated = (Stated("message", right),)
    assert refusals(request, [ToolCall("message", right)], stated) == []
    assert refusals(request, [ToolCall("message", wrong)], stated) == ["author_disagrees"]


def test_words_that_cannot_be_read_are_no_evidence_either_way():
    call = move(title="lunch", start="11:00", end="10:00")
    for told in ({"start": "soon", "end": "later"}, {}):
        assert refusals("move lunch, from 10 am to 11 am", [call], (Stated("cal.move", {"title": "lunch"} | told),)) == ["swapped"]


def test_calls_of_one_tool_find_their_partners_in_any_order():
    calls = [move(title="lunch", start="12:00"), move(title="dentist", start="15:00")]
    stated = (Stated("cal.move", {"title": "dentist", "start": "3 pm"}), Stated("cal.move", {"title": "lunch", "start": "noon"}))
    request = "lunch at 12 pm and dentist at 3 pm"
    assert refusals(request, calls, stated) == []
    crossed = [move(title="lunch", start="15:00"), move(title="dentist", start="12:00")]
    assert "author_disagrees" in refusals(request, crossed, stated)


def test_a_fault_that_the_request_shows_is_named_alone_so_that_a_repair_gives_nothing_away():
    stated = (Stated("cal.move", {"title": "lunch", "start": "12:00"}),)
    assert "author_disagrees" not in refusals("lunch at noon", [move(title="lunch", start="17:00")], stated)


def test_an_answer_without_readable_values_is_a_message():
    values = [{"tool": "cal_move", "arguments": {"title": "lunch", "day": None}}]
    whole = json.dumps({"message": 'move "lunch"\nplease', "values": values})
    for text in (whole, f"```json\n{whole}\n```", f"Here it is:\n{whole}"):
        written = read_written(PLAN, text, TOOLS)
        assert written.request == 'move "lunch"\nplease' and written.stated == (Stated("cal.move", {"title": "lunch"}),)
    for text in ("move lunch", '{"message": "move lunch", "values": [{"to', '{"message": "move lunch", "values": "none"}'):
        written = read_written(PLAN, text, TOOLS)
        assert written.request == "move lunch" and written.stated is None
    assert read_written(PLAN, '{"message": "SKIP", "values": []}', TOOLS).request == "SKIP"
    assert read_reply('{"message": "cut o')[0] == "" and read_reply("a {brace}") == ("a {brace}", None)


def test_the_labeller_is_never_shown_the_values_and_the_author_is_asked_for_them(run):
    assert '"values"' in write_body(PLAN, TOOLS, 1.0)["messages"][0]["content"]
    report = run(n=20)
    rows = [json.loads(line) for line in (report.out / "rows.jsonl").read_text().splitlines()]
    assert all(row["meta"]["stated"] is True and "values" not in row["query"] for row in rows)
    assert json.loads((report.out / "stats.json").read_text())["generation"]["agreement"]["stated"] >= 20
