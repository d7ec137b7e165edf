"""The verbs of ``needle tools``: check a toolset, have new ones invented, put one in another dress."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from needle.commands.options import Out, Seed, show_problems
from needle.errors import UserError
from needle.terminal import say

app = typer.Typer(no_args_is_help=True, help="Check, invent and vary toolset files.")


@app.command()
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


@app.command()
def synth(
    out: Out,
    teacher: Annotated[str, typer.Option(help="Teacher profile or OpenAI-compatible base URL.")],
    model: Annotated[str, typer.Option(help="Model name at the endpoint.")] = "",
    domains: Annotated[str, typer.Option(help="Subjects with commas between, or a file with one a line; left out: sixty of our own.")] = "",
    per_domain: Annotated[int, typer.Option(help="Toolsets for each subject.")] = 1,
    budget: Annotated[float | None, typer.Option(help="Never spend more US dollars than this; needs prices.")] = None,
    price_in: Annotated[float | None, typer.Option(help="US dollars for a million input tokens.")] = None,
    price_out: Annotated[float | None, typer.Option(help="US dollars for a million output tokens.")] = None,
    seed: Seed = 0,
) -> None:
    """Have a teacher invent toolsets: valid, linted, and unlike each other. The same command continues a stopped run."""
    from needle.generate.synthesize import DOMAINS, SynthConfig, synthesize

    listed = Path(domains).read_text(encoding="utf-8").splitlines() if domains and Path(domains).is_file() else domains.split(",")
    wanted = tuple(item.strip() for item in listed if item.strip()) or DOMAINS
    report = synthesize(SynthConfig(str(out), teacher, model, wanted, per_domain, seed, budget, price_in, price_out))
    if report.stopped:
        say(f"note: {report.stopped}")
    left = ", ".join(f"{reason} {count:,}" for reason, count in report.refused.most_common()) or "nothing"
    say(f"{report.tools:,} tools in {len(report.files):,} toolsets; left out: {left}; spent ${report.usd:.4f}\nThe toolsets are in {out}")


@app.command()
def evolve(
    tools: Path,
    out: Out,
    ops: Annotated[str, typer.Option(help="Of rename_tools, rename_parameters, mask_names, shuffle_tools, shuffle_parameters, drop_descriptions; commas between.")],
    traces: Annotated[Path | None, typer.Option(help="Rows over the toolset, to be carried over to the new one (written beside it).")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
    seed: Seed = 0,
) -> None:
    """Rename, mask, shuffle or strip a toolset; the way back is written beside it."""
    from needle.tools.read import load_toolset
    from needle.traces.evolve_toolset import carry_over, evolve_toolset
    from needle.traces.read import read_traces
    from needle.traces.write import atomic, write_traces

    names, target = out.with_suffix(".names.json"), out.with_suffix(".traces.jsonl")
    there = [str(path) for path in (out, names, *([target] if traces else ())) if path.exists()]
    if there and not force:
        raise UserError(f"{there[0]}: already there; give another --out, or --force to replace it")
    evolved = evolve_toolset(load_toolset(tools), [op.strip() for op in ops.split(",") if op.strip()], seed)
    rows, problems = read_traces(traces) if traces else ([], [])
    for path, content in ((out, [tool.to_dict() for tool in evolved.tools]), (names, evolved.lineage)):
        with atomic(path) as temporary:
            temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if traces:
        carried = [made for row in rows if (made := carry_over(row, evolved))]
        write_traces(target, carried)
        show_problems(problems)
        say(f"{len(carried):,} of {len(rows):,} rows carried over to {target}")
    say(f"The toolset is in {out}, the old names are in {names}")
