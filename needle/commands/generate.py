"""The verb ``generate``: an estimate, a preview, or the traces themselves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from needle.commands.data import suite_rows
from needle.errors import Stopped
from needle.terminal import generation_panel, say

app = typer.Typer()
MONEY, ASKING, RUNS = "Money", "How it is asked", "Other than a run"
DOUBT = "How far labels are doubted"


@app.command()
def generate(
    tools: Annotated[Path | None, typer.Option("--tools", help="Toolset file: OpenAI, MCP, JSON Schema or bare specs, as JSON.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for rows, responses and reports; the same folder continues a run.")] = None,
    config: Annotated[Path | None, typer.Option(help="TOML or JSON file with settings; options given here go over it.")] = None,
    teacher: Annotated[str | None, typer.Option(help="Teacher profile, OpenAI-compatible base URL, or embedded (no key needed).")] = None,
    model: Annotated[str | None, typer.Option(help="Model name at the endpoint.")] = None,
    n: Annotated[int | None, typer.Option("--n", help="Accepted traces wanted.  [default: 1000]")] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Same seed, same result.")] = None,
    budget: Annotated[float | None, typer.Option(help="Never spend more US dollars than this; needs prices.", rich_help_panel=MONEY)] = None,
    max_tokens_total: Annotated[int | None, typer.Option(help="Never use more tokens than this.", rich_help_panel=MONEY)] = None,
    price_in: Annotated[float | None, typer.Option(help="US dollars for a million input tokens.", rich_help_panel=MONEY)] = None,
    price_out: Annotated[float | None, typer.Option(help="US dollars for a million output tokens.", rich_help_panel=MONEY)] = None,
    concurrency: Annotated[int | None, typer.Option(help="Rows under way at a time.  [default: 16]", rich_help_panel=ASKING)] = None,
    batch: Annotated[bool, typer.Option("--batch", help="Ask through the Batch API: cheaper, answers after minutes or hours.", rich_help_panel=ASKING)] = False,
    engine: Annotated[str | None, typer.Option(help="local, or ray (workers on a cluster).", rich_help_panel=ASKING)] = None,
    workers: Annotated[int | None, typer.Option(help="Workers of the Ray engine.", rich_help_panel=ASKING)] = None,
    student: Annotated[str | None, typer.Option(help="Checkpoint (or base, the bundled one) that answers first; rows are kept where it is unsure or wrong.", rich_help_panel=ASKING)] = None,
    round_: Annotated[int | None, typer.Option("--round", help="Number of this round, with --student.  [default: 1]", rich_help_panel=ASKING)] = None,
    noise: Annotated[float | None, typer.Option(help="Share of accepted requests that get typing slips, speech-recognition marks and the like.  [default: 0.1]", rich_help_panel=ASKING)] = None,
    locale: Annotated[list[str] | None, typer.Option(help="Where suggested names and places come from, such as de_DE (needs Faker); repeat for several.", rich_help_panel=ASKING)] = None,
    votes: Annotated[int | None, typer.Option(help="Most labels of a row: 1, 3 or 5; more than one only where label and plan disagree.  [default: 1]", rich_help_panel=DOUBT)] = None,
    judge: Annotated[bool, typer.Option("--judge", help="Have a teacher with the role of judge question every row.", rich_help_panel=DOUBT)] = False,
    no_repair: Annotated[bool, typer.Option("--no-repair", help="Refuse a faulty label at once, without asking again with the fault in words.", rich_help_panel=DOUBT)] = False,
    decontaminate: Annotated[list[str] | None, typer.Option(help="File, folder or name of an evaluation suite whose requests no row may have; repeat for several.", rich_help_panel=DOUBT)] = None,
    teacher_terms: Annotated[str | None, typer.Option(help="For the card: what the teacher's terms say about training on its output.")] = None,
    licence: Annotated[str | None, typer.Option(help="For the card: licence of the rows, as the hub spells it.")] = None,
    estimate: Annotated[bool, typer.Option("--estimate", help="Ask for some 20 rows and say what the run will cost.", rich_help_panel=RUNS)] = False,
    preview: Annotated[int, typer.Option(help="Show so many rows of each kind with their whole story.", rich_help_panel=RUNS)] = 0,
    reverify: Annotated[bool, typer.Option("--reverify", help="Make the rows again from stored responses; nothing is asked.", rich_help_panel=RUNS)] = False,
    config_schema: Annotated[bool, typer.Option("--config-schema", help="Print the JSON schema of the settings file.", rich_help_panel=RUNS)] = False,
    parquet: Annotated[bool, typer.Option("--parquet", help="Write the parts as Parquet too.")] = False,
) -> None:  # fmt: skip
    """Ask a teacher for verified traces over a toolset. The same command continues a stopped run."""
    from needle.generate.settings import config_schema as schema
    from needle.generate.settings import load_config

    if config_schema:
        say(json.dumps(schema(), indent=1))
        return
    settings = load_config(config, {
        "tools": tools, "out": out, "teacher": teacher, "model": model, "n": n, "seed": seed, "budget_usd": budget,
        "max_tokens_total": max_tokens_total, "price_in": price_in, "price_out": price_out, "concurrency": concurrency,
        "noise": noise, "locales": locale or None,
        "checks": {name: value for name, value in {
            "votes": votes, "judge": judge or None, "repair": False if no_repair else None, "teacher_terms": teacher_terms,
            "decontaminate": decontaminate or None, "licence": licence,
        }.items() if value is not None} or None,
        "batch": batch or None, "engine": engine, "workers": workers, "round": (round_ or 1) if student else round_,
    })  # fmt: skip
    if estimate or preview:
        _look_ahead(settings, preview)
    else:
        _run(settings, student, reverify, parquet)


def _look_ahead(settings: Any, rows: int) -> None:
    from needle.generate.ahead import estimate, preview

    if rows:
        for row in preview(settings, rows):
            verdict = "accepted" if row.accepted else f"refused: {', '.join(row.reasons)} {'; '.join(row.details)}"
            calls = json.dumps(row.calls, ensure_ascii=False)
            say(f"[{row.kind}] {row.request}\n  plan: {json.dumps(row.plan, ensure_ascii=False)}\n  calls: {calls}")
            say(f"  spans: {json.dumps(row.spans)}\n  {verdict}; {row.tokens:,} tokens, ${row.usd:.6f}")
    else:
        say("\n".join(estimate(settings).lines()))
    say(f"The answers are kept in {settings.out}: the run will not ask for them again")


def _run(settings: Any, student: str | None, reverify: bool, parquet: bool) -> None:
    from needle.generate import Interrupted
    from needle.generate import generate as run

    caller = None
    if student:
        from needle.models import open_caller

        caller = open_caller(None if student == "base" else student)
    suites = {name: suite_rows(name) for name in settings.checks.decontaminate if not Path(name).exists()}
    try:
        with generation_panel() as progress:
            report = run(settings, progress, reverify=reverify, student=caller, suites=suites)
    except Interrupted as stop:
        raise Stopped(str(stop)) from None
    for note in report.notes:
        say(f"note: {note}")
    if report.usd or report.lost.get("calls"):
        say(report.bill_table())
    if parquet:
        from needle.generate.rows import export_parquet

        export_parquet(report.files)
    counts = ", ".join(f"{rows:,} {part}" for part, rows in report.rows.items())
    say(f"{counts}; refused {sum(report.tally.refused.values()):,}; asked {report.asked_now:,}, {report.hits:,} from the store; spent ${report.usd:.4f}")
    say(f"Traces are in {settings.out}")
