"""Rows of a suite from files: any known format, nothing dropped in silence, what the reading lost told in words.

Stricter than the reader of training traces in naming, laxer in keeping: a row whose gold calls break their own schema,
or whose id was used before, is still a row that a model can be asked; it stays and is counted. Only what cannot be
asked or scored at all is left out, with file, line and reason.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from needle.errors import UserError
from needle.tools.read import read_tools_with_notes
from needle.tools.spec import ToolSpec
from needle.traces.formats import trace_from_dict
from needle.traces.read import raw_rows
from needle.traces.trace import Trace

_TOOL_KEYS = ("tools", "functions", "function")


@dataclass
class SuiteRows:
    """What the files of a suite hold."""

    traces: list[Trace] = field(default_factory=list)
    """Rows that can be asked, in order; ids may repeat."""
    problems: list[str] = field(default_factory=list)
    """Rows that cannot, each with file, line and reason."""
    conversions: Counter[str] = field(default_factory=Counter)
    """What reading foreign tools lost or guessed, with the number of toolsets concerned."""
    hashes: dict[str, str] = field(default_factory=dict)
    """SHA-256 of each file, by name."""


def read_suite_rows(files: Sequence[Path], shown: Any = str, columns: Mapping[str, str] | None = None) -> SuiteRows:
    """All rows of ``files``. ``shown`` turns a path into what messages may call it.

    ``columns`` maps our names (``query``, ``tools``, ``calls``, ``id``, ``kind`` ...) to those of the files.
    Raises ``UserError`` where no row is usable.
    """
    rows = SuiteRows()
    shared: dict[str, tuple[ToolSpec, ...]] = {}
    for path in files:
        rows.hashes[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
        for line, raw in raw_rows(path):
            try:
                if isinstance(raw, str):
                    raise UserError(raw)
                row = _renamed(raw, columns or {})
                trace = trace_from_dict(_with_tools(row, shared, rows.conversions))
            except UserError as error:
                rows.problems.append(f"{shown(path)}:{line}: {error}")
                continue
            rows.traces.append(trace if trace.id else replace(trace, id=f"{path.name.split('.')[0]}-{line}"))
    if not rows.traces:
        first = f"; first problem: {rows.problems[0]}" if rows.problems else "; the files are empty"
        raise UserError(f"{', '.join(map(str, files))}: no usable row{first}")  # in full: a person looks for the file
    return rows


def _renamed(row: Mapping[str, Any], columns: Mapping[str, str]) -> dict[str, Any]:
    missing = next((theirs for theirs in columns.values() if theirs not in row), None)
    if missing is not None:
        raise UserError(f"the row has no {missing!r}, which the suite's columns name")
    taken = set(columns.values())
    return {key: value for key, value in row.items() if key not in taken} | {
        ours: row[theirs] for ours, theirs in columns.items()
    }


def _with_tools(row: dict[str, Any], shared: dict[str, tuple[ToolSpec, ...]], notes: Counter[str]) -> dict[str, Any]:
    """The row with its tools read; equal tools are read once and share their specs."""
    key = next((key for key in _TOOL_KEYS if row.get(key)), None)
    if key is None:
        return row
    raw = row[key]
    text = raw if isinstance(raw, str) else json.dumps(raw)
    if text not in shared:
        decoded = _decoded(raw)
        if not isinstance(decoded, list):
            return row  # in a shape of its own, which the reader of that format knows
        tools, found = read_tools_with_notes([_decoded(one) for one in decoded])
        shared[text] = tuple(tools)
        notes.update(dict.fromkeys(found, 1))
    return row | {key: shared[text]}


def _decoded(value: Any) -> Any:
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return value
