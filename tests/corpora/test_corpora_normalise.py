"""Numbers and times as people say them: certain readings become values, uncertain ones none."""

from __future__ import annotations

import pytest

from needle.corpora.normalise import as_integer, as_number, as_time

INTEGERS = {"25": 25, "1,200": 1200, "twenty five": 25, "two hundred and five": 205, "a hundred": 100, "ten thousand": 10000, "a dozen": 12, "fifty-six": 56}
NUMBERS = {"2.5": 2.5, "two point five": 2.5, "three and a half": 3.5, "20%": 20, "$1,350": 1350, "twenty percent": 20, "15 dollars": 15}
TIMES = {
    "5 pm": "17:00", "seven thirty am": "07:30", "half past six in the evening": "18:30", "quarter to nine pm": "20:45", "17:30": "17:30", "noon": "12:00",
    "12 am": "00:00", "12:30 p.m.": "12:30", "ten oh five am": "10:05", "11 at night": "23:00", "6 in the morning": "06:00", "at 9:15 pm": "21:15",
}  # fmt: skip


@pytest.mark.parametrize(("text", "value"), INTEGERS.items())
def test_whole_numbers_in_words_and_digits_are_read(text, value):
    assert as_integer(text) == value


@pytest.mark.parametrize(("text", "value"), NUMBERS.items())
def test_decimals_shares_and_money_are_read(text, value):
    assert as_number(text) == value


@pytest.mark.parametrize(("text", "value"), TIMES.items())
def test_times_with_a_certain_half_of_the_day_are_read(text, value):
    assert as_time(text) == value


@pytest.mark.parametrize("text", ["six thirty", "6:15", "five", "fifty seconds", "13 am", "25:00", "tomorrow", "3 at night", "half past"])
def test_what_may_be_morning_or_evening_or_no_time_at_all_is_no_time(text):
    assert as_time(text) is None


@pytest.mark.parametrize("text", ["five six", "a", "several", "twenty thirty", "hundred", ""])
def test_what_is_no_number_is_none(text):
    assert as_integer(text) is None
