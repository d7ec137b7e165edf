"""Two runs side by side."""

from __future__ import annotations

import json

import pytest

from needle.errors import UserError
from needle.evals import run as runs
from needle.evals.baselines import baseline
from needle.evals.compare import compare
from needle.evals.run import evaluate
from needle.tools import CallResult


def test_a_run_compared_with_itself_has_no_flips(make_suite, tmp_path):
    evaluate(baseline("lexical"), make_suite(), tmp_path)
    found = compare(tmp_path, tmp_path)
    assert found.flips == () and found.correct.difference == 0.0 and found.correct.p_value == 1.0
    assert "no difference shown" in found.render()


def test_a_better_run_wins_with_the_flipped_rows_named(make_suite, tmp_path):
    suite = make_suite(60)
    evaluate(baseline("never"), suite, tmp_path / "a")
    evaluate(baseline("gold", suite.traces), suite, tmp_path / "b")
    found = compare(tmp_path / "a", tmp_path / "b")
    assert found.correct.difference == pytest.approx(2 / 3) and found.correct.low > 0 and found.correct.p_value < 1e-6
    assert [flip.id for flip in found.flips] == [trace.id for trace in suite.traces if trace.calls]
    assert all(flip.gained and flip.cause == "under_call" for flip in found.flips)
    text = found.render(limit=2)
    assert "B is better" in text and "gained r0" in text and "38 more gained" in text
    assert "A is better" in compare(tmp_path / "b", tmp_path / "a").render()
    assert json.loads(json.dumps(found.to_dict()))["rates"]["correct"]["gained"] == 40


def test_an_incomplete_run_says_so(make_suite, scripted, tmp_path):
    evaluate(baseline("never"), make_suite(), tmp_path / "a")
    evaluate(scripted(lambda query: CallResult(error="down", infra_error=True)), make_suite(), tmp_path / "b")
    found = compare(tmp_path / "a", tmp_path / "b")
    assert not found.complete and "Incomplete" in found.render()


def test_other_suites_and_other_scorers_are_not_compared(make_suite, tmp_path, monkeypatch):
    evaluate(baseline("never"), make_suite(30), tmp_path / "a")
    evaluate(baseline("never"), make_suite(20), tmp_path / "b")
    with pytest.raises(UserError, match="different suites"):
        compare(tmp_path / "a", tmp_path / "b")
    monkeypatch.setattr(runs, "SCORER_VERSION", "next")
    evaluate(baseline("never"), make_suite(30), tmp_path / "c")
    with pytest.raises(UserError, match="different scorer versions .* --rescore DIR"):
        compare(tmp_path / "a", tmp_path / "c")
    with pytest.raises(UserError, match="no finished run"):
        compare(tmp_path / "a", tmp_path / "none")
