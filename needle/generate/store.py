"""Every teacher response, stored before it is used: SQLite in WAL mode, raw bytes compressed, keyed by all that
shapes the answer.

A process that is killed loses at most what was in flight; the same command finds the rest here and goes on. Parsing
and verification can be run again from the stored bytes without asking (or paying) again.
"""

from __future__ import annotations

import errno
import hashlib
import json
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from needle.errors import UserError

FILE = "responses.sqlite"
SCHEMA = """CREATE TABLE IF NOT EXISTS responses
    (key TEXT PRIMARY KEY, stage TEXT NOT NULL, usd REAL NOT NULL, body BLOB NOT NULL)"""


def response_key(endpoint: str, model: str, body: dict[str, Any]) -> str:
    """Content hash of a question: endpoint, model, and the body with its messages, tools, parameters and sample
    seed."""
    text = json.dumps([endpoint, model, body], sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


class ResponseStore:
    """Use as a context manager. One process at a time holds a folder's store."""

    def __init__(self, folder: Path, *, durable: bool) -> None:
        """``durable``: survive a power cut too, at 4 ms a response; without, survive the end of the process (``kill
        -9``).

        Raises:
            UserError: another run holds the store, or the disk refuses.
        """
        self.path = folder / FILE
        with self._clear_errors():
            self._db = sqlite3.connect(self.path, timeout=1.0, isolation_level=None)
            self._db.execute("PRAGMA locking_mode=EXCLUSIVE")
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
            self._db.execute(SCHEMA)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._db.close()

    def get(self, key: str) -> bytes | None:
        """Raw body of a stored response, or None."""
        with self._clear_errors():
            row = self._db.execute("SELECT body FROM responses WHERE key = ?", (key,)).fetchone()
        return zlib.decompress(row[0]) if row else None

    def put(self, key: str, stage: str, raw: bytes, usd: float) -> None:
        """Store a response; it is on disk when this returns."""
        with self._clear_errors():
            self._db.execute(
                "INSERT OR REPLACE INTO responses VALUES (?, ?, ?, ?)", (key, stage, usd, zlib.compress(raw, 3))
            )

    def spent(self) -> float:
        """US dollars of all stored responses."""
        with self._clear_errors():
            return float(self._db.execute("SELECT COALESCE(SUM(usd), 0) FROM responses").fetchone()[0])

    def __len__(self) -> int:
        return int(self._db.execute("SELECT COUNT(*) FROM responses").fetchone()[0])

    @contextmanager
    def _clear_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            name = getattr(error, "sqlite_errorname", "") or ""
            if name.startswith("SQLITE_BUSY") or name.startswith("SQLITE_LOCKED"):
                raise UserError(
                    f"{self.path} is in use: another run works in this folder; wait for it or use another --out"
                ) from error
            if name.startswith("SQLITE_FULL") or name.startswith("SQLITE_IOERR"):
                raise disk_full(self.path) from error
            raise UserError(
                f"{self.path}: cannot be used ({error}); move it away to start again, or use another --out"
            ) from error
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise disk_full(self.path) from error
            raise


def disk_full(path: Path) -> UserError:
    """The one line for a full disk."""
    return UserError(
        f"{path}: the disk is full; what was stored before is safe: free some space and run the same command again"
    )
