"""Grammar: gold answers pass, forced tokens are the canonical ones, and whatever else passes fits the schemas."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator

import numpy as np
import pytest
from student_helpers import DATA, LIGHT, TIMER, tool
from tokenizers import Tokenizer

from needle.errors import UserError
from needle.student.grammar import MAX_CALLS, Constraint
from needle.student.rendering import parse_answer, render_answer
from needle.student.tokenizer import SPECIAL_IDS, encode
from needle.tools import FREE, Choice, ToolCall, ToolSpec, validate_calls
from needle.tools.read import load_toolset
from needle.traces import Trace

EOS, CALL, NONE = (SPECIAL_IDS[mark] for mark in ("<eos>", "<call>", "<none>"))
SIZE = 8192


def accepts(constraint: Constraint, tools: list[ToolSpec] | tuple[ToolSpec, ...], ids: list[int]) -> bool:
    """Whether the grammar takes the whole answer, token by token, and lets it end there."""
    matcher = constraint.matcher(tools)
    body = ids[:-1] if ids and ids[-1] == EOS else ids
    return all(matcher.consume_token(token) for token in body) and bool(matcher.is_accepting())


def accepts_call(constraint: Constraint, tokenizer: Tokenizer, spec: ToolSpec, text: str) -> bool:
    """The same for one call, given as the text of its arguments."""
    return accepts(constraint, [spec], [CALL, *encode(tokenizer, spec.name + text)])


def allowed(constraint: Constraint, tools: list[ToolSpec]) -> set[int]:
    return set(np.flatnonzero(constraint.allowed([constraint.matcher(tools)], SIZE)[0]).tolist())


def test_gold_answers_are_allowed_token_by_token_and_forced_tokens_are_canonical(
    constraint: Constraint, tokenizer: Tokenizer, traces: list[Trace]
) -> None:
    forced_tokens = total = 0
    for trace in traces:
        ids = render_answer(tokenizer, trace.calls, trace.tools)[0]
        matcher, place = constraint.matcher(trace.tools), 0
        while place < len(ids) - 1:
            assert constraint.allowed([matcher], SIZE)[0][ids[place]], (
                trace.id,
                tokenizer.decode(ids[:place], skip_special_tokens=False),
            )
            assert matcher.consume_token(ids[place])
            place += 1
            forced = matcher.compute_ff_tokens()
            assert forced == ids[place : place + len(forced)], (trace.id, tokenizer.decode(ids[:place]))
            assert all(matcher.consume_token(token) for token in forced)
            place, forced_tokens = place + len(forced), forced_tokens + len(forced)
        assert matcher.is_accepting() and constraint.allowed([matcher], SIZE)[0][EOS], trace.id
        total += len(ids)
    assert forced_tokens > total / 4


def _random_walk(constraint: Constraint, tools: list[ToolSpec], rng: random.Random, limit: int) -> list[int] | None:
    """Uniformly random allowed tokens to the end of an answer; None when it is cut at ``limit``."""
    matcher, ids = constraint.matcher(tools), [CALL]
    assert matcher.consume_token(CALL)
    while len(ids) < limit:
        token = rng.choice(np.flatnonzero(constraint.allowed([matcher], SIZE)[0]).tolist())
        ids.append(token)
        if token == EOS:
            return ids
        assert matcher.consume_token(token)
    return None


def _toolsets(traces: list[Trace]) -> Iterator[list[ToolSpec]]:
    for path in sorted((DATA / "toolsets").glob("*.json")):
        yield load_toolset(path)
    for trace in traces[::25]:
        yield list(trace.tools)


def test_random_answers_inside_the_grammar_break_no_schema(
    constraint: Constraint, tokenizer: Tokenizer, traces: list[Trace]
) -> None:
    rng, ended, broken = random.Random(7), 0, []
    toolsets = list(_toolsets(traces))
    assert len(toolsets) == 20
    for tools in toolsets:
        for _ in range(3):
            ids = _random_walk(constraint, tools, rng, 200)
            if ids is not None:
                ended += 1
                calls = parse_answer(tokenizer, ids, tools)
                broken += [(violation, calls[violation.call_index]) for violation in validate_calls(calls, tools)]
    assert ended >= 15
    assert not broken, "\n".join(map(str, broken))


SCHEMAS = {
    "integer range": {"type": "integer", "minimum": 3, "maximum": 20},
    "number range": {"type": "number", "exclusiveMinimum": 0, "maximum": 2.5},
    "enum": {"enum": ["a b", 'say "x"', 3, None, True]},
    "const": {"const": "fixed"},
    "length": {"type": "string", "minLength": 2, "maxLength": 4},
    "pattern": {"type": "string", "pattern": "^[A-Z]{2}[0-9]{2}$"},
    "time": {"type": "string", "format": "time"},
    "date": {"type": "string", "format": "date"},
    "date-time": {"type": "string", "format": "date-time"},
    "email": {"type": "string", "format": "email"},
    "uuid": {"type": "string", "format": "uuid"},
    "ipv4": {"type": "string", "format": "ipv4"},
    "duration": {"type": "string", "format": "duration"},
    "items": {"type": "array", "items": {"enum": ["x", "y"]}, "minItems": 1, "maxItems": 3},
    "nested": {
        "type": "object",
        "properties": {"b": {"type": "boolean"}, "n": {"type": "integer", "minimum": 0, "maximum": 9}},
        "required": ["b"],
    },
    "nullable": {"anyOf": [{"type": "integer", "minimum": 0, "maximum": 5}, {"type": "null"}]},
    "types": {"type": ["boolean", "null"]},
    "multiple": {"type": "integer", "minimum": 0, "maximum": 100, "multipleOf": 25},
}


@pytest.mark.parametrize("name", SCHEMAS)
def test_random_arguments_of_each_kind_of_schema_are_valid(
    constraint: Constraint, tokenizer: Tokenizer, name: str
) -> None:
    spec, rng = tool("f", {"v": SCHEMAS[name]}, ["v"]), random.Random(name)
    for _ in range(12):
        matcher = constraint.matcher([spec])
        ids = [CALL]
        assert matcher.consume_token(CALL)
        while len(ids) < 120 and not matcher.is_accepting():
            ids.append(rng.choice(np.flatnonzero(constraint.allowed([matcher], SIZE)[0]).tolist()))
            assert matcher.consume_token(ids[-1])
        assert matcher.is_accepting()
        calls = parse_answer(tokenizer, [*ids, EOS], [spec])
        assert not validate_calls(calls, [spec]), calls


@pytest.mark.parametrize("day", ["2026-02-29", "2026-02-30", "1900-02-29", "2026-04-31", "2026-11-31", "0000-01-01"])
def test_a_day_that_the_calendar_lacks_cannot_be_written(
    constraint: Constraint, tokenizer: Tokenizer, day: str
) -> None:
    assert not accepts_call(constraint, tokenizer, tool("f", {"v": SCHEMAS["date"]}, ["v"]), f'{{"v":"{day}"}}')


@pytest.mark.parametrize("day", ["2026-01-31", "2028-02-29", "2000-02-29", "2026-02-28", "2026-11-30", "0999-12-31"])
def test_every_day_of_the_calendar_can_be_written(constraint: Constraint, tokenizer: Tokenizer, day: str) -> None:
    assert accepts_call(constraint, tokenizer, tool("f", {"v": SCHEMAS["date"]}, ["v"]), f'{{"v":"{day}"}}')


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ('{"room":"hall"}', True),
        ('{"room":"hall","level":100}', True),
        ('{"level":5,"room":"hall"}', False),
        ('{"level":5}', False),
        ("{}", False),
        ('{"room":"attic"}', False),
        ('{"room":"hall","level":101}', False),
        ('{"room":"hall","level":-1}', False),
        ('{"room":"hall","level":1.5}', False),
        ('{"room":"hall","level":"5"}', False),
        ('{"room":"hall","color":"red"}', False),
        ('{"room": "hall"}', False),
        ('{"room":"hall"', False),
    ],
)
def test_only_valid_arguments_in_schema_order_without_spaces_pass(constraint, tokenizer, text: str, fits: bool) -> None:
    assert accepts_call(constraint, tokenizer, LIGHT, text) is fits


def test_only_the_given_tools_can_be_named(constraint: Constraint, tokenizer: Tokenizer) -> None:
    for name, fits in (("stop", True), ("st", False), ("stops", False), ("Stop", False)):
        assert accepts(constraint, [tool("stop")], [CALL, *encode(tokenizer, name + "{}")]) is fits


@pytest.mark.parametrize(
    "name", ['say "hi"', "back\\slash", "名前", "naïve 🚀", "a{b}", "line\nbreak", "<call>", "/x/", "a|b"]
)
def test_odd_tool_names_can_be_called(constraint: Constraint, tokenizer: Tokenizer, name: str) -> None:
    tools = [tool(name, {"n": {"type": "integer"}}), TIMER]
    ids = render_answer(tokenizer, [ToolCall(name, {"n": 5})], tools)[0]
    assert accepts(constraint, tools, ids)
    assert parse_answer(tokenizer, ids, tools) == [ToolCall(name, {"n": 5})]


@pytest.mark.parametrize(
    "value", ["<call>", "<eos>", 'quote " and \\ slash', "tab\tnewline\n", "😀 naïve 東京", "", "x" * 240]
)
def test_any_text_can_be_a_free_string(constraint: Constraint, tokenizer: Tokenizer, value: str) -> None:
    call = ToolCall("start_timer", {"minutes": 5, "label": value})
    assert accepts(constraint, [TIMER], render_answer(tokenizer, [call], [TIMER])[0])


def test_an_answer_starts_with_a_call_or_none(constraint: Constraint) -> None:
    assert allowed(constraint, [LIGHT, TIMER]) == {CALL, NONE}


def test_an_empty_toolset_allows_only_none(constraint: Constraint) -> None:
    assert allowed(constraint, []) == {NONE}
    matcher = constraint.matcher([])
    assert matcher.consume_token(NONE)
    assert set(np.flatnonzero(constraint.allowed([matcher], SIZE)[0]).tolist()) == {EOS}


def test_calls_end_at_the_limit(constraint: Constraint, tokenizer: Tokenizer) -> None:
    one = [CALL, *encode(tokenizer, "stop{}")]
    assert accepts(constraint, [tool("stop")], one * MAX_CALLS)
    assert not accepts(constraint, [tool("stop")], one * (MAX_CALLS + 1))


def test_open_strings_and_arrays_are_bounded_but_never_below_the_schema(
    constraint: Constraint, tokenizer: Tokenizer
) -> None:
    free = tool("f", {"v": {"type": "string"}, "w": {"type": "array", "items": {"type": "integer"}}})
    assert not accepts_call(constraint, tokenizer, free, '{"v":"' + "x" * 241 + '"}')
    assert not accepts_call(constraint, tokenizer, free, '{"w":' + json.dumps([1] * 25).replace(" ", "") + "}")
    long = tool(
        "f", {"v": {"type": "string", "minLength": 300}, "w": {"type": "array", "items": {"const": 1}, "minItems": 30}}
    )
    assert accepts_call(constraint, tokenizer, long, '{"v":"' + "x" * 300 + '"}')
    assert accepts_call(constraint, tokenizer, long, '{"w":' + json.dumps([1] * 30).replace(" ", "") + "}")


def test_a_schema_that_no_value_fits_is_a_user_error(constraint: Constraint) -> None:
    with pytest.raises(UserError, match="cannot be turned into a grammar"):
        constraint.matcher([tool("f", {"v": {"type": "integer", "minimum": 5, "maximum": 1}}, ["v"])])


def test_matchers_of_one_toolset_do_not_disturb_each_other(constraint: Constraint) -> None:
    first = constraint.matcher([LIGHT])
    assert first.consume_token(NONE)
    assert allowed(constraint, [LIGHT]) == {CALL, NONE}


@pytest.mark.parametrize(("choice", "start"), [
    (FREE, {CALL, NONE}), (Choice(required=True), {CALL}), (Choice(only="set_timer"), {CALL}), (Choice(most=1), {CALL, NONE}),
])  # fmt: skip
def test_a_choice_decides_how_an_answer_may_begin_and_how_many_calls_it_has(
    constraint: Constraint, tokenizer: Tokenizer, choice: Choice, start: set[int]
) -> None:
    tools = [tool("set_timer", {"minutes": {"type": "integer"}}, ["minutes"]), tool("stop", {}, [])]
    calls = {name: [CALL, *encode(tokenizer, name + text)] for name, text in (("set_timer", '{"minutes":5}'), ("stop", "{}"))}
    for names in (["set_timer"], ["stop"], ["set_timer"] * 2, ["set_timer", "stop"]):
        matcher = constraint.matcher(tools, choice)
        ids = [token for name in names for token in calls[name]]
        taken = all(matcher.consume_token(token) for token in ids) and bool(matcher.is_accepting())
        assert taken == (set(names) <= {choice.only or "stop", "set_timer"} and len(names) <= (choice.most or 9)), names
    assert set(np.flatnonzero(constraint.allowed([constraint.matcher(tools, choice)], SIZE)[0]).tolist()) == start


@pytest.mark.parametrize(("tools", "choice", "words"), [
    ([], Choice(required=True), "there are no tools"), ([LIGHT], Choice(only="fly"), "none of the tools"), ([LIGHT], Choice(most=0), "at least one"),
])  # fmt: skip
def test_a_choice_that_the_tools_do_not_have_is_a_user_error(constraint: Constraint, tools: list[ToolSpec], choice: Choice, words: str) -> None:
    with pytest.raises(UserError, match=words):
        constraint.matcher(tools, choice)


def test_the_same_schema_with_other_values_is_another_grammar(constraint: Constraint, tokenizer: Tokenizer) -> None:
    one, true = tool("f", {"v": {"const": 1}}, ["v"]), tool("f", {"v": {"const": True}}, ["v"])
    assert accepts_call(constraint, tokenizer, one, '{"v":1}')
    assert accepts_call(constraint, tokenizer, true, '{"v":true}')
    assert not accepts_call(constraint, tokenizer, true, '{"v":1}')


def test_the_same_arguments_in_another_order_are_another_grammar(constraint: Constraint, tokenizer: Tokenizer) -> None:
    a, b = {"type": "integer"}, {"type": "boolean"}
    assert accepts_call(constraint, tokenizer, tool("order", {"a": a, "b": b}), '{"a":1,"b":true}')
    assert accepts_call(constraint, tokenizer, tool("order", {"b": b, "a": a}), '{"b":true,"a":1}')
