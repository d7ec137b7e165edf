"""One row: three separate answers, the decision, and the codes."""

from __future__ import annotations

import json

import pytest

from needle.evals.match import MODES
from needle.evals.parse import parse_calls, render_calls
from needle.evals.taxonomy import CODES, FORMAT_CODES, first_cause, in_order
from needle.evals.verdict import judge
from needle.tools import CallResult, ToolCall

HALL = ("set_light", {"room": "hall", "level": 5})


def answer(*calls):
    return CallResult(ToolCall(*call) for call in calls)


def test_the_gold_calls_are_right_and_have_no_codes(make_trace):
    verdict = judge(make_trace(HALL), answer(HALL))
    assert (verdict.well_formed, verdict.schema_valid, verdict.correct) == (True, True, True)
    assert (verdict.true_positives, verdict.false_positives, verdict.false_negatives) == (2, 0, 0)
    assert verdict.codes == () and verdict.cause is None and verdict.decision == "call"


@pytest.mark.parametrize("due", [True, False])
@pytest.mark.parametrize(
    "text", ["", "   ", "[", '[{"name": "set_light"', "I cannot do that", '{"name": "x"}', "[] done", "null", "[NaN]"]
)
def test_broken_output_is_malformed_and_never_right_nor_an_abstention(make_trace, text, due):
    verdict = judge(make_trace(*([HALL] if due else [])), parse_calls(text))
    assert verdict.decision == "malformed"
    assert not (verdict.well_formed or verdict.schema_valid or verdict.correct or any(verdict.modes.values()))
    assert verdict.cause in FORMAT_CODES


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "empty_output"),
        ('[{"name":"set_light","argu', "truncated"),
        ('[{"name":"set_light",,}]', "malformed_json"),
        ("Sorry, no.", "malformed_json"),
        ('{"calls":[]}', "wrong_envelope"),
        ('[{"name":"set_light","arguments":"{}"}]', "wrong_envelope"),
        ("[] Hope this helps!", "trailing_text"),
        ('[{"name":"set_light","arguments":{"room":"hall","room":"kitchen"}}]', "duplicate_key"),
        ("[" * 100_000, "malformed_json"),
    ],
)
def test_the_reader_names_what_is_broken(text, code):
    result = parse_calls(text)
    assert list(result) == [] and result.raw == text
    assert result.error.split(":")[0] == code


def test_calls_survive_writing_and_reading():
    calls = [ToolCall("a", {"s": 'Zoë "q" \n', "n": 5.0, "deep": {"x": [None, True, {}]}}), ToolCall("b")]
    assert list(parse_calls(render_calls(calls))) == calls
    assert parse_calls("[]").error is None


@pytest.mark.parametrize(
    ("calls", "code"),
    [
        ([], "under_call"),
        ([HALL, HALL], "too_many_calls"),
        ([HALL, HALL], "repeated_call"),
        ([("set_lamp", {"room": "hall"})], "unknown_tool"),
        ([("Set-Light", {"room": "hall"})], "near_tool"),
        ([("send", {"to": {"name": "x"}, "text": "y"})], "wrong_tool"),
        ([("set_light", {"level": 5})], "missing_required"),
        ([("set_light", {"room": "hall", "level": 5, "hue": 1})], "unknown_param"),
        ([("set_light", {"room": "hall", "level": "5"})], "wrong_type"),
        ([("set_light", {"room": "attic", "level": 5})], "enum_violation"),
        ([("set_light", {"room": "hall", "level": 500})], "out_of_range"),
        ([("set_light", {"room": "hall"})], "missing_optional"),
        ([("set_light", {"room": "hall", "level": 5, "label": "hall"})], "extra_optional"),
        ([("set_light", {"room": "kitchen", "level": 5})], "wrong_value"),
        ([("set_light", {"room": "hall", "level": 5, "on": True})], "default_equivalent"),
        ([("set_light", {"room": "hall", "level": "5"})], "wrong_form"),
        ([("set_light", {"room": "hall", "level": 7})], "ungrounded_value"),
        ([("set_light", {"room": "hall", "level": 5, "label": "dim the"})], "wrong_span"),
        ([("set_light", {"room": "hall", "level": 5, "label": "hall"})], "swapped_args"),
    ],
)
def test_each_mistake_gets_its_code(make_trace, calls, code):
    verdict = judge(make_trace(HALL), answer(*calls))
    assert code in verdict.codes
    assert set(verdict.codes) <= CODES.keys() and verdict.codes == in_order(verdict.codes)
    assert (verdict.cause is None) == verdict.correct == (code == "default_equivalent")


