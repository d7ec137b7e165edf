"""Runs: scoring, resuming, failures outside the model, files."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from needle.errors import UserError
from needle.evals import run as runs
from needle.evals.baselines import baseline
from needle.evals.run import PREVIOUS, RESULTS, ROWS, evaluate, load_results, rescore
from needle.evals.text import summary_table, to_markdown
from needle.tools import CallResult, ToolCall


def right(query: str) -> str:
    """The right answer for a third of the rows of ``make_suite``, and a fixed wrong one for the rest."""
    level = int(query.split()[-1])
    return json.dumps([{"name": "set_light", "arguments": {"room": "hall", "level": level if level % 2 else 1}}])


def without_times(summary):
    return {key: value for key, value in summary.items() if key not in ("latency", "resources")}


def test_gold_scores_100_in_every_rate(make_suite, tmp_path):
    suite = make_suite()
    results = evaluate(baseline("gold", suite.traces), suite, tmp_path)
    assert all(
        results.rate(name).value == 1.0 for name in ("well_formed", "schema_valid", "correct", "correct_unordered")
    )
    assert results.summary["arguments"]["f1"] == 1.0 and results.complete and results.summary["causes"] == {}


def test_garbage_scores_nothing_not_even_where_no_call_is_due(make_suite, scripted, tmp_path):
    results = evaluate(scripted(lambda query: "]] garbage"), make_suite(), tmp_path)
    assert {results.rate(name).value for name in ("well_formed", "schema_valid", "correct")} == {0.0}
    assert results.summary["by_kind"]["irrelevant"]["correct"]["value"] == 0.0
    matrix = results.summary["abstention"]["matrix"]
    assert matrix["no_call_due"] == {"call": 0, "no_call": 0, "malformed": 10, "infra": 0}
    assert results.summary["abstention"]["recall"] == 0.0


def test_the_floors_stand_beside_every_result(make_suite, scripted, tmp_path):
    summary = evaluate(scripted(right), make_suite(), tmp_path).summary
    assert summary["floors"].keys() == {"never", "first-tool", "lexical"}
    assert summary["floors"]["never"]["correct"]["value"] == pytest.approx(1 / 3)
    best = summary["best_floor"]
    assert best["correct"]["value"] == max(rates["correct"]["value"] for rates in summary["floors"].values())


def test_abstaining_has_a_precision_and_a_recall(make_suite, scripted, tmp_path):
    def never_on_even(query: str) -> str:
        return "[]" if int(query.split()[-1]) % 2 else right(query)

    always = evaluate(baseline("never"), make_suite(), tmp_path / "always").summary["abstention"]
    assert (always["precision"], always["recall"]) == (pytest.approx(1 / 3), 1.0)
    half = evaluate(scripted(never_on_even), make_suite(), tmp_path / "half").summary["abstention"]
    assert half["matrix"]["no_call_due"]["no_call"] == 5 and half["matrix"]["call_due"]["no_call"] == 10
    assert (half["precision"], half["recall"]) == (pytest.approx(1 / 3), 0.5)


def test_the_tables_add_up(make_suite, scripted, tmp_path):
    summary = evaluate(scripted(right), make_suite(), tmp_path).summary
    for table in ("by_kind", "by_calls"):
        assert sum(group["n"] for group in summary[table].values()) == summary["n"] == 30
        hits = sum(group["n"] * group["correct"]["value"] for group in summary[table].values())
        assert hits == pytest.approx(30 * summary["rates"]["correct"]["value"])
    assert sum(sum(row.values()) for row in summary["abstention"]["matrix"].values()) == 30
    assert sum(summary["causes"].values()) == round(30 * (1 - summary["rates"]["correct"]["value"]))
    assert summary["latency"]["n"] == 30 and summary["latency"]["p50"] <= summary["latency"]["p95"]


def test_an_interrupted_and_resumed_run_equals_an_uninterrupted_one(make_suite, scripted, tmp_path):
    suite = make_suite()
    whole = evaluate(scripted(right), suite, tmp_path / "whole", batch_size=4)
    with pytest.raises(KeyboardInterrupt):
        evaluate(scripted(right, stop_after=13), suite, tmp_path / "parts", batch_size=4)
    assert not (tmp_path / "parts" / RESULTS).exists()
    with (tmp_path / "parts" / ROWS).open("a") as file:
        file.write('{"id": "r12", "run": "cut off in the mid')
    second = scripted(right)
    resumed = evaluate(second, suite, tmp_path / "parts", batch_size=4)
    assert len(second.asked) == 30 - 12
    assert without_times(resumed.summary) == without_times(whole.summary)
    for one, other in zip(resumed.rows, whole.rows, strict=True):
        assert one | {"seconds": 0} == other | {"seconds": 0}
    assert [json.loads(line)["id"] for line in (tmp_path / "parts" / ROWS).read_text().splitlines()] == [
        trace.id for trace in suite.traces
    ]


def test_an_answer_is_asked_for_once_whatever_the_sample_and_only_by_the_same_model(make_suite, scripted, tmp_path):
    evaluate(scripted(right), make_suite(10), tmp_path)
    for caller, suite, asked in (
        (scripted(right), make_suite(10), 0),
        (scripted(right), make_suite(30), 20),
        (scripted(right, name="other"), make_suite(30), 30),
        (scripted(right, name="other"), make_suite(10), 0),
        (scripted(right), make_suite(30), 0),
    ):
        summary = evaluate(caller, suite, tmp_path).summary
        assert len(caller.asked) == asked == summary["resources"]["asked"]
        assert summary["resources"]["reused"] == len(suite.traces) - asked
    saved = [json.loads(line) for name in (ROWS, PREVIOUS) for line in (tmp_path / name).read_text().splitlines()]
    assert len({row["key"] for row in saved}) == 60  # nothing answered is thrown away
    again = scripted(right, name="other")
    evaluate(again, make_suite(10), tmp_path, resume=False)
    assert len(again.asked) == 10


def test_other_settings_are_another_question(make_suite, scripted, tmp_path):
    cold, warm = scripted(right), scripted(right)
    cold.settings, warm.settings = {"temperature": 0.0}, {"temperature": 1.0}
    evaluate(cold, make_suite(4), tmp_path)
    evaluate(warm, make_suite(4), tmp_path)
    assert len(warm.asked) == 4


def test_another_scorer_scores_saved_answers_anew_and_never_beside_old_verdicts(
    make_suite, scripted, tmp_path, monkeypatch
):
    evaluate(scripted(right), make_suite(), tmp_path)
    monkeypatch.setattr(runs, "SCORER_VERSION", "next")
    caller = scripted(right)
    results = evaluate(caller, make_suite(), tmp_path)
    assert results.summary["scorer_version"] == "next" and caller.asked == []
    assert {row["scorer"] for row in load_results(tmp_path).rows} == {"next"}
    lines = (tmp_path / ROWS).read_text().splitlines()
    lines[3] = json.dumps(json.loads(lines[3]) | {"scorer": "older"})
    (tmp_path / ROWS).write_text("\n".join(lines) + "\n")
    with pytest.raises(UserError, match="its row r3 by older.* --rescore"):
        load_results(tmp_path)


def test_failures_outside_the_model_count_as_wrong_are_listed_and_asked_again(make_suite, scripted, tmp_path):
    suite = make_suite()

    def flaky(query: str):
        return CallResult(error="HTTP 503", infra_error=True) if query.endswith(("1", "2")) else "[]"

    first = evaluate(scripted(flaky), suite, tmp_path)
    failed = [trace.id for trace in suite.traces if trace.query.endswith(("1", "2"))]
    assert first.summary["infra_errors"] == {"count": len(failed), "ids": failed} and not first.complete
    assert first.summary["n"] == 30 and first.rate().value < 1 / 3
    assert first.summary["causes"]["infra_error"] == len(failed)
    assert "Incomplete" in summary_table(first) and "Incomplete" in to_markdown(first)
    mended = scripted(lambda query: "[]")
    second = evaluate(mended, suite, tmp_path)
    assert len(mended.asked) == len(failed)
    assert second.complete and second.rate().value == pytest.approx(1 / 3)


def test_rescoring_needs_no_model_and_repeats_the_figures(make_suite, scripted, tmp_path):
    results = evaluate(scripted(right), make_suite(), tmp_path)
    before = {name: (tmp_path / name).read_bytes() for name in (ROWS, RESULTS, "report.html")}
    assert rescore(tmp_path).summary == results.summary == load_results(tmp_path).summary
    assert before == {name: (tmp_path / name).read_bytes() for name in before}


def test_rescoring_sees_changed_gold(make_suite, scripted, tmp_path):
    results = evaluate(scripted(lambda query: "[]"), make_suite(), tmp_path)
    rows = [json.loads(line) for line in (tmp_path / ROWS).read_text().splitlines()]
    for row in rows:
        row["gold"]["calls"] = []
    (tmp_path / ROWS).write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert results.rate().value < rescore(tmp_path).rate().value == 1.0


def test_gold_that_breaks_its_schema_is_named_and_still_scored(make_suite, make_trace, scripted, tmp_path):
    from dataclasses import replace

    bad = make_trace(("set_light", {"room": "hall", "level": 900}), id="bad", query="dim the hall to 900")
    suite = replace(make_suite(5), traces=(*make_suite(5).traces, bad), suspects=frozenset({"bad"}))
    results = evaluate(baseline("gold", suite.traces), suite, tmp_path)
    assert results.rate().value == 1.0 and results.rate("schema_valid").value < 1.0
    assert results.summary["codes"]["gold_suspect"] == 1
    assert "(bad)" in summary_table(results)


def test_half_a_surrogate_pair_in_an_output_is_kept(make_suite, scripted, tmp_path):
    raw = '[{"name": "set_light", "arguments": {"room": "\\ud800"}}]'
    results = evaluate(scripted(lambda query: raw), make_suite(3), tmp_path)
    assert (
        load_results(tmp_path).rows[0]["calls"]
        == results.rows[0]["calls"]
        == [{"name": "set_light", "arguments": {"room": "\ud800"}}]
    )


def test_a_number_that_json_lacks_is_malformed_even_if_the_caller_let_it_pass(make_suite, scripted, tmp_path):
    call = ToolCall("set_light", {"room": "hall", "level": float("nan")})
    results = evaluate(scripted(lambda query: CallResult([call], raw="...")), make_suite(3), tmp_path)
    assert results.rate("well_formed").value == 0.0 and results.summary["causes"] == {"malformed_json": 3}
    assert "NaN" not in (tmp_path / ROWS).read_text()


def test_progress_ends_at_the_number_of_rows(make_suite, scripted, tmp_path):
    seen = []
    evaluate(
        scripted(right), make_suite(10), tmp_path, batch_size=4, progress=lambda done, total: seen.append((done, total))
    )
    assert seen == [(0, 10), (4, 10), (8, 10), (10, 10)]


def test_bad_folders_and_callers_are_refused_in_one_line(make_suite, scripted, tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / ROWS).write_text('{"id": 1}\n')
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / ROWS).write_text("not json\n")

    class Short(scripted):
        def answer(self, requests):
            return super().answer(requests)[1:]

    for action, message in (
        (lambda: evaluate(scripted(right), make_suite(), tmp_path / "file"), "cannot hold results"),
        (lambda: evaluate(scripted(right), make_suite(), tmp_path / "foreign"), "rows.jsonl:1"),
        (lambda: evaluate(scripted(right), make_suite(), tmp_path / "broken"), "broken JSON"),
        (lambda: evaluate(scripted(right), make_suite(), tmp_path, batch_size=0), "at least 1"),
        (lambda: evaluate(Short(right), make_suite(), tmp_path / "short"), "must answer each"),
        (lambda: load_results(tmp_path / "nowhere"), "no finished run"),
        (lambda: rescore(tmp_path / "foreign"), "no finished run"),
    ):
        with pytest.raises(UserError, match=message) as caught:
            action()
        assert "\n" not in str(caught.value)


def test_the_package_imports_without_torch():
    code = "import sys, needle.evals; print(sorted({'torch', 'transformers', 'datasets', 'pandas'} & set(sys.modules)))"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )
