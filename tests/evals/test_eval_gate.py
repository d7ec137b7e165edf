"""Several runs compared, gaps by skill, and the gate that CI stands on."""

from __future__ import annotations

import json

import pytest

from needle.errors import UserError
from needle.evals.baselines import baseline
from needle.evals.compare import compare, compare_all
from needle.evals.gate import fail_under, max_regression, read_thresholds
from needle.evals.run import evaluate, load_results
from needle.evals.statistics import compare_paired, holm, permutation
from needle.tools import CallResult


def to_the_hall(query: str) -> str:
    """The right tool always, the right level up to 30."""
    return json.dumps([{"name": "set_light", "arguments": {"room": "hall", "level": min(30, int(query.split()[-1]))}}])


@pytest.fixture
def runs(make_suite, scripted, tmp_path):
    """Folders of three runs on 60 rows: ``gold``, ``half`` (fills half of the levels, never abstains), ``never``."""
    suite = make_suite(60)
    evaluate(baseline("gold", suite.traces), suite, tmp_path / "gold")
    evaluate(scripted(to_the_hall, name="half"), suite, tmp_path / "half")
    evaluate(baseline("never"), suite, tmp_path / "never")
    return tmp_path


def test_holm_is_the_textbook_procedure():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])  # Holm (1979), by hand
    assert holm([]) == [] and holm([0.6, 0.7]) == [1.0, 1.0]
    adjusted = holm([0.001, 0.5, 0.02])
    assert all(after >= before for after, before in zip(adjusted, [0.001, 0.5, 0.02], strict=True))


def test_the_permutation_test_is_exact_for_few_clusters_and_close_for_many():
    assert permutation([1] * 6, list(range(6))) == pytest.approx(2 / 2**6)
    assert permutation([1, -1] * 10, list(range(20))) == 1.0 and permutation([0, 0], [0, 1]) == 1.0
    many = permutation([1] * 14 + [-1] * 6, list(range(20)))
    assert many == pytest.approx(0.115, abs=0.015) and many == permutation([1] * 14 + [-1] * 6, list(range(20)))


def test_rows_that_hang_together_count_once():
    first, second = [False] * 40, [True] * 20 + [False] * 20
    labels = [0] * 20 + list(range(1, 21))  # all 20 gained rows are of one toolset
    found = compare_paired(first, second, labels)
    assert found.p_value < 1e-4 and found.p_permutation == 1.0 == found.p and not found.significant
    alone = compare_paired(first, second, list(range(40)))
    assert alone.p == alone.p_value and alone.significant


def test_every_pair_is_compared_and_corrected_together(runs):
    found = compare_all([runs / "gold", runs / "half", runs / "never"])
    assert [(pair.first, pair.second) for pair in found.pairs] == [
        ("baseline:gold", "half"),
        ("baseline:gold", "baseline:never"),
        ("half", "baseline:never"),
    ]
    single = compare(runs / "half", runs / "never")
    assert found.pairs[2].correct.p_adjusted >= single.correct.p_adjusted >= single.correct.p
    text = found.render()
    assert "A  baseline:gold" in text and "C minus B" in text and "Holm over 9 tests" in text
    assert json.loads(json.dumps(found.to_dict()))["pairs"][0]["rates"]["correct"]["p_adjusted"] is not None
    with pytest.raises(UserError, match="two or more"):
        compare_all([runs / "gold"])


def test_the_gap_to_a_teacher_is_told_by_skill_and_kind(runs):
    found = compare(runs / "gold", runs / "half")
    gaps = {(gap.part, gap.name): gap for gap in found.gaps}
    assert gaps["skill", "select"].second == 1.0 and gaps["skill", "abstain"].second == 0.0
    fill = gaps["skill", "fill"]
    assert fill.paired.n == 40 and fill.first == 1.0 and fill.second == fill.kept == pytest.approx(21 / 40)
    assert gaps["kind", "irrelevant"].paired.difference == -1.0 and ("skill", "several calls") not in gaps
    assert found.agreement == pytest.approx(21 / 60)
    assert "by skill" in found.render() and "kept of A" in found.render()


def test_a_rate_passes_only_when_luck_is_ruled_out(runs):
    half = load_results(runs / "half").summary
    value, low = half["rates"]["correct"]["value"], half["rates"]["correct"]["low"]
    assert fail_under(half, {"correct": low - 0.001}) == []
    (failure,) = fail_under(half, {"correct": (low + value) / 2})
    assert "correct of half" in failure and "reaches down to" in failure
    assert (
        fail_under(half, {"must_call": 0.1}) == []
        and len(fail_under(half, {"well_formed": 0.5, "no_call_due": 0.5})) == 1
    )
    assert read_thresholds(["60", "well_formed=99.5"]) == {"correct": 0.6, "well_formed": 0.995}
    for bad in ("lots", "correct=101"):
        with pytest.raises(UserError, match="percentage"):
            read_thresholds([bad])
    with pytest.raises(UserError, match="no such rate; choose one of well_formed"):
        read_thresholds(["speed=50"])


