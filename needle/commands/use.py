"""Verbs for people who use a student: ``quickstart``, ``run``, ``serve``, ``playground``, ``mcp``, ``doctor``."""

from __future__ import annotations

import json
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from needle.commands.explain import explanation, notes
from needle.commands.options import Fallback, Model, MostTools, Out, Seed, Threads, Threshold, Tools
from needle.errors import UserError
from needle.terminal import answer_line, say, stages

app = typer.Typer()


@app.command()
def quickstart(
    tools: Annotated[Path | None, typer.Option("--tools", help="Toolset file. Default: data/toolsets/home.json.")] = None,
    out: Out = Path("needle-quickstart"),
    rows: Annotated[int, typer.Option(help="Traces to generate.")] = 4000,
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
    if result.trained.warning:
        say(result.trained.warning, error=True)
    say(f"Everything is in {out}")


@app.command()
def run(
    query: Annotated[str, typer.Argument(help="The request, in quotes.")],
    tools: Tools,
    model: Model = None,
    system: Annotated[str | None, typer.Option(help="Facts that hold, such as the date.")] = None,
    free: Annotated[bool, typer.Option("--free", help="Decode without constraints.")] = False,
    threshold: Threshold = None,
    fallback: Fallback = None,
    most_tools: MostTools = None,
    threads: Threads = 1,
    explain: Annotated[bool, typer.Option("--explain", help="Show the words of the request that each argument came from.")] = False,
) -> None:
    """Print the calls for one request as JSON."""
    from needle.models import open_caller
    from needle.tools.read import load_toolset

    specs = load_toolset(tools)
    if not query.strip():
        raise UserError("the request is empty; say what should be done")
    caller = open_caller(model, constrained=not free, threshold=threshold, fallback=fallback, most_tools=most_tools, threads=threads)
    answer = caller.call(query, specs, system=system, explain=explain)
    if answer.error:
        raise UserError(f"no calls: {answer.error}")
    for note in notes(answer):
        say(note, error=True)
    if explain:
        say("\n".join(explanation(query, answer)))
        return
    print(json.dumps([call.to_dict() for call in answer], ensure_ascii=False))


@app.command()
def serve(
    model: Annotated[list[str] | None, typer.Option(help="As for needle run; NAME=MODEL, repeated, for several. Default: the bundled base.")] = None,
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.")] = 8377,
    host: Annotated[str, typer.Option(help="Address to listen on. The default is reached from this machine only.")] = "127.0.0.1",
    key_env: Annotated[str | None, typer.Option(help="Environment variable with the key that clients must send.")] = None,
    threshold: Threshold = None,
    fallback: Fallback = None,
    workers: Annotated[int | None, typer.Option(help="Batches that are answered at once, on a core each. Default for a student: one for each core, 4 at most.", min=1)] = None,
    threads: Threads = 1,
    cors: Annotated[list[str] | None, typer.Option(help="Web page that may ask from a browser, such as https://example.com. May be repeated.")] = None,
) -> None:
    """Answer OpenAI's chat completions over HTTP, with calls, until Ctrl-C."""
    from needle.models import open_caller
    from needle.serve import LOOPBACK, Limits
    from needle.serve import serve as run_server

    key = os.environ.get(key_env, "") if key_env else None
    if key is not None and not key.strip():
        raise UserError(f"--key-env {key_env}: the environment has no such variable, or it is empty; set it to the key")
    if key is None and host not in LOOPBACK:
        say(f"note: whoever reaches {host} can use this server; give a key with --key-env", error=True)
    callers = {name: open_caller(one, threshold=threshold, fallback=fallback, threads=threads) for name, one in _named(model or []).items()}
    who = " and ".join(caller.name for caller in callers.values())
    served = callers if len(callers) > 1 or "needle" not in callers else callers["needle"]
    workers = workers or (min(os.cpu_count() or 1, 4) if all(caller.parallel for caller in callers.values()) else 1)
    run_server(served, host=host, port=port, key=key, origins=cors or (), limits=Limits(workers=workers), announce=lambda url: say(f"{who} answers until Ctrl-C at {url}"))


def _named(models: list[str]) -> dict[str, str | None]:
    """``NAME=MODEL`` by name; a single one without a name is ``needle``, and so is the bundled base when none is given."""
    found: dict[str, str | None] = {}
    for given in models:
        named = re.fullmatch(r"([\w.-]+)=(.+)", given)
        if named is None and len(models) > 1:
            raise UserError(f"--model {given}: several models need names; write --model NAME={given}")
        name, model = named.groups() if named else ("needle", given)
        if name in found:
            raise UserError(f"--model {given}: two models are called {name}; give each a name of its own")
        found[name] = model
    return found or {"needle": None}


@app.command()
def mcp(
    server: Annotated[list[str] | None, typer.Option(help="Command that starts an MCP server, in quotes, or its address. May be repeated.")] = None,
    config: Annotated[Path | None, typer.Option(help='File with servers, {"mcpServers": {...}}.')] = None,
    model: Model = None,
    threshold: Annotated[float, typer.Option(help="Confidence below which nothing is executed, 0 to 1.")] = 0.0,
    port: Annotated[int | None, typer.Option(help="Answer over HTTP at this port of this machine. Default: over standard input and output.")] = None,
) -> None:
    """Be an MCP server before other MCP servers: hears requests in words, picks their tools and calls them."""
    from needle import __version__
    from needle.agent import Agent
    from needle.mcp import read_servers, tools_from_mcp
    from needle.mcp.router import router

    with tools_from_mcp(*(server or ()), *(read_servers(config) if config else ())) as tools:
        agent = Agent(tools, model, turns=0, threshold=threshold)
        inner = router(agent, [tool.spec.name for tool in tools], version=__version__)
        where = "over standard input and output" if port is None else f"at http://127.0.0.1:{port}/mcp"
        say(f"{len(tools)} tools; answers until Ctrl-C {where}", error=True)
        with suppress(KeyboardInterrupt):
            inner.run("stdio") if port is None else inner.run("streamable-http", host="127.0.0.1", port=port)


@app.command()
def playground(
    model: Model = None,
    tools: Annotated[Path | None, typer.Option("--tools", help="Toolset file that the page opens with. Default: an example.")] = None,
    out: Out = Path("needle-playground"),
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.")] = 8378,
) -> None:
    """Serve a page to try tools, correct answers and fine-tune on the corrections, until Ctrl-C."""
    from needle.playground import LocalDesk
    from needle.serve import listen
    from needle.serve.playground import create_playground
    from needle.tools.read import load_toolset

    desk = LocalDesk(model, out, load_toolset(tools) if tools else ())
    say(f"{desk.caller.name}; corrections go to {desk.kept.path}")
    try:
        listen(create_playground(desk), port=port, announce=lambda url: say(f"The page is at {url} until Ctrl-C"))
    finally:
        desk.close()


@app.command()
def doctor() -> None:
    """Say what is installed, which device is used, and what is missing with the remedy."""
    from needle.doctor import report

    lines, healthy = report()
    say("\n".join(lines))
    if not healthy:
        raise typer.Exit(1)