def test_calling_when_nothing_is_due_is_told_from_not_asking_for_a_missing_value(make_trace):
    assert judge(make_trace(), answer(HALL)).cause == "over_call"
    assert judge(make_trace(kind="missing"), answer(HALL)).cause == "should_ask"
    assert judge(make_trace(), answer()).correct


def test_a_swap_of_calls_is_an_order_mistake_and_a_foreign_value_is_traced_to_its_call(make_trace):
    other = ("set_light", {"room": "kitchen", "level": 9})
    trace = make_trace(HALL, other)
    assert judge(trace, answer(other, HALL)).codes == ("wrong_order",)
    assert "cross_call" in judge(trace, answer(HALL, ("set_light", {"room": "kitchen", "level": 5}))).codes


def test_validity_and_correctness_are_separate(make_trace):
    wrong_but_valid = judge(make_trace(HALL), answer(("set_light", {"room": "kitchen"})))
    assert wrong_but_valid.schema_valid and not wrong_but_valid.correct
    gold_out_of_range = ("set_light", {"room": "hall", "level": 500})
    right_but_invalid = judge(make_trace(gold_out_of_range), answer(gold_out_of_range), gold_suspect=True)
    assert right_but_invalid.correct and not right_but_invalid.schema_valid
    assert "gold_suspect" in right_but_invalid.codes and right_but_invalid.cause is None


def test_arguments_are_counted_per_call_and_defaults_count_for_nothing(make_trace):
    trace = make_trace(HALL, ("send", {"to": {"name": "Ann"}, "text": "hi"}))
    verdict = judge(trace, answer(("set_light", {"room": "hall", "level": 6, "on": True, "label": "x"})))
    assert (verdict.true_positives, verdict.false_positives, verdict.false_negatives) == (1, 2, 3)
    stray = judge(make_trace(), answer(HALL))
    assert (stray.true_positives, stray.false_positives, stray.false_negatives) == (0, 2, 0)
    broken = judge(trace, parse_calls("oops"))
    assert (broken.true_positives, broken.false_positives, broken.false_negatives) == (0, 0, 4)


def test_a_right_row_has_no_faults_even_where_calls_could_pair_otherwise(make_trace):
    # the second prediction fits the first gold call too, and there with more arguments than beside its own partner
    first, second = ("set_light", {"room": "hall", "level": 5}), ("set_light", {"room": "hall", "label": "x"})
    trace = make_trace(first, second, alternatives={"0.level": [None], "0.label": ["x"]})
    verdict = judge(trace, answer(first, second))
    assert verdict.correct and verdict.codes == () and verdict.false_positives == verdict.false_negatives == 0


def test_a_failed_endpoint_is_no_mistake_of_the_model_but_counts_as_wrong(make_trace):
    verdict = judge(make_trace(), CallResult(error="timed out", infra_error=True))
    assert verdict.decision == "infra" and not verdict.correct and verdict.cause == "infra_error"


def test_an_error_beside_calls_still_means_malformed(make_trace):
    verdict = judge(
        make_trace(HALL), CallResult([ToolCall(*HALL)], raw="...", error="trailing_text: prose after the calls")
    )
    assert not verdict.correct and verdict.cause == "trailing_text"


def test_the_first_cause_is_the_outermost():
    assert first_cause(["wrong_value", "default_equivalent", "too_few_calls"]) == "too_few_calls"
    assert first_cause(["default_equivalent"]) is None


def test_a_verdict_is_plain_json(make_trace):
    verdict = judge(make_trace(HALL), answer(("set_light", {"room": "kitchen"}), HALL))
    assert json.loads(json.dumps(verdict.to_dict()))["modes"] == dict.fromkeys(MODES, False)
