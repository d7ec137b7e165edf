"""Parsers: every dialect reads back what it writes, broken output stays broken, and the lenient reading only rescues calls."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from needle.errors import UserError
from needle.evals.baselines import baseline
from needle.evals.parsers import PARSERS, dialect_of, is_reply, parse_output
from needle.evals.parsers.render import RENDERERS
from needle.evals.parsers.repair import STEPS, repair
from needle.evals.suites import load_suite
from needle.evals.taxonomy import FORMAT_CODES
from needle.evals.verdict import judge
from needle.tools import ToolCall, ToolSpec

TOOLS = (ToolSpec("set_light"), ToolSpec("get-weather"), ToolSpec("math.gcd"))
NAMES = some.sampled_from([tool.name for tool in TOOLS])
TEXTS = some.text(alphabet=some.characters(exclude_categories=["Cs"], exclude_characters="<>"), max_size=12)
LEAVES = some.one_of(TEXTS, some.integers(-(10**9), 10**9), some.booleans(), some.none(), some.floats(-1e6, 1e6))
KEYS = some.from_regex(r"[a-z][a-z0-9_]{0,6}", fullmatch=True)
VALUES = some.recursive(
    LEAVES, lambda inner: some.lists(inner, max_size=3) | some.dictionaries(KEYS, inner, max_size=3), max_leaves=6
)
CALLS = some.lists(some.builds(ToolCall, NAMES, some.dictionaries(KEYS, VALUES, max_size=3)), max_size=3)


@pytest.mark.parametrize("dialect", RENDERERS)
@settings(max_examples=40, deadline=None)
@given(calls=CALLS)
def test_every_dialect_reads_back_what_it_writes_and_auto_recognises_it(dialect, calls):
    text = RENDERERS[dialect](calls)
    for parser in (dialect, "auto"):
        found = parse_output(text, parser, TOOLS)
        assert found.error is None and list(found) == calls, text


@pytest.fixture(scope="module")
def real_rows():
    return load_suite("needle-unseen", limit=60).traces


@pytest.mark.parametrize("dialect", RENDERERS)
def test_gold_scores_100_through_every_parser_on_real_rows(dialect, real_rows):
    answers = baseline("gold", real_rows, dialect=dialect).answer([trace.request for trace in real_rows])
    assert all(judge(trace, answer).correct for trace, answer in zip(real_rows, answers, strict=True))


@pytest.mark.parametrize("parser", PARSERS)
@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "]] garbage",
        '[{"name": "set_light", "arguments": {"room": "ki',
        '<tool_call>{"name": "set_light", "arguments": {}}',
        "<tool_call>set_light</tool_call>",
        "</tool_call>",
        "<|tool_call_start|>[set_light(room='x'",
        "<start_function_call>call:set_light{room:<escape>x<escape>",
        "<start_function_call>call:set_light{room:x y}<end_function_call>",
        "[set_light(room=open('/etc/passwd'))]",
        "[set_light('x')]",
        "[set_light(room=1, room=2)]",
        '{"tool_calls": [{"function": {"name": "set_light", "arguments": "{"}}]}',
        '{"choices": []}',
        'Sure! set_light(room="x")',
        "```json\n[]\n```",
        "null",
        "{" * 5000,
        "[" * 5000,
    ],
)
def test_broken_output_is_malformed_under_every_parser_and_never_an_abstention(parser, text):
    found = parse_output(text, parser, TOOLS)
    assert found.error is not None and list(found) == [] and found.raw == text
    assert found.error.split(":")[0] in FORMAT_CODES


def test_words_abstain_in_chat_dialects_and_are_malformed_as_json():
    for text in ("I am sorry, I cannot do that.", "Which room do you mean?"):
        assert is_reply(text)
        for parser in ("auto", "hermes", "pythonic", "lfm", "functiongemma"):
            assert parse_output(text, parser, TOOLS).error is None
        assert parse_output(text, "json", TOOLS).error
    assert not is_reply("h\ufffd\x05 und kaputt") and is_reply("erledigt:\tdas Licht ist an\n")
    assert not is_reply("ok") and not is_reply("use set_light(room)", TOOLS) and not is_reply('{"a b": "c d"}')


def test_thinking_is_no_part_of_the_answer():
    call = '<tool_call>{"name": "set_light", "arguments": {}}</tool_call>'
    assert list(parse_output(f"<think>maybe [get-weather()]</think>\n{call}", "auto", TOOLS)) == [
        ToolCall("set_light", {})
    ]


def test_names_that_openai_cannot_send_come_back():
    text = json.dumps({"tool_calls": [{"function": {"name": "math_gcd", "arguments": '{"a": 1}'}}]})
    assert list(parse_output(text, "openai", TOOLS)) == [ToolCall("math.gcd", {"a": 1})]


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ('{"name": "set_light", "arguments": {"room": "x"}}', {"single_call"}),
        ('```json\n[{"name": "set_light", "arguments": {"room": "x"},}]\n```', {"text_around", "commas"}),
        ('[{"name": "set_light", "arguments": {"room": "x"', {"closed"}),
        ("[{'name': 'set_light', 'parameters': {'room': 'x'}}]", {"python_values", "other_keys"}),
        (
            '{"tool_calls": [{"name": "set_light", "arguments": "{\\"room\\": \\"x\\"}"}]}',
            {"wrapper", "text_arguments", "single_call"},
        ),
        ('Sure: set_light(room="x")', {"text_around", "call_syntax"}),
        ('Here you go: [{"name": "set_light", "arguments": {"room": "x"}}] Enjoy!', {"text_around"}),
    ],
)
def test_a_forgiving_reader_says_what_it_forgave(text, steps):
    assert parse_output(text, "json", TOOLS).error
    found = repair(text, TOOLS)
    assert found is not None and found.calls == (ToolCall("set_light", {"room": "x"}),)
    assert set(found.steps) == steps <= STEPS.keys()


@settings(max_examples=200, deadline=None)
@given(some.text(alphabet="[]{}\"':,aset_light(=) \n\\<tool_call>", max_size=40))
def test_repair_never_fails_and_never_makes_an_abstention(text):
    found = repair(text, TOOLS)
    assert found is None or found.calls


def test_an_unknown_parser_is_refused_and_a_dialect_is_named_by_its_marks():
    with pytest.raises(UserError, match="choose one of auto, json"):
        parse_output("[]", "xml")
    for dialect, write in RENDERERS.items():
        assert dialect_of(write([ToolCall("set_light", {"a": 1})]), TOOLS) == dialect
