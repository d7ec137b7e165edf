"""Verbs that measure: ``eval``, ``compare``."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from needle.commands.options import Fallback, MostTools, Out, Seed, Threshold
from needle.errors import UserError
from needle.terminal import say, tracker

if TYPE_CHECKING:
    from needle.evals import Results

app = typer.Typer()
MODEL_HELP = "Checkpoint folder, hub id, URL#name, teacher:PROFILE, hf:ID, cmd:PROGRAM, py:MODULE:FUNCTION, replay:FILE or baseline:NAME. Default: the bundled base."
SUITE = "needle-unseen"
FailUnder = Annotated[list[str] | None, typer.Option("--fail-under", help="RATE=PERCENT (or PERCENT, of correct): exit code 1 unless the lower end of its interval reaches it; repeatable.")]


@app.command("eval")
def evaluate(
    context: typer.Context,
    model: Annotated[str | None, typer.Option("--model", help=MODEL_HELP)] = None,
    suite: Annotated[str | None, typer.Option(help=f"Suite name or trace file. Default: {SUITE}.")] = None,
    out: Out = Path("needle-eval"),
    limit: Annotated[int | None, typer.Option(help="Score a stratified sample of so many rows.")] = None,
    free: Annotated[bool, typer.Option("--free", help="Decode without constraints.")] = False,
    both: Annotated[bool, typer.Option("--both", help="Decode every row with and without constraints, as two columns.")] = False,
    beams: Annotated[int, typer.Option(min=1, help="Beam width.")] = 1,
    parser: Annotated[str, typer.Option(help="How output text is read: auto, json, hermes, pythonic, functiongemma, lfm or openai.")] = "auto",
    cache: Annotated[Path | None, typer.Option(envvar="NEEDLE_ANSWERS", help="File of answers that runs share; no answer is asked for twice.")] = None,
    concurrency: Annotated[int, typer.Option(help="Requests that an endpoint gets at a time.")] = 8,
    batch: Annotated[int, typer.Option(help="Most rows that a local model answers together.")] = 64,
    threshold: Threshold = None,
    fallback: Fallback = None,
    most_tools: MostTools = None,
    fail_under: FailUnder = None,
    selftest: Annotated[bool, typer.Option("--selftest", help="Show prompt, raw output and reading of one row, and stop.")] = False,
    rescore: Annotated[Path | None, typer.Option("--rescore", help="Score the saved outputs of this folder again; no model is run.")] = None,
    seed: Seed = 0,
    list_suites: Annotated[bool, typer.Option("--list", help="List the named suites: size, licence, skills, what each measures, its source.")] = False,
    tag: Annotated[list[str] | None, typer.Option(help="With --list: only suites with this skill or licence.")] = None,
) -> None:
    """Score a model on a suite: well-formed, schema-valid and correct, beside the floors. Resumable."""
    from needle.evals import evaluate as run
    from needle.evals import load_suite, self_test, suite_lines
    from needle.evals.gate import read_thresholds
    from needle.models import open_caller

    if suite == "":
        raise UserError("--suite is empty; name a suite (--list shows them) or a trace file")
    thresholds = read_thresholds(fail_under or [])
    if list_suites:
        say("\n".join(suite_lines(tag or ())))
        return
    if rescore is not None:
        _rescore(rescore, None if parser == "auto" else parser, load_suite(suite, limit=limit, seed=seed) if suite else None, thresholds)
        return
    rows = load_suite(suite or SUITE, limit=limit, seed=seed)
    options: dict[str, Any] = {"traces": rows.traces, "beams": beams, "parser": parser, "concurrency": concurrency}
    caller = open_caller(model, constrained=not free, threshold=threshold, fallback=fallback, most_tools=most_tools, **options)
    if selftest:
        say(self_test(caller, next((trace for trace in rows.traces if trace.calls), rows.traces[0])))
        return
    second = _second(model, caller, free, options) if both else None
    with tracker("rows") as progress:
        results = run(caller, rows, out, batch_size=batch, cache=cache, free=second, command=_command(context), progress=progress)
    _show(results, out)
    _gate(results, thresholds)
    unanswered = [row["error"] for row in results.rows if row["infra_error"]]
    if unanswered:
        raise UserError(f"{len(unanswered):,} rows got no answer ({unanswered[0]}); run the same command again: it asks for these only")


def _command(context: typer.Context) -> str:
    """The command line that was given, without where results and answers are kept: what a reader needs to run it again."""
    options = {parameter.name: parameter.opts[0] for parameter in context.command.params}
    words = ["needle", "eval"]
    for name, value in context.params.items():
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE" and name not in ("out", "cache", "fail_under"):
            words += [options[name]] if value is True else [options[name], str(value)]
    return shlex.join(words)


def _second(model: str | None, caller: Any, free: bool, options: dict[str, Any]) -> Any:
    """The same model without constraints."""
    from needle.models import open_caller

    if free:
        raise UserError("--free with --both: both decodes with and without constraints; give one of the two")
    if getattr(caller, "constraint", None) is None:
        raise UserError(f"--both: {caller.name} knows no constrained decoding; leave it out")
    return open_caller(model, constrained=False, **options)


def _show(results: Results, out: Path) -> None:
    from needle.evals import summary_table, to_markdown
    from needle.evals.escalation import escalation_lines
    from needle.evals.offered import offered_lines
    from needle.evals.resources import resource_line
    from needle.evals.variants import variant_lines

    (out / "results.md").write_text(to_markdown(results), encoding="utf-8")
    say("\n".join([summary_table(results), *variant_lines(results.summary), *escalation_lines(results.summary), *offered_lines(results.summary), resource_line(results.summary)]))
    say(f"The report is in {out / 'report.html'}")


def _rescore(folder: Path, parser: str | None, suite: Any, thresholds: dict[str, float]) -> None:
    from needle.evals import rescore as run
    from needle.evals.changes import change_lines, verdict_changes
    from needle.evals.rows import read_rows
    from needle.evals.run import ROWS, read_summary

    read_summary(folder)
    before = list(read_rows(folder / ROWS))
    results = run(folder, parser=parser, suite=suite)
    say("\n".join(change_lines(verdict_changes(before, results.rows), len(before))))
    _show(results, folder)
    _gate(results, thresholds)


def _gate(results: Results, thresholds: dict[str, float]) -> None:
    from needle.evals.gate import fail_under

    _fail(fail_under(results.summary, thresholds))


def _fail(failures: list[str]) -> None:
    for failure in failures:
        say(f"FAILED {failure}", error=True)
    if failures:
        raise typer.Exit(1)


@app.command()
def compare(
    folders: Annotated[list[Path], typer.Argument(help="Folders that needle eval wrote; the first is what the others are held against.")],
    max_regression: Annotated[float | None, typer.Option(help="Exit code 1 unless a loss of more than so many points against the first is ruled out.")] = None,
    fail_under: FailUnder = None,
    rows: Annotated[int, typer.Option(min=0, help="Flipped rows to show, each way.")] = 10,
    as_json: Annotated[Path | None, typer.Option("--json", help="Write everything to this file too.")] = None,
) -> None:
    """Compare evaluation folders row by row: paired tests, intervals, gaps by skill and kind, flipped rows."""
    from needle.evals import compare_all
    from needle.evals.gate import fail_under as under
    from needle.evals.gate import max_regression as lost
    from needle.evals.gate import read_thresholds
    from needle.evals.pair_text import inherited_text
    from needle.evals.run import read_summary
    from needle.traces.write import atomic

    thresholds = read_thresholds(fail_under or [])
    found = compare_all(folders)
    say("\n".join([found.render(rows), *filter(None, (inherited_text(folders[0], folder) for folder in folders[1:]))]))
    if as_json is not None:
        with atomic(as_json) as temporary:
            temporary.write_text(json.dumps(found.to_dict(), indent=1) + "\n", encoding="utf-8")
        say(f"The comparison is in {as_json}")
    failures = [line for folder in folders[1:] for line in under(read_summary(folder), thresholds)]
    if max_regression is not None:
        failures += lost(found.pairs[: len(folders) - 1], max_regression)
    _fail(failures)
