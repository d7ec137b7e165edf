"""Options that several verbs share, and the way problems with rows are shown."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from needle.terminal import say

Tools = Annotated[Path, typer.Option("--tools", help="Toolset file: OpenAI, MCP, OpenAPI, JSON Schema or bare specs, as JSON.")]
Out = Annotated[Path, typer.Option("--out", help="Folder (or file) for the result.")]
Model = Annotated[str | None, typer.Option("--model", help="Checkpoint folder, hub id, URL#name or baseline:NAME. Default: the bundled base.")]
Threshold = Annotated[float | None, typer.Option("--threshold", help="Confidence, 0 to 1, below which an answer counts as unsure. Default: 0.7 with --fallback.")]
Fallback = Annotated[str | None, typer.Option("--fallback", help="Model that gets the requests that --model is unsure of, such as URL#name.")]
MostTools = Annotated[int | None, typer.Option("--most-tools", min=1, help="Tools that the model is shown at most, those that fit the request best. Default: all that fit its context.")]
Threads = Annotated[int, typer.Option("--threads", min=1, help="Threads that a student's arithmetic takes for an answer.")]
Seed = Annotated[int, typer.Option("--seed", help="Same seed, same result.")]


def show_problems(problems: list[Any], most: int = 5) -> None:
    """Name the first ``most`` rows that were left out, and count the others."""
    for problem in problems[:most]:
        say(f"left out: {problem}", error=True)
    if len(problems) > most:
        say(f"left out: {len(problems) - most:,} more", error=True)
