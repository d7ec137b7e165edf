"""The output folder: rows in three parts, quarantine, statistics, card, and the manifest last."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from needle.errors import UserError
from needle.generate.agreement import agreement, folder_rows
from needle.generate.checks import DEFAULT, Checks
from needle.generate.coverage import coverage
from needle.generate.dedup import wording
from needle.generate.rows import TraceView
from needle.generate.story import run_card
from needle.traces.card import dataset_card
from needle.traces.split import lineage, split_keys, template
from needle.traces.stats import trace_stats
from needle.traces.trace import Trace
from needle.traces.write import atomic, write_traces


def split_rows(traces: Sequence[Trace], seed: int) -> dict[str, Sequence[Trace]]:
    """Train, validation and test such that no wording is in two of them, nor a row and one that descends from it;
    everything is train where there are too few wordings. Rows on disk stay there."""
    marks = []
    for number, trace in enumerate(traces):
        light = Trace(trace.id, wording(trace), (), ())  # the wording in place of the request
        marks.append((_digest(f"{seed}/{trace.id}"), number, _digest(f"form {template(light)}"), _digest(f"line {lineage(trace)}")))
    marks.sort()
    try:
        places = split_keys([mark[2:] for mark in marks], seed)
    except UserError:  # fewer wordings than parts
        places = {"train": list(range(len(marks))), "validation": [], "test": []}
    return {part: _picked(traces, [marks[place][1] for place in rows]) for part, rows in places.items()}


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=8).digest()


def _picked(traces: Sequence[Trace], numbers: list[int]) -> Sequence[Trace]:
    return traces.pick(numbers) if isinstance(traces, TraceView) else [traces[number] for number in numbers]


def write_folder(
    out: Path,
    parts: Mapping[str, Sequence[Trace]],
    summary: Mapping[str, Any],
    settings: Mapping[str, Any],
    source: str,
    checks: Checks = DEFAULT,
) -> dict[str, Path]:
    """Write everything but the quarantine, which a run writes as it goes; a folder with a manifest is whole.

    Args:
        out: the folder.
        parts: part name to rows.
        summary: counts of the run.
        settings: what shaped the rows.
        source: what the teacher is, in a sentence, for the card.
        checks: how far labels were doubted, and what the user says of terms and licence.

    Raises:
        UserError: the disk cannot be written.
    """
    (out / "manifest.json").unlink(missing_ok=True)
    files = {part: write_traces(out / f"{part}.jsonl", rows) for part, rows in parts.items()}
    summary = {**summary, "agreement": agreement(folder_rows(out))}
    everything = any(len(rows) for rows in parts.values())
    counted = dataclasses.asdict(trace_stats(trace for rows in parts.values() for trace in rows)) if everything else {}
    slots = [slot.to_dict() for slot in coverage(trace for rows in parts.values() for trace in rows)]
    _write_text(out / "stats.json", _json({"generation": summary, "rows": counted, "coverage": slots}))
    _write_text(
        out / "README.md",
        dataset_card({part: rows for part, rows in parts.items() if rows}, run_card(summary, settings, source, checks))
        if everything
        else "# Generated traces\n\nNo row was accepted.\n",
    )
    listed = {
        path.name: {"rows": len(parts[part]), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        for part, path in files.items()
    }
    _write_text(out / "manifest.json", _json({"files": listed, "settings": settings, "complete": summary["complete"]}))
    return files


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _write_text(path: Path, text: str) -> None:
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
