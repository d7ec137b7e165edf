"""The frame of the row browser: filters, list and detail. The script of the page fills it (``browser.js``)."""

from __future__ import annotations

from needle.evals.report.markup import Html, section, tag

OF_ONE = (("wrong", "wrong"), ("right", "right"), ("", "all"))
OF_TWO = (
    ("flipped", "flipped"),
    ("gained", "gained by B"),
    ("lost", "lost by B"),
    ("wrong", "both wrong"),
    ("right", "both right"),
    ("", "all"),
)
"""Outcomes to choose from, as the script knows them and in words."""

SELECTS = (
    ("kind", "Kind", "every kind"),
    ("code", "Error code", "every code"),
    ("sort", "Order", "order of the suite"),
)


def rows_section(runs: int = 1) -> Html:
    """The section for pages of one run or two."""
    panes = tag(
        "div",
        tag("div", id="list", role="listbox", tabindex="0", aria_label="Rows"),
        tag("article", tag("p", "Choose a row.", class_="note"), id="detail", tabindex="-1", aria_label="Row"),
        class_="panes",
    )
    count = tag("p", "Loading rows …", id="count", class_="note", aria_live="polite")
    absent = tag("noscript", tag("p", "The row browser needs JavaScript; rows.jsonl beside this file has the rows."))
    note = "Arrow keys move through the list, / searches, Escape clears."
    return section("rows", "Rows", _filters(OF_TWO if runs == 2 else OF_ONE), count, panes, absent, note=note)


def _filters(outcomes: tuple[tuple[str, str], ...]) -> Html:
    choice = tag(
        "div",
        *(tag("button", words, type="button", data_outcome=key, aria_pressed="false") for key, words in outcomes),
        class_="choice",
        role="group",
        aria_label="Outcome",
    )
    plain = {"autocomplete": "off", "spellcheck": "false"}
    label = "Search requests, calls, outputs and ids"
    search = tag("input", id="text", type="search", placeholder="Search  ( / )", aria_label=label, **plain)
    kind, code, sort = (
        tag("select", tag("option", words, value=""), id=key, aria_label=name) for key, name, words in SELECTS
    )
    tool = tag("input", id="tool", list="tools", placeholder="every tool", aria_label="Tool", **plain)
    clear = tag("button", "Clear", type="button", id="clear", hidden=True)
    parts = (choice, search, kind, code, tool, tag("datalist", id="tools"), sort, clear)
    return tag("div", *parts, class_="filters", role="search", aria_label="Filter rows")
