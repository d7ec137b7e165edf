"""Answer a suite, score it, write it down: ``rows.jsonl``, ``report.html`` and, last, ``results.json``.

    suite = load_suite("needle-unseen", limit=200)
    results = evaluate(baseline("lexical"), suite, "runs/lexical")

Outputs are appended as they come. The same call again after an interruption asks only for what is missing; rows of
another caller, suite or scorer are set aside as ``rows.previous.jsonl``, and rows that an endpoint failed on are
always asked again. A caller's ``name`` must therefore change with its weights, prompt and decoding.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from needle.errors import UserError
from needle.evals.report import render_report
from needle.evals.rows import Row, RowReader, dump_line, make_row, read_rows
from needle.evals.slots import slots
from needle.evals.statistics import Rate
from needle.evals.suites import Suite
from needle.evals.summary import Scored, read_rate, summarise
from needle.evals.verdict import gold_suspect, judge
from needle.tools.caller import Caller, CallResult
from needle.traces.trace import Trace
from needle.traces.write import atomic

SCORER_VERSION = "2"
"""Raised whenever the same output may get another verdict; results of different versions are never compared."""

ROWS, REPORT, RESULTS, PREVIOUS = "rows.jsonl", "report.html", "results.json", "rows.previous.jsonl"
Progress = Callable[[int, int], None]
"""Called with rows answered so far and rows in all."""


@dataclass(frozen=True)
class Results:
    """A scored run."""

    summary: dict[str, Any]
    """Content of ``results.json``."""
    rows: list[Row] = field(default_factory=list, repr=False)
    """Content of ``rows.jsonl``, in the order of the suite."""

    def rate(self, name: str = "correct") -> Rate:
        """One of the headline rates: well_formed, schema_valid, correct, correct_unordered, names_right."""
        return read_rate(self.summary, name)

    @property
    def complete(self) -> bool:
        """No row failed for reasons outside the model."""
        return bool(self.summary["complete"])


def evaluate(
    caller: Caller,
    suite: Suite,
    out: str | Path,
    *,
    batch_size: int = 32,
    resume: bool = True,
    progress: Progress | None = None,
) -> Results:
    """Answer every row of ``suite`` in batches, score all, and write the three files to the folder ``out``.

    ``resume`` skips rows that the same caller has answered before in ``out``. Rows whose endpoint failed count as
    wrong and mark the run incomplete. Raises ``UserError`` when the folder cannot be written or the caller breaks its
    contract.
    """
    if batch_size < 1:
        raise UserError(f"batch size {batch_size}: must be at least 1")
    out = Path(out)
    run = run_key(caller.name, suite.hash)
    done = _prepare(out, run, resume)
    todo = [trace for trace in suite.traces if trace.id not in done]
    for start in range(0, len(todo), batch_size):
        if progress:
            progress(len(done), len(suite.traces))
        batch = todo[start : start + batch_size]
        rows = [make_row(trace, result, run) for trace, result in zip(batch, _answer(caller, batch), strict=True)]
        _append(out / ROWS, rows)
        done |= {row["id"]: row for row in rows}
    if progress:
        progress(len(done), len(suite.traces))
    manifest = {"caller": caller.name, "suite": suite.to_dict()}
    return _finish(out, [done[trace.id] for trace in suite.traces], manifest)


def rescore(directory: str | Path) -> Results:
    """Score the saved outputs of a finished run again with today's rules, and rewrite its files; no model is run."""
    directory = Path(directory)
    summary = read_summary(directory)
    manifest = {key: summary[key] for key in ("caller", "suite")}
    run = run_key(manifest["caller"], manifest["suite"]["hash"])
    return _finish(directory, [row | {"run": run} for row in read_rows(directory / ROWS)], manifest)


def load_results(directory: str | Path) -> Results:
    """Read back what ``evaluate`` wrote. Raises ``UserError`` when the folder holds no finished run."""
    return Results(read_summary(Path(directory)), list(read_rows(Path(directory) / ROWS)))


