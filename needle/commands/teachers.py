"""Verbs about teachers: ``teacher list``, ``show``, ``probe``, ``schema``, ``prices``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from needle.terminal import say, tracker

app = typer.Typer()
teacher_app = typer.Typer(no_args_is_help=True, help="Teacher endpoints: profiles and what they can do.")
app.add_typer(teacher_app, name="teacher")

Profiles = Annotated[Path | None, typer.Option("--profiles", help="Profile file (TOML or JSON). Default: NEEDLE_PROFILES, then needle-teachers.toml.")]


@teacher_app.command("list")
def list_profiles(profiles: Profiles = None) -> None:
    """Name the profiles: those that come with needle, and your own."""
    from needle.teacher.profiles import load_profiles, profile_file

    found = load_profiles(profiles)
    width = max(len(name) for name in found)
    for name, profile in found.items():
        say(f"{name:<{width}}  {profile.base_url}{'#' + profile.model if profile.model else ''}  {profile.about}")
    own = profile_file(profiles)
    say(f"{len(found)} profiles" + (f", yours from {own}" if own else "; add your own in needle-teachers.toml"))


@teacher_app.command()
def show(
    teacher: Annotated[str, typer.Argument(help="NAME, NAME#model, URL#model or embedded.")],
    model: Annotated[str, typer.Option(help="Model name at the endpoint.")] = "",
    profiles: Profiles = None,
) -> None:
    """Print what a teacher resolves to, as JSON: address, limits, prices, capabilities. No key is shown."""
    from needle.teacher.profiles import resolve_teacher, teacher_facts

    say(json.dumps(teacher_facts(resolve_teacher(teacher, model, profiles)), indent=1))


@teacher_app.command()
def probe(
    teacher: Annotated[str, typer.Argument(help="NAME, NAME#model, URL#model or embedded.")],
    model: Annotated[str, typer.Option(help="Model name at the endpoint.")] = "",
    out: Annotated[Path | None, typer.Option("--out", help="File for the report. Default: probes.json in the cache folder, where later commands look.")] = None,
    profiles: Profiles = None,
) -> None:
    """Find out with a dozen short calls what an endpoint can do; later commands then refuse what it cannot."""
    from dataclasses import asdict

    from needle.errors import UserError
    from needle.teacher import TransientError, resolve_teacher
    from needle.teacher.probe import probe as run
    from needle.teacher.reports import keep_report
    from needle.tools.execute import run_sync

    config = resolve_teacher(teacher, model, profiles, probed=False)
    try:
        with tracker("abilities") as progress:
            report = run_sync(run(config, progress=progress))
    except TransientError as error:
        raise UserError(f"{error}; nothing was found out, try again when it answers") from None
    path = keep_report(asdict(report), out)
    say(report.table())
    for name in report.left_out:
        say(f"note: the parameter {name} is refused and left out")
    cost = f", ${config.prices.cost(asdict(report)):.4f}" if config.prices else ""
    say(f"{report.requests} calls, {report.prompt_tokens:,} tokens in, {report.completion_tokens:,} out{cost}\nThe report is in {path}")


@teacher_app.command()
def schema() -> None:
    """Print the JSON schema of a profile file."""
    from needle.teacher.profiles import profile_schema

    say(json.dumps(profile_schema(), indent=1))


@teacher_app.command()
def prices(
    file: Annotated[Path, typer.Argument(help="Price list as JSON, in the shape of LiteLLM's model_prices_and_context_window.json.")],
    models: Annotated[list[str], typer.Argument(help="Model names in that list; PROVIDER/* for all of one provider.")],
) -> None:
    """Print the prices of models as lines for a profile file."""
    from needle.teacher.prices import read_price_list, toml_line

    found = read_price_list(file, models)
    say("\n".join(toml_line(model, price) for model, price in found.items()))
    say(f"{len(found)} prices in US dollars for a million tokens; put the lines into a table of your profile file", error=True)
