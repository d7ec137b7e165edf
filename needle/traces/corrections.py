"""Rows that a person gave by hand, in one JSONL file: added, replaced and removed without ever losing a line.

    kept = Corrections("playground/corrections.jsonl")
    kept.add(trace)                       # a second answer to the same request replaces the first
    kept.split(folder)                    # train.jsonl and validation.jsonl for `needle train`

Every change writes the whole file anew and puts it in place of the old one, so a crash leaves either the one or the other.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from needle.errors import UserError
from needle.tools.spec import fingerprint
from needle.traces.read import check_trace, read_traces
from needle.traces.trace import Trace
from needle.traces.write import atomic, dump_json, write_traces

HELD = 5
"""Of so many rows one is held out to choose the checkpoint by."""


class Corrections:
    """One file of rows. Safe to share by threads; another process that writes the same file is not waited for."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._lock = threading.Lock()

    def rows(self) -> list[dict[str, Any]]:
        """The rows that can be read, oldest first."""
        return [row for row in map(_row, self._lines()) if row is not None]

    def add(self, trace: Trace) -> str:
        """Store a row after the others and return its id; an earlier answer to the same request is replaced.

        Raises UserError when the calls do not fit the tools, or the file cannot be written.
        """
        if reason := check_trace(trace):
            raise UserError(f"not saved: {reason}")
        trace = replace(trace, id=trace.id or correction_id(trace))
        line = dump_json(trace.to_dict())
        self._change(lambda lines: [*(kept for kept in lines if _id(kept) != trace.id), line])
        return trace.id

    def remove(self, id: str) -> bool:
        """Take a row out; whether there was one."""
        before = len(self._lines())
        self._change(lambda lines: [kept for kept in lines if _id(kept) != id])
        return len(self._lines()) < before

    def split(self, folder: str | os.PathLike[str]) -> tuple[int, int]:
        """Write the usable rows into ``folder`` as train and validation files, every fifth held out; returns both counts."""
        traces, _ = read_traces(self.path) if self.path.is_file() and self.rows() else ([], [])
        held = traces[HELD - 1 :: HELD]
        fitted = [trace for place, trace in enumerate(traces) if place % HELD != HELD - 1]
        write_traces(Path(folder) / "train.jsonl", fitted)
        write_traces(Path(folder) / "validation.jsonl", held)
        return len(fitted), len(held)

    def _lines(self) -> list[str]:
        try:
            return [line for line in self.path.read_text(encoding="utf-8").split("\n") if line.strip()]
        except FileNotFoundError:
            return []
        except UnicodeDecodeError as error:
            raise UserError(f"{self.path}: not a text file in UTF-8; give another file for the corrections") from error

    def _change(self, change: Callable[[list[str]], list[str]]) -> None:
        with self._lock:
            lines = change(self._lines())
            with atomic(self.path) as temporary:
                temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")


def correction_id(trace: Trace) -> str:
    """Id of a row from what was asked: tools, facts, earlier turns, request."""
    asked = [fingerprint(trace.tools), trace.system, list(trace.messages), trace.query]
    return f"by-hand-{hashlib.blake2b(dump_json(asked).encode(), digest_size=8).hexdigest()}"


def _row(line: str) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) else None


def _id(line: str) -> Any:
    return (_row(line) or {}).get("id")
