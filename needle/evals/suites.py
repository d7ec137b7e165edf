"""Suites: rows to be answered, with where they come from and what they are worth.

A suite is a file of example rows (``docs/formats.md``), a folder with a definition (``needle.evals.definition``) or
with a test split, or a name: a folder ``evals/suites/<name>/``, or what an installed package offers under the entry
point group ``needle.suites``. Suites with a loader have parts: ``bfcl/parallel``. ``robustness:SUITE`` disturbs another
suite, ``a,b`` takes several as one.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from needle.errors import UserError
from needle.evals import finding, robustness
from needle.evals.definition import DERIVED, Definition
from needle.evals.match import scoring_of
from needle.evals.sampling import sample
from needle.evals.suite_rows import read_suite_rows
from needle.evals.verdict import gold_suspect
from needle.traces.trace import Trace


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
    revision: str = ""
    """Commit or version of the source."""
    measures: str = ""
    """What a score on it says."""
    skills: tuple[str, ...] = ()
    """What it asks for, of ``definition.SKILLS``."""
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
    conversions: dict[str, int] = field(default_factory=dict, hash=False)
    """What reading foreign tool shapes lost or guessed, with the number of toolsets concerned."""
    files: dict[str, str] = field(default_factory=dict, hash=False)
    """SHA-256 of every file that was read, by name."""
    notes: tuple[str, ...] = ()
    """What else must be known, in words: files that are not the published ones."""

    def to_dict(self) -> dict[str, Any]:
        """What ``results.json`` says about the suite."""
        names = (
            "name",
            "title",
            "licence",
            "source",
            "revision",
            "measures",
            "hash",
            "total",
            "limit",
            "seed",
            "unusable",
            "duplicate_ids",
            "files",
        )
        shown = {name: getattr(self, name) for name in names}
        return shown | {
            "n": len(self.traces),
            "skills": list(self.skills),
            "notes": list(self.notes),
            "problems": list(self.problems),
            "gold_suspect": sorted(self.suspects),
            "conversions": dict(list(self.conversions.items())[:50]),
            "conversions_count": len(self.conversions),
        }


def load_suite(source: str | Path, limit: int | None = None, seed: int = 0, data: str | Path | None = None) -> Suite:
    """Load a suite by name, file or folder. ``limit`` takes a seeded sample stratified by kind, never a prefix.

    ``seed`` also draws the order of the tools in suites that shuffle them. ``data`` is a folder (or archive) to look in
    for rows that this repository does not carry; without it the environment variable ``NEEDLE_DATA`` names one, and
    some suites come from the hub. ``robustness:SUITE`` makes disturbed copies of the rows of another suite; ``limit``
    then counts the rows before that. Rows that cannot be used are named in ``problems`` and counted. Raises
    ``UserError`` when the suite is unknown, its rows are not here, or none is left.
    """
    if limit is not None and limit < 1:
        raise UserError(f"--limit {limit}: ask for at least one row")
    definition, part = finding.find_definition(source)
    if definition and definition.loader in DERIVED:
        return _disturbed(definition, part, limit, seed, data)
    names = definition.members if definition else _listed(source)
    if names:
        about = _about(definition, definition.name) if definition else {"name": ", ".join(names)}
        return _group([load_suite(name, None, seed, data) for name in names], about, limit, seed)
    facts = (
        _by_loader(definition, part, data, seed)
        if definition and definition.loader
        else _from_files(source, definition, part)
    )
    traces, duplicates = _unique_ids(_with_rules(facts.pop("rows"), definition))
    return _suite(sample(traces, limit, seed), duplicates, total=len(traces), limit=limit, seed=seed, **facts)


def _suite(chosen: Sequence[Trace], duplicates: Sequence[str], unusable: Sequence[str] = (), **facts: Any) -> Suite:
    return Suite(
        traces=tuple(chosen),
        hash=suite_hash(chosen),
        problems=(*unusable, *duplicates),
        unusable=len(unusable),
        duplicate_ids=len(duplicates),
        suspects=frozenset(trace.id for trace in chosen if gold_suspect(trace)),
        **facts,
    )


def _about(definition: Definition, name: str) -> dict[str, Any]:
    return {"name": name, "skills": definition.skills, **definition.about}


def _by_loader(definition: Definition, part: str | None, data: str | Path | None, seed: int) -> dict[str, Any]:
    read, hashes, notes = definition.load(part, data, seed)
    name = f"{definition.name}/{part}" if part else definition.name
    facts = {"unusable": read.problems, "conversions": dict(read.conversions), "files": hashes, "notes": tuple(notes)}
    return {**_about(definition, name), "rows": read.traces, **facts}


def _from_files(source: str | Path, definition: Definition | None, part: str | None) -> dict[str, Any]:
    if definition and part:
        raise UserError(f"{source}: {definition.name} has no parts; ask for {definition.name}")
    about, files = (
        (_about(definition, definition.name), definition.files) if definition else finding.plain_files(source)
    )
    read = read_suite_rows(files, finding.shown, definition.columns if definition else None)
    return {
        **about,
        "rows": read.traces,
        "unusable": read.problems,
        "conversions": dict(read.conversions.most_common()),
        "files": read.hashes,
    }


def _listed(source: str | Path) -> tuple[str, ...]:
    """The names in ``a,b,c``; nothing for a single one."""
    names = tuple(name.strip() for name in str(source).split(",") if name.strip())
    return names if len(names) > 1 and not Path(source).exists() else ()


def _group(members: Sequence[Suite], about: dict[str, Any], limit: int | None, seed: int) -> Suite:
    """Rows of several suites as one: ids and kinds carry the name of their suite, so that tables tell them apart."""
    rows = [
        replace(trace, id=f"{one.name}:{trace.id}", kind=f"{one.name}: {trace.kind}")
        for one in members
        for trace in one.traces
    ]
    facts: dict[str, Any] = {
        "skills": tuple(dict.fromkeys(skill for one in members for skill in one.skills)),
        "licence": "; ".join(f"{one.name}: {one.licence}" for one in members),
        "source": "; ".join(f"{one.name}: {one.source}" for one in members),
        "conversions": {f"{one.name}: {note}": count for one in members for note, count in one.conversions.items()},
        "files": {f"{one.name}/{name}": digest for one in members for name, digest in one.files.items()},
        "notes": tuple(note for one in members for note in one.notes),
    }
    bad = [problem for one in members for problem in one.problems[: one.unusable]]
    twice = [problem for one in members for problem in one.problems[one.unusable :]]
    facts |= {key: value for key, value in about.items() if value}
    return _suite(sample(rows, limit, seed), twice, bad, total=len(rows), limit=limit, seed=seed, **facts)


def _disturbed(
    definition: Definition, base: str | None, limit: int | None, seed: int, data: str | Path | None
) -> Suite:
    """Rows of another suite (``robustness.BASE`` without a word), each followed by its disturbed copies."""
    plain = load_suite(base or robustness.BASE, limit or robustness.SAMPLE, seed, data)
    rows = robustness.disturb(plain.traces, seed)
    name = f"{definition.name}:{plain.name}"
    kept = {key: getattr(plain, key) for key in ("licence", "conversions", "files", "revision")}
    about = _about(definition, name) | {key: value for key, value in kept.items() if value}
    about["source"] = f"{plain.name}: {plain.source}"
    bad = plain.problems[: plain.unusable]
    return _suite(rows, plain.problems[plain.unusable :], bad, total=len(rows), limit=limit, seed=seed, **about)


def _with_rules(traces: Sequence[Trace], definition: Definition | None) -> list[Trace]:
    """Rows with those of the definition's comparators that their gold calls can use."""
    rules = definition.comparators if definition else {}
    if not rules:
        return list(traces)
    kept = []
    for trace in traces:
        names = {"*", *(call.name for call in trace.calls)}
        own = {key: rule for key, rule in rules.items() if any(key.startswith(f"{name}.") for name in names)}
        scoring = {**trace.meta.get("scoring", {})}
        scoring["comparators"] = scoring.get("comparators", {}) | own
        kept.append(replace(trace, meta={**trace.meta, "scoring": scoring}) if own else trace)
    return kept


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


def suite_hash(traces: Sequence[Trace]) -> str:
    """Content hash of rows in order, lineage left out since no score depends on it: 16 hex digits."""
    digest = hashlib.blake2b(digest_size=8)
    for trace in traces:
        row = {key: value for key, value in trace.to_dict().items() if key != "meta"} | scoring_of(trace)
        digest.update(json.dumps(row, sort_keys=True, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n")
    return digest.hexdigest()
