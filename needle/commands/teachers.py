"""Verbs about teachers: ``teacher list``, ``show``, ``schema``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from needle.terminal import say

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
def schema() -> None:
    """Print the JSON schema of a profile file."""
    from needle.teacher.profiles import profile_schema

    say(json.dumps(profile_schema(), indent=1))
