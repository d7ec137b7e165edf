"""Suites: rows to be answered, with where they come from and what they are worth.

A suite is a file of example rows (``docs/formats.md``), a folder with a test split, or a name: a folder
``evals/suites/<name>/`` whose ``suite.toml`` says title, licence, source, what it measures, and ``files`` relative to
itself or a ``loader``. Suites with a loader have parts: ``bfcl/parallel``.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from needle.errors import UserError
from needle.evals.definition import Definition, read_definition
from needle.evals.match import scoring_of
from needle.evals.verdict import gold_suspect
from needle.traces.read import read_traces
from needle.traces.split import split_files
from needle.traces.trace import Trace

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Suite:
    """Rows and what must be known about them to trust a score on them."""

    name: str
    """Short name; the file's stem when it has none."""
    traces: tuple[Trace, ...]
    """The rows to answer, ids unique."""
    title: str = ""
    """One line for people."""
    licence: str = "unknown"
    """Licence of the rows."""
    source: str = ""
    """Where the rows come from."""
    measures: str = ""
    """What a score on it says."""
    hash: str = ""
    """16 hex digits over the content of ``traces`` in order."""
    total: int = 0
    """Rows before ``limit``."""
    limit: int | None = None
    """Rows asked for, or None for all."""
    seed: int = 0
    """Seed of the sample."""
    problems: tuple[str, ...] = ()
    """Rows that could not be used, and ids that were given twice, in words."""
    unusable: int = 0
    """How many rows could not be used at all; they are no part of ``traces``."""
    duplicate_ids: int = 0
    """How many rows shared an id with an earlier one; they are kept under ``id#2``."""
    suspects: frozenset[str] = frozenset()
    """Ids whose gold calls break their own schemas; kept and scored."""

    def to_dict(self) -> dict[str, Any]:
        """What ``results.json`` says about the suite."""
        names = (
            "name",
            "title",
            "licence",
            "source",
            "measures",
            "hash",
            "total",
            "limit",
            "seed",
            "unusable",
            "duplicate_ids",
        )
        shown = {name: getattr(self, name) for name in names}
        return shown | {"n": len(self.traces), "problems": list(self.problems), "gold_suspect": sorted(self.suspects)}


def suite_folders() -> list[Path]:
    """Folders that hold named suites: of this repository and of the working folder."""
    return list(dict.fromkeys(folder / "evals" / "suites" for folder in (REPOSITORY, Path.cwd())))


def named_suites() -> dict[str, Path]:
    """Names that ``load_suite`` knows, with their ``suite.toml``."""
    found = (path for folder in suite_folders() for path in sorted(folder.glob("*/suite.toml")))
    return {path.parent.name: path for path in reversed(list(found))}


def suite_lines() -> list[str]:
    """Every named suite in a line: name, size, licence, whether its rows are here, what it measures."""
    return [read_definition(path).line() for _, path in sorted(named_suites().items())]


def load_suite(
    source: str | Path, limit: int | None = None, seed: int = 0, data: str | Path | None = None
) -> Suite:
    """Load a suite by name, file or folder. ``limit`` takes a seeded sample stratified by kind, never a prefix.

    ``seed`` also draws the order of the tools in suites that shuffle them. ``data`` is a folder (or archive) to look in
    for rows that this repository does not carry; without it the environment variable ``NEEDLE_DATA`` names one. Rows
    that cannot be used are named in ``problems`` and counted. Raises ``UserError`` when the suite is unknown, its rows
    are not here, or none is left.
    """
    if limit is not None and limit < 1:
        raise UserError(f"--limit {limit}: ask for at least one row")
    about, rows, unusable = _read(source, data, seed)
    traces, duplicates = _unique_ids(rows)
    chosen = sample_by_kind(traces, limit, seed)
    suspects = frozenset(trace.id for trace in chosen if gold_suspect(trace))
    return Suite(
        **about,
        traces=tuple(chosen),
        hash=suite_hash(chosen),
        total=len(traces),
        limit=limit,
        seed=seed,
        problems=tuple(unusable + duplicates),
        unusable=len(unusable),
        duplicate_ids=len(duplicates),
        suspects=suspects,
    )


def _read(
    source: str | Path, data: str | Path | None, seed: int
) -> tuple[dict[str, str], list[Trace], list[str]]:
    """Description of a suite, its rows, and the rows that cannot be used in words."""
    definition, part = _definition(source)
    if definition and definition.loader:
        name = f"{definition.name}/{part}" if part else definition.name
        return {"name": name, **definition.about}, definition.load(part, data, seed), []
    if definition and part:
        raise UserError(f"{source}: {definition.name} has no parts; ask for {definition.name}")
    about, files = ({"name": definition.name, **definition.about}, definition.files) if definition else _files(source)
    rows, bad = read_traces(files)
    return about, rows, [f"{_shown(problem.file)}:{problem.line}: {problem.reason}" for problem in bad]


