"""The cache of answers, batches, provenance, rescoring with another parser or other gold, and the second column."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from needle.errors import UserError
from needle.evals.baselines import baseline
from needle.evals.batching import batches, portions
from needle.evals.cache import AnswerCache
from needle.evals.changes import change_lines, verdict_changes
from needle.evals.provenance import require_one_scorer
from needle.evals.resources import resource_line
from needle.evals.run import RESULTS, ROWS, evaluate, load_results, rescore
from needle.evals.suites import suite_hash
from needle.evals.text import summary_table
from needle.evals.variants import variant_lines
from needle.tools import CallResult, ToolCall, ToolSpec


def right(query: str) -> str:
    return json.dumps([{"name": "set_light", "arguments": {"room": "hall", "level": int(query.split()[-1])}}])


def texts(scripted, reply, parser="auto"):
    """A caller that writes text, which a parser reads."""
    from needle.evals.adapters.text import Output, TextCaller

    class Writer(TextCaller):
        name = "writer"

        def __init__(self) -> None:
            self.parser, self.asked = parser, []

        def write(self, requests):
            self.asked += [request.query for request in requests]
            return [Output(reply(request.query)) for request in requests]

    return Writer()


def test_answers_are_shared_between_folders_and_failures_are_not(make_suite, scripted, tmp_path):
    file = tmp_path / "cache" / "answers.sqlite"

    def flaky(query: str):
        return CallResult(error="HTTP 503", infra_error=True) if query.endswith("4") else right(query)

    first = scripted(flaky)
    evaluate(first, make_suite(10), tmp_path / "a", cache=file)
    second = scripted(right)
    results = evaluate(second, make_suite(15), tmp_path / "b", cache=file)
    assert sorted(second.asked, key=lambda text: int(text.split()[-1])) == [
        f"dim the hall to {n}" for n in (4, 10, 11, 12, 13, 14)
    ]
    assert results.summary["resources"]["reused"] == 9 and results.complete
    assert results.summary["rates"] == evaluate(scripted(right), make_suite(15), tmp_path / "c").summary["rates"]
    third = scripted(right, name="another")
    evaluate(third, make_suite(10), tmp_path / "d", cache=file)
    assert len(third.asked) == 10


def test_a_changed_tool_is_another_question(make_suite, scripted, tmp_path):
    suite = make_suite(3)
    reworded = [
        replace(trace, tools=(replace(trace.tools[0], description="Dim"), *trace.tools[1:])) for trace in suite.traces
    ]
    evaluate(scripted(right), suite, tmp_path, cache=tmp_path / "answers")
    caller = scripted(right)
    evaluate(
        caller,
        replace(suite, traces=tuple(reworded), hash=suite_hash(reworded)),
        tmp_path / "b",
        cache=tmp_path / "answers",
    )
    assert len(caller.asked) == 3


def test_a_file_that_is_no_cache_is_refused_and_kept(tmp_path):
    file = tmp_path / "notes.txt"
    file.write_text("my notes " * 200)
    with pytest.raises(UserError, match="no answer cache"):
        AnswerCache(file)
    assert file.read_text() == "my notes " * 200


def test_another_parser_reads_saved_text_again_without_asking(make_suite, scripted, tmp_path):
    suite = make_suite(9)

    def tagged(query: str) -> str:
        return f"<tool_call>{right(query)[1:-1]}</tool_call>"

    assert evaluate(texts(scripted, tagged, "json"), suite, tmp_path).rate("well_formed").value == 0.0
    before = load_results(tmp_path)
    caller = texts(scripted, tagged, "hermes")
    assert evaluate(caller, suite, tmp_path).rate("well_formed").value == 1.0 and caller.asked == []
    assert rescore(tmp_path, parser="json").summary["rates"] == before.summary["rates"]
    after = rescore(tmp_path, parser="hermes")
    assert after.summary["model"]["parser"] == after.summary["provenance"]["parser"] == "hermes"
    changes = verdict_changes(before.rows, after.rows)
    assert len(changes) == 9 and sum(one.after == "right" for one in changes) == 6
    words = "\n".join(change_lines(changes, 9, limit=2))
    assert (
        "9 verdicts changed: 6 now right, 0 no longer" in words
        and "malformed_json -> right" in words
        and "7 more rows" in words
    )
    assert change_lines([], 9) == ["9 rows scored again, no verdict changed"]
    with pytest.raises(UserError, match="choose one of"):
        rescore(tmp_path, parser="xml")
    evaluate(baseline("never"), suite, tmp_path / "native")
    with pytest.raises(UserError, match="read its own output"):
        rescore(tmp_path / "native", parser="json")


def test_mended_gold_is_scored_on_saved_outputs(make_suite, scripted, tmp_path):
    suite = make_suite(9)
    evaluate(scripted(lambda query: "[]"), suite, tmp_path)
    mended = [replace(trace, calls=(), kind="irrelevant") for trace in suite.traces]
    results = rescore(tmp_path, suite=replace(suite, traces=tuple(mended), hash=suite_hash(mended)))
    assert results.rate().value == 1.0 and results.summary["suite"]["hash"] == suite_hash(mended)
    with pytest.raises(UserError, match="name the suite of the run"):
        rescore(tmp_path, suite=make_suite(3))


def test_the_lenient_reading_stands_beside_the_strict_one(make_suite, scripted, tmp_path):
    results = evaluate(texts(scripted, lambda query: f"```json\n{right(query)}\n```"), make_suite(9), tmp_path)
    found = results.summary["reading"]
    assert results.rate("well_formed").value == results.rate().value == 0.0
    assert (
        found["repaired"]["rows"] == 9
        and found["repaired"]["correct"] == 6
        and found["repaired"]["steps"] == {"text_around": 9}
    )
    assert found["repaired"]["rates"]["correct"]["value"] == pytest.approx(6 / 9)
    assert results.rows[0]["repaired"]["correct"] and results.rows[0]["calls"] == []
    assert "a forgiving reader gets calls out of 9 of them, 6 right" in summary_table(results)


def test_every_number_says_where_it_comes_from(make_suite, scripted, tmp_path):
    results = evaluate(scripted(right), make_suite(6), tmp_path)
    found = results.summary["provenance"]
    assert (
        found["scorer_version"] == results.summary["scorer_version"]
        and found["suite_hash"] == results.summary["suite"]["hash"]
    )
    assert {
        "suite_licence",
        "suite_source",
        "model",
        "settings",
        "parser",
        "package_version",
        "source_commit",
        "python",
    } <= found.keys()
    assert all(row["format"] == 2 and row["scorer"] == found["scorer_version"] for row in results.rows)
    spent = results.summary["resources"]
    assert "rows/s" in resource_line(results.summary) and "smallest detectable difference" in resource_line(
        results.summary
    )
    assert spent["asked"] == 6 and spent["rows_per_second"] > 0 and spent["peak_memory"]["process"] > 10**7
    require_one_scorer([("a", "1"), ("b", "1")])
    with pytest.raises(UserError, match=r"different scorer versions \(a by 1, b by 2\).*--rescore"):
        require_one_scorer([("a", "1"), ("b", "2")])


def test_rows_of_the_first_format_are_still_scored(make_suite, scripted, tmp_path):
    results = evaluate(scripted(right), make_suite(6), tmp_path)
    old = [
        {
            key: value
            for key, value in row.items()
            if key not in ("format", "key", "parser", "repaired", "scorer", "slots")
        }
        | {"run": "x"}
        for row in results.rows
    ]
    (tmp_path / ROWS).write_text("".join(json.dumps(row) + "\n" for row in old))
    summary = {
        key: value
        for key, value in results.summary.items()
        if key not in ("model", "resources", "reading", "provenance")
    }
    (tmp_path / RESULTS).write_text(json.dumps(summary))
    assert rescore(tmp_path).summary["rates"] == results.summary["rates"]


def test_free_and_constrained_answers_stand_in_one_row(make_suite, scripted, tmp_path):
    suite = make_suite(30)

    def rambles(query: str) -> str:
        return right(query) if int(query.split()[-1]) % 2 else "[oh"

    results = evaluate(scripted(right), suite, tmp_path, free=scripted(rambles, name="free"))
    block = results.summary["variants"]["free"]
    assert (
        block["caller"] == "free"
        and block["rates"]["well_formed"]["value"] == 0.5
        and results.rate("well_formed").value == 1.0
    )
    assert block["difference"]["well_formed"]["difference"] == -0.5 and block["difference"]["well_formed"]["high"] < 0
    assert results.rows[0]["free"]["raw"] == "[oh" and results.rows[1]["free"]["correct"]
    assert any(
        line.startswith("well-formed") and "100.0" in line and "50.0" in line for line in variant_lines(results.summary)
    )
    assert rescore(tmp_path).summary["variants"] == results.summary["variants"]
    again = scripted(right), scripted(rambles, name="free")
    evaluate(again[0], suite, tmp_path, free=again[1])
    assert again[0].asked == again[1].asked == []


def test_batches_hold_every_row_once_sorted_within_both_limits(make_trace):
    wide = tuple(ToolSpec(f"tool_{n}", "words " * 20) for n in range(30))
    traces = [
        make_trace(id=f"r{n}", query="word " * (n % 7), tools=wide if n % 3 == 0 else (ToolSpec("ping"),))
        for n in range(40)
    ]
    found = list(batches(traces, 8, 10_000))
    assert sorted(trace.id for batch in found for trace in batch) == sorted(trace.id for trace in traces)
    assert max(map(len, found)) <= 8 and len({len(batch) for batch in found}) > 1
    lengths = [len(trace.tools) for batch in found for trace in batch]
    assert lengths == sorted(lengths)
    assert [len(batch) for batch in batches(traces, 8, 1)] == [1] * 40
    endpoint = baseline("never")
    endpoint.concurrency = 3
    assert [trace.id for batch in portions(endpoint, traces, 8) for trace in batch] == [trace.id for trace in traces]
    assert max(len(batch) for batch in portions(endpoint, traces, 8)) == 12


def test_a_lone_confidence_and_usage_reach_the_figures(make_suite, scripted, tmp_path):
    def sure(query: str):
        level = int(query.split()[-1])
        usage = {"prompt_tokens": 10, "completion_tokens": 2}
        return CallResult(
            [ToolCall("set_light", {"room": "hall", "level": level})],
            confidence=0.9 if level % 3 != 2 else 0.2,
            usage=usage,
        )

    summary = evaluate(scripted(sure), make_suite(30), tmp_path).summary
    assert summary["resources"]["tokens_per_row"] == {"n": 30, "prompt": 10.0, "completion": 2.0}
    assert summary["confidence"]["accuracy_at_coverage"]["0.5"] == 1.0 and summary["confidence"][
        "ece"
    ] == pytest.approx(0.133, abs=0.001)
