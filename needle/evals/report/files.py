"""Reports from the folders that ``needle eval`` wrote."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from needle.evals.compare import compare
from needle.evals.leaderboard import board_markdown, leaderboard
from needle.evals.report.board_page import render_board
from needle.evals.report.pair_page import render_pair
from needle.evals.report.run_page import render_report
from needle.evals.run import REPORT, load_results
from needle.traces.write import atomic

PAIR = "compare.html"
BOARD = "leaderboard"


def write_report(directory: str | Path, out: str | Path | None = None) -> Path:
    """The page of one finished run, from its files as they are; returns where it is. Raises ``UserError``."""
    results = load_results(directory)
    return write_page(Path(out or Path(directory) / REPORT), render_report(results.summary, results.rows))


def write_pair(first: str | Path, second: str | Path, out: str | Path | None = None) -> Path:
    """The page of two finished runs over the same rows; returns its path. Raises ``UserError`` as ``compare`` does."""
    page = render_pair(compare(first, second), load_results(first), load_results(second))
    return write_page(Path(out or Path(second) / PAIR), page)


def write_board(directories: Sequence[str | Path], out: str | Path) -> tuple[str, Path]:
    """``leaderboard.md``, ``.json`` and ``.html`` over runs in the folder ``out``; returns the Markdown and the page.

    Raises ``UserError`` as ``leaderboard`` does.
    """
    board = leaderboard(directories)
    markdown, folder = board_markdown(board), Path(out)
    write_page(folder / f"{BOARD}.md", markdown)
    write_page(folder / f"{BOARD}.json", json.dumps(board, indent=1) + "\n")
    return markdown, write_page(folder / f"{BOARD}.html", render_board(board))


def write_page(path: Path, text: str) -> Path:
    """Write a page whole or not at all; what UTF-8 cannot hold becomes a character reference."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n", errors="xmlcharrefreplace")
    return path
