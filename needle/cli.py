"""Command line: one verb, one function, glue only. Every verb has ``--help``; bad input is one line and exit code 2."""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from needle import __version__
from needle.errors import UserError
from needle.terminal import answer_line, say, stages, tracker, training_tracker

USAGE_ERROR = typer.BadParameter.__bases__[0]
"""Parent of all mistakes on the command line itself (typer does not export it by name)."""

STOPPED = 130
"""Exit code after Ctrl-C (128 + SIGINT), as shells have it."""

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Distil tool calling into a 26M-parameter student.", rich_markup_mode=None, pretty_exceptions_enable=False)
traces_app = typer.Typer(no_args_is_help=True, help="Look at, convert and split trace files.")
tools_app = typer.Typer(no_args_is_help=True, help="Check toolset files.")
app.add_typer(traces_app, name="traces")
app.add_typer(tools_app, name="tools")

Tools = Annotated[Path, typer.Option("--tools", help="Toolset file: OpenAI, MCP, JSON Schema or bare specs, as JSON.")]
Out = Annotated[Path, typer.Option("--out", help="Folder (or file) for the result.")]
Model = Annotated[str | None, typer.Option("--model", help="Checkpoint folder, hub id, URL#name or baseline:NAME. Default: the bundled base.")]
Seed = Annotated[int, typer.Option("--seed", help="Same seed, same result.")]


@app.callback(invoke_without_command=True)
def _options(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    if version:
        print(f"needle {__version__}")
        raise typer.Exit


@app.command()
def quickstart(
    tools: Annotated[Path | None, typer.Option("--tools", help="Toolset file. Default: data/toolsets/home.json.")] = None,
    out: Out = Path("needle-quickstart"),
    rows: Annotated[int, typer.Option(help="Traces to generate.")] = 1200,
    minutes: Annotated[float, typer.Option(help="Minutes of training.")] = 7.5,
    teacher: Annotated[str, typer.Option(help="Endpoint URL#model, or embedded.")] = "embedded",
    seed: Seed = 0,
) -> None:
    """The whole loop on a sample toolset: generate, train, evaluate, run. No key, no network, minutes on 2 cores."""
    from needle.evals import summary_table
    from needle.quickstart import QuickstartConfig, default_toolset
    from needle.quickstart import quickstart as run_loop

    url, _, name = teacher.partition("#")
    with stages(4) as stage:
        config = QuickstartConfig(tools or default_toolset(), out, rows=rows, minutes=minutes, teacher=url, model=name, seed=seed)
        result = run_loop(config, stage)
    say(f"\n{summary_table(result.results)}\n")
    for query, answer in result.answers:
        say(f"  {query!r}\n    {answer_line(answer)}")
    say(f"\nNext: needle run \"...\" --tools {config.tools} --model {out / 'run'}\n      open {out / 'eval' / 'report.html'}")
    say(f"Everything is in {out}")


@app.command()
def generate(
    tools: Tools,
    out: Out,
    teacher: Annotated[str, typer.Option(help="OpenAI-compatible base URL, or embedded (no key needed).")] = "embedded",
    model: Annotated[str, typer.Option(help="Model name at the endpoint.")] = "",
    n: Annotated[int, typer.Option("--n", help="Accepted traces wanted.")] = 1000,
    budget: Annotated[float | None, typer.Option(help="Stop before so many US dollars are spent; needs both prices.")] = None,
    price_in: Annotated[float | None, typer.Option(help="US dollars for a million input tokens.")] = None,
    price_out: Annotated[float | None, typer.Option(help="US dollars for a million output tokens.")] = None,
    concurrency: Annotated[int, typer.Option(help="Requests under way at a time.")] = 16,
    seed: Seed = 0,
) -> None:
    """Ask a teacher for verified traces over a toolset. The same command continues a stopped run."""
    from needle.generate import GenerateConfig
    from needle.generate import generate as run

    config = GenerateConfig(tools, out, teacher, model, n, seed, budget_usd=budget, price_in=price_in, price_out=price_out, concurrency=concurrency)
    with tracker("traces") as progress:
        report = run(config, lambda snapshot: progress(snapshot.accepted, snapshot.total))
    for note in report.notes:
        say(f"note: {note}")
    counts = ", ".join(f"{rows:,} {part}" for part, rows in report.rows.items())
    say(f"{counts}; refused {sum(report.tally.refused.values()):,}; spent ${report.usd:.4f}\nTraces are in {out}")


@app.command()
def train(
    traces: Annotated[list[Path], typer.Option("--traces", help="Folder with train and validation files, or trace files; repeatable.")],
    out: Out,
    base: Annotated[str | None, typer.Option(help="Checkpoint to start from, or none. Default: the bundled base.")] = None,
    preset: Annotated[str, typer.Option(help="Size when starting from none: nano, base or proxy.")] = "base",
    loss: Annotated[str, typer.Option(help="hard, or soft (with --teacher).")] = "hard",
    teacher: Annotated[list[str] | None, typer.Option(help="Checkpoint to learn soft labels from; several are averaged.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Budget in minutes; the run ends within it.")] = None,
    steps: Annotated[int | None, typer.Option(help="Budget in optimiser steps.")] = None,
    bits: Annotated[int | None, typer.Option(help="Train for 4- or 8-bit weights in the cooldown.")] = None,
    rows: Annotated[int | None, typer.Option(help="Examples a step.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in --out.")] = False,
    seed: Seed = 0,
) -> None:
    """Fit a student on traces; the checkpoint with the best held-out exact match is kept."""
    from needle.distil import train as run

    given = {"minutes": minutes, "steps": steps, "quantize_bits": bits, "rows": rows}
    settings = {key: value for key, value in given.items() if value is not None} | {"seed": seed}
    with training_tracker() as progress:
        report = run(
            traces, out, base=base, preset=preset, loss=loss, teachers=teacher or (), resume=resume, settings=settings, report=progress
        )
    best = ", ".join(f"{name} {value:.3f}" for name, value in report.best.items() if name != "step")
    say(f"{report.steps:,} steps, {report.rows:,} rows, {report.seconds / 60:.1f} min; best at step {report.best['step']}: {best}")
    say(f"The checkpoint is in {out / 'best'}")


@app.command("train-tokenizer")
def train_tokenizer(
    traces: Annotated[list[Path], typer.Option("--traces", help="Trace files or folders (their train file); repeatable.")],
    out: Out,
    text: Annotated[list[Path] | None, typer.Option("--text", help="Plain-text files to learn words from; repeatable.")] = None,
    vocabulary: Annotated[int, typer.Option(help="Number of tokens.")] = 8192,
) -> None:
    """Learn the byte-level BPE vocabulary from traces and plain text."""
    from itertools import chain

    from needle.corpora.texts import file_texts, trace_texts
    from needle.student.tokenizer import train_tokenizer as learn
    from needle.traces.read import read_traces
    from needle.traces.split import split_files

    files = [split_files(path).get("train", path) if path.is_dir() else path for path in traces]
    rows, problems = read_traces(files)
    tokenizer = learn(chain(trace_texts(rows), file_texts(text or [])), vocabulary)
    out.parent.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(out))
    say(f"{tokenizer.get_vocab_size():,} tokens from {len(rows):,} traces ({len(problems)} unusable)\nThe tokenizer is in {out}")


