"""``BatchTeacher``: the Batch API behind the same ``complete(body) -> Answer``, at the endpoint's batch price (often
half), with answers after minutes or hours.

    async with BatchTeacher(config, store.pending(), key=content_hash, stored=lambda key: key in store) as teacher:
        answers = await asyncio.gather(*(teacher.complete(body) for body in bodies))

Questions are collected until none has come for ``linger_s``, sent as one file, and answered when the batch has ended.
What is under way is on record (``PendingBatches``) before it is sent, so that a process that was killed finds its
batches again and pays for none twice: a question that is in a living batch is never sent again, and was not lost with
the process, so its price must not be counted as lost either. A batch leaves the record when all its answers are stored;
until then they can be fetched again for nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

import httpx2

from needle.teacher.batch_api import BatchApi
from needle.teacher.batch_files import BatchRows, pack, read_rows
from needle.teacher.client import Teacher
from needle.teacher.config import TeacherConfig, check_capabilities
from needle.teacher.errors import PermanentError, TransientError, classify
from needle.teacher.wire import Answer, read_answer

ENDED = ("completed", "expired", "cancelled", "failed")


class PendingBatches(Protocol):
    """A durable list of batches under way; whoever owns the store of answers keeps it beside them."""

    def load_pending(self) -> list[dict[str, Any]]:
        """What was saved last."""
        ...

    def save_pending(self, batches: list[dict[str, Any]]) -> None:
        """Replace the list; it is on disk when this returns."""
        ...


@dataclass
class _Question:
    """One question that somebody waits for."""

    body: dict[str, Any]
    answer: asyncio.Future[Answer]
    on_resend: Callable[[], None] | None = None
    attempts: int = 0


@dataclass
class _Batch:
    """One batch on record."""

    tag: str
    keys: list[str]
    batch_id: str = ""
    left: set[str] = field(default_factory=set)
    """Keys whose answers nobody has taken yet."""
    lost: TransientError | None = None
    """The endpoint was away too long, so that this run no longer follows the batch; the next one will."""

    def record(self) -> dict[str, Any]:
        return {"tag": self.tag, "keys": self.keys, "batch_id": self.batch_id}


class BatchTeacher:
    """Async client of the Batch API. Use as ``async with``; stands where a ``Teacher`` stands."""

    batch = True

    def __init__(
        self,
        config: TeacherConfig,
        pending: PendingBatches,
        key: Callable[[dict[str, Any]], str],
        *,
        stored: Callable[[str], bool],
        transport: httpx2.AsyncBaseTransport | None = None,
        linger_s: float = 5.0,
        poll_s: float = 30.0,
        most_requests: int = 50_000,
        most_bytes: int = 190_000_000,
        progress: Callable[[str], None] | None = None,
    ) -> None:
        """Set up; nothing is sent before the first question.

        Args:
            config: the endpoint and model.
            pending: where batches under way are recorded.
            key: content hash of a body (at most 64 characters); equal keys are one question.
            stored: whether the answer to a key is safely on disk.
            transport: replaces the network.
            linger_s: seconds without a new question after which a batch is sent.
            poll_s: seconds between two looks at a batch.
            most_requests: in one batch.
            most_bytes: of one file.
            progress: called with a sentence when a batch is sent or ends.

        Raises:
            UserError: bad address, no key, or an endpoint known to have no batches.
        """
        check_capabilities(config, ["batch"])
        self.teacher = Teacher(config, transport=transport)
        self._api = BatchApi(self.teacher)
        self.config, self.usage = config, self.teacher.usage
        self._pending, self._key, self._stored = pending, key, stored
        self._linger_s, self._poll_s, self._most, self._most_bytes = linger_s, poll_s, most_requests, most_bytes
        self._progress = progress or (lambda text: None)
        self._questions: dict[str, _Question] = {}
        self._queue: list[str] = []
        self._batches: list[_Batch] = []
        self._fetched: dict[str, Answer] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._collector: asyncio.Task[None] | None = None
        self._last = 0.0

    async def __aenter__(self) -> Self:
        for record in self._pending.load_pending():
            batch = _Batch(record["tag"], list(record["keys"]), record.get("batch_id") or "")
            batch.left = {key for key in batch.keys if not self._stored(key)}
            if batch.left:
                self._batches.append(batch)
                self._start(self._watch(batch), batch)
        self._save()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Leave; batches under way go on at the endpoint and are found again by the next run."""
        tasks = [*self._tasks, *([self._collector] if self._collector else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tidy()
        await self.teacher.__aexit__()

    @property
    def where(self) -> str:
        """The endpoint in words, for messages."""
        return f"{self.teacher.where} (batches)"

    def recall(self, body: dict[str, Any]) -> None:
        """As ``Teacher.recall``."""
        self.teacher.recall(body)

    async def complete(self, body: dict[str, Any], *, on_resend: Callable[[], None] | None = None) -> Answer:
        """Ask for one chat completion in the next batch, or wait for the batch that holds it already.

        Raises:
            PermanentError: asking again cannot help.
            TransientError: the question failed in several batches.
        """
        key = self._key(body)
        if key in self._fetched:
            return self._hand_over(key, self._fetched.pop(key))
        question = self._questions.get(key)
        if question is None:
            holding = next((batch for batch in self._batches if key in batch.left), None)
            if holding and holding.lost:
                raise holding.lost
            question = self._questions[key] = _Question(body, asyncio.get_running_loop().create_future(), on_resend)
            if holding is None:
                self._enqueue(key)
        answer = await asyncio.shield(question.answer)
        return self._hand_over(key, answer)

    def _hand_over(self, key: str, answer: Answer) -> Answer:
        for batch in self._batches:
            batch.left.discard(key)
        self._tidy()
        return answer

    def _tidy(self) -> None:
        """Forget batches whose answers are all stored, not before: a kill between taking and storing must lose
        nothing."""
        if any(not batch.left and all(map(self._stored, batch.keys)) for batch in self._batches):
            self._save()

    def _save(self) -> None:
        self._batches = [batch for batch in self._batches if batch.left or not all(map(self._stored, batch.keys))]
        self._pending.save_pending([batch.record() for batch in self._batches])

    def _enqueue(self, key: str) -> None:
        self._queue.append(key)
        self._last = asyncio.get_running_loop().time()
        if self._collector is None or self._collector.done():
            self._collector = asyncio.create_task(self._collect())
            self._collector.add_done_callback(self._collected)

    def _collected(self, task: asyncio.Task[None]) -> None:
        """Nobody waits in vain when collecting failed (a full disk under the record, say)."""
        if not task.cancelled() and (error := task.exception()):
            queued, self._queue = self._queue, []
            for key in queued:
                self._fail(key, error)

    def _start(self, work: Coroutine[Any, Any, None], batch: _Batch) -> None:
        """Run work on a batch in the background; what goes wrong goes to those who wait for its answers."""

        async def guarded() -> None:
            try:
                await work
            except Exception as error:
                ours = self._api.ours(error)
                if isinstance(ours, TransientError):
                    batch.lost = ours
                for key in batch.keys:
                    self._fail(key, ours)

        task = asyncio.create_task(guarded())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _collect(self) -> None:
        loop = asyncio.get_running_loop()
        while self._queue:
            while len(self._queue) < self._most and (wait := self._last + self._linger_s - loop.time()) > 0:
                await asyncio.sleep(wait)
            rows = [
                (key, self.teacher.wire_body(self._questions[key].body))
                for key in self._queue[: self._most]
                if key in self._questions
            ]
            content, taken = pack(rows, self._most_bytes)
            self._queue = [key for key in self._queue if key not in set(taken) and key in self._questions]
            if taken:
                batch = _Batch(f"{time.time_ns():x}", taken, left=set(taken))
                self._batches.append(batch)
                self._save()
                self._start(self._send(batch, content), batch)

    async def _send(self, batch: _Batch, content: bytes) -> None:
        try:
            created = await self._api.create(content, batch.tag)
        except PermanentError:
            self._drop(batch)
            raise
        batch.batch_id = created.id
        self._save()
        self.usage.requests += len(batch.keys)
        self._progress(f"batch {created.id}: {len(batch.keys):,} questions sent")
        await self._watch(batch)

    async def _watch(self, batch: _Batch) -> None:
        if not batch.batch_id:  # killed between sending and hearing its number
            found = await self._api.find(batch.tag)
            if found is None:
                self._drop(batch)
                self._requeue(batch.keys)
                return
            batch.batch_id = found.id
            self._save()
        while True:
            try:
                state = await self._api.state(batch.batch_id)
            except PermanentError as error:
                self._drop(batch)
                if error.reason != "not_found":
                    raise
                self._requeue(batch.keys)  # the endpoint has forgotten it
                return
            if state.status in ENDED:
                break
            await asyncio.sleep(self._poll_s)
        await self._end(batch, state)

    async def _end(self, batch: _Batch, state: Any) -> None:
        rows = BatchRows()
        for name in (state.output_file_id, state.error_file_id):
            if name:
                read_rows(await self._api.content(name), self.teacher.asked, rows)
        self._progress(f"batch {batch.batch_id}: {state.status}, {len(rows.bodies):,} of {len(batch.keys):,} answered")
        for key, raw in rows.bodies.items():
            if key in batch.left:
                self._deliver(key, raw)
        failed = [key for key in batch.keys if key not in rows.bodies and key in batch.left]
        refusal = self._refusal(state, len(batch.keys)) if state.status == "failed" else None
        batch.left -= set(failed)
        batch.keys = [key for key in batch.keys if key not in set(failed)]
        self._save()
        for key in failed:
            error = refusal or rows.errors.get(key)
            if isinstance(error, PermanentError):
                self._fail(key, error)
            else:
                self._requeue([key], error)

    def _refusal(self, state: Any, size: int) -> PermanentError | None:
        """Why a batch was refused as a whole; None when smaller batches may pass."""
        problems = getattr(state.errors, "data", None) or []
        code, message = (problems[0].code or "", problems[0].message or "") if problems else ("", "no reason given")
        if "token_limit" in code and size > 1:
            self._most = max(1, size // 2)
            return None
        return PermanentError(
            f"{self.teacher.where} refused the batch ({self.teacher.asked.detail(message or code)})", "bad_batch"
        )

    def _deliver(self, key: str, raw: bytes) -> None:
        try:
            answer = read_answer(raw)
        except ValueError as error:
            self._fail(key, classify(error, self.teacher.asked))
            return
        self.usage.count(answer.usage)
        question = self._questions.pop(key, None)
        if question is None:
            self._fetched[key] = answer
        elif not question.answer.done():
            question.answer.set_result(answer)

    def _fail(self, key: str, error: Exception) -> None:
        question = self._questions.pop(key, None)
        if question and not question.answer.done():
            question.answer.set_exception(error)

    def _requeue(self, keys: Iterable[str], error: TransientError | None = None) -> None:
        """Ask again what somebody waits for, a few times."""
        for key in keys:
            question = self._questions.get(key)
            if question is None:
                continue
            question.attempts += 1
            self.usage.retries += 1
            if question.attempts >= self.config.max_attempts:
                self._fail(
                    key,
                    error
                    or TransientError(
                        f"{self.where}: no answer in {question.attempts} batches", "server", maybe_billed=False
                    ),
                )
                continue
            try:
                if question.on_resend and error and error.maybe_billed:
                    question.on_resend()
            except Exception as spent:
                self._fail(key, spent)
                continue
            self._enqueue(key)

    def _drop(self, batch: _Batch) -> None:
        self._batches.remove(batch)
        self._save()
