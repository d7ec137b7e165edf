"""Verbs that measure: ``eval``, ``compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from needle.commands.options import Model, Out, Seed
from needle.errors import UserError
from needle.terminal import say, tracker

app = typer.Typer()


@app.command("eval")
def evaluate(
    model: Model = None,
    suite: Annotated[str, typer.Option(help="Suite name or trace file.")] = "needle-unseen",
    out: Out = Path("needle-eval"),
    limit: Annotated[int | None, typer.Option(help="Score a stratified sample of so many rows.")] = None,
    free: Annotated[bool, typer.Option("--free", help="Decode without constraints.")] = False,
    beams: Annotated[int, typer.Option(help="Beam width.")] = 1,
    seed: Seed = 0,
    list_suites: Annotated[bool, typer.Option("--list", help="List the named suites: size, licence, skills, what each measures, its source.")] = False,
    tag: Annotated[list[str] | None, typer.Option(help="With --list: only suites with this skill or licence.")] = None,
) -> None:
    """Score a model on a suite: well-formed, schema-valid and correct, beside the floors. Resumable."""
    from needle.evals import evaluate as run
    from needle.evals import load_suite, suite_lines, summary_table, to_markdown
    from needle.models import open_caller

    if list_suites:
        say("\n".join(suite_lines(tag or ())))
        return
    rows = load_suite(suite, limit=limit, seed=seed)
    caller = open_caller(model, traces=rows.traces, constrained=not free, beams=beams)
    with tracker("rows") as progress:
        results = run(caller, rows, out, batch_size=128, progress=progress)
    (out / "results.md").write_text(to_markdown(results), encoding="utf-8")
    say(f"{summary_table(results)}\nThe report is in {out / 'report.html'}")
    unanswered = [row["error"] for row in results.rows if row["infra_error"]]
    if unanswered:
        raise UserError(f"{len(unanswered):,} rows got no answer ({unanswered[0]}); run the same command again: it asks for these only")


@app.command()
def compare(first: Path, second: Path) -> None:
    """Compare two evaluation folders row by row: paired test, interval, flipped rows."""
    from needle.evals import compare as run

    say(run(first, second).render())
