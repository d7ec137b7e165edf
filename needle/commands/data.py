"""Verbs that look at data: ``traces``, ``tools``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from needle.commands import tools
from needle.commands.options import Out, Seed, show_problems
from needle.terminal import say

app = typer.Typer()
traces_app = typer.Typer(no_args_is_help=True, help="Look at, convert and split trace files.")
app.add_typer(traces_app, name="traces")
app.add_typer(tools.app, name="tools")


@traces_app.command()
def stats(path: Path, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Count kinds, tools, argument types and lengths of a file or folder."""
    from needle.traces.read import read_traces
    from needle.traces.stats import trace_stats

    rows, problems = read_traces(path)
    counts = trace_stats(rows)
    say(json.dumps(counts.to_dict(), indent=1) if as_json else counts.table())
    show_problems(problems)


@traces_app.command()
def convert(
    source: Path,
    target: Path,
    to: Annotated[str, typer.Option(help="needle, openai, xlam or needle-v1.")] = "needle",
) -> None:
    """Read any known row format and write another (JSONL, gz or Parquet by the ending)."""
    from needle.traces.convert import convert_traces

    count, problems, lost = convert_traces(source, target, to)
    show_problems(problems)
    for what, rows in lost.items():
        say(f"note: {what} cannot be held by {to} ({rows:,} rows)")
    say(f"{count:,} rows are in {target}")


@traces_app.command()
def split(source: Path, out: Out, seed: Seed = 0) -> None:
    """Cut a file into train, validation and test by toolset (by wording where there is one toolset)."""
    from needle.traces.read import read_traces
    from needle.traces.split import split_traces, write_split

    rows, problems = read_traces(source)
    parts = split_traces(rows, seed)
    write_split(parts, out)
    show_problems(problems)
    say(", ".join(f"{len(part):,} {name}" for name, part in parts.items()) + f"\nThe parts are in {out}")


@traces_app.command()
def card(folder: Path, text: Annotated[Path, typer.Option(help="JSON with the card's words.")], out: Out) -> None:
    """Write a dataset card counted from the files."""
    from needle.traces.card import load_card_text, write_card

    say(f"The card is in {write_card(out, folder, load_card_text(text))}")


@traces_app.command("contamination")
def contamination_verb(
    files: Annotated[list[Path], typer.Argument(help="Rows to be trained on: files or folders.")],
    against: Annotated[list[str], typer.Option(help="Rows of an evaluation suite: a file, a folder or a suite's name; repeat for several.")],
    out: Annotated[Path | None, typer.Option(help="Write the clean rows to this file.")] = None,
    show: Annotated[int, typer.Option(min=0, help="Name so many contaminated rows.")] = 5,
) -> None:
    """Find rows that an evaluation suite knows: same request, shared runs of words, same tool."""
    from needle.traces.contamination import drop_contaminated
    from needle.traces.read import read_traces
    from needle.traces.write import write_traces

    rows, problems = read_traces(files)
    clean, report = drop_contaminated(rows, {name: suite_rows(name) for name in against})
    show_problems(problems)
    say(report.table())
    for hit in [hit for hit in report.hits if hit.sign != "tool"][:show]:
        say(f"{hit.row}: {hit.sign} of {hit.other} in {hit.suite} ({hit.detail})")
    if out:
        write_traces(out, clean)
    say(f"{len(rows) - len(clean):,} of {len(rows):,} rows have the request of a suite" + (f"\nThe other {len(clean):,} are in {out}" if out else ""))


def suite_rows(name: str) -> list[Any]:
    """Rows of a file or folder, else of a suite by its name."""
    if Path(name).exists():
        from needle.traces.read import read_traces

        return read_traces(name)[0]
    from needle.evals.suites import load_suite

    return list(load_suite(name).traces)
