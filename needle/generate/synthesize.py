"""Toolsets from a teacher: domain by domain, each asked for with other traits, checked, and unlike all before.

    report = synthesize(SynthConfig("toolsets/", teacher="openai", model="gpt-5-mini", domains=("travel", "farming")))

What generalises is the number of different schemas, more than of rows (ToolACE, arXiv 2409.00920), so every question asks
for another style of names, other parameter types and another kind of app. Every response is stored before it is read, and
the same command goes on where it stopped.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from needle.errors import UserError
from needle.generate.budget import Amount, Budget, BudgetSpent
from needle.generate.config import GenerateConfig
from needle.generate.desk import Desk, Seat, row_of
from needle.generate.seats import make_seats, resolve_teachers
from needle.generate.store import ResponseStore
from needle.teacher.endpoint import is_embedded
from needle.teacher.errors import PermanentError, TransientError
from needle.tools.execute import run_sync
from needle.tools.likeness import alike
from needle.tools.lint import lint_tools
from needle.tools.read import read_tools
from needle.tools.spec import ToolSpec, fingerprint
from needle.tools.validate import checker
from needle.traces.write import atomic

SAME = 0.75
"""Likeness from which a tool counts as one that is there already."""
MAX_TOKENS = 3000
SYNTH = """You design the tools (functions) of apps for an assistant that calls them.
Answer with one JSON array and nothing else: objects with "name", "description" and "parameters", the last a JSON Schema
(draft 2020-12) of type object with "properties" and "required".
- Each tool does one thing, described in one plain sentence; each parameter has a type and a short description that says
  its form (unit, code, pattern) where that is not plain.
