"""Likeness of tools: symmetric, whole for the same tool, and never a twin of its contrary."""

from needle.tools.likeness import NEAR, TWIN, alike, opposed, telling_words
from needle.tools.spec import ToolSpec

TOOLS = [
    ToolSpec("order_items", "Order things from a shop. Use track_order to follow it."),
    ToolSpec("place_order", "Order things from a shop, now."),
    ToolSpec("turnOnLight", "Turn on a light."),
    ToolSpec("turn_off_light", "Turn off a light."),
    ToolSpec("set_alarm", "Set an alarm."),
    ToolSpec("delete_alarm", "Delete an alarm."),
    ToolSpec("get_weather", "Weather of a city."),
    ToolSpec("x"),
]


def test_likeness_is_symmetric_and_whole_for_the_same_tool():
    for one in TOOLS:
        assert alike(one, one) == (1.0 if telling_words(one.name) else 0.0)
        for other in TOOLS:
            assert alike(one, other) == alike(other, one) <= 1.0


def test_the_same_thing_under_another_name_is_a_twin():
    assert alike(TOOLS[0], TOOLS[1]) >= TWIN


def test_contraries_are_near_and_no_twins():
    for one, other in ((TOOLS[2], TOOLS[3]), (TOOLS[4], TOOLS[5])):
        assert opposed(one, other) and opposed(other, one) and NEAR <= alike(one, other) < TWIN


def test_tools_of_other_subjects_are_far():
    assert alike(TOOLS[0], TOOLS[6]) < NEAR and alike(TOOLS[2], TOOLS[4]) < NEAR and not opposed(TOOLS[0], TOOLS[6])
