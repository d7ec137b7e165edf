"""Getting answers for the rows of a suite: from the folder of the run, from the cache, and only then from the model.

Rows are appended to ``rows.jsonl`` as they come, so an interrupted run loses at most one portion. Rows in the folder
that the suite does not ask for (another model, other decoding) move to ``rows.previous.jsonl``, and come back from
there. Failures outside the model are never reused.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from needle.errors import UserError
from needle.evals.batching import BATCH_TOKENS, portions
from needle.evals.cache import AnswerCache, answer_key, reused
from needle.evals.rows import Row, dump_line, make_row, read_rows
from needle.tools.caller import Caller, CallResult
from needle.traces.trace import Trace
from needle.traces.write import atomic

ROWS, PREVIOUS = "rows.jsonl", "rows.previous.jsonl"
Progress = Callable[[int, int], None]
"""Called with rows answered so far and rows in all."""
GIVE_UP = 32
"""Rows in a row without an answer after which a caller counts as dead and the rest is not asked in this run."""


@dataclass(frozen=True)
class Asked:
    """Rows of a suite with their answers, not scored yet, and what getting them took."""

    rows: list[Row]
    """In the order of the suite."""
    fresh: int
    """Rows that the model was asked in this run."""
    reused: int
    """Rows whose answers were known."""
    seconds: float
    """Wall-clock seconds spent asking."""


def ask(
    caller: Caller,
    traces: Sequence[Trace],
    out: Path,
    *,
    batch_size: int,
    batch_tokens: int = BATCH_TOKENS,
    resume: bool = True,
    cache: AnswerCache | None = None,
    progress: Progress | None = None,
) -> Asked:
    """Answers to all rows. Raises ``UserError`` when the folder cannot be written or the caller breaks its contract."""
    keys = {trace.id: answer_key(caller, trace) for trace in traces}
    parser = getattr(caller, "parser", None)
    known = _from_folder(out, set(keys.values()), resume)
    if cache is not None:
        known = cache.find([key for key in keys.values() if key not in known]) | known
    done = {one.id: reused(known[keys[one.id]], one, keys[one.id], parser) for one in traces if keys[one.id] in known}
    write_rows(out / ROWS, done.values())
    known_rows, start, silent = len(done), time.perf_counter(), 0
    for batch in portions(caller, [trace for trace in traces if trace.id not in done], batch_size, batch_tokens):
        if progress:
            progress(len(done), len(traces))
        dead = silent >= GIVE_UP and getattr(caller, "gives_up", True)
        results = [_not_asked(silent) for _ in batch] if dead else _answer(caller, batch)
        rows = [make_row(trace, result, keys[trace.id]) for trace, result in zip(batch, results, strict=True)]
        for row in () if dead else rows:
            silent = silent + 1 if row["infra_error"] else 0
        _append(out / ROWS, rows)
        if cache is not None:
            cache.store(rows)
        done |= {row["id"]: row for row in rows}
    if progress:
        progress(len(done), len(traces))
    seconds = time.perf_counter() - start
    return Asked([done[trace.id] for trace in traces], len(done) - known_rows, known_rows, seconds)


def _from_folder(out: Path, wanted: set[str], resume: bool) -> dict[str, Row]:
    """Answers in the folder by key; rows that nobody asks for are set aside."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        now = list(read_rows(out / ROWS)) if (out / ROWS).exists() else []
        before = list(read_rows(out / PREVIOUS)) if (out / PREVIOUS).exists() else []
    except OSError as error:
        raise UserError(f"{out}: cannot hold results ({error.strerror}); choose another folder") from error
    usable = [row for row in (*before, *now) if not (row["infra_error"] or row.get("fallback_error")) and row.get("key") in wanted] if resume else []
    found = {row["key"]: row for row in usable}
    spare = {json.dumps([row.get("key"), row["id"]]): row for row in (*before, *now) if row.get("key") not in found}
    if spare:
        write_rows(out / PREVIOUS, spare.values())
    return found


def _not_asked(silent: int) -> CallResult:
    return CallResult(error=f"not_asked: the {silent} rows before got no answer", infra_error=True)


def _answer(caller: Caller, batch: Sequence[Trace]) -> list[CallResult]:
    """Answers to a batch; a caller that does not time itself gets the mean over the batch."""
    start = time.perf_counter()
    by_row = getattr(caller, "answer_rows", None)
    results = by_row(batch) if by_row else caller.answer([trace.request for trace in batch])
    mean = (time.perf_counter() - start) / len(batch)
    if len(results) != len(batch):
        raise UserError(
            f"{caller.name} gave {len(results)} answers to {len(batch)} requests; a caller must answer each, in order"
        )
    for result in results:
        result.seconds = mean if result.seconds is None else result.seconds
    return list(results)


def _append(path: Path, rows: Sequence[Row]) -> None:
    try:
        with path.open("a", encoding="utf-8", newline="\n") as file:
            file.writelines(map(dump_line, rows))
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written ({error.strerror}); mend that and run again, finished rows are kept"
        ) from error


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Replace a file of rows, whole or not at all."""
    with atomic(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(map(dump_line, rows))