def test_a_loss_must_be_ruled_out(runs):
    same, worse = compare(runs / "half", runs / "half"), compare(runs / "gold", runs / "half")
    assert max_regression([same], 4) == [] and max_regression([compare(runs / "half", runs / "gold")], 0) == []
    (unsure,) = max_regression([same], 1)  # sixty rows without a flip do not rule out a loss of one point
    assert "more rows would tell" in unsure
    (failure,) = max_regression([worse], 5)
    assert "a loss is shown" in failure and max_regression([worse], 100) == []
    with pytest.raises(UserError):
        max_regression([same], -1)


def test_an_incomplete_run_passes_no_gate(make_suite, scripted, runs):
    evaluate(scripted(lambda query: CallResult(error="down", infra_error=True)), make_suite(60), runs / "down")
    found = compare(runs / "never", runs / "down")
    assert any("incomplete" in line for line in max_regression([found], 100))
    assert "incomplete" in fail_under(load_results(runs / "down").summary, {"correct": 0.0})[0]


def test_the_command_line_gates_with_exit_code_1(cli, runs):
    assert cli("compare", runs / "gold", runs / "gold", "--max-regression", 4, "--fail-under", 90).code == 0
    outcome = cli(
        "compare",
        runs / "gold",
        runs / "half",
        "--max-regression",
        5,
        "--fail-under",
        "correct=50",
        "--json",
        runs / "c.json",
    )
    assert outcome.code == 1 and outcome.err.count("FAILED ") == 2 and "Traceback" not in outcome.err
    assert json.loads((runs / "c.json").read_text())["pairs"][0]["second"] == "half"
    outcome = cli("compare", runs / "gold", runs / "half", runs / "never")
    assert outcome.code == 0 and "C minus A" in outcome.out
    assert "percentage" in cli("compare", runs / "gold", runs / "half", "--fail-under", "x=y").complaint
    assert "two or more" in cli("compare", runs / "gold").complaint


def test_a_gate_on_no_known_rate_is_refused_before_the_model_is_asked(cli, tmp_path):
    command = ("eval", "--model", "baseline:never", "--suite", "home-smoke", "--out", tmp_path / "run")
    assert "no such rate" in cli(*command, "--fail-under", "accuracy=50").complaint
    assert not (tmp_path / "run").exists()


def test_a_run_without_a_mistake_can_still_not_show_any_difference(runs):
    perfect = load_results(runs / "gold").summary
    assert perfect["rates"]["correct"]["value"] == 1.0 and 0.02 < perfect["smallest_detectable"] < 0.2


def test_eval_gates_rescores_and_shows_itself(cli, tmp_path, write):
    suite = ("--suite", "home-smoke", "--limit", 12)
    command = ("eval", "--model", "baseline:never", *suite, "--out", tmp_path / "run")
    assert cli(*command, "--fail-under", "well_formed=50").code == 0
    outcome = cli(*command, "--fail-under", "well_formed=50", "--fail-under", "correct=99")
    assert outcome.code == 1 and outcome.err.count("FAILED ") == 1
    outcome = cli("eval", "--rescore", tmp_path / "run")
    assert outcome.code == 0 and "12 rows scored again, no verdict changed" in outcome.out
    assert "no finished run" in cli("eval", "--rescore", tmp_path / "nothing").complaint
    script = write("model.py", 'def answer(request):\n    return \'Sure! [{"name": "x", "arguments": {}}]\'\n')
    outcome = cli("eval", "--selftest", "--model", f"py:{script}:answer", *suite, "--out", tmp_path / "none")
    assert outcome.code == 0 and not (tmp_path / "none").exists()
    for part in (
        "--- raw output\nSure! [{",
        "read by parser auto",
        "cannot be read",
        "repaired: [{",
        "--- gold",
        "wrong: malformed",
    ):
        assert part in outcome.out
    assert "choose one of auto" in cli("eval", "--model", f"py:{script}:answer", "--parser", "yaml", *suite).complaint
    nobody = ("eval", "--model", "http://127.0.0.1:9/v1#x", "--concurrency", 0)
    assert "at least one request" in cli(*nobody, *suite).complaint
    assert cli("eval", "--beams", 0, *suite).code == 2
    assert "no constrained decoding" in cli("eval", "--model", "baseline:never", "--both", *suite).complaint


def test_a_student_shows_its_prompt_and_decodes_both_ways(cli, tiny_base, tmp_path):
    suite = ("--suite", "home-smoke", "--limit", 4, "--model", tiny_base)
    outcome = cli("eval", "--selftest", *suite)
    assert (
        outcome.code == 0
        and "<tool>" in outcome.out
        and "<request>" in outcome.out
        and "read by parser native" in outcome.out
    )
    outcome = cli("eval", "--both", *suite, "--out", tmp_path / "run")
    assert outcome.code == 0, outcome.err
    assert "constrained" in outcome.out and "free minus constrained" in outcome.out
    summary = json.loads((tmp_path / "run" / "results.json").read_text())
    assert summary["model"]["parameters"] > 10_000 and summary["model"]["bytes"] > 10_000
    assert summary["variants"]["free"]["n"] == 4 and (tmp_path / "run" / "free" / "report.html").is_file()
    assert "reads its own output" in cli("eval", *suite, "--parser", "json").complaint
