"""Floors and the ceiling."""

from __future__ import annotations

from pathlib import Path

import pytest

from needle.errors import UserError
from needle.evals.baselines import BASELINES, CEILINGS, baseline, lexical_scores
from needle.evals.fill import Extractor
from needle.evals.suites import load_suite
from needle.evals.verdict import judge
from needle.tools import Request, ToolSpec

TEST_SPLIT = Path(__file__).parents[2] / "data" / "traces" / "test.jsonl.gz"


@pytest.fixture(scope="module")
def unseen():
    return load_suite(TEST_SPLIT, limit=500, seed=1)


def share_right(name, traces):
    answers = baseline(name, traces).answer([trace.request for trace in traces])
    return sum(judge(trace, answer).correct for trace, answer in zip(traces, answers, strict=True)) / len(traces)


def test_gold_through_writing_and_parsing_scores_100_on_500_real_rows(unseen):
    assert share_right("gold", unseen.traces) == 1.0


def test_never_scores_exactly_the_share_of_rows_without_calls(unseen):
    assert share_right("never", unseen.traces) == sum(not trace.calls for trace in unseen.traces) / 500


def test_words_beat_chance_at_choosing_a_tool(unseen):
    due = [trace for trace in unseen.traces if trace.calls]

    def names_right(name):
        answers = baseline(name).answer([trace.request for trace in due])
        return sum(
            bool(calls) and calls[0].name == trace.calls[0].name for calls, trace in zip(answers, due, strict=True)
        )

    assert names_right("lexical") > 1.5 * names_right("random")


def test_answers_do_not_depend_on_batches(unseen):
    requests = [trace.request for trace in unseen.traces[:50]]
    for name in BASELINES:
        caller = baseline(name, unseen.traces)
        assert [list(one) for one in caller.answer(requests)] == [
            list(caller.answer([request])[0]) for request in requests
        ]


def test_random_follows_its_seed(unseen):
    requests = [trace.request for trace in unseen.traces[:100]]
    first, again, other = (baseline("random", seed=seed).answer(requests) for seed in (0, 0, 1))
    assert first == again and first != other


@pytest.mark.parametrize("name", [name for name in BASELINES if name not in CEILINGS])
@pytest.mark.parametrize("query", ["", "   ", "?!", "9" * 500, "10.4.0.0 1,000.5 -3 1e9", '\ud800 "half', "a" * 20_000])
def test_floors_answer_anything_with_something_well_formed(make_trace, name, query):
    request = make_trace(query=query).request
    result = baseline(name).answer([request, Request(query, ())])
    assert [one.error for one in result] == [None, None]
    assert list(result[1]) == []


def test_arguments_are_filled_from_listed_values_numbers_and_spans(make_trace):
    light, send = make_trace().tools
    assert Extractor("dim the kitchen to forty").fill(light) == {"room": "kitchen", "level": 40}
    assert Extractor('tell Ann Lee "be there by 5"').fill(send)["text"] == "Ann Lee"
    days = ToolSpec(
        "d", "", {"type": "object", "properties": {"days": {"type": "array", "items": {"enum": ["mon", "tue", "wed"]}}}}
    )
    assert Extractor("on tue and mon").fill(days) == {"days": ["mon", "tue"]}


def test_a_word_that_every_tool_has_decides_nothing(make_trace):
    tools = tuple(ToolSpec(f"lamp_{colour}") for colour in ("red", "blue"))
    red, blue = lexical_scores(Request("lamp red", tools))
    assert red > blue > 0


def test_an_unknown_baseline_and_a_foreign_request_are_refused(make_trace):
    with pytest.raises(UserError, match="choose one of never"):
        baseline("best")
    with pytest.raises(UserError, match="build copy and gold from the suite"):
        baseline("gold", []).answer([make_trace().request])


def test_a_perfect_copier_stands_between_the_floors_and_gold(unseen):
    copy = share_right("copy", unseen.traces)
    assert share_right("lexical", unseen.traces) < copy < 1.0 and copy > 0.5


def test_a_copier_leaves_out_what_the_request_does_not_say(make_trace):
    trace = make_trace(("set_light", {"room": "hall", "level": 5, "on": False, "label": "evening"}), query="dim it to 5")
    (result,) = baseline("copy", [trace]).answer([trace.request])
    assert result[0].arguments == {"room": "hall", "level": 5, "on": False}  # listed, said, listed; the label is not said
