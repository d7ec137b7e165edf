"""The lint names each defect once, and leaves a good toolset alone."""

from pathlib import Path

import pytest

from needle.tools import ToolSpec, lint_tools, load_toolset


def spec(name, description="", required=(), **properties):
    return ToolSpec(name, description, {"type": "object", "properties": properties, "required": list(required)})


TEXT = {"type": "string", "description": "a word"}


@pytest.mark.parametrize(
    ("tools", "code", "severity"),
    [
        ([spec("a", "One."), spec("a", "Two things.")], "duplicate_name", "error"),
        ([spec("a", "One.", required=["zz"], x=TEXT)], "required_not_property", "error"),
        (
            [spec("a", "One.", o={"type": "object", "description": "o", "properties": {}, "required": ["q"]})],
            "required_not_property",
            "error",
        ),
        ([spec("a")], "missing_description", "warning"),
        ([spec("set_alarm", "Ring."), spec("set_alarms", "List what rings.")], "look_alike_name", "warning"),
        ([spec("getWeather", "Sun."), spec("get_weather", "Rain or snow.")], "look_alike_name", "warning"),
        ([spec("get_weather", "Sun."), spec("get_whether", "Choice.")], "look_alike_name", "warning"),
        (
            [spec("a", "Send a text message to somebody."), spec("b", "Send a text message to somebody!")],
            "look_alike_description",
            "warning",
        ),
        ([spec("a", "One.", x={"description": "anything"})], "untyped_parameter", "warning"),
        ([spec("a", "One.", x={"type": "string", "enum": ["only"]})], "enum_of_one", "warning"),
        ([spec("a", "One.", x={"type": "string"})], "undescribed_parameter", "info"),
        (
            [spec("a", "One.", x=TEXT), spec("b", "Two things.", x={**TEXT, "description": "other"})],
            "same_parameters",
            "info",
        ),
    ],
)
def test_each_defect_is_found_once_and_alone(tools, code, severity):
    assert [(finding.code, finding.severity) for finding in lint_tools(tools)] == [(code, severity)]
    assert {finding.tools[0] for finding in lint_tools(tools)} <= {tool.name for tool in tools}


def test_opposites_and_tools_without_parameters_are_no_look_alikes():
    pairs = [("lock_door", "unlock_door"), ("enable_wifi", "disable_wifi"), ("create_event", "update_event")]
    for a, b in pairs:
        assert lint_tools([spec(a, "One."), spec(b, "Two other things.")]) == []


def test_errors_come_first():
    tools = [spec("a", "", x={"type": "string"}), spec("b", "Two.", required=["q"])]
    severities = [finding.severity for finding in lint_tools(tools)]
    assert severities == sorted(severities, key=("error", "warning", "info").index) and severities[0] == "error"


def test_references_and_joined_schemas_are_not_called_untyped_or_incomplete():
    tool = ToolSpec(
        "a",
        "One.",
        {
            "type": "object",
            "properties": {"x": {"$ref": "#/$defs/d", "description": "d"}},
            "allOf": [{"properties": {"y": TEXT}}],
            "required": ["y"],
            "$defs": {"d": {"type": "object", "properties": {"k": {"type": "integer"}}, "required": ["k", "gone"]}},
        },
    )
    assert [(f.code, "gone" in f.message) for f in lint_tools([tool])] == [
        ("required_not_property", True),
        ("undescribed_parameter", False),
    ]


TOOLSETS = sorted((Path(__file__).parents[2] / "data" / "toolsets").glob("*.json"))


def test_there_are_eight_toolsets():
    names = {path.stem for path in TOOLSETS}
    assert names == {"home", "phone", "car", "shop", "calendar_mail", "devops", "calculator", "invoice"}


@pytest.mark.parametrize("path", TOOLSETS, ids=lambda path: path.stem)
def test_the_toolsets_of_the_project_read_and_have_no_errors_or_warnings(path):
    tools = load_toolset(path)
    assert 6 <= len(tools) <= 10
    assert [finding for finding in lint_tools(tools) if finding.severity != "info"] == []
    text = path.read_text(encoding="utf-8")
    assert all(word in text for word in ('"enum"', '"integer"', '"array"', '"format"', '"minimum"'))
    assert text.count('"object"') > len(tools), "no nested object"
    assert any(set(tool.properties) - set(tool.required) for tool in tools), "no optional argument"
