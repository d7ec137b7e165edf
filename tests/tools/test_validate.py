"""Violations have the right code and place; the fast validator and the reference agree on everything."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from needle.errors import UserError
from needle.tools import ToolCall, ToolSpec, is_valid, load_toolset, validate_calls
from needle.tools.formats import FORMATS
from needle.traces import read_traces

DATA = Path(__file__).parents[2] / "data"

POINT = {"type": "object", "properties": {"lat": {"type": "number"}, "lon": {"type": "number"}}, "required": ["lat"]}
BOOK = ToolSpec(
    "book",
    "",
    {
        "type": "object",
        "properties": {
            "n": {"type": "integer", "minimum": 1, "maximum": 9},
            "kind": {"enum": ["a", "b"]},
            "code": {"type": "string", "pattern": "^[A-Z]{3}$"},
            "day": {"type": "string", "format": "date"},
            "tags": {"type": "array", "items": {"type": "string"}, "minItems": 1, "uniqueItems": True},
            "where": {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/point"}]},
            "maybe": {"anyOf": [POINT, {"type": "null"}]},
            "at": {"$ref": "#/$defs/point"},
            "free": {"type": "object"},
            "open": {
                "type": "object",
                "properties": {"x": {"type": "integer"}},
                "additionalProperties": {"type": "string"},
            },
            "on": {"type": "boolean"},
            "fixed": {"const": 3},
        },
        "required": ["n"],
        "$defs": {"point": POINT},
    },
)


def found(arguments, tool=BOOK):
    return [(v.path, v.code) for v in validate_calls([{"name": tool.name, "arguments": arguments}], [tool])]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, [("0.n", "missing_required")]),
        ({"n": 3, "zzz": 1}, [("0.zzz", "unknown_param")]),
        ({"n": 3, "y": 1, "z": 1}, [("0.y", "unknown_param"), ("0.z", "unknown_param")]),
        ({"n": "3"}, [("0.n", "wrong_type")]),
        ({"n": True}, [("0.n", "wrong_type")]),
        ({"n": 3.5}, [("0.n", "wrong_type")]),
        ({"n": 3.0}, []),
        ({"n": None}, [("0.n", "null_for_required")]),
        ({"n": 3, "on": None}, [("0.on", "wrong_type")]),
        ({"n": 3, "on": 1}, [("0.on", "wrong_type")]),
        ({"n": 0}, [("0.n", "out_of_range")]),
        ({"n": 3, "kind": "c"}, [("0.kind", "enum_violation")]),
        ({"n": 3, "fixed": 4}, [("0.fixed", "enum_violation")]),
        ({"n": 3, "code": "abc"}, [("0.code", "pattern_or_format")]),
        ({"n": 3, "day": "2026-02-30"}, [("0.day", "pattern_or_format")]),
        ({"n": 3, "tags": []}, [("0.tags", "out_of_range")]),
        ({"n": 3, "tags": ["a", "a"]}, [("0.tags", "out_of_range")]),
        ({"n": 3, "tags": ["a", 2, 3]}, [("0.tags.1", "wrong_type"), ("0.tags.2", "wrong_type")]),
        ({"n": 3, "at": {"lat": 1, "alt": 2}}, [("0.at.alt", "unknown_param")]),
        ({"n": 3, "at": {"lat": None}}, [("0.at.lat", "null_for_required")]),
        ({"n": 3, "at": {}}, [("0.at.lat", "missing_required")]),
        ({"n": 3, "where": 5}, [("0.where", "nested_schema")]),
        ({"n": 3, "where": {"lat": 1}}, []),
        ({"n": 3, "where": {"lat": 1, "alt": 2}}, [("0.where.alt", "unknown_param")]),
        ({"n": 3, "maybe": None}, []),
        ({"n": 3, "maybe": {"lat": "x"}}, [("0.maybe.lat", "wrong_type")]),
        ({"n": 3, "free": {"any": "thing"}}, []),
        ({"n": 3, "open": {"x": 1, "y": "fine"}}, []),
        ({"n": 3, "open": {"x": 1, "y": 2}}, [("0.open.y", "wrong_type")]),
        (
            {"n": 12, "kind": "c", "zzz": 1},
            [("0.kind", "enum_violation"), ("0.n", "out_of_range"), ("0.zzz", "unknown_param")],
        ),
        ([1], [("0", "wrong_type")]),
        ("text", [("0", "wrong_type")]),
    ],
)
def test_every_violation_is_named_with_its_place(arguments, expected):
    assert sorted(found(arguments)) == sorted(expected)
    assert is_valid([ToolCall("book", arguments)], [BOOK]) == (not expected)


def test_unknown_tools_are_violations_and_the_index_tells_the_call():
    calls = [ToolCall("book", {"n": 3}), {"name": "bok", "arguments": {}}, {"name": "book", "arguments": {"n": 99}}, {}]
    violations = validate_calls(calls, [BOOK])
    assert [(v.path, v.code, v.call_index) for v in violations] == [
        ("1", "unknown_tool", 1),
        ("2.n", "out_of_range", 2),
        ("3", "unknown_tool", 3),
    ]
    assert "there are: book" in violations[0].message
    assert validate_calls([], [BOOK]) == [] and is_valid([], [])


def test_additional_properties_are_open_only_where_the_schema_says_so():
    closed = ToolSpec("t", "", {"type": "object", "properties": {}})
    opened = ToolSpec("t", "", {"type": "object", "additionalProperties": True})
    nothing = ToolSpec("t", "", {"type": "object"})
    assert found({"a": 1}, closed) == found({"a": 1}, nothing) == [("0.a", "unknown_param")]
    assert found({"a": 1}, opened) == []


def test_parts_of_an_object_joined_by_all_of_do_not_refuse_each_other():
    parts = [{"properties": {"a": {"type": "integer"}}}, {"properties": {"b": {"type": "integer"}}, "required": ["b"]}]
    joined = ToolSpec("t", "", {"type": "object", "properties": {"o": {"type": "object", "allOf": parts}}})
    assert found({"o": {"a": 1, "b": 2}}, joined) == []
    assert found({"o": {"a": 1, "b": 2, "c": 3}}, joined) == [("0.o.c", "unknown_param")]
    assert found({"o": {"a": "x"}}, joined) == [("0.o.a", "wrong_type"), ("0.o.b", "missing_required")]


def test_a_free_form_branch_of_any_of_stays_free():
    branches = [{"type": "object"}, {"type": "object", "properties": {"a": {"type": "integer"}}}]
    tool = ToolSpec("t", "", {"type": "object", "properties": {"o": {"anyOf": branches}}})
    assert found({"o": {"anything": 1}}, tool) == []


def test_recursive_schemas_are_checked_to_the_bottom():
    node = {"type": "object", "properties": {"v": {"type": "integer"}, "next": {"$ref": "#/$defs/node"}}}
    tool = ToolSpec(
        "t", "", {"type": "object", "properties": {"head": {"$ref": "#/$defs/node"}}, "$defs": {"node": node}}
    )
    assert found({"head": {"v": 1, "next": {"v": 2, "next": {"v": "x", "w": 1}}}}, tool) == [
        ("0.head.next.next.v", "wrong_type"),
        ("0.head.next.next.w", "unknown_param"),
    ]


def test_equal_looking_schemas_are_not_mixed_up():
    one = ToolSpec("t", "", {"type": "object", "properties": {"a": {"const": 1}}})
    true = ToolSpec("t", "", {"type": "object", "properties": {"a": {"const": True}}})
    assert one == true  # Python's equality, which a cache must not rely on
    assert is_valid([ToolCall("t", {"a": 1})], [one]) and not is_valid([ToolCall("t", {"a": 1})], [true])


def test_a_schema_that_cannot_be_compiled_is_a_user_error():
    broken = ToolSpec("t", "", {"type": "object", "properties": {"a": {"$ref": "http://example.com/schema"}}})
    for check in (is_valid, validate_calls):
        with pytest.raises(UserError, match="'t'"):
            check([ToolCall("t", {"a": 1})], [broken])


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        (
            "date",
            ["2026-11-29", "2024-02-29"],
            ["2026-13-01", "2026-1-1", "20261129", "2026-W48-7", "tomorrow", "2026-02-29"],
        ),
        (
            "time",
            ["06:45", "06:45:30", "23:59:59.5Z", "06:45+02:00"],
            ["6:45", "24:00", "06:60", "7pm", "0645", "06:45 "],
        ),
        (
            "date-time",
            ["2026-11-29T06:45", "2026-11-29 06:45:00", "2026-11-29T06:45:00Z"],
            ["2026-11-29", "2026-11-29T6", "x"],
        ),
        (
            "email",
            ["a@b.org", "a.b+c@d-e.co.uk", "root@localhost"],
            ["a", "a@", "@b.org", "a b@c.de", "a@b..de", "a@-b.de"],
        ),
        ("uri", ["https://a.org/x?y={z}", "s3://bucket/key", "mailto:a@b.c"], ["a.org", "http://a b", "://x", ""]),
        ("uuid", ["123e4567-e89b-12d3-a456-426614174000"], ["123e4567e89b12d3a456426614174000", "x"]),
        ("ipv4", ["10.0.0.1"], ["10.0.0", "256.1.1.1", "10.0.0.01"]),
        ("ipv6", ["::1", "2001:db8::1"], ["::1%eth0", "1", "10.0.0.1"]),
        ("hostname", ["a.org", "x-1.local"], ["-a.org", "a_b", ""]),
        ("duration", ["P3D", "PT5M", "P1Y2M3DT4H5M6.5S", "P2W"], ["P", "PT", "5M", "P1DT", "1 day"]),
    ],
)
def test_formats_accept_what_people_write_and_refuse_the_rest(name, good, bad):
    tool = ToolSpec("t", "", {"type": "object", "properties": {"v": {"type": "string", "format": name}}})
    for text in good + bad:
        assert FORMATS[name](text) is (text in good), text
        assert (found({"v": text}, tool) == []) is (text in good), text
        assert is_valid([ToolCall("t", {"v": text})], [tool]) is (text in good), text


ODD = ToolSpec(
    "t",
    "",
    {
        "type": "object",
        "properties": {
            "word": {"type": "string", "pattern": r"^\p{L}+$"},
            "digits": {"type": "string", "pattern": r"^\d+$"},
            "tenth": {"type": "number", "multipleOf": 0.1},
            "any": {},
            "nest": {"anyOf": [{"type": "array", "items": {"$ref": "#/properties/nest"}}, {"type": "integer"}]},
            "names": {"type": "object", "patternProperties": {r"^\p{L}$": {"type": "integer"}}},
        },
    },
)


def nested(depth):
    return json.loads("[" * depth + "]" * depth)


@pytest.mark.parametrize(
    ("arguments", "valid"),
    [
        ({"word": "Äß"}, True),
        ({"word": "a1"}, False),
        ({"word": "a\n"}, False),
        ({"digits": "٣"}, False),
        ({"tenth": 0.3}, True),
        ({"tenth": 0.35}, False),
        ({"any": float("nan")}, False),
        ({"tenth": float("inf")}, False),
        ({"any": "\ud800"}, False),
        ({"any": {1, 2}}, False),
        ({"any": 10**400}, True),
        ({"any": nested(900)}, True),
        ({"nest": nested(900)}, True),
        ({"nest": [nested(900), "x"]}, False),
        ({"names": {"a": 1}}, True),
        ({"names": {"a": "x"}}, False),
    ],
)
def test_odd_values_and_dialects_get_a_verdict_never_a_crash(arguments, valid):
    calls = [ToolCall("t", arguments)]
    assert is_valid(calls, [ODD]) is valid
    assert (validate_calls(calls, [ODD]) == []) is valid


@pytest.mark.parametrize("name", [None, 3, ["t"], {"a": 1}])
def test_a_name_that_is_no_text_is_an_unknown_tool(name):
    call = {"name": name, "arguments": {}}
    assert [violation.code for violation in validate_calls([call], [ODD])] == ["unknown_tool"]
    assert not is_valid([call], [ODD])


# -- the two validators agree -------------------------------------------------------------------------------------

scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 12), st.sampled_from([0.5, 2.0, 5.0, -1.5]),
    st.sampled_from(["", "a", "b", "abc", "ABC", "06:45", "2026-11-29", "a@b.org", "http://x.y/z", "Ünï"]),
)  # fmt: skip
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcx"), inner, max_size=3),
    max_leaves=6,
)
leaves = st.one_of(
    st.fixed_dictionaries(
        {"type": st.sampled_from(["string", "integer", "number", "boolean", "null", "array", "object"])}
    ),
    st.fixed_dictionaries(
        {"type": st.just("string"), "format": st.sampled_from([*FORMATS, "regex", "uri-reference", "made-up"])}
    ),
    st.fixed_dictionaries(
        {"type": st.just("string"), "minLength": st.integers(0, 2), "pattern": st.sampled_from(["^a", "[A-Z]", "b$"])}
    ),
    st.fixed_dictionaries(
        {
            "type": st.sampled_from(["integer", "number"]),
            "minimum": st.integers(-2, 3),
            "exclusiveMaximum": st.integers(3, 9),
        }
    ),
    st.fixed_dictionaries(
        {"enum": st.lists(st.sampled_from(["a", "b", 1, 2.0, None, True, 0, False]), min_size=1, max_size=3)}
    ),
    st.fixed_dictionaries({"const": scalars}),
    st.just({"type": ["string", "null"]}),
    st.just({"$ref": "#/$defs/d"}),
    st.just({}),
)


def _objects(inner):
    properties = st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
    required = st.lists(st.sampled_from("abc"), unique=True, max_size=2)
    return st.one_of(
        st.builds(lambda p, r: {"type": "object", "properties": p, "required": r}, properties, required),
        st.builds(
            lambda p, a: {"type": "object", "properties": p, "additionalProperties": a},
            properties,
            st.booleans() | inner,
        ),
    )


schemas = st.recursive(
    leaves,
    lambda inner: st.one_of(
        _objects(inner),
        st.builds(lambda i, n: {"type": "array", "items": i, "maxItems": n}, inner, st.integers(0, 3)),
        st.builds(
            lambda key, branches: {key: branches},
            st.sampled_from(["anyOf", "oneOf", "allOf"]),
            st.lists(inner, min_size=1, max_size=2),
        ),
        st.builds(lambda i: {"not": i}, inner),
    ),
    max_leaves=6,
)


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
@given(
    st.dictionaries(st.sampled_from("abc"), schemas, min_size=1, max_size=3),
    leaves,
    st.dictionaries(st.sampled_from("abcx"), values, max_size=4),
)
def test_the_fast_validator_and_the_reference_agree(properties, shared, arguments):
    shared = {"type": "string"} if "$ref" in shared else shared
    tool = ToolSpec(
        "t", "", {"type": "object", "properties": properties, "required": list(properties)[:1], "$defs": {"d": shared}}
    )
    call = [ToolCall("t", json.loads(json.dumps(arguments)))]
    assert is_valid(call, [tool]) == (validate_calls(call, [tool]) == [])


def test_the_two_agree_on_recorded_calls_and_on_damaged_ones():
    traces, _ = read_traces(DATA / "traces" / "validation.jsonl.gz")
    compared = 0
    for trace in traces[:600]:
        for call in trace.calls:
            for key, value in call.arguments.items():
                for wrong in (None, [value], f"{value}", {"x": value}):
                    damaged = [ToolCall(call.name, {**call.arguments, key: wrong})]
                    assert is_valid(damaged, trace.tools) == (not validate_calls(damaged, trace.tools)), damaged
                    compared += 1
    assert compared > 2000


def test_messages_stay_short_for_long_values():
    tools = load_toolset(DATA / "toolsets" / "home.json")
    call = {"name": "set_lights", "arguments": {"room": "x" * 5000}}
    assert all(len(violation.message) <= 300 for violation in validate_calls([call], tools))
