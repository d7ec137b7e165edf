"""Every teacher response, stored before it is used: SQLite in WAL mode, raw bytes compressed, keyed by all that
shapes the answer.

Before a question is sent a mark says so (``flights``); the mark goes when the answer is stored, in one transaction. A
process that is killed leaves the marks of what was under way, so that what may have been billed without reaching us
is known (``losses``); everything that reached us is here, and the same command goes on from it. Parsing and
verification can be run again from the stored bytes without asking (or paying) again.

Commits that are waited for at the same time share one write to the disk, so that 200 questions under way cost a few
flushes, not 200.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import json
import sqlite3
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from needle.errors import UserError
from needle.generate.schema import LAYOUT, TABLES
from needle.teacher.config import TeacherConfig

FILE = "responses.sqlite"
LOCK = ".lock.sqlite"
Work = tuple[str, tuple[Any, ...]]
"""One statement and its parameters."""


def response_key(teacher: TeacherConfig, body: Mapping[str, Any]) -> str:
    """Content hash of a question: all of the teacher that shapes an answer (address, model, headers, extra body), and
    the body with its messages, tools, parameters and sample seed."""
    text = json.dumps([teacher.identity, body], sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def has_work(path: Path) -> bool:
    """Whether a store holds an answer or a batch under way, or is in use by another process.

    Questions that were sent and never answered are no work: what they may have cost stays counted, whoever goes on.
    """
    lock = sqlite3.connect(path.parent / LOCK, timeout=0.0, isolation_level=None)
    held = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
    try:
        lock.execute("BEGIN EXCLUSIVE")
        return any(held.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone() for table in ("responses", "batches"))
    except sqlite3.Error:
        return True  # in use, or not readable: somebody's
    finally:
        held.close()
        lock.close()


@dataclass(frozen=True)
class Question:
    """What is known of a question before it is sent."""

    key: str
    """``response_key``."""
    stage: str
    """What it is for."""
    kind: str = ""
    """Kind of the row it belongs to."""
    plan: int = -1
    """Place of the row's plan in the sequence of its kind."""
    step: int = 0
    """Number of the question within its row."""
    teacher: str = ""
    """Name of the teacher."""
    endpoint: str = ""
    """Its address."""
    model: str = ""
    """Model asked for."""
    prompt_version: str = ""
    """Version of the prompts."""


