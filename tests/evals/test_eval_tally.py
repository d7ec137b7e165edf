"""Tables of a run: what was due and done, arguments by type and origin, grounding, keywords."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from needle.evals import baseline, judge, load_suite
from needle.evals.decisions import decision_table, done_by, due_of
from needle.evals.grounding import derivation, locate
from needle.evals.parse import parse_calls
from needle.evals.slots import slots
from needle.evals.tally import argument_counts, dissect, grounding_table
from needle.tools import CallResult, ToolCall

HALL = ("set_light", {"room": "hall", "level": 5})


def answer(*calls, raw="[]"):
    return CallResult((ToolCall(*call) for call in calls), raw=raw)


@pytest.fixture(scope="module")
def unseen():
    suite = load_suite("needle-unseen", limit=400)
    results = baseline("lexical").answer([trace.request for trace in suite.traces])
    return suite.traces, results, [judge(trace, result) for trace, result in zip(suite.traces, results, strict=True)]


@pytest.mark.parametrize(
    ("raw", "done"),
    [
        ("[]", "silent"),
        ("", "silent"),
        ('{"calls": []}', "silent"),
        ("Which room do you mean?", "ask"),
        ("Sure. Could you tell me the room, please.", "ask"),
        ("I cannot order pizza with these tools.", "cannot"),
    ],
)
def test_an_answer_without_calls_asks_declines_or_is_silent_by_its_words(raw, done):
    assert done_by(answer(raw=raw)) == done
    assert done_by(answer(HALL, raw=raw)) == "call"
    assert done_by(CallResult(raw=raw, error="malformed_json: x")) == "malformed"
    assert done_by(CallResult(raw=raw, error="timed out", infra_error=True)) == "infra"


def test_broken_output_never_counts_as_abstaining_and_must_call_stands_beside(make_trace):
    rows = [make_trace(HALL, id="a"), make_trace(HALL, id="b"), make_trace(id="c"), make_trace(id="d", kind="missing")]
    assert [due_of(row) for row in rows] == ["call", "call", "cannot", "ask"]
    assert due_of(replace(rows[2], meta={"scoring": {"due": "ask"}})) == "ask"

    def table(*results):
        return decision_table(judge(row, result) for row, result in zip(rows, results, strict=True))

    broken = table(*[parse_calls("oops")] * 4)
    assert broken["abstention"]["recall"] == broken["abstention"]["f1"] == broken["must_call"]["correct"] == 0
    assert broken["matrix"]["cannot"]["malformed"] == broken["matrix"]["ask"]["malformed"] == 1
    silent = table(*[answer()] * 4)
    assert silent["abstention"] == {"n": 2, "precision": 0.5, "recall": 1.0, "f1": pytest.approx(2 / 3)}
    assert silent["must_call"] == {"n": 2, "correct": 0.0, "called": 0.0}
    good = table(answer(HALL), answer(), answer(raw="I cannot do that, sorry."), answer(raw="I cannot do that, sorry."))
    assert good["must_call"] == {"n": 2, "correct": 0.5, "called": 0.5}
    assert good["told_apart"] == {"n": 2, "share": 0.5}
    assert good["macro_f1"] == pytest.approx((2 / 3 + 0 + 2 / 3) / 3) and silent["macro_f1"] == broken["macro_f1"] == 0
    assert sum(sum(row.values()) for row in good["matrix"].values()) == 4


def test_calling_where_no_tool_is_on_offer_is_counted(make_trace):
    verdict = judge(make_trace(tools=()), answer(HALL))
    assert decision_table([verdict])["called_without_tools"] == 1


@pytest.mark.parametrize(
    ("value", "text", "how"),
    [
        ("San Francisco", "weather in san francisco", "copied"),
        (5, "dim to 5.", "copied"),
        (5, "dim to 15", "inferred"),
        (5, "dim to 5.5", "inferred"),
        (2, "a table for two", "normalised"),
        (25, "in twenty five minutes", "normalised"),
        (3200, "earned 3,200 pounds", "normalised"),
        (120, "for two minutes", "normalised"),
        ("living_room", "the living room lights", "normalised"),
        ("2026-05-03", "on May 3rd", "normalised"),
        ("16:30", "at half past four pm", "normalised"),
        ("17:30", "at half past four pm", "inferred"),
        ("Bob", "call Bobby", "inferred"),
        (["a", "b"], "b and a", "copied"),
        (["a", "c"], "b and a", "inferred"),
        (True, "true", "inferred"),
        ("csv", "export it", "defaulted"),
        ("csv", "export it as csv", "copied"),
    ],
)
def test_where_a_value_comes_from(value, text, how):
    assert derivation(value, text, {"default": "csv"}) == how


def test_a_place_is_the_place_of_the_words():
    text = "wake me at half past four pm"
    found = locate("16:30", text)
    assert text[found.start : found.end] == "half past four pm"
    assert locate("Ann", "Anna and Ann").start == 9


def test_slots_add_up_to_the_counts_of_the_verdict(unseen):
    traces, results, verdicts = unseen
    for trace, result, verdict in zip(traces, results, verdicts, strict=True):
        counts = argument_counts(slots(trace, result))
        assert (counts["true_positives"], counts["false_positives"], counts["false_negatives"]) == (
            verdict.true_positives,
            verdict.false_positives,
            verdict.false_negatives,
        )


def test_groups_add_up_to_the_whole_and_the_gold_answers_are_perfect(unseen):
    traces, results, verdicts = unseen
    found = dissect(traces, results, verdicts)
    for group in ("by_type", "by_derivation"):
        for key in ("n", "true_positives", "false_positives", "false_negatives"):
            assert sum(part[key] for part in found["slots"][group].values()) == found["slots"]["all"][key]
    gold = baseline("gold", traces).answer([trace.request for trace in traces])
    right = dissect(traces, gold, [judge(trace, result) for trace, result in zip(traces, gold, strict=True)])
    assert right["slots"]["all"]["f1"] == right["grounding"]["bound"] == 1 and right["grounding"]["invented"] == 0
    assert right["keywords"] == {} and right["modes"]["differences"] == []
    assert json.loads(json.dumps(found)) == found


def test_grounding_tells_invented_values_and_values_of_another_place(make_trace):
    trace = make_trace(("send", {"to": {"name": "Ann"}, "text": "call Bob"}), query="tell Ann to call Bob, and quickly")
    made = [("send", {"to": {"name": "Bob"}, "text": "ring the doctor"})]
    to, text = slots(trace, answer(*made))
    assert (to.grounded, to.bound, text.grounded, text.bound) == (True, False, False, False)
    assert grounding_table([to, text]) == {
        "n": 2, "grounded": 0.5, "bound": 0.0, "invented": 0.5, "invented_count": 1,
    }  # fmt: skip
    listed = slots(make_trace(HALL), answer(("set_light", {"room": "kitchen", "on": False, "level": 5})))
    assert [slot.free for slot in listed] == [False, True, False]


def test_schema_violations_are_counted_by_keyword(make_trace):
    calls = [
        [("set_light", {"room": "attic", "level": 500})],
        [("set_light", {"level": "5", "hue": 1})],
        [("set_light", {"room": "hall", "level": -1})],
    ]
    rows = [make_trace(HALL, id=str(n)) for n in range(3)]
    results = [answer(*made) for made in calls]
    verdicts = [judge(row, result) for row, result in zip(rows, results, strict=True)]
    assert dissect(rows, results, verdicts)["keywords"] == {
        "additionalProperties": 1, "enum": 1, "maximum": 1, "minimum": 1, "required": 1, "type": 1,
    }  # fmt: skip
