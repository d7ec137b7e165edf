"""Formats that descriptions tell, in the browser: read from the same words as in Python, and values written alike."""

from __future__ import annotations

import itertools
import json

import pytest
from playground_helpers import ready, served, spelled_desk

from needle.tools import ToolCall, ToolSpec
from needle.tools.described import as_described, described, with_formats

DAYS = ("YYYY-MM-DD", "MM/DD/YYYY", "dd.mm.yyyy", "D/M/YY", "YYYYMMDD", "MM/YY", "DD MM YYYY")
CLOCKS = ("HH:MM", "hh:mm a", "H:mm:ss", "HH:MM AM/PM", "hh:mmtt", "half")
TEXTS = [*DAYS, *CLOCKS, *(f"{day}{joint}{clock}" for day, joint, clock in itertools.product(DAYS, ("T", " ", "'T'", ", ", "-"), CLOCKS)),
         "YYYY-MM-DDTHH:MM:SSZ", "a date like 2023-04-15", "an id 2023-04-15", "day 2023-04-15T10:00", "YYYY-MM-DD or DD.MM.YYYY", "YYYY-MM-DD, or today", "YYYY-MM-DD, defaults to today.", "Default is now (by default HH:MM) H:mm"]  # fmt: skip
VALUES = ("2027-03-04", "0999-12-31", "19:05", "00:00:09", "12:30", "2027-03-04T00:07", "2027-03-04T12:07:59Z", "soon", "")
SETUP = """(async () => { Object.assign(window, await import("/page/model/described.js")); })()"""


@pytest.fixture(scope="module")
def page(browser, tmp_path_factory):
    with served(spelled_desk(tmp_path_factory.mktemp("desk"))) as url:
        ready(browser, url, SETUP)
        yield browser


def test_forms_and_values_are_those_of_python(page) -> None:
    schemas = [{"type": kind, "description": text} for text in TEXTS for kind in ("string", ["string", "null"])]
    schemas += [{"type": "string", "description": "YYYY-MM-DD", key: "x"} for key in ("format", "pattern", "enum", "const", "default")] + [{"type": "integer", "description": "YYYY-MM-DD"}]
    forms = [described(schema) for schema in schemas]
    assert len({form for form in forms if form}) > 60
    found = page.evaluate(f"{json.dumps(schemas)}.map(one => {{ const form = described(one); return form && [form, {json.dumps(VALUES)}.map(value => written(form, value))]; }})")
    assert found == [form and [{"format": form.format, "template": form.template}, [form.write(value) for value in VALUES]] for form in forms]


def test_tools_and_calls_change_as_in_python(page) -> None:
    deep = {"type": "object", "properties": {"at": {"type": "string", "description": "HH:MM a"}, "no": {"type": "string"}}}
    tool = ToolSpec("meet", "YYYY-MM-DD", {"type": "object", "properties": {"constructor": {"type": "string", "description": "DD.MM.YYYY"}, "deep": deep, "all": {"type": "array", "items": deep}, "any": True}})
    call = ToolCall("meet", {"constructor": "2027-03-04", "deep": {"at": "19:05", "no": "19:05"}, "all": [{"at": "00:05"}, None], "any": "19:05", "toString": "x"})
    tools, calls = json.dumps([tool.to_dict()]), json.dumps([call.to_dict(), {"name": "other", "arguments": {"a": [1]}}])
    assert page.evaluate(f"withFormats({tools})") == [one.to_dict() for one in with_formats([tool])]
    assert page.evaluate(f"asDescribed({calls}, {tools})") == [one.to_dict() for one in as_described([call, ToolCall("other", {"a": [1]})], [tool])]
