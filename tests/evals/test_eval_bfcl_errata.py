"""Errata of the leaderboard's rows: every entry holds on the data, mends what it says, and touches nothing else."""

from __future__ import annotations

import importlib.util
from dataclasses import replace

import pytest

from needle.errors import UserError
from needle.evals.bfcl.check import fixed, official
from needle.evals.bfcl.errata import Erratum, read_errata
from needle.evals.bfcl.figures import figures
from needle.evals.tally import mode_table
from needle.evals.verdict import judge
from needle.tools import CallResult, ToolCall
from needle.tools.validate import is_valid

TRUTH = [{"f": {"a": [1], "b": ["x"]}}, {"g": {"c": [True]}}]


def test_an_erratum_changes_a_copy_of_the_truth_and_names_a_path_that_is_not_there():
    made = Erratum(
        "r", "w", accept={"0.a": [2, ""]}, replace={"1.c": [False]}, drop=("0.b",), rename={"0.a": "n"}
    ).mend(TRUTH)
    assert made == [{"f": {"n": [1, 2, ""]}}, {"g": {"c": [False]}}]
    assert TRUTH == [{"f": {"a": [1], "b": ["x"]}}, {"g": {"c": [True]}}]
    for path in ("0.z", "2.a", "x.a"):
        with pytest.raises(UserError, match=f"r has no {path}"):
            Erratum("r", "w", drop=(path,)).mend(TRUTH)


def test_the_file_says_what_is_wrong_with_each_row_once(tmp_path):
    errata = read_errata()
    assert len(errata) > 30
    for one in errata.values():
        assert len(one.wrong) > 20
        ways = [bool(one.exclude), bool(one.mended), bool(one.accept or one.replace or one.drop or one.rename)]
        assert sum(ways) == 1, one.id
    for text, message in (
        ("errata = 5", "not a list"),
        ('[[errata]]\nid = "a"', "not a list"),
        ('[[errata]]\nid = "a"\nwrong = "b"\n' * 2, "twice"),
    ):
        path = tmp_path / f"{message[:3]}{len(text)}.toml"
        path.write_text(text)
        with pytest.raises(UserError, match=message):
            read_errata(path)


@pytest.fixture(scope="module")
def rows():
    if importlib.util.find_spec("bfcl_eval") is None:
        pytest.skip("bfcl-eval is not installed")
    from needle.evals.bfcl.load import find_bfcl, load_bfcl

    return {trace.id: trace for trace in load_bfcl(find_bfcl())}


def first_valid(trace, truth):
    """Calls from the accepted values, each the first that fits its tool."""
    tools = {tool.name: tool for tool in trace.tools}
    calls = []
    for due in truth:
        ((name, parameters),) = due.items()
        arguments = {}
        for parameter, values in parameters.items():
            if "" in values and parameter not in tools[name].required:
                continue
            arguments[parameter] = next(
                (
                    one
                    for one in values
                    if is_valid(
                        [ToolCall(name, {parameter: one})],
                        [replace(tools[name], parameters={**tools[name].parameters, "required": []})],
                    )
                ),
                values[0],
            )
        calls.append(ToolCall(name, arguments))
    return calls


def test_every_mended_row_has_an_answer_that_fits_tool_and_truth_and_had_none_or_a_worse_one(rows):
    for one in read_errata().values():
        trace = rows[one.id]
        facts = trace.meta["scoring"]["bfcl"]
        assert ("fixed" in facts) == (not one.mended)
        if one.mended or one.exclude:
            continue
        calls = first_valid(trace, facts["fixed"]["truth"])
        assert fixed(facts, calls) and is_valid(calls, trace.tools), one.id
        assert official(facts, calls) == (one.id == "parallel_multiple_26"), one.id  # there only its own gold fails
        assert facts["fixed"]["truth"] != facts["truth"]


def test_an_excluded_row_has_no_answer_that_fits_tool_and_truth_or_contradicts_another(rows):
    excluded = [one for one in read_errata().values() if one.exclude]
    same = {}
    for trace in rows.values():
        same.setdefault((trace.query, trace.tools[0].name if trace.tools else "", len(trace.tools)), []).append(trace)
    for one in excluded:
        trace = rows[one.id]
        facts = trace.meta["scoring"]["bfcl"]
        twins = [
            other for other in same[trace.query, trace.tools[0].name, len(trace.tools)] if other.tools == trace.tools
        ]
        contradicted = len({bool(other.calls) for other in twins}) == 2
        if not contradicted:
            calls = first_valid(trace, facts["truth"])
            assert not (official(facts, calls) and is_valid(calls, trace.tools)), one.id
        assert fixed(facts, list(trace.calls)) is None


def test_every_row_that_contradicts_another_or_fails_its_own_checker_is_listed(rows):
    by_request = {}
    for trace in rows.values():
        by_request.setdefault(trace.query, []).append(trace)
    contradicting = {
        trace.id for group in by_request.values() for trace in group
        for other in group if other.tools == trace.tools and bool(other.calls) != bool(trace.calls)
    }  # fmt: skip
    failing = {
        trace.id for trace in rows.values()
        if not trace.meta["scoring"].get("any_call") and not official(trace.meta["scoring"]["bfcl"], list(trace.calls))
    }  # fmt: skip
    assert len(contradicting) == 6 and contradicting | failing <= read_errata().keys()


def test_rows_without_an_erratum_have_one_verdict_and_the_others_two_side_by_side(rows):
    chosen = [rows["live_multiple_595-158-1"], rows["live_multiple_947-197-0"], rows["live_multiple_0-0-0"]]
    told = {**chosen[0].calls[0].arguments, "number_of_rooms": "2"}
    answers = [[ToolCall(chosen[0].calls[0].name, told)], [], list(chosen[2].calls)]
    verdicts = [judge(trace, CallResult(calls)) for trace, calls in zip(chosen, answers, strict=True)]
    assert [verdict.modes["bfcl"] for verdict in verdicts] == [False, False, True]
    assert [verdict.modes.get("bfcl_fixed") for verdict in verdicts] == [True, None, True]
    found = figures([trace.kind for trace in chosen], verdicts, [trace.id for trace in chosen])
    assert found["pooled"]["value"] == pytest.approx(1 / 3)
    assert found["fixed"]["pooled"]["value"] == 1 and found["fixed"]["left_out"] == found["fixed"]["changed"] == 1
    table = mode_table(chosen, verdicts)
    assert table["rates"]["bfcl_fixed"] == 1
    assert {"right": "bfcl_fixed", "wrong": "bfcl", "count": 1, "ids": [chosen[0].id]} in table["differences"]