- Use enums, ranges, formats (date, time, date-time, email), arrays and nested objects where a real app would.
- No two tools do the same. Every value must be something that a person can say in a request."""
TRAITS = {
    "names": ("snake_case", "snake_case", "camelCase", "PascalCase", "dotted.names", "kebab-case"),
    "size": ("3", "4", "5", "6", "7", "8"),
    "parameters": (
        "few parameters, mostly enums", "many optional parameters", "numbers with units and ranges", "dates, times and durations",
        "a nested object in one tool", "an array of strings in one tool", "an array of enum members in one tool",
        "free text that is copied word for word", "codes with a pattern",
    ),
    "kind": (
        "an app on a phone", "a device without a screen", "a tool for professionals", "a public service", "an online shop",
        "a developer's tool", "a machine or vehicle", "software of a small firm", "a game or hobby app",
    ),
    "look_alikes": ("no look-alikes", "two tools with one object and different verbs", "two tools with one verb and different objects"),
}  # fmt: skip
"""Axes along which the questions differ."""
DOMAINS = tuple(
    "travel,cooking,health records,fitness,personal finance,banking,insurance,property management,hotel,restaurant,logistics,"
    "warehouse,farming,gardening,astronomy,chemistry lab,statistics,geometry,maps and geodata,weather,energy grid,solar plant,"
    "car,public transport,aviation,shipping,smart home,security system,music production,photo editing,video streaming,library,"
    "museum,school,university,language learning,sports club,event tickets,social network,messaging,email,calendar,project "
    "management,customer support,accounting,payroll,legal documents,elections,emergency services,pets and vets,genealogy,"
    "translation,databases,cloud servers,version control,continuous integration,robotics,3d printing,board games,weddings".split(
        ","
    )
)
"""Domains that are asked for when none are named."""


@dataclass(frozen=True)
class SynthConfig:
    """One run."""

    out: str
    """Folder for the toolsets, the stored responses and the report."""
    teacher: str
    """Profile or address of a teacher; the embedded one invents no tools."""
    model: str = ""
    """Model name at that endpoint."""
    domains: tuple[str, ...] = DOMAINS
    """Subjects, a toolset or more each."""
    per_domain: int = 1
    """Toolsets for each domain."""
    seed: int = 0
    """Of the traits."""
    budget_usd: float | None = None
    """Never spend more US dollars."""
    price_in: float | None = None
    """US dollars for a million input tokens."""
    price_out: float | None = None
    """US dollars for a million output tokens."""
    concurrency: int = 8
    """Questions under way at a time."""


@dataclass
class SynthReport:
    """What came of it."""

    files: list[Path] = field(default_factory=list)
    """Toolset files."""
    tools: int = 0
    """Tools in them."""
    refused: Counter[str] = field(default_factory=Counter)
    """Tools and toolsets left out, by reason."""
    usd: float = 0.0
    """Spent, earlier runs of the folder included."""
    stopped: str = ""
    """Why it ended early; empty when it did not."""


def synthesize(config: SynthConfig, *, transport: httpx2.AsyncBaseTransport | None = None) -> SynthReport:
    """Ask for toolsets, one file each. Toolsets are judged in the order of the questions, whatever order answers come in.

    Args:
        config: what is wanted.
        transport: replaces the network, for endpoints that live in this process.

    Raises:
        UserError: the embedded teacher, no domain, no key, an endpoint that refuses; what was stored stays.
    """
    if is_embedded(config.teacher):
        raise UserError("the embedded teacher invents no tools; name another with --teacher and --model")
    if not config.domains or config.per_domain < 1:
        raise UserError("name at least one domain, and one toolset or more for each")
    settings = GenerateConfig(
        tools="", out=config.out, teacher=config.teacher, model=config.model, budget_usd=config.budget_usd,
        price_in=config.price_in, price_out=config.price_out,
    )  # fmt: skip
    seats = make_seats(settings, resolve_teachers(settings), transport)
    return run_sync(_run(config, seats))


def synth_body(domain: str, number: int, seed: int) -> dict[str, Any]:
    """The question for the ``number``-th toolset of a domain."""
    rng = random.Random(f"{seed}/{domain}/{number}")
    traits = {axis: rng.choice(values) for axis, values in TRAITS.items()}
    wish = (
        f"Domain: {domain}. {traits['kind'].capitalize()}. {traits['size']} tools, names in {traits['names']}; "
        f"{traits['parameters']}; {traits['look_alikes']}. Variant {number + 1}: choose a corner of the domain that others "
        "would not think of first."
    )
    return {
        "messages": [{"role": "system", "content": SYNTH}, {"role": "user", "content": wish}],
        "temperature": 1.0,
        "seed": rng.randrange(2**31),
        "max_tokens": MAX_TOKENS,
    }


def read_toolset(text: str, known: Sequence[ToolSpec]) -> tuple[list[ToolSpec], Counter[str]]:
    """The usable tools of an answer, and why others are left out.

    Reasons: ``no_json``, ``unusable`` (no schema that can be used), ``lint:<code>`` (an error of the linter),
    ``known`` (the same tool, or one too like it, is there already).
    """
    refused: Counter[str] = Counter()
    try:
        raw = json.loads(re.search(r"\[.*\]", text, re.DOTALL)[0])  # type: ignore[index]
    except (ValueError, TypeError):
        return [], Counter({"no_json": 1})
    found: list[ToolSpec] = []
    for item in raw if isinstance(raw, list) else []:
        try:
            (tool,) = read_tools([item])
            checker(tool)
        except (UserError, ValueError, TypeError):
            refused["unusable"] += 1
            continue
        errors = [finding.code for finding in lint_tools([*found, tool]) if finding.severity == "error"]
        if errors or not tool.description.strip():
            refused[f"lint:{errors[0] if errors else 'missing_description'}"] += 1
        elif tool.description in {other.description for other in [*known, *found]} or any(
            fingerprint([tool]) == fingerprint([other]) or alike(tool, other) >= SAME for other in [*known, *found]
        ):
            refused["known"] += 1
        else:
            found.append(tool)
    return found, refused


async def _run(config: SynthConfig, seats: list[Seat]) -> SynthReport:
    out, report = Path(config.out), SynthReport()
    out.mkdir(parents=True, exist_ok=True)
    gate = asyncio.Semaphore(config.concurrency)
    with ResponseStore(out, durable=True) as store:
        desk = Desk(seats, store, Budget(config.budget_usd, None, Amount(*store.spent())))

        async def ask(domain: str, number: int) -> str | None:
            async with gate:
                try:
                    with row_of(domain, number):
                        return (await desk.ask("write", synth_body(domain, number, config.seed))).text
                except BudgetSpent as spent:
                    report.stopped = str(spent)
                except TransientError as error:
                    report.refused[f"teacher:{error.reason}"] += 1
                except PermanentError as error:
                    if error.stops_job or error.reason == "bad_request":
                        raise UserError(f"{error}; what was stored stays") from error
                    report.refused[f"teacher:{error.reason}"] += 1
                return None

        wanted = [(domain, number) for number in range(config.per_domain) for domain in config.domains]
        for seat in seats:
            await seat.teacher.__aenter__()
        try:
            answers = await asyncio.gather(*(ask(*item) for item in wanted))
        finally:
            for seat in seats:
                await seat.teacher.__aexit__(None, None, None)
        report.usd = desk.budget.spent.usd
    _write(out, wanted, answers, report)
    return report


def _write(out: Path, wanted: Sequence[tuple[str, int]], answers: Sequence[str | None], report: SynthReport) -> None:
    known: list[ToolSpec] = []
    for (domain, number), text in zip(wanted, answers, strict=True):
        if text is None:
            continue
        tools, refused = read_toolset(text, known)
        report.refused += refused
        if len(tools) < 2:
            if tools:
                report.refused["too_few"] += 1
            continue
        known += tools
        name = re.sub(r"\W+", "-", domain).strip("-").lower()
        path = out / f"{name}-{number + 1}.json"
        with atomic(path) as temporary:
            temporary.write_text(
                json.dumps([tool.to_dict() for tool in tools], indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
            )
        report.files.append(path)
        report.tools += len(tools)
