"""Verbs for public data sets: ``corpora list``, ``corpora build``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from needle.commands.options import Out
from needle.terminal import say

app = typer.Typer()
corpora_app = typer.Typer(no_args_is_help=True, help="Turn public data sets into training rows.")
app.add_typer(corpora_app, name="corpora")
SUITES = ("bfcl", "seal-tools", "snips", "needle-unseen")
"""Suites whose requests and tools never get into a mix."""


@corpora_app.command("list")
def list_sets() -> None:
    """Name the data sets that can be imported, with licence and source."""
    from needle.corpora.catalogue import SETS

    for one in SETS.values():
        say(f"{one.name:<18} {one.licence:<20} {one.source}{'  (written by models)' if one.by_models else ''}")


@corpora_app.command("build")
def build_mix(
    config: Path,
    out: Out,
    data: Annotated[Path, typer.Option(help="Folder with the unpacked data sets.")],
    workers: Annotated[int, typer.Option(help="Processes; 0: one a core.")] = 0,
    against: Annotated[list[Path] | None, typer.Option(help="More rows to keep out (files or folders of traces).")] = None,
) -> None:
    """Make the rows of a mix. The same command continues a stopped run; finished sets are kept."""
    from needle.corpora.build import build, read_config

    settings = read_config(config)
    known = _known(data, against or [])
    total = 0
    for report in build(settings, data, out, known, workers or os.cpu_count() or 1):
        total += sum(report.rows.values())
        say(f"{report.name}: {report.read:,} requests in, {', '.join(f'{rows:,} {part}' for part, rows in report.rows.items())}, "
            f"{report.toolsets:,} toolsets, {report.seconds:.0f} s{' (kept)' if report.kept else ''}")
        say(f"  kinds: {', '.join(f'{kind} {rows:,}' for kind, rows in report.kinds.items())}")
        for reason, count in report.dropped.items():
            say(f"  left out: {count:,} {reason}")
    say(f"{total:,} rows\nThe mix is in {out}")


def _known(data: Path, more: list[Path]) -> Any:
    """What is held out: the evaluation suites that are at hand, and more files of rows."""
    from needle.errors import UserError
    from needle.evals.suites import load_suite
    from needle.traces.contamination import Knowledge
    from needle.traces.read import read_traces

    rows = {}
    for name in SUITES:
        for place in (None, data):  # where NEEDLE_DATA says or a package brings it, then beside the data sets
            try:
                rows[name] = load_suite(name, data=place).traces
                break
            except UserError:
                continue
        else:
            say(f"note: {name} is not here, so the mix is not compared with it; NEEDLE_DATA names its folder", error=True)
    held = Path(__file__).resolve().parents[2] / "data" / "traces" / "validation.jsonl.gz"
    for path in [*([held] if held.is_file() else []), *more]:
        rows[path.name] = read_traces(path)[0]
    return Knowledge(rows) if any(rows.values()) else None
