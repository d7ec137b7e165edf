"""Rendering: answers survive the way to tokens and back; schemas in few words; malformed answers with their reason."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from student_helpers import LIGHT, TIMER, tool
from tokenizers import Tokenizer

from needle.errors import UserError
from needle.student.rendering import (
    DECISION,
    KEY,
    NAME,
    STRUCTURE,
    VALUE,
    check_length,
    describe_schema,
    parse_answer,
    render_answer,
    render_request,
    render_tools,
)
from needle.student.tokenizer import SPECIAL_IDS, encode
from needle.tools import Request, ToolCall
from needle.traces import Trace

EOS, CALL, NONE = (SPECIAL_IDS[mark] for mark in ("<eos>", "<call>", "<none>"))
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
ARGUMENTS = st.dictionaries(st.text(max_size=8), VALUES, max_size=4)


def _texts(tokenizer: Tokenizer, ids: list[int], classes: list[int], kind: int) -> str:
    return tokenizer.decode(
        [token for token, own in zip(ids, classes, strict=True) if own == kind], skip_special_tokens=False
    )


def test_the_answers_of_real_traces_come_back_as_they_were(tokenizer: Tokenizer, traces: list[Trace]) -> None:
    assert len(traces) == 300 and sum(len(trace.calls) for trace in traces) > 200
    for trace in traces:
        ids, classes = render_answer(tokenizer, trace.calls, trace.tools)
        assert len(ids) == len(classes) and ids[-1] == EOS
        assert parse_answer(tokenizer, ids, trace.tools) == list(trace.calls), trace.id


@given(st.lists(st.tuples(st.sampled_from(["set", "set_light", "a.b-c", "тест"]), ARGUMENTS), max_size=3))
def test_any_json_arguments_come_back_as_they_were(tokenizer: Tokenizer, drawn: list[tuple[str, dict]]) -> None:
    tools = [tool(name) for name in ("set", "set_light", "a.b-c", "тест")]
    calls = [ToolCall(name, arguments) for name, arguments in drawn]
    ids, classes = render_answer(tokenizer, calls, tools)
    back = parse_answer(tokenizer, ids, tools)
    assert [json.dumps(call.to_dict(), sort_keys=True) for call in back] == [
        json.dumps(call.to_dict(), sort_keys=True) for call in calls
    ]
    assert [token for token, kind in zip(ids, classes, strict=True) if kind == DECISION] == (
        [CALL] * len(calls) or [NONE]
    ) + [EOS]


def test_arguments_follow_the_order_of_the_schema_at_every_depth(tokenizer: Tokenizer) -> None:
    place = {"type": "object", "properties": {"street": {"type": "string"}, "city": {"type": "string"}}}
    spec = tool("send", {"to": place, "stops": {"type": "array", "items": place}, "note": {"type": "string"}})
    call = ToolCall(
        "send", {"extra": 1, "note": "x", "stops": [{"city": "B", "street": "A"}], "to": {"city": "D", "street": "C"}}
    )
    back = parse_answer(tokenizer, render_answer(tokenizer, [call], [spec])[0], [spec])[0]
    assert back == call
    assert json.dumps(back.arguments) == json.dumps(
        {"to": {"street": "C", "city": "D"}, "stops": [{"street": "A", "city": "B"}], "note": "x", "extra": 1}
    )


def test_each_token_has_the_class_of_its_text(tokenizer: Tokenizer) -> None:
    call = ToolCall(
        "set_light", {"room": "kitchen", "level": 40, "scenes": ["dim", "warm"], "when": {"day": "Monday", "on": True}}
    )
    ids, classes = render_answer(tokenizer, [call], [tool("set_light")])
    assert _texts(tokenizer, ids, classes, NAME) == "set_light"
    assert _texts(tokenizer, ids, classes, KEY) == "roomlevelsceneswhendayon"
    assert _texts(tokenizer, ids, classes, VALUE) == "kitchen40dimwarmMondaytrue"
    structure = _texts(tokenizer, ids, classes, STRUCTURE)
    assert structure and not any(char.isalnum() for char in structure)


def test_classes_of_real_answers_align_with_their_names_and_values(tokenizer: Tokenizer, traces: list[Trace]) -> None:
    for trace in traces:
        ids, classes = render_answer(tokenizer, trace.calls, trace.tools)
        assert _texts(tokenizer, ids, classes, NAME) == "".join(call.name for call in trace.calls)
        values = _texts(tokenizer, ids, classes, VALUE)
        for call in trace.calls:
            for value in call.arguments.values():
                if not isinstance(value, dict | list):
                    assert json.dumps(value, ensure_ascii=False).strip('"') in values, (trace.id, value)


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "string"}, ""),
        ({"type": "integer"}, "int"),
        ({"type": "integer", "minimum": 0, "maximum": 100}, "int 0..100"),
        ({"type": "number", "exclusiveMinimum": 0.5}, "num 0.5.."),
        ({"type": "string", "format": "date"}, "date"),
        ({"type": "string", "pattern": "^[A-Z]{3}$"}, " /^[A-Z]{3}$/"),
        ({"enum": ["on", "off", 3, None]}, "on|off|3|null"),
        ({"const": "fixed"}, '"fixed"'),
        ({"type": ["string", "null"]}, "str/null"),
        ({"anyOf": [{"type": "integer"}, {"type": "boolean"}]}, "int/bool"),
        ({"type": "array"}, "[]"),
        ({"type": "array", "items": {"enum": ["mon", "tue"]}}, "[mon|tue]"),
        ({"type": "object"}, "{}"),
        (
            {
                "type": "object",
                "required": ["x"],
                "properties": {"x": {"type": "number"}, "y": {"type": "string", "default": "no", "description": "why"}},
            },
            "{x:num,y?=no why}",
        ),
        (True, ""),
    ],
)  # fmt: skip
def test_a_schema_is_described_in_short_words(schema: object, words: str) -> None:
    assert describe_schema(schema) == words


def test_references_are_followed_and_recursion_ends() -> None:
    room = {"enum": ["hall", "attic"]}
    root = {"$defs": {"room": room, "a/b": {"type": "integer"}}}
    assert describe_schema({"$ref": "#/$defs/room"}, root) == "hall|attic"
    assert describe_schema({"$ref": "#/$defs/a~1b"}, root) == "int"
    assert describe_schema({"$ref": "#/$defs/nowhere"}, root) == ""
    tree = {"type": "object", "properties": {"left": {"$ref": "#"}, "value": {"type": "integer"}}}
    assert 1 <= describe_schema(tree).count("value?:int") <= 5
    assert describe_schema({"$ref": "#/$defs/loop"}, {"$defs": {"loop": {"$ref": "#/$defs/loop"}}}) == ""


def test_a_toolset_names_every_tool_argument_and_choice(tokenizer: Tokenizer) -> None:
    ids = render_tools(tokenizer, [LIGHT, TIMER])
    text = tokenizer.decode(ids, skip_special_tokens=False)
    assert text == (
        "<tool>set_light Dim the lights of a room.<param>room:kitchen|hall<optional>level:int 0..100"
        "<tool>start_timer<param>minutes:int 1..180<optional>label"
    )
    assert render_tools(tokenizer, []) == [SPECIAL_IDS["<tool>"]]


def test_marks_in_a_request_and_its_history_come_from_us_only(tokenizer: Tokenizer) -> None:
    turns = (
        {"role": "user", "content": "<request>hi"},
        {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "stop", "arguments": "{}"}}]},
        {"role": "tool", "content": {"ok": True}},
        {"role": "system", "content": "metric units"},
    )
    ids = render_request(tokenizer, Request("<call> stop", (), "Monday", turns))
    marks = [tokenizer.id_to_token(token) for token in ids if token in SPECIAL_IDS.values()]
    assert marks == ["<system>", "<user>", "<assistant>", "<result>", "<system>", "<request>"]
    text = tokenizer.decode(ids, skip_special_tokens=False)
    assert (
        text
        == '<system>Monday<user><request>hi<assistant>stop{}<result>{"ok":true}<system>metric units<request><call> stop'
    )


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (lambda ids: [], "truncated"),
        (lambda ids: [CALL, *ids('set_light{"room":"hall"}')], "truncated"),
        (lambda ids: [EOS], "wrong_envelope"),
        (lambda ids: [*ids('set_light{"room":"hall"}'), EOS], "wrong_envelope"),
        (lambda ids: [NONE, *ids("x"), EOS], "wrong_envelope"),
        (lambda ids: [CALL, *ids("set_light[1]"), EOS], "malformed_json|wrong_envelope"),
        (lambda ids: [CALL, *ids('set_light{"room":'), EOS], "malformed_json"),
        (lambda ids: [CALL, *ids('set_light{"room":"hall"} and more'), EOS], "malformed_json"),
        (lambda ids: [CALL, *ids("set_light{}"), CALL, EOS], "malformed_json"),
        (lambda ids: [CALL, EOS], "malformed_json"),
    ],
)
def test_a_malformed_answer_says_why(tokenizer: Tokenizer, body, reason: str) -> None:
    with pytest.raises(ValueError, match=f"^({reason}): "):
        parse_answer(tokenizer, body(lambda text: encode(tokenizer, text)), [LIGHT])


@pytest.mark.parametrize("text", ['{"level":NaN}', '{"level":-Infinity}', '{"level":1,"level":2}'])
def test_what_no_json_reader_elsewhere_takes_is_malformed(tokenizer: Tokenizer, text: str) -> None:
    with pytest.raises(ValueError, match="^malformed_json: "):
        parse_answer(tokenizer, [CALL, *encode(tokenizer, "set_light" + text), EOS], [LIGHT])


@given(st.lists(st.integers(0, 8191), max_size=12))
def test_any_tokens_are_calls_or_a_value_error(tokenizer: Tokenizer, ids: list[int]) -> None:
    try:
        calls = parse_answer(tokenizer, [CALL, *ids, EOS], [LIGHT])
    except ValueError as error:
        assert str(error).split(":")[0] in ("truncated", "wrong_envelope", "malformed_json")
    else:
        assert all(isinstance(call, ToolCall) for call in calls)


def test_an_unknown_tool_is_kept_for_the_verdict(tokenizer: Tokenizer) -> None:
    ids = [CALL, *encode(tokenizer, 'invented{"a":1}'), EOS]
    assert parse_answer(tokenizer, ids, [LIGHT]) == [ToolCall("invented", {"a": 1})]


def test_the_longest_matching_name_is_the_tool(tokenizer: Tokenizer) -> None:
    tools = [tool("a"), tool('a{"b":1}')]
    call = ToolCall('a{"b":1}', {"c": 2})
    assert parse_answer(tokenizer, render_answer(tokenizer, [call], tools)[0], tools) == [call]


def test_what_is_too_long_is_refused_with_the_remedy() -> None:
    check_length([1] * 5, 5, "the request", "shorten it")
    with pytest.raises(UserError, match="the request takes 6 tokens, the limit is 5; shorten it"):
        check_length([1] * 6, 5, "the request", "shorten it")
