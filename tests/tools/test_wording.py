"""Values in words: whatever is spoken is read back."""

from __future__ import annotations

import datetime

import pytest

from needle.tools.grounding.hearing import hear
from needle.tools.grounding.units import converted
from needle.tools.grounding.wording import number_words, readings, spoken_date, spoken_time


def _values(text: str, kind: str) -> list:
    return [reading.value for reading in readings(text) if reading.kind == kind]


def test_every_spoken_time_is_read_back_as_itself_and_first():
    for hour in range(24):
        for minute in range(0, 60, 5):
            time = f"{hour:02d}:{minute:02d}"
            for form in spoken_time(time):
                assert _values(f"wake me at {form} then", "time")[0] == time, form


def test_every_spoken_date_is_read_back_as_itself():
    first = datetime.date(2027, 1, 1)
    for offset in range(0, 400, 3):
        date = (first + datetime.timedelta(offset)).isoformat()
        for form in spoken_date(date):
            assert date in _values(f"book it on {form} please", "date"), form


def test_number_words_are_read_back():
    for number in [*range(0, 130), 200, 999, 1000, 1234, 45_000, 999_999]:
        assert number in _values(f"set it to {number_words(number)} now", "number")


def test_half_past_six_without_part_of_day_may_mean_both():
    assert _values("wake me at half past six", "time") == ["06:30", "18:30"]
    assert _values("wake me at half past six in the evening", "time") == ["18:30"]


@pytest.mark.parametrize(("text", "kind", "value"), [
    ("it costs 1,250.50", "number", 1250.5), ("about 3k", "number", 3000),
    ("minus? no, -5", "number", -5), ("raise it by .21", "number", 0.21), ("-.5 volts", "number", -0.5),
    ("on 3 March 2027", "date", "2027-03-03"), ("March 3rd", "date", "-03-03"), ("at noon", "time", "12:00"),
    ("7 o'clock in the evening", "time", "19:00"),
])  # fmt: skip
def test_readings_of_usual_forms(text, kind, value):
    assert value in _values(text, kind)


def test_spans_point_at_what_was_read():
    text = "dim the hall to forty percent"
    (reading,) = readings(text)
    assert text[reading.start : reading.end] == "forty"


def test_text_that_is_no_time_or_date_has_no_spoken_form():
    assert spoken_time("soon") == [] and spoken_date("2027-13-40") == []


@pytest.mark.parametrize(("text", "kind", "value"), [
    ("ſix seven", "number", 67), ("a fıve of them", "number", 5), ("\u212a 5 \u212ag", "number", 5), ("١٢ km", "number", 12),
    ("at ०६:३०", "time", "06:30"), ("on ３ May", "date", "-05-03"), ("5.6.2027", "date", "2027-06-05"),
])  # fmt: skip
def test_letters_and_digits_of_other_scripts_are_heard_like_those_of_english(text, kind, value):
    assert value in [item.value for item in hear(text) if item.kind == kind]


def test_micrometres_are_a_unit():
    assert [item.units for item in hear("5 µm") if item.units] == [(("length", 1e-6),)]


@pytest.mark.parametrize("text", ["one " * 400 + "kilos and a half", "hundred " * 160 + "km", "in 99999999999 days", "9" * 40, "1e999 km", "tomorrow"])
def test_no_request_is_too_much_to_hear(text):
    for item in hear(text, datetime.date.max):
        assert item.kind != "number" or all(converted(item.value, unit, unit) is not None for unit in item.units)


def test_a_full_stop_before_digits_is_no_number_within_words_and_versions():
    for text in ("see no.5", "file.5", "build 3..7"):
        assert not any(isinstance(value, float) for value in _values(text, "number")), text
