"""The leaderboard: measured, floors and published told apart; suites, samples and scorers never mixed."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from needle.errors import UserError
from needle.evals.leaderboard import (
    FLOOR,
    MEASURED,
    METRICS,
    PRINTED,
    board_markdown,
    leaderboard,
    published,
    size_words,
)
from needle.evals.report.files import write_board
from needle.evals.run import evaluate


@pytest.fixture
def run(make_suite, scripted, tmp_path):
    """Evaluate a caller that always answers ``reply``; the folder of the run."""

    def made(caller, reply="[]", suite=None, **changes):
        evaluate(
            scripted(lambda query: reply, name=caller), replace(suite or make_suite(), **changes), tmp_path / caller
        )
        return tmp_path / caller

    return made


def test_every_published_figure_has_a_source_a_known_metric_and_a_believable_value():
    known = published()
    figures = known["figures"]
    assert len(figures) > 50
    for one in figures:
        assert one["source"] in known["sources"] and one["metric"] in METRICS and 0 <= one["value"] <= 100
        assert one["parameters"] is None or 1e6 < one["parameters"] < 1e11
    keys = [(one["suite"], one["metric"], one["model"], one["source"]) for one in figures]
    assert len(set(keys)) == len(keys)
    assert {one["source"] for one in figures} == set(known["sources"])
    for source in known["sources"].values():
        assert {"title", "where", "metric"} <= source.keys()
    models = " ".join(one["model"] for one in figures)
    for name in ("Needle 2", "Needle 3", "FunctionGemma-270M", "LFM2.5", "Qwen3-0.6B", "Granite-4.0-350m"):
        assert name in models


def test_means_derived_from_the_board_follow_from_its_columns():
    """Qwen3-0.6B (FC): simple 64.17 counts thrice, irrelevance 80.84 twice (both are means of raw categories there)."""
    columns = [64.17] * 3 + [86, 67.5, 69.5, 61.24, 56.13, 43.75, 37.5, 75] + [80.84] * 2
    figure = next(
        one for one in published()["figures"] if one["model"] == "Qwen3-0.6B (FC)" and one["metric"] == "bfcl_mean"
    )
    assert figure["value"] == round(sum(columns) / 13, 1)


def test_measured_floors_and_published_stand_in_one_table_and_are_told_apart(run):
    first, second = (
        run("mine", name="seal-tools/in-domain"),
        run("other", '[{"name":"send"}]', name="seal-tools/in-domain"),
    )
    board = leaderboard([first, second])
    (table,) = board["tables"]
    bases = {line["name"].split(" ")[0]: line["basis"] for line in table["lines"]}
    assert bases["mine"] == bases["other"] == MEASURED and bases["never"] == bases["lexical"] == FLOOR
    assert bases["Needle"] == bases["FunctionGemma-270M"] == PRINTED
    assert table["columns"][0] == "strict"
    for line in table["lines"]:
        if line["basis"] == PRINTED:
            assert line["source"] in board["sources"] and not any("low" in rate for rate in line["rates"].values())
        if line["basis"] == MEASURED:
            assert all("low" in rate for rate in line["rates"].values())
    shares = [line["rates"]["strict"]["value"] for line in table["lines"]]
    assert shares == sorted(shares, reverse=True)
    text = board_markdown(board)
    needle = next(line for line in text.splitlines() if "*Needle 2*" in line)
    assert "*32.6*" in needle and "published [" in needle and "| **mine** |" in text and "| floor |" in text


def test_samples_and_other_suites_are_tables_of_their_own_without_published_figures(run, make_suite):
    whole = run("whole", name="seal-tools/in-domain")
    part = run("part", suite=make_suite(6), name="seal-tools/in-domain", limit=6, total=30, hash="0" * 16)
    other = run("else")
    tables = {(table["suite"], table["rows"]): table for table in leaderboard([whole, part, other])["tables"]}
    assert set(tables) == {("seal-tools/in-domain", 30), ("seal-tools/in-domain", 6), ("tiny", 30)}
    for key, table in tables.items():
        printed = [line for line in table["lines"] if line["basis"] == PRINTED]
        assert bool(printed) == (key == ("seal-tools/in-domain", 30))
        assert len([line for line in table["lines"] if line["basis"] == MEASURED]) == 1
    assert tables["seal-tools/in-domain", 6]["sample"] == {"limit": 6, "seed": 0, "of": 30}


def test_runs_of_several_scorer_versions_are_refused(run):
    first, second = run("a"), run("b")
    path = second / "results.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"scorer_version": "0"}))
    with pytest.raises(UserError, match="different scorer versions"):
        leaderboard([first, second])


def test_folders_without_a_run_are_named(tmp_path):
    with pytest.raises(UserError, match="no finished run"):
        leaderboard([tmp_path])
    with pytest.raises(UserError, match="no folder"):
        leaderboard([])


def test_an_incomplete_run_says_so(run, scripted, make_suite, tmp_path):
    from needle.tools import CallResult

    down = scripted(lambda query: CallResult(error="down", infra_error=True), name="down")
    evaluate(down, make_suite(3), tmp_path / "down")
    assert "incomplete: 3 rows got no answer" in board_markdown(leaderboard([tmp_path / "down"]))


def test_names_cannot_break_out_of_markdown_or_the_page(run, tmp_path):
    hostile = "a|b</td><script>x</script>\n|c"
    folder = run("x")
    path = folder / "results.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"caller": hostile}))
    markdown, page = write_board([folder], tmp_path / "board")
    line = next(line for line in markdown.splitlines() if line.startswith("| **a"))
    assert line.count("|") == markdown.splitlines()[3].count("|")
    assert "<script>x" not in page.read_text() and "&lt;script&gt;x" in page.read_text()
    assert json.loads((tmp_path / "board" / "leaderboard.json").read_text())["tables"][0]["lines"]


def test_sizes_are_written_for_people():
    assert [size_words(n) for n in (26_315_421, 270_000_000, 1_200_000_000, None)] == ["26.3M", "270M", "1.2B", ""]
