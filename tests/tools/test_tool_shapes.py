"""Every known shape of a tool becomes the same ``ToolSpec``; every bad toolset file is one line naming it."""

import json

import pytest

from needle.errors import UserError
from needle.tools import ToolSpec, load_toolset, read_tools, read_tools_with_notes

SCHEMA = {"type": "object", "properties": {"city": {"type": "string", "description": "town"}}, "required": ["city"]}
SPEC = ToolSpec("get_weather", "Weather of a town.", SCHEMA)
HEAD = {"name": SPEC.name, "description": SPEC.description}


@pytest.mark.parametrize(
    "shape",
    [
        SPEC,
        {**HEAD, "parameters": SCHEMA},
        {"type": "function", "function": {**HEAD, "parameters": SCHEMA}},
        {"type": "function", **HEAD, "parameters": SCHEMA},
        {**HEAD, "inputSchema": SCHEMA},
        {**HEAD, "input_schema": SCHEMA},
        {**HEAD, "parameters": json.dumps(SCHEMA)},
        {"title": SPEC.name, "description": SPEC.description, **SCHEMA},
        {**HEAD, "parameters": {"city": {"type": "string", "description": "town", "required": True}}},
        {**HEAD, "parameters": {**SCHEMA, "type": "dict"}},
        {**HEAD, "parameters": {"city": {"type": "str", "description": "town"}}},
    ],
)
def test_every_shape_gives_the_same_tool(shape):
    assert read_tools([shape]) == [SPEC]


def test_reading_what_was_read_changes_nothing():
    tools = read_tools([{"name": "a", "parameters": {"x": {"type": "float", "required": False}}}, SPEC])
    assert read_tools(tools) == tools
    assert read_tools([tool.to_dict() for tool in tools]) == tools


@pytest.mark.parametrize("missing", [{}, {"parameters": None}, {"parameters": {}}])
def test_no_parameters_is_an_empty_object(missing):
    assert read_tools([{"name": "ping", **missing}])[0].parameters == {"type": "object", "properties": {}}


@pytest.mark.parametrize(
    ("name", "schema"),
    [
        ("dict", {"type": "object"}),
        ("float", {"type": "number"}),
        ("tuple", {"type": "array"}),
        ("any", {}),
        ("List[int]", {"type": "array", "items": {"type": "integer"}}),
        ("Dict[str, float]", {"type": "object", "additionalProperties": {"type": "number"}}),
        (
            "List[Dict[str, int]]",
            {"type": "array", "items": {"type": "object", "additionalProperties": {"type": "integer"}}},
        ),
        ("Optional[bool]", {"type": "boolean"}),
        ("Union[int, float]", {}),
        ("Tuple[float, float]", {"type": "array", "items": {"type": "number"}}),
    ],
)
def test_foreign_types_become_json_schema(name, schema):
    tool = read_tools([{"name": "f", "parameters": {"type": "dict", "properties": {"x": {"type": name}}}}])[0]
    assert tool.properties["x"] == schema


def test_foreign_types_are_translated_at_every_depth():
    deep = {
        "type": "dict",
        "properties": {"a": {"type": "array", "items": {"type": "dict", "properties": {"b": {"type": "float"}}}}},
    }
    tool = read_tools([{"name": "f", "parameters": deep}])[0]
    assert tool.properties["a"]["items"] == {"type": "object", "properties": {"b": {"type": "number"}}}


def test_a_parameter_called_type_or_required_is_a_parameter():
    flat = {"type": {"type": "string", "required": True}, "required": {"type": "boolean", "required": False}}
    tool = read_tools([{"name": "f", "parameters": flat}])[0]
    assert list(tool.properties) == ["type", "required"]
    assert tool.required == ("type",)


def test_required_flags_inside_properties_are_hoisted():
    schema = {
        "type": "object",
        "properties": {"a": {"type": "string", "required": True}, "b": {"type": "string", "required": False}},
    }
    assert read_tools([{"name": "f", "parameters": schema}])[0].required == ("a",)


def test_optional_and_default_make_flat_parameters_optional():
    flat = {"a": {"type": "str"}, "b": {"type": "str, optional"}, "c": {"type": "int", "default": 3}}
    tool = read_tools([{"name": "f", "parameters": flat}])[0]
    assert tool.required == ("a",)
    assert tool.properties["b"] == {"type": "string"}


def test_what_is_lost_or_guessed_is_noted():
    item = {
        "type": "function",
        "function": {"name": "f", "strict": True, "parameters": {"p": {"type": "tuple"}, "q": {"type": "any"}}},
    }
    _, notes = read_tools_with_notes([item])
    text = "\n".join(notes)
    assert all(note.startswith("f: ") for note in notes)
    assert all(
        word in text for word in ("'strict' dropped", "fixed length", "'any' became no type", "p, q must be given")
    )
    assert read_tools_with_notes([SPEC.to_dict()])[1] == []


def test_a_root_reference_is_written_out():
    schema = {
        "$ref": "#/$defs/A",
        "$defs": {"A": {"type": "object", "properties": {"a": {"$ref": "#/$defs/B"}}}, "B": {"type": "string"}},
    }
    tool = read_tools([{"name": "f", "parameters": schema}])[0]
    assert tool.properties == {"a": {"$ref": "#/$defs/B"}}
    assert tool.parameters["$defs"]["B"] == {"type": "string"}


