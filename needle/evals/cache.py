"""A file of answers, so that no model is asked the same twice, in whichever suite, sample or folder the row stands.

An answer is found again by ``answer_key``: model, decoding settings, request (all that makes the prompt) and tools. The
parser is no part of the question: raw output is kept, and read anew. Failures outside the model are never stored.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from needle.errors import UserError
from needle.evals.parsers import NATIVE, parse_output
from needle.evals.rows import SEVERAL, Row, question_of
from needle.tools.caller import Caller
from needle.traces.trace import Trace

ANSWER = ("parser", "calls", "raw", "error", "infra_error", "confidence", "seconds", "usage", *SEVERAL)
"""Fields of a row that come from the caller."""


def settings_of(caller: Caller) -> dict[str, Any]:
    """What else decides a caller's answers beside its name: decoding, prompt; ``{}`` where it says nothing."""
    return dict(getattr(caller, "settings", None) or {})


def answer_key(caller: Caller, trace: Trace) -> str:
    """Hash of model, decoding, request and tools: 16 hex digits."""
    asked = [caller.name, settings_of(caller), question_of(trace)["request"]]
    text = json.dumps(asked, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def reused(saved: Mapping[str, Any], trace: Trace, key: str, parser: str | None) -> Row:
    """A row for ``trace`` from an answer given before; text is read again with ``parser`` where the caller has one."""
    answer = {"parser": NATIVE} | {name: saved[name] for name in ANSWER if name in saved}
    if parser is not None and answer["parser"] != NATIVE:
        found = parse_output(answer["raw"], parser, trace.tools)
        answer |= {"parser": parser, "calls": [call.to_dict() for call in found], "error": found.error}
    return {"format": saved.get("format", 2), "key": key, **question_of(trace), **answer}


class AnswerCache:
    """SQLite file of answers. Use as ``with``; several programs may use it at a time."""

    def __init__(self, path: str | Path) -> None:
        """Open or make the file. Raises ``UserError`` when it cannot be, or is something else."""
        self.path = Path(path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = sqlite3.connect(self.path, timeout=30)
            self._file.execute("PRAGMA journal_mode=WAL")
            self._file.execute("CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, answer TEXT NOT NULL)")
        except (OSError, sqlite3.Error) as error:
            raise UserError(f"{self.path}: no answer cache ({error}); name another file") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._file.close()

    def find(self, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Stored answers by key."""
        found: dict[str, dict[str, Any]] = {}
        for start in range(0, len(keys), 500):
            some = keys[start : start + 500]
            marks = ",".join("?" * len(some))
            lines = self._file.execute(f"SELECT key, answer FROM answers WHERE key IN ({marks})", some)
            found |= {key: json.loads(answer) for key, answer in lines}
        return found

    def store(self, rows: Iterable[Row]) -> None:
        """Keep the answers of rows that the model gave. Raises ``UserError`` when the disk refuses."""
        kept = [
            (row["key"], json.dumps({name: row[name] for name in ANSWER if name in row})) for row in rows if not (row["infra_error"] or row.get("fallback_error"))
        ]
        try:
            with self._file:
                self._file.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?)", kept)
        except sqlite3.Error as error:
            raise UserError(
                f"{self.path}: answers cannot be kept ({error}); free some space or drop --cache"
            ) from error