class ResponseStore:
    """Use as a context manager. One process at a time holds a folder's store; others may read it while it runs."""

    def __init__(self, folder: Path, *, durable: bool = True, read_only: bool = False) -> None:
        """``durable``: survive a power cut too, at 4 ms a commit; without, survive the end of the process (``kill
        -9``). ``read_only``: nothing is changed and no lock is taken.

        Raises:
            UserError: another run holds the store, a later version made it, or the disk refuses.
        """
        self.path = folder / FILE
        self._waiting: list[tuple[Sequence[Work], asyncio.Future[None]]] = []
        self._flusher: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._lock: sqlite3.Connection | None = None
        with self._clear_errors():
            if not read_only:
                self._lock = sqlite3.connect(folder / LOCK, timeout=1.0, isolation_level=None, check_same_thread=False)
                self._lock.execute("BEGIN EXCLUSIVE")
            self._db = sqlite3.connect(self.path, timeout=1.0, isolation_level=None, check_same_thread=False)
            self._reader = sqlite3.connect(self.path, timeout=5.0, isolation_level=None, check_same_thread=False)
            if not read_only:
                self._open(durable)

    def _open(self, durable: bool) -> None:
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        old = version == 0 and self._db.execute("SELECT 1 FROM sqlite_master WHERE name = 'responses'").fetchone()
        if old or version not in (0, LAYOUT):
            raise UserError(f"{self.path} was made by another version of needle; use another --out")
        self._db.executescript(TABLES)
        # marks left by a killed process: sent, never answered; but what is in a batch is answered yet
        records = [text for (text,) in self._db.execute("SELECT records FROM batches")]
        alive = json.dumps([key for text in records for record in json.loads(text) for key in record["keys"]])
        self._db.execute("BEGIN")
        self._db.execute("DELETE FROM flights WHERE key IN (SELECT value FROM json_each(?))", (alive,))
        self._db.execute("INSERT INTO losses SELECT key, stage, kind, teacher, usd, tokens, 'killed', sent FROM flights")
        self._db.execute("DELETE FROM flights")
        self._db.execute("COMMIT")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._thread.shutdown(wait=True)
        for connection in (self._db, self._reader, self._lock):
            if connection is not None:
                connection.close()

    def get(self, key: str) -> bytes | None:
        """Raw body of a stored response, or None."""
        return self._body("SELECT body FROM responses WHERE key = ?", (key,))

    async def find(self, question: Question, replay: bool) -> bytes | None:
        """A stored answer to a question; with ``replay`` also one to other words at the same place."""
        raw = self.get(question.key)
        return self.at(question) if raw is None and replay else raw

    def at(self, question: Question) -> bytes | None:
        """Raw body of the latest response to the question at the same place of the same row, whatever its words."""
        where = "kind = ? AND plan = ? AND step = ? AND stage = ?"
        place = (question.kind, question.plan, question.step, question.stage)
        return self._body(f"SELECT body FROM responses WHERE {where} ORDER BY created DESC LIMIT 1", place)

    def _body(self, query: str, parameters: tuple[Any, ...]) -> bytes | None:
        with self._clear_errors():
            row = self._reader.execute(query, parameters).fetchone()
        return zlib.decompress(row[0]) if row else None

    async def depart(self, question: Question, usd: float, tokens: int) -> None:
        """Note that a question is about to be sent, with its worst case; on disk when this returns."""
        q = question
        mark = (q.key, q.stage, q.kind, q.teacher, usd, tokens, time.time())
        await self._commit([("INSERT OR REPLACE INTO flights VALUES (?,?,?,?,?,?,?)", mark)])

    async def arrive(
        self, question: Question, raw: bytes, usd: float, usage: Mapping[str, int], request_id: str = ""
    ) -> None:
        """Store a response and take its mark away; on disk when this returns."""
        q = question
        row = (
            q.key, q.stage, q.kind, q.plan, q.step, q.teacher, q.endpoint, q.model, q.prompt_version, usd,
            usage.get("prompt_tokens", 0), usage.get("completion_tokens", 0), request_id, time.time(), raw,
        )  # fmt: skip
        insert = f"INSERT OR REPLACE INTO responses VALUES ({','.join('?' * len(row))})"
        await self._commit([(insert, row), ("DELETE FROM flights WHERE key = ?", (q.key,))])

    async def lose(self, question: Question, usd: float, tokens: int, reason: str) -> None:
        """Note that a question failed; ``usd`` and ``tokens`` above zero: it may have been billed all the same."""
        q, work = question, [("DELETE FROM flights WHERE key = ?", (question.key,))]
        if usd or tokens:
            loss = (q.key, q.stage, q.kind, q.teacher, usd, tokens, reason, time.time())
            work.insert(0, ("INSERT INTO losses VALUES (?,?,?,?,?,?,?,?)", loss))  # type: ignore[arg-type]
        await self._commit(work)

    async def write(self, *work: Work) -> None:
        """Run statements in one transaction; on disk when this returns."""
        await self._commit(list(work))

    def pending(self, teacher: str) -> PendingRecords:
        """Record of a teacher's batches under way."""
        return PendingRecords(self, teacher)

    def write_now(self, *work: Work) -> None:
        """As ``write``, for callers that cannot wait in an event loop."""
        self._thread.submit(self._write, [work]).result()

    def rows(self, query: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """Rows of a query."""
        with self._clear_errors():
            return self._reader.execute(query, parameters).fetchall()

    def spent(self) -> tuple[float, int]:
        """US dollars and tokens of all responses, and of what may have been billed without reaching us."""
        usd, tokens = self.rows("SELECT TOTAL(usd), TOTAL(prompt_tokens + completion_tokens) FROM responses")[0]
        lost_usd, lost_tokens = self.rows("SELECT TOTAL(usd), TOTAL(tokens) FROM losses")[0]
        return usd + lost_usd, int(tokens + lost_tokens)

    def bill(self) -> list[dict[str, Any]]:
        """What was paid, by kind and stage."""
        names = ("kind", "stage", "calls", "prompt_tokens", "completion_tokens", "usd")
        query = (
            "SELECT kind, stage, COUNT(*), SUM(prompt_tokens), SUM(completion_tokens), SUM(usd) FROM responses "
            "GROUP BY kind, stage ORDER BY kind, stage"
        )
        return [dict(zip(names, row)) for row in self.rows(query)]

    def lost(self) -> dict[str, Any]:
        """Questions that may have been billed though no answer reached us: count, US dollars and tokens, worst case."""
        count, usd, tokens = self.rows("SELECT COUNT(*), TOTAL(usd), TOTAL(tokens) FROM losses")[0]
        return {"calls": count, "usd": usd, "tokens": int(tokens)}

    def __len__(self) -> int:
        return int(self.rows("SELECT COUNT(*) FROM responses")[0][0])

    async def _commit(self, work: Sequence[Work]) -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((work, done))
        if self._flusher is None:
            self._flusher = asyncio.create_task(self._flush())
        await done

    async def _flush(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, []
                try:
                    await asyncio.shield(loop.run_in_executor(self._thread, self._write, [work for work, _ in batch]))
                except Exception as error:
                    for _, done in batch:
                        if not done.done():
                            done.set_exception(error)
                else:
                    for _, done in batch:
                        if not done.done():
                            done.set_result(None)
        finally:
            self._flusher = None

    def _write(self, batch: Sequence[Sequence[Work]]) -> None:
        with self._clear_errors():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                for work in batch:
                    for statement, parameters in work:
                        packed = (zlib.compress(item, 3) if isinstance(item, bytes) else item for item in parameters)
                        self._db.execute(statement, tuple(packed))
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

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


@dataclass(frozen=True)
class PendingRecords:
    """Batches of one teacher under way, for ``needle.teacher.batch``."""

    store: ResponseStore
    """Where they are kept."""
    teacher: str
    """Its name."""

    def load_pending(self) -> list[dict[str, Any]]:
        """What was saved last."""
        rows = self.store.rows("SELECT records FROM batches WHERE teacher = ?", (self.teacher,))
        return json.loads(rows[0][0]) if rows else []

    def save_pending(self, batches: list[dict[str, Any]]) -> None:
        """Replace the list; it is on disk when this returns."""
        self.store.write_now(("INSERT OR REPLACE INTO batches VALUES (?, ?)", (self.teacher, json.dumps(batches))))


def disk_full(path: Path) -> UserError:
    """The one line for a full disk."""
    return UserError(
        f"{path}: the disk is full; what was stored before is safe: free some space and run the same command again"
    )