def _definition(source: str | Path) -> tuple[Definition | None, str | None]:
    """Definition of a named suite or of a folder with one, and the part of it that is asked for."""
    path = Path(source)
    if path.exists():
        return (read_definition(path / "suite.toml") if (path / "suite.toml").is_file() else None), None
    name, _, part = str(source).partition("/")
    known = named_suites()
    return (read_definition(known[name]), part or None) if name in known else (None, None)


def _files(source: str | Path) -> tuple[dict[str, str], tuple[Path, ...]]:
    """Description and files of a suite without a definition."""
    path = Path(source)
    if path.is_file():
        return {"name": path.name.split(".")[0], "source": _shown(path)}, (path,)
    if path.is_dir():
        test = split_files(path).get("test")
        if test is None:
            raise UserError(f"{path}: no test split there; name a file of rows or a folder with test.jsonl.gz")
        return {"name": path.name, "source": _shown(test)}, (test,)
    names = ", ".join(sorted(named_suites())) or "the named suites (none are here)"
    raise UserError(f"no suite {str(source)!r}: neither a file nor a folder nor one of {names}")


def _shown(path: str | Path) -> str:
    """A path as a report may show it: relative to repository or working folder if it lies there, else its name."""
    path = Path(path).resolve()
    for base in (REPOSITORY, Path.cwd().resolve()):
        if path.is_relative_to(base):
            return str(path.relative_to(base))
    return path.name


def _unique_ids(traces: Sequence[Trace]) -> tuple[list[Trace], list[str]]:
    """Rows with later uses of an id renamed ``id#2``, ``id#3`` ...; and those in words."""
    taken = {trace.id for trace in traces}
    seen: Counter[str] = Counter()
    kept: list[Trace] = []
    problems: list[str] = []
    for trace in traces:
        seen[trace.id] += 1
        if seen[trace.id] > 1:
            new = next(name for n in range(seen[trace.id], len(traces) + 3) if (name := f"{trace.id}#{n}") not in taken)
            taken.add(new)
            problems.append(f"row {trace.id}: the id is given twice; this one is kept as {new}")
            trace = replace(trace, id=new)
        kept.append(trace)
    return kept, problems


def sample_by_kind(traces: Sequence[Trace], limit: int | None, seed: int = 0) -> list[Trace]:
    """Seeded sample of ``limit`` rows in the order of the suite, kinds in proportion, each at least once if it fits."""
    if limit is None or limit >= len(traces):
        return list(traces)
    places: dict[str, list[int]] = defaultdict(list)
    for place, trace in enumerate(traces):
        places[trace.kind].append(place)
    quotas = _quotas({kind: len(rows) for kind, rows in places.items()}, limit)
    chance = random.Random(seed)
    chosen = [place for kind in sorted(places) for place in chance.sample(places[kind], quotas[kind])]
    return [traces[place] for place in sorted(chosen)]


def _quotas(sizes: dict[str, int], limit: int) -> dict[str, int]:
    """``limit`` shared out in proportion to ``sizes``: one each first where that fits, then by largest shortfall."""
    total = sum(sizes.values())
    floor = 1 if limit >= len(sizes) else 0
    quotas = {kind: max(floor, limit * size // total) for kind, size in sizes.items()}
    while sum(quotas.values()) > limit:
        above = [kind for kind in quotas if quotas[kind] > floor]
        quotas[max(above, key=lambda kind: (quotas[kind] - limit * sizes[kind] / total, kind))] -= 1
    while sum(quotas.values()) < limit:
        open_kinds = [kind for kind in quotas if quotas[kind] < sizes[kind]]
        quotas[max(open_kinds, key=lambda kind: (limit * sizes[kind] / total - quotas[kind], kind))] += 1
    return quotas


def suite_hash(traces: Sequence[Trace]) -> str:
    """Content hash of rows in order, lineage left out since no score depends on it: 16 hex digits."""
    digest = hashlib.blake2b(digest_size=8)
    for trace in traces:
        row = {key: value for key, value in trace.to_dict().items() if key != "meta"} | scoring_of(trace)
        digest.update(json.dumps(row, sort_keys=True, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n")
    return digest.hexdigest()
