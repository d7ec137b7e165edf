"""Rows of a folder or file, accepted and refused ones alike, to be filtered and read.

    for entry in select(entries("out/home"), kind="single", reason="ungrounded"):
        print(describe(entry))
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from needle.errors import UserError
from needle.traces.read import read_traces, trace_files
from needle.traces.trace import Trace
from needle.traces.write import dump_json

QUARANTINE = "quarantine.jsonl"


@dataclass(frozen=True)
class Entry:
    """One row and where it stands."""

    part: str
    """``train``, ``quarantine`` ...: the file's name without endings."""
    row: Mapping[str, Any]
    """The row as written; a refused one has no tools."""

    @property
    def reasons(self) -> list[str]:
        """Why it was refused; empty for an accepted row."""
        return list(self.row.get("reasons") or ())


def entries(path: str | os.PathLike[str]) -> Iterator[Entry]:
    """The rows of a file or folder, then those of the folder's quarantine. UserError when there is neither."""
    path = Path(path)
    refused = path / QUARANTINE if path.is_dir() else path if path.name == QUARANTINE else None
    try:
        files = trace_files(path) if refused != path else []
    except UserError:
        if not (refused and refused.is_file()):
            raise
        files = []
    for file in files:
        if file.name not in (QUARANTINE, "rows.jsonl", "events.jsonl"):
            yield from (_entry(file, trace) for trace in (read_traces(file)[0] if file.stat().st_size else ()))
    if refused and refused.is_file():
        with open(refused, "rb") as lines:
            for number, line in enumerate(lines, start=1):
                try:
                    row = json.loads(line)
                except ValueError:
                    row = None
                if not _is_row(row):
                    raise UserError(f"{refused}:{number}: not readable; is a run still writing it?")
                yield Entry("quarantine", row)


def _is_row(row: Any) -> bool:
    """Whether the parts that are shown are of their kind."""
    if not isinstance(row, dict) or not isinstance(row.get("meta") or {}, dict) or not isinstance(row.get("query", ""), str):
        return False
    lists = [row.get(name) or [] for name in ("calls", "messages", "reasons", "details")]
    if not all(isinstance(one, list) for one in lists) or not all(isinstance(text, str) for one in lists[2:] for text in one):
        return False
    return all(isinstance(one, dict) for one in lists[1]) and all(isinstance(one, dict) and {"name", "arguments"} <= one.keys() for one in lists[0])


def _entry(file: Path, trace: Trace) -> Entry:
    return Entry(file.name.split(".")[0], trace.to_dict())


def select(
    found: Iterable[Entry],
    *,
    kind: str | None = None,
    reason: str | None = None,
    id: str | None = None,
    part: str | None = None,
    text: str | None = None,
) -> Iterator[Entry]:
    """Entries that fit every condition. ``reason`` is a code or its beginning; ``text`` is looked for in request and calls."""
    for entry in found:
        row = entry.row
        said = f"{row.get('query', '')} {dump_json(row.get('calls', []))}".casefold()
        fits = (
            (kind is None or row.get("kind") == kind)
            and (reason is None or any(code.startswith(reason) for code in entry.reasons))
            and (id is None or row.get("id") == id)
            and (part is None or entry.part == part)
            and (text is None or text.casefold() in said)
        )
        if fits:
            yield entry


def reason_counts(found: Iterable[Entry]) -> list[tuple[str, int, str]]:
    """Code, number of rows and an example detail, most frequent first."""
    counts: Counter[str] = Counter()
    example: dict[str, str] = {}
    for entry in found:
        for code in set(entry.reasons):
            counts[code] += 1
            example.setdefault(code, "; ".join(entry.row.get("details") or ())[:100])
    return [(code, number, example[code]) for code, number in counts.most_common()]


def describe(entry: Entry, *, full: bool = False) -> str:
    """A row in a few lines of plain text; ``full`` adds its lineage."""
    row = entry.row
    lines = [f"{row.get('id', '')}  [{entry.part}, {row.get('kind', '')}]"]
    lines += [f"  facts    {row['system']}"] if row.get("system") else []
    lines += [f"  {str(message.get('role', ''))[:8]:<8} {message.get('content', '')}" for message in row.get("messages") or ()]
    lines += [f"  request  {row.get('query', '')}"]
    lines += [f"  call     {call['name']} {dump_json(call['arguments'])}" for call in row.get("calls") or ()] or ["  no call"]
    if entry.reasons:
        lines.append(f"  refused  {', '.join(entry.reasons)}: {'; '.join(row.get('details') or ())}")
    meta = row.get("meta") or {}
    if "repaired" in meta:
        lines.append(f"  repaired {', '.join(meta['repaired'])}")
    if votes := meta.get("votes"):
        lines.append(f"  votes    {votes['k']} labels, share {votes['share']}")
    if full:
        told = meta.get("spans")
        spans = {path: row.get("query", "")[slice(*span)] for path, span in (told if isinstance(told, Mapping) else {}).items() if isinstance(span, list)}
        lines += [f"  said     {path}: {text!r}" for path, text in spans.items()]
        lines += [f"  {name:<8} {dump_json(value)}" for name, value in meta.items() if name not in ("spans", "topk")]
    return "\n".join(lines)