@app.command("eval")
def evaluate(
    model: Model = None,
    suite: Annotated[str, typer.Option(help="Suite name or trace file.")] = "needle-unseen",
    out: Out = Path("needle-eval"),
    limit: Annotated[int | None, typer.Option(help="Score a stratified sample of so many rows.")] = None,
    free: Annotated[bool, typer.Option("--free", help="Decode without constraints.")] = False,
    beams: Annotated[int, typer.Option(help="Beam width.")] = 1,
    seed: Seed = 0,
    list_suites: Annotated[bool, typer.Option("--list", help="List the named suites.")] = False,
) -> None:
    """Score a model on a suite: well-formed, schema-valid and correct, beside the floors. Resumable."""
    from needle.evals import evaluate as run
    from needle.evals import load_suite, suite_lines, summary_table, to_markdown
    from needle.models import open_caller

    if list_suites:
        say("\n".join(suite_lines()))
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


@app.command()
def run(
    query: Annotated[str, typer.Argument(help="The request, in quotes.")],
    tools: Tools,
    model: Model = None,
    system: Annotated[str | None, typer.Option(help="Facts that hold, such as the date.")] = None,
    free: Annotated[bool, typer.Option("--free", help="Decode without constraints.")] = False,
) -> None:
    """Print the calls for one request as JSON."""
    from needle.models import open_caller
    from needle.tools.read import load_toolset

    specs = load_toolset(tools)
    if not query.strip():
        raise UserError("the request is empty; say what should be done")
    answer = open_caller(model, constrained=not free).call(query, specs, system=system)
    if answer.error:
        raise UserError(f"no calls: {answer.error}")
    print(json.dumps([call.to_dict() for call in answer], ensure_ascii=False))


@app.command()
def export(
    out: Out,
    model: Annotated[str | None, typer.Option("--model", help="Checkpoint folder or hub id. Default: the bundled base.")] = None,
    bits: Annotated[int, typer.Option(help="4 or 8: width of the stored integers.")] = 4,
) -> None:
    """Write a checkpoint with integer weights: one small file that `needle run` and `needle.load` read."""
    from needle.models import export_quantized

    megabytes = export_quantized(model, out, bits) / 1e6
    say(f"{megabytes:.1f} MB of {bits}-bit weights\nThe checkpoint is in {out}")


