"""The leaderboard as a page: ``render_board(board)`` for what ``needle.evals.leaderboard`` made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from needle.evals.leaderboard import FLOOR, METRICS, PRINTED, basis_words, further, size_words, table_title, views
from needle.evals.report.markup import Html, section, table, tag
from needle.evals.report.page import page
from needle.evals.report.plots import interval, ruler
from needle.evals.text import percent


def render_board(board: Mapping[str, Any]) -> str:
    """The whole page: a table a suite, best first by its first column, measured, floors and published told apart."""
    numbers = {key: number for number, key in enumerate(board["sources"], start=1)}
    parts = [_suite(number, one, numbers) for number, one in enumerate(board["tables"], start=1)]
    runs = sum(line["basis"] not in (FLOOR, PRINTED) for one in board["tables"] for line in one["lines"])
    suites = len(board["tables"])
    words = f"{runs:,} run{'s' if runs > 1 else ''} over {suites:,} suite{'s' if suites > 1 else ''}"
    lead = tag(
        "p",
        f"{words}, scorer version {board['scorer_version']}. Full needles are measured here, with 95 % intervals; amber "
        "ones are floors, which know nothing; dashed ones were published by others.",
        class_="headline",
    )
    return page("Leaderboard", "needle leaderboard", lead, [*parts, _sources(board, numbers)])


def _suite(number: int, one: Mapping[str, Any], numbers: Mapping[str, int]) -> Html:
    parts = [_view(metric, lines, numbers) for metric, lines in views(one)]
    others, lines = further(one)
    body = [
        [line["name"], *(percent(line["rates"][key]["value"]) if key in line["rates"] else "" for key in others)]
        for line in lines
    ]
    table_of_all = table(
        "Further figures", ["", *(METRICS[key] for key in others)], body, range(1, 1 + len(others)), look="board"
    )
    more = tag("details", tag("summary", "Further figures of the runs measured here"), table_of_all) if others else None
    note = (
        ""
        if one["sample"] is None
        else "A sample: published figures are over all rows and stand only beside runs without --limit."
    )
    return section(f"suite-{number}", table_title(one), *parts, more, note=note, short=one["suite"])


def _view(metric: str, lines: list[dict[str, Any]], numbers: Mapping[str, int]) -> Html:
    body = [_line(line, line["rates"][metric], numbers) for line in lines]
    head = ["model", "size", METRICS[metric], tag("span", "0 to 100", class_="soft"), "95 % interval", "basis"]
    return table(METRICS[metric], head, body, (1, 2, 4), look="wide board")


def _line(line: Mapping[str, Any], rate: Mapping[str, float], numbers: Mapping[str, int]) -> list[Any]:
    look = {FLOOR: "floor", PRINTED: "published"}.get(line["basis"], "")
    name = tag("span" if look else "b", line["name"], class_=look or None)
    drawn = ruler({"low": rate["value"], "high": rate["value"]} | dict(rate), look=look)
    value = tag("span" if look else "b", percent(rate["value"]))
    span = tag("span", interval(dict(rate)), class_="soft") if "low" in rate else ""
    basis: Any = basis_words(line, numbers) + (f", run {line['run']}" if line["run"] else "")
    if look == "published":
        basis = tag("a", basis, href=f"#source-{numbers[line['source']]}")
    return [name, size_words(line["parameters"]), value, drawn, span, basis]


def _sources(board: Mapping[str, Any], numbers: Mapping[str, int]) -> Html:
    items = [
        tag("li", tag("b", one["title"]), f". {one['metric']}. From: {one['where']}.", id=f"source-{numbers[key]}")
        for key, one in board["sources"].items()
    ]
    if not items:
        return Html("")
    note = "These figures were not measured here and may rest on other prompts, decoding and rules of counting."
    return section(
        "sources", "Sources of published figures", tag("ol", *items, class_="sources"), note=note, short="Sources"
    )
