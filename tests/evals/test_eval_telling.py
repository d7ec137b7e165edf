"""The most telling failures: of different kinds, each standing for many, said in words."""

from __future__ import annotations

import pytest

from needle.evals.summary import Scored
from needle.evals.taxonomy import CODES
from needle.evals.telling import COUNT, in_words, telling
from needle.evals.verdict import judge
from needle.tools import CallResult, ToolCall


@pytest.fixture
def scored(make_trace):
    """A row with what was due and what came, judged; ``due`` and ``got`` are lists of (name, arguments)."""

    def build(due, got, error=None, raw="", infra=False, **fields):
        trace = make_trace(*due, **fields)
        result = CallResult([ToolCall(*call) for call in got], error=error, raw=raw, infra_error=infra)
        return Scored(trace, result, judge(trace, result))

    return build


HALL = ("set_light", {"room": "hall", "level": 5})

CASES = [
    ([HALL], [], {}, 'made no call; set_light(room="hall", level=5) was due'),
    ([], [HALL], {}, 'called set_light(room="hall", level=5) although no call was due'),
    (
        [],
        [HALL],
        {"kind": "missing"},
        'called set_light(room="hall", level=5) although the request leaves a required value out',
    ),
    (
        [HALL, ("send", {"to": {"name": "Al"}, "text": "hi"})],
        [HALL],
        {},
        'made 1 of 2 calls; send(to={"name": "Al"}, text="hi") is missing',
    ),
    ([HALL], [("send", {"to": {"name": "Al"}, "text": "hi"})], {}, "called send where set_light was due"),
    ([HALL], [("set_light", {"room": "hall", "level": 50})], {}, "level of set_light is 50 instead of 5"),
    ([HALL], [("set_light", {"room": "hall"})], {}, "level of set_light is left out, 5 is due"),
    (
        [("set_light", {"room": "hall"})],
        [("set_light", {"room": "hall", "label": "x"})],
        {},
        'label of set_light is set to "x", an optional argument that is not asked for',
    ),
    ([HALL], [], {"error": "malformed_json: line 1", "raw": "[{"}, "the output cannot be read: [{"),
]


@pytest.mark.parametrize(("due", "got", "more", "words"), CASES)
def test_a_failure_is_said_in_words(scored, due, got, more, words):
    assert in_words(scored(due, got, **more)).startswith(words)


def test_every_failure_finds_words_whatever_it_is(scored):
    """Answers of every kind against rows of every kind: there is always a sentence, and never an unfilled value."""
    answers = [
        [],
        [HALL],
        [HALL, HALL],
        [("set_light", {"room": 3})],
        [("x", {})],
        [("SET_LIGHT", {})],
        [("send", {"to": {}, "tags": [1]})],
    ]
    for due in ([], [HALL], [HALL, ("send", {"to": {"name": "A"}, "text": "t"})]):
        for got in answers:
            one = scored(due, got)
            if one.verdict.cause:
                assert len(in_words(one)) > 10 and "None" not in in_words(one)


def test_causes_share_the_places_and_each_failure_says_how_many_are_like_it(scored):
    rows = [scored([HALL], [], id=f"u{n}") for n in range(50)]
    rows += [scored([], [HALL], id=f"o{n}") for n in range(30)]
    rows += [scored([HALL], [("set_light", {"room": "hall", "level": 6 + n})], id=f"w{n}") for n in range(20)]
    rows += [scored([HALL], [HALL], id=f"r{n}") for n in range(20)]
    told = telling(rows)
    causes = [one["cause"] for one in told]
    assert len(told) <= COUNT and len({one["id"] for one in told}) == len(told)
    assert set(causes) == {"under_call", "over_call", "wrong_value"} and max(map(causes.count, causes)) <= 3
    assert {one["cause"]: one["like"] for one in told} == {"under_call": 50, "over_call": 30, "wrong_value": 20}
    assert all(one["cause"] in CODES for one in told)
    assert telling(rows) == told == telling(list(reversed(rows)))


def test_failures_of_an_endpoint_are_not_told_and_no_failures_give_none(scored):
    assert telling([scored([HALL], [], error="down", infra=True), scored([HALL], [HALL], id="ok")]) == []
    assert telling([]) == []


def test_few_failures_of_one_kind_are_all_told(scored):
    rows = [scored([HALL], [], id=f"u{n}") for n in range(4)]
    assert len(telling(rows)) == 4