def read_summary(directory: Path) -> dict[str, Any]:
    """``results.json`` of a folder. Raises ``UserError`` when it is missing or none of ours."""
    path = directory / RESULTS
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(
            f"{path}: no finished run there ({error.strerror}); run needle eval with --out {directory} first"
        ) from error
    except ValueError as error:
        raise UserError(f"{path}: not JSON ({error}); run needle eval again") from error
    if not isinstance(summary, dict) or not {"scorer_version", "caller", "suite", "rates"} <= summary.keys():
        raise UserError(f"{path}: not the results of an evaluation; name a folder that needle eval wrote")
    return summary


def run_key(caller: str, suite_hash: str) -> str:
    """What a saved answer must have been made by to be used again: 16 hex digits."""
    return hashlib.blake2b("\0".join((caller, suite_hash, SCORER_VERSION)).encode(), digest_size=8).hexdigest()


def _prepare(out: Path, run: str, resume: bool) -> dict[str, Row]:
    """Rows of this very run that need no second asking; the folder is left with exactly these, ready to be appended to.

    Rows of another run move to ``rows.previous.jsonl``. Older results go, so that what is there always fits the rows.
    """
    path = out / ROWS
    try:
        out.mkdir(parents=True, exist_ok=True)
        rows = list(read_rows(path)) if resume and path.exists() else []
        for name in (RESULTS, REPORT):
            (out / name).unlink(missing_ok=True)
        if path.exists() and (not resume or any(row["run"] != run for row in rows)):
            path.replace(out / PREVIOUS)
            rows = []
    except OSError as error:
        raise UserError(f"{out}: cannot hold results ({error.strerror}); choose another folder") from error
    kept = {row["id"]: row for row in rows if not row["infra_error"]}
    _write_rows(path, kept.values())
    return kept


def _append(path: Path, rows: Sequence[Row]) -> None:
    try:
        with path.open("a", encoding="utf-8", newline="\n") as file:
            file.writelines(map(dump_line, rows))
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written ({error.strerror}); mend that and run again, finished rows are kept"
        ) from error


def _answer(caller: Caller, batch: Sequence[Trace]) -> list[CallResult]:
    """Answers to a batch; a caller that does not time itself gets the mean over the batch."""
    start = time.perf_counter()
    results = caller.answer([trace.request for trace in batch])
    mean = (time.perf_counter() - start) / len(batch)
    if len(results) != len(batch):
        raise UserError(
            f"{caller.name} gave {len(results)} answers to {len(batch)} requests; a caller must answer each, in order"
        )
    for result in results:
        result.seconds = mean if result.seconds is None else result.seconds
    return results


def _finish(out: Path, rows: Sequence[Row], manifest: dict[str, Any]) -> Results:
    """Score rows and write all files, ``results.json`` last: where it is, the others are whole."""
    reader = RowReader()
    scored = [_score(reader.trace(row), reader.result(row)) for row in rows]
    rows = [row | {"verdict": one.verdict.to_dict(), "slots": _slots(one)} for row, one in zip(rows, scored, strict=True)]
    versions = {"format": 1, "scorer_version": SCORER_VERSION, "package_version": _package_version()}
    results = Results(versions | manifest | summarise(scored), rows)
    _write_rows(out / ROWS, rows)
    for name, text in (
        (REPORT, render_report(results.summary, rows)),
        (RESULTS, json.dumps(results.summary, indent=1) + "\n"),
    ):
        with atomic(out / name) as temporary:
            temporary.write_text(text, encoding="utf-8", newline="\n", errors="xmlcharrefreplace")
    return results


def _slots(one: Scored) -> list[dict[str, Any]]:
    return [slot.to_dict() for slot in slots(one.trace, one.result)]


def _score(trace: Trace, result: CallResult) -> Scored:
    return Scored(trace, result, judge(trace, result, gold_suspect=gold_suspect(trace)))


def _write_rows(path: Path, rows: Iterable[Row]) -> None:
    with atomic(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(map(dump_line, rows))


def _package_version() -> str:
    try:
        return version("needle-distill")
    except PackageNotFoundError:  # run from a source tree that is not installed
        return "source"