TOOL = '{"name": "a", "parameters": {"type": "object", "properties": {}}}'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        ("  \n", "empty"),
        ("[]", "empty"),
        ('[{"name": "a",\n  oops}]', "line 2, column 3"),
        ('"tools"', "not a list"),
        ('{"name": "a"}', "not a list"),
        ("[1]", "int is no tool"),
        ('[{"description": "x"}]', "no name"),
        ('[{"name": 3}]', "not a string"),
        ('[{"name": ""}]', "name is empty"),
        ('[{"name": "a{b"}]', "'{'"),
        ('[{"name": "a\\nb"}]', r"'\n'"),
        ('[{"name": "a\\u0007"}]', r"'\x07'"),
        ('[{"name": " a"}]', "space at its edge"),
        (json.dumps([{"name": "x" * 257}]), "at most 256"),
        (f"[{TOOL}, {TOOL}]", "'a' is also the name of tool 1"),
        ('[{"name": "a", "parameters": {"type": "strin"}}]', "no JSON Schema"),
        (
            '[{"name": "a", "parameters": {"type": "object", "properties": {"p": {"type": "strng"}}}}]',
            "properties.p.type",
        ),
        ('[{"name": "a", "parameters": {"type": "object", "required": "p"}}]', "at required"),
        ('[{"name": "a", "parameters": {"type": "object", "properties": {"p": {"minimum": "3"}}}}]', "no JSON Schema"),
        ('[{"name": "a", "parameters": {"type": "string"}}]', "must be of type 'object'"),
        ('[{"name": "a", "parameters": [1]}]', "parameters are a list"),
        ('[{"name": "a", "parameters": "{"}]', "no JSON"),
        (
            '[{"name": "a", "parameters": {"type": "object", "properties": {"p": {"$ref": "#/$defs/P"}}}}]',
            "points at nothing",
        ),
        (
            '[{"name": "a", "parameters": {"type": "object", "properties": {"p": {"$ref": "http://x/y"}}}}]',
            "leaves the tool",
        ),
        ('[{"name": "a", "parameters": {"type": "object", "properties": {"p": {"pattern": "["}}}}]', "cannot be used"),
        ('[{"type": "web_search"}]', "hosted tool"),
        ('[{"name": "a", "description": 4}]', "description is not text"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_a_bad_file_is_one_line_with_the_file_and_what_is_wrong(tmp_path, text, words):
    path = tmp_path / "tools.json"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        load_toolset(path)
    message = str(caught.value)
    assert message.startswith(str(path)) and words in message and "\n" not in message


def test_a_missing_or_binary_file_or_a_folder_is_one_line(tmp_path):
    binary = tmp_path / "b.json"
    binary.write_bytes(b"\xff\xfe\x00\x81")
    for path, words in ((tmp_path / "no.json", "no such file"), (binary, "UTF-8"), (tmp_path, "cannot be read")):
        with pytest.raises(UserError, match=words):
            load_toolset(path)


def test_a_file_may_hold_a_list_or_an_object_with_tools(tmp_path):
    for text in (f"[{TOOL}]", f'{{"tools": [{TOOL}]}}', f"\ufeff[{TOOL}]"):
        path = tmp_path / "tools.json"
        path.write_text(text, encoding="utf-8")
        assert [tool.name for tool in load_toolset(path)] == ["a"]


@pytest.mark.parametrize("source", ["get_weather", SPEC.to_dict(), 3, SPEC])
def test_a_single_tool_or_text_is_not_a_list_of_tools(source):
    with pytest.raises(UserError, match="must be a list"):
        read_tools(source)


@pytest.mark.parametrize("name", ["a.b-c_d", "Straße", "天気", "get weather", "x" * 256])
def test_names_with_dots_dashes_and_letters_of_any_script_are_fine(name):
    assert read_tools([{"name": name}])[0].name == name


def test_names_of_types_in_place_of_schemas_are_read_as_types_and_told():
    flat = {"host": "string", "port": "int", "tags": "List[str]", "note": "str, optional"}
    (tool,), notes = read_tools_with_notes([{"name": "f", "parameters": flat}])
    assert {name: value["type"] for name, value in tool.properties.items()} == {"host": "string", "port": "integer", "tags": "array", "note": "string"}
    assert tool.parameters["required"] == ["host", "port", "tags"]
    assert any("host, port, tags, note" in note and "name of a type" in note for note in notes)
    (tool,) = read_tools([{"name": "f", "parameters": {"host": "the host to reach"}}])
    assert tool.properties == {}  # words are no type


def test_listed_values_that_no_value_of_the_type_can_meet_are_read_as_they_were_meant():
    given = {"kinds": {"type": "array", "items": {"type": "string"}, "enum": ["a", "b"]}, "seats": {"type": "integer", "enum": ["1", "2"]}, "rate": {"type": "number", "enum": ["0.5", "2"]}}
    [tool], notes = read_tools_with_notes([{"name": "book", "parameters": {"type": "object", "properties": given}}])
    assert tool.properties["kinds"] == {"type": "array", "items": {"type": "string", "enum": ["a", "b"]}}
    assert tool.properties["seats"]["enum"] == [1, 2] and tool.properties["rate"]["enum"] == [0.5, 2]
    assert len(notes) == 3 and "kinds" in notes[0] and "items" in notes[0]
    fine = {"pairs": {"type": "array", "enum": [["a"], ["b"]]}, "code": {"type": "string", "enum": ["1"]}, "mixed": {"type": "integer", "enum": [1, "x"]}}
    assert read_tools_with_notes([{"name": "book", "parameters": {"type": "object", "properties": fine}}])[1] == []
