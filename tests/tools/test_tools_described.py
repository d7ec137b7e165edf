"""Formats told in words become formats, values are written as the words tell, and back."""

from __future__ import annotations

import datetime
import random

import pytest

from needle.tools import ToolCall, ToolSpec, is_valid
from needle.tools.described import as_described, as_standard, described, with_formats
from needle.tools.settle import settle
from needle.traces import Trace
from needle.traces.standard import standard

FORMS = {
    "The date, MM/DD/YYYY": ("date", "03/04/2027"),
    "format: YYYY-MM-DD": ("date", "2027-03-04"),
    "yyyy-mm-dd, e.g. 2023-04-05": ("date", "2027-03-04"),
    "Date (DD.MM.YYYY) of it": ("date", "04.03.2027"),
    "D/M/YY": ("date", "4/3/27"),
    "YYYYMMDD": ("date", "20270304"),
    "The day (YYYY-MM-DD). Defaults to today's date.": ("date", "2027-03-04"),
    "By default now; otherwise HH:MM": ("time", "19:05"),
    "The date for the flight, e.g. '2023-04-15'.": ("date", "2027-03-04"),
    "Start time HH:MM": ("time", "19:05"),
    "time in HH:MM AM/PM format": ("time", "07:05 PM"),
    "hh:mma": ("time", "07:05PM"),
    "HH:mm:ss": ("time", "19:05:00"),
    "YYYY-MM-DD HH:MM:SS": ("date-time", "2027-03-04 19:05:00"),
    "YYYY-MM-DDTHH:MM:SSZ": ("date-time", "2027-03-04T19:05:00Z"),
    "ISO: YYYY-MM-DD'T'HH:mm": ("date-time", "2027-03-04T19:05"),
}
STANDARD = {"date": "2027-03-04", "time": "19:05", "date-time": "2027-03-04T19:05"}


def text(words: str, **more: object) -> dict:
    return {"type": "string", "description": words, **more}


@pytest.mark.parametrize("words", FORMS)
def test_a_told_form_is_read_and_written(words: str) -> None:
    form = described(text(words))
    assert form is not None and (form.format, form.write(STANDARD[form.format])) == FORMS[words]
    assert (form.read(FORMS[words][1]) or "").removesuffix(":00") == STANDARD[form.format].removesuffix(":00")
    assert form.write("no value") == "no value" and form.read("no value") is None


def test_every_day_and_minute_comes_back() -> None:
    rng = random.Random(1)
    for _ in range(300):
        moment = datetime.datetime(2000, 1, 1) + datetime.timedelta(minutes=rng.randrange(50_000_000))
        for words, (kind, _) in FORMS.items():
            value = {"date": f"{moment:%Y-%m-%d}", "time": f"{moment:%H:%M}", "date-time": f"{moment:%Y-%m-%dT%H:%M}"}[kind]
            form = described(text(words))
            assert form is not None and (form.read(form.write(value)) or "")[: len(value)] == value or "YY" in words.replace("YYYY", "")


@pytest.mark.parametrize(
    "words",
    ["YYYY-MM-DD or MM/DD/YYYY", "a date YYYY-MM-DD or 'today'", "from YYYY-MM-DD to YYYY-MM-DD", "Month MM/YYYY", "MM/YY", "ADD MM", "the day", "default YYYY-MM-DD of today", "comma-separated YYYY-MM-DD",
     "born 2001-02-03 or 2001-02-04", "as 2023-04-15T10:00", "id 2023-04-15"],
)  # fmt: skip
def test_several_forms_or_none_are_none(words: str) -> None:
    assert described(text(words)) is None


def test_a_schema_that_says_itself_is_left_alone() -> None:
    for more in ({"format": "time"}, {"enum": ["a"]}, {"pattern": "x"}, {"type": "integer"}, {"type": ["string", "integer"]}):
        assert described(text("YYYY-MM-DD", **more)) is None
    assert described(text("YYYY-MM-DD", type=["string", "null"])) is not None
    assert described(True) is None and described({"type": "string", "description": 3}) is None


TOOL = ToolSpec(
    "book", "", {"type": "object", "properties": {"day": text("MM/DD/YYYY"), "stay": {"type": "object", "properties": {"at": text("HH:MM AM/PM")}},
                                                  "others": {"type": "array", "items": text("DD.MM.YYYY")}, "name": text("YYYYMMDD", enum=["x"])}}
)  # fmt: skip
PLAIN = ToolSpec("plain", "YYYY-MM-DD", {"type": "object", "properties": {"note": text("words")}})


def test_tools_get_the_formats_and_those_without_stay_the_same_objects() -> None:
    [book, plain] = with_formats([TOOL, PLAIN])
    properties = book.properties
    assert plain is PLAIN and "format" not in properties["name"] and "format" not in TOOL.properties["day"]
    assert [properties["day"]["format"], properties["stay"]["properties"]["at"]["format"], properties["others"]["items"]["format"]] == ["date", "time", "date"]
    assert with_formats(tools := (PLAIN, PLAIN)) is tools and with_formats(formed := (book, plain)) is formed


def test_calls_go_there_and_back() -> None:
    written = ToolCall("book", {"day": "03/04/2027", "stay": {"at": "07:05 PM"}, "others": ["05.03.2027"], "name": "x"})
    plain = ToolCall("book", {"day": "2027-03-04", "stay": {"at": "19:05"}, "others": ["2027-03-05"], "name": "x"})
    assert as_described([plain, ToolCall("other", {"a": 1})], [TOOL]) == [written, ToolCall("other", {"a": 1})]
    assert as_standard([written], [TOOL]) == [plain] and is_valid([plain], with_formats([TOOL]))
    assert as_standard([ToolCall("book", {"day": "tomorrow"})], [TOOL]) is None


def test_traces_are_seen_in_the_standard_form_where_they_can_be() -> None:
    row = Trace("1", "book it for March 4th 2027", (TOOL,), (ToolCall("book", {"day": "03/04/2027"}),))
    assert standard(row).calls[0].arguments == {"day": "2027-03-04"} and standard(row).tools == with_formats(row.tools)
    odd = Trace("2", "book it for Friday", (TOOL,), (ToolCall("book", {"day": "Friday"}),))
    same = Trace("3", "hello", (PLAIN,), ())
    assert standard(odd) is odd and standard(same) is same


def test_days_are_put_right_in_the_form_that_is_told() -> None:
    wrong = [ToolCall("book", {"day": "03/14/2027", "stay": {"at": "05:00 AM"}})]
    made = settle(wrong, [TOOL], "book it for tomorrow at 7 pm", datetime.date(2027, 3, 4))
    assert made == [ToolCall("book", {"day": "03/05/2027", "stay": {"at": "07:00 PM"}})]
    odd = [ToolCall("book", {"day": "14 March"})]
    assert settle(odd, [TOOL], "book it for tomorrow", datetime.date(2027, 3, 4)) == odd
