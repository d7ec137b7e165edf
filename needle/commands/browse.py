"""Verbs that read, show and give on what a run made: ``traces show``, ``quarantine``, ``report``, ``preferences``, ``push``."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from needle.commands.data import traces_app
from needle.commands.options import Out
from needle.errors import UserError
from needle.terminal import say

app = typer.Typer()
Kind = Annotated[str | None, typer.Option(help="Only rows of this kind.")]
Reason = Annotated[str | None, typer.Option(help="Only rows refused for this reason (or one that begins so).")]
Text = Annotated[str | None, typer.Option(help="Only rows with these words in request or calls.")]
Limit = Annotated[int, typer.Option(min=0, help="Show at most so many rows.")]


@traces_app.command()
def show(
    path: Path,
    kind: Kind = None,
    reason: Reason = None,
    id: Annotated[str | None, typer.Option(help="Only the row with this id, with its whole lineage.")] = None,
    part: Annotated[str | None, typer.Option(help="Only this part: train, validation, test or quarantine.")] = None,
    text: Text = None,
    limit: Limit = 20,
) -> None:
    """Show rows of a file or folder, refused ones too, filtered."""
    from needle.traces.browse import describe, entries, select

    found = select(entries(path), kind=kind, reason=reason, id=id, part=part, text=text)
    shown = list(islice(found, limit))
    for entry in shown:
        say(describe(entry, full=id is not None) + "\n")
    more = sum(1 for _ in found)
    say(f"{len(shown):,} rows shown, {more:,} more fit" if shown else f"no row of {path} fits")


@traces_app.command()
def quarantine(
    folder: Path,
    reason: Reason = None,
    kind: Kind = None,
    out: Annotated[Path | None, typer.Option(help="Write the rows that fit to this file.")] = None,
    limit: Limit = 20,
) -> None:
    """Count why rows were refused, or show those refused for a reason."""
    from needle.traces.browse import QUARANTINE, describe, entries, reason_counts, select
    from needle.traces.write import check_target, write_rows

    found = list(select(entries(folder), kind=kind, reason=reason, part="quarantine"))
    if reason is None:
        for code, count, example in reason_counts(found):
            say(f"{count:>7,}  {code:<22} {example}")
    for entry in found[: limit if reason is not None else 0]:
        say(describe(entry) + "\n")
    if out:
        check_target(out, folder / QUARANTINE if folder.is_dir() else folder)
        write_rows(out, (dict(entry.row) for entry in found))
    say(f"{len(found):,} refused rows of {folder} fit" + (f"\nThey are in {out}" if out else ""))


@traces_app.command("report")
def page(folder: Path, out: Annotated[Path | None, typer.Option(help="File for the page. Default: report.html beside the rows.")] = None) -> None:
    """Write a page about a folder of traces: mix, pass rates, refusals, rows with their values marked."""
    from needle.traces.page import write_page

    say(f"The report is in {write_page(out or (folder if folder.is_dir() else folder.parent) / 'report.html', folder)}")


@traces_app.command()
def preferences(
    folder: Path,
    out: Out,
    planned: Annotated[bool, typer.Option("--planned", help="Also rows refused because they got a call though the plan had none: weaker.")] = False,
) -> None:
    """Write preference pairs: right calls and rejected ones of one request, with the reason."""
    from needle.traces.browse import entries, select
    from needle.traces.preferences import planned_pairs, preference_pairs
    from needle.traces.read import read_traces
    from needle.traces.write import write_rows

    rows, _ = read_traces(folder)
    pairs = list(preference_pairs(rows))
    if planned:
        pairs += planned_pairs(select(entries(folder), part="quarantine"), {row.toolset: row for row in rows})
    if not pairs:
        raise UserError(f"{folder}: no rejected label is kept there; generate with a real teacher and --votes 3, or give --planned")
    write_rows(out, pairs)
    say(f"{len(pairs):,} pairs are in {out}")


@traces_app.command()
def push(
    folder: Path,
    repo: Annotated[str, typer.Option(help="Data set on the Hugging Face Hub: OWNER/NAME.")],
    public: Annotated[bool, typer.Option("--public", help="Make a new data set public; the default is private.")] = False,
) -> None:
    """Upload the parts of a folder and its card to the Hugging Face Hub."""
    from needle.traces.push import push_traces

    say(f"The data set is at {push_traces(folder, repo, private=not public)}")
