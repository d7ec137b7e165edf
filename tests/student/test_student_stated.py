"""What a request states of a number or text that is being written."""

from __future__ import annotations

import pytest

from needle.student.leaning import open_value
from needle.student.stated import OpenValue, Stated
from needle.tools import Request, ToolSpec

TOOL = ToolSpec("trip", "", {"type": "object", "properties": {
    "distance_km": {"type": "number"}, "people": {"type": ["integer", "null"]}, "stops": {"type": "array", "items": {"type": "string"}},
    "marks": {"type": "array", "items": {"type": "integer"}}, "note": {"type": "string"}, "level": {"type": "integer", "enum": [1, 2]},
    "more": {"type": "object", "properties": {"note": {"type": "string"}}}}})  # fmt: skip


def judged(query: str, written: str, *tokens: str) -> list[str]:
    """Said, unit, fresh of each token as letters."""
    value = open_value(written, TOOL)
    assert value is not None
    found = Stated(Request(query, (TOOL,))).features(value, tokens)
    return ["".join(letter for letter, yes in zip("suf", row[:3], strict=True) if yes) for row in found]


def test_a_number_is_said_as_long_as_one_of_the_request_begins_so() -> None:
    query = "five of us, 450000 steps, 12 km"
    assert judged(query, 'trip{"distance_km":', "1", "4", "5", "7", "-") == ["suf", "sf", "sf", "", "suf"]
    assert judged(query, 'trip{"distance_km":12', "}", "0", ",\"") == ["suf", "", "suf"]
    assert judged(query, 'trip{"distance_km":450000', "0", "}") == ["", "sf"]
    assert judged(query, 'trip{"distance_km":12,"people":', "1", "5") == ["s", "sf"]  # another argument has 12
    assert judged("two and a half miles", 'trip{"distance_km":', "4", "2", "3") == ["suf", "sf", ""]


def test_a_text_is_said_from_the_start_of_a_word_to_the_end_of_one() -> None:
    query = "take Ann-Lee to Köln and São Paulo at half past four pm"
    assert judged(query, 'trip{"note":"', "Ann", "nn", "Koln", "x") == ["s", "", "s", ""]
    assert judged(query, 'trip{"note":"Ann', '"}', "-", "a", '","') == ["sf", "s", "", "sf"]
    assert judged(query, 'trip{"note":"K', '"}', "öl", "oln") == ["", "s", "s"]
    assert judged(query, 'trip{"note":"16', ":", ".") == ["s", ""]
    assert judged(query, 'trip{"stops":["Köln","', "Köln", 'Köln"]', 'São Paulo"') == ["s", "s", "sf"]
    assert judged(query, 'trip{"note":"', '"}') == [""]


@pytest.mark.parametrize(("written", "found"), [
    ('trip{"distance_km":1', OpenValue(True, "distance_km", {"type": "number"}, "1", frozenset(), TOOL)),
    ('trip{"people":', OpenValue(True, "people", {"type": ["integer", "null"]}, "", frozenset(), TOOL)),
    ('trip{"marks":[1,2', OpenValue(True, "marks", TOOL.properties["marks"], "2", frozenset(), TOOL)),
    ('trip{"note":', None), ('trip{"level":', None), ('trip{"more":{"note":"a', None), ('trip{"people":3}', None), ('trip{"unknown":3', None),
])  # fmt: skip
def test_an_open_value_is_a_number_or_text_of_a_parameter(written: str, found: OpenValue | None) -> None:
    value = open_value(written, TOOL)
    assert (value is None) == (found is None)
    assert value is None or found is None or value[:4] == found[:4]


def test_earlier_turns_count_and_nothing_said_is_nothing_stated() -> None:
    value = open_value('trip{"people":', TOOL)
    request = Request("the same again", (TOOL,), messages=({"role": "user", "content": "a table for 14"},))
    assert Stated(request).features(value, ["1"])[0, 0] == 1
    assert Stated(Request("", (TOOL,))).features(value, ["1", ""])[:, 0].tolist() == [0, 0]


@pytest.mark.parametrize(("written", "tokens", "asked"), [
    ('trip{"distance_km":12', (',"', "0", "}", ',"peop', ',"more', ","), ("people", 0, 0, "people", 0, "people")),
    ('trip{"distance_km":1,"note":"x', ('","', '"}', '"', "y"), (0, 0, 0, 0)),
    ('trip{"people":2,"stops":["a', ('","', '"],"', '"]}'), (0, "note", 0)),
    ('trip{"people":2,"marks":[1', (",", '],"', "]}"), (0, "note", 0)),
])  # fmt: skip
def test_a_further_argument_is_asked_for_by_its_words(written: str, tokens: tuple[str, ...], asked: tuple[str | int, ...]) -> None:
    stated, value = Stated(Request("twelve km for two people with a note", (TOOL,))), open_value(written, TOOL)
    found = stated.features(value, tokens)[:, 3]
    scores = stated.later(open_value('trip{"distance_km":', TOOL))
    assert scores["people"] > 0 < scores["note"] and not scores["stops"]
    best = max(scores.values())
    expected = [0 if one == 0 else best if one == "people" and tokens[place].rstrip('"') == "," else scores[one] for place, one in enumerate(asked)]
    assert found.tolist() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("query", ["9" * 400, "9" * 320 + " and a half million", "5" + ",000" * 200 + " hundred", "1" + "0" * 310 + " km", "1e999 and -1e999", "0." + "0" * 400 + "1", "\ud800 \x00", "½ ٣ 三 km"])
def test_no_request_breaks_the_features(query: str) -> None:
    stated = Stated(Request(query, (TOOL,)))
    for written in ('trip{"distance_km":', 'trip{"note":"', 'trip{"note":"9'):
        assert stated.features(open_value(written, TOOL), ["1", "9", '"}', ",", "", "\ufffd"]).shape == (6, 4)
