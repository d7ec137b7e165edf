"""Evaluating a model with a fallback: the share that went up, what it cost, and who was right; and one that sees a part of the tools."""

from __future__ import annotations

from needle.evals.escalation import escalation_lines
from needle.evals.offered import offered_lines
from needle.evals.run import evaluate, rescore
from needle.tools import CallResult, ToolCall
from needle.tools.fallback import FallbackCaller


def _right(query: str) -> CallResult:
    usage = {"prompt_tokens": 100, "completion_tokens": 10}
    return CallResult([ToolCall("set_light", {"room": "hall", "level": int(query.split()[-1])})], usage=usage)


def _small(query: str) -> CallResult:
    """Right and sure for levels below 15, else wrong and unsure; nobody gets the rows without a due call."""
    level = int(query.split()[-1])
    call = ToolCall("set_light", {"room": "hall", "level": level if level < 15 else 99})
    return CallResult([call], confidence=0.9 if level < 15 else 0.3, usage={"prompt_tokens": 7, "completion_tokens": 1})


def test_a_run_with_a_fallback_says_what_went_up_and_what_it_took(make_suite, scripted, tmp_path):
    caller = FallbackCaller(scripted(_small, name="small"), scripted(_right, name="large"), threshold=0.7)
    summary = evaluate(caller, make_suite(), tmp_path).summary
    found = summary["escalation"]
    assert (found["n"], found["escalated"], found["unsure"], found["escalated_share"]) == (30, 15, 0, 0.5)
    assert found["by"] == {"small": {"n": 15, "correct": 10}, "large": {"n": 15, "correct": 10}}
    assert found["usage"] == {"prompt_tokens": 1500, "completion_tokens": 150}
    assert summary["usage"]["prompt_tokens"] == 30 * 7 + 1500 and summary["confidence"]["n"] == 15
    (line,) = escalation_lines(summary)
    assert "15 of 30 rows (50.0 %)" in line and "1,500 prompt tokens" in line and "large: 10 of 15 right" in line
    assert "went to the fallback" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert rescore(tmp_path).summary["escalation"] == found


def test_without_a_fallback_unsure_rows_are_counted_and_plain_runs_have_no_such_part(make_suite, scripted, tmp_path):
    marked = evaluate(FallbackCaller(scripted(_small, name="small")), make_suite(), tmp_path / "marked").summary
    assert marked["escalation"]["unsure"] == 15 and marked["escalation"]["escalated"] == 0
    plain = evaluate(scripted(_small), make_suite(), tmp_path / "plain").summary
    assert "escalation" not in plain and escalation_lines(plain) == []
    assert plain["rates"] == marked["rates"]


def test_a_run_over_large_toolsets_says_how_often_the_right_tools_were_shown(make_suite, scripted, tmp_path):
    def shown(query: str) -> CallResult:
        """The right tool is shown for odd levels; all of them for multiples of five."""
        level = int(query.split()[-1])
        return CallResult(offered=None if level % 5 == 0 else ["set_light"] if level % 2 else ["send"])

    summary = evaluate(scripted(shown), make_suite(), tmp_path).summary
    due = [level for level in range(30) if level % 5 and level % 3 != 2]
    assert summary["offered"] == {"n": 24, "mean_tools": 1.0, "mean_all": 2.0, "due": len(due), "recall": sum(level % 2 for level in due) / len(due), "at": []}
    assert "24 rows were shown 1.0 of 2.0 tools" in offered_lines(summary)[0] and rescore(tmp_path).summary["offered"] == summary["offered"]


def test_recall_at_k_of_the_order_used_stands_beside_that_of_words_alone(make_suite, scripted, tmp_path):
    def shown(query: str) -> CallResult:
        """The caller's order is right for even levels; that of words ("light" is asked for) always."""
        level = int(query.split()[-1])
        return CallResult(offered=["send"], ranked=["set_light", "send"] if level % 2 == 0 else ["send", "set_light"])

    summary = evaluate(scripted(shown), make_suite(), tmp_path).summary
    due = [level for level in range(30) if level % 3 != 2]
    assert summary["offered"]["at"] == [{"k": 1, "n": len(due), "recall": sum(level % 2 == 0 for level in due) / len(due), "words": 1.0}]
    assert "1: 50.0 (100.0)" in offered_lines(summary)[1] and rescore(tmp_path).summary["offered"] == summary["offered"]
    assert "words alone" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_rows_that_the_fallback_could_not_answer_are_counted_and_asked_again(make_suite, scripted, tmp_path):
    def run(reply, cache=tmp_path / "answers.sqlite"):
        large = scripted(reply, name="large")
        caller = FallbackCaller(scripted(_small, name="small"), large, threshold=0.7)
        return evaluate(caller, make_suite(), tmp_path / "out", cache=cache).summary, large.asked

    first, asked = run(lambda query: CallResult(error="HTTP 503", infra_error=True))
    assert first["escalation"]["failed"] == 15 == first["escalation"]["unsure"] and len(asked) == 15
    assert "no answer to 15 rows; the same command asks these again" in escalation_lines(first)[0]
    second, asked = run(_right)
    assert second["escalation"]["failed"] == 0 and len(asked) == 15 and second["rates"]["correct"]["value"] > first["rates"]["correct"]["value"]
    assert run(_right)[1] == []