@app.command()
def serve(
    model: Model = None,
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.")] = 8377,
    host: Annotated[str, typer.Option(help="Address to listen on. The default is reached from this machine only.")] = "127.0.0.1",
    key_env: Annotated[str | None, typer.Option(help="Environment variable with the key that clients must send.")] = None,
) -> None:
    """Answer OpenAI's chat completions over HTTP, with calls, until Ctrl-C."""
    from needle.models import open_caller
    from needle.serve import LOOPBACK
    from needle.serve import serve as run_server

    key = os.environ.get(key_env, "") if key_env else None
    if key is not None and not key.strip():
        raise UserError(f"--key-env {key_env}: the environment has no such variable, or it is empty; set it to the key")
    if key is None and host not in LOOPBACK:
        say(f"note: whoever reaches {host} can use this server; give a key with --key-env", error=True)
    caller = open_caller(model)
    run_server(caller, host=host, port=port, key=key, announce=lambda url: say(f"{caller.name} answers until Ctrl-C at {url}"))


@app.command()
def doctor() -> None:
    """Say what is installed, which device is used, and what is missing with the remedy."""
    from needle.doctor import report

    lines, healthy = report()
    say("\n".join(lines))
    if not healthy:
        raise typer.Exit(1)


@traces_app.command()
def stats(path: Path, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Count kinds, tools, argument types and lengths of a file or folder."""
    from needle.traces.read import read_traces
    from needle.traces.stats import trace_stats

    rows, problems = read_traces(path)
    counts = trace_stats(rows)
    say(json.dumps(counts.to_dict(), indent=1) if as_json else counts.table())
    _show_problems(problems)


@traces_app.command()
def convert(
    source: Path,
    target: Path,
    to: Annotated[str, typer.Option(help="needle, openai, xlam or needle-v1.")] = "needle",
) -> None:
    """Read any known row format and write another (JSONL, gz or Parquet by the ending)."""
    from needle.traces.convert import convert_traces

    count, problems, lost = convert_traces(source, target, to)
    _show_problems(problems)
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
    _show_problems(problems)
    say(", ".join(f"{len(part):,} {name}" for name, part in parts.items()) + f"\nThe parts are in {out}")


@traces_app.command()
def card(folder: Path, text: Annotated[Path, typer.Option(help="JSON with the card's words.")], out: Out) -> None:
    """Write a dataset card counted from the files."""
    from needle.traces.card import load_card_text, write_card

    say(f"The card is in {write_card(out, folder, load_card_text(text))}")


@tools_app.command()
def lint(tools: Path) -> None:
    """Name duplicates, look-alikes and gaps in a toolset."""
    from needle.tools.lint import lint_tools
    from needle.tools.read import load_toolset

    specs = load_toolset(tools)
    findings = lint_tools(specs)
    for finding in findings:
        say(f"{finding.severity}: {finding.message}")
    say(f"{len(specs)} tools, {len(findings)} findings in {tools}")
    if any(finding.severity == "error" for finding in findings):
        raise typer.Exit(1)


def _show_problems(problems: list[Any], most: int = 5) -> None:
    for problem in problems[:most]:
        say(f"left out: {problem}", error=True)
    if len(problems) > most:
        say(f"left out: {len(problems) - most:,} more", error=True)


def guarded(action: Callable[[], Any], debug: bool = False) -> int:
    """Run ``action``; turn what a person can mend into one line on stderr. Returns the exit code (0, 1, 2, or 130 for Ctrl-C)."""
    try:
        result = action()
        if result == STOPPED:  # what typer makes of Ctrl-C, without a word
            raise KeyboardInterrupt
        return result if isinstance(result, int) else 0
    except typer.Exit as stop:
        return stop.exit_code
    except USAGE_ERROR as error:
        error.show()
        return 2
    except (KeyboardInterrupt, typer.Abort):
        say("stopped; what was finished is kept, the same command continues (training: with --resume)", error=True)
        return STOPPED
    except UserError as error:
        if debug:
            raise
        say(f"needle: {' '.join(str(error).split())}", error=True)
        return 2
    except OSError as error:
        if debug:
            raise
        remedy = "free some space and run the same command again" if error.errno == errno.ENOSPC else "check the path and its rights"
        say(f"needle: {error.filename or 'file'}: {error.strerror or error}; {remedy}", error=True)
        return 2


def main() -> None:
    """Entry point of the ``needle`` command."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    debug = "--debug" in sys.argv[1:]
    sys.exit(guarded(lambda: app(standalone_mode=False), debug))


if __name__ == "__main__":
    main()
