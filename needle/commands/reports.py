"""Verbs that show what was measured: ``report``, ``leaderboard``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from needle.terminal import say

app = typer.Typer()


@app.command("report")
def report(
    first: Annotated[Path, typer.Argument(help="Folder that needle eval or needle train wrote.")],
    second: Annotated[Path | None, typer.Argument(help="Another one over the same rows, to stand beside it.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="File for the page. Default: report.html, or compare.html, in the last folder.")
    ] = None,
) -> None:
    """Write the page of a run anew, or of two evaluations side by side with the flipped rows first."""
    from needle.runs import is_run, write_run_report

    if second is None and is_run(first):
        say(f"The report is in {write_run_report(first, out)}")
        return
    from needle.evals.report.files import write_pair, write_report

    path = write_report(first, out) if second is None else write_pair(first, second, out)
    say(f"The report is in {path}")


@app.command("leaderboard")
def leaderboard(
    directories: Annotated[
        list[Path], typer.Argument(help="Folders that needle eval wrote, one a run.", metavar="DIR...")
    ],
    out: Annotated[Path, typer.Option(help="Folder for leaderboard.md, .json and .html.")] = Path("needle-leaderboard"),
) -> None:
    """Put runs into one table a suite, beside floors and published figures with their sources."""
    from needle.evals.report.files import write_board

    markdown, path = write_board(directories, out)
    say(markdown)
    say(f"The leaderboard is in {path}")
