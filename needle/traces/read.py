"""Traces from files and folders. A row that cannot be used becomes a ``Problem`` (file, line, reason); none vanishes.

traces, problems = read_traces("data/traces")          # or a file, or a list of both
"""

from __future__ import annotations

import gzip
import json
import lzma
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from needle.errors import UserError
from needle.tools.spec import ToolSpec
from needle.tools.validate import is_valid, validate_calls
from needle.traces.formats import format_of, trace_from_dict
from needle.traces.notation import notation_rows
from needle.traces.split import split_files
from needle.traces.trace import Trace
from needle.traces.write import ENDINGS, JSON_COLUMNS

OPENERS = {".gz": gzip.open, ".xz": lzma.open}


@dataclass(frozen=True)
class Problem:
    """One row that was left out, and why."""

    file: str
    """Path of the file, as it was given."""
    line: int
    """Line (of Parquet: row), from 1; 0 when the file as a whole is meant."""
    reason: str
    """What is wrong with the row."""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.reason}"


def read_traces(paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> tuple[list[Trace], list[Problem]]:
    """All usable traces of files (JSONL, plain or .gz or .xz; .parquet; .txt in our notation) and folders, in order, and the rows left out.

    Left out, each with its reason: broken JSON, an unknown format, an empty request, tools that ``read_tools`` refuses,
    a call of an unknown tool, a call that its schema refuses, an id that the same file has already used. Rows without
    id are named after file and line. Rows with the same tools share one tuple of ``ToolSpec``. Raises UserError when a
    path does not exist or no row is usable.
    """
    files = trace_files(paths)
    traces: list[Trace] = []
    problems: list[Problem] = []
    shared: dict[tuple[str, ...], tuple[ToolSpec, ...]] = {}
    for path in files:
        seen: set[str] = set()
        for line, row in raw_rows(path):
            result = _usable(row, path, line, shared)
            if isinstance(result, Trace) and result.id in seen:
                result = f"the id {result.id!r} is used by an earlier row"
            if isinstance(result, str):
                problems.append(Problem(str(path), line, result))
                continue
            seen.add(result.id)
            traces.append(result)
    if not traces:
        hint = f"; first problem: {problems[0]}" if problems else "; the files are empty"
        raise UserError(f"{', '.join(map(str, files))}: no usable row{hint}")
    return traces, problems


def trace_files(paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> list[Path]:
    """The files themselves; of a folder its train, validation and test, or else every trace file in it."""
    given = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
    if not given:
        raise UserError("no trace file given; name a file or a folder")
    files: list[Path] = []
    for path in map(Path, given):
        if path.is_dir():
            inside = list(split_files(path).values()) or sorted(p for p in path.iterdir() if p.name.endswith(ENDINGS))
            if not inside:
                raise UserError(
                    f"{path}: no trace file in this folder; it should hold files ending in {', '.join(ENDINGS)}"
                )
            files += inside
        elif path.exists():
            files.append(path)
        else:
            raise UserError(f"{path}: no such file or folder; check the path")
    return files


def check_trace(trace: Trace) -> str | None:
    """Why a trace's calls do not fit its tools (first violation), or None when they do."""
    if is_valid(trace.calls, trace.tools):
        return None
    violations = validate_calls(trace.calls, trace.tools)
    assert violations, "the fast validator refused what the reference accepts"
    more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
    return f"{violations[0].code} at {violations[0].path}: {violations[0].message}{more}"


def _usable(row: Any, path: Path, line: int, shared: dict[str, tuple[ToolSpec, ...]]) -> Trace | str:
    """The trace of one row, or why there is none."""
    if isinstance(row, str):
        return row
    raw = row.get("tools") if isinstance(row, Mapping) else None
    key = raw if isinstance(raw, str) else json.dumps(raw) if isinstance(raw, Sequence) else ""
    try:
        # Equal tools are read and held once: a file has a few dozen rows for each toolset.
        trace = trace_from_dict({**row, "tools": shared[key]} if key in shared else row)
        if key:
            shared.setdefault(key, trace.tools)
        reason = check_trace(trace)
    except UserError as error:
        return str(error)
    if reason:
        return reason
    return trace if trace.id else replace(trace, id=f"{path.name.split('.')[0]}-{line}")


def raw_rows(path: Path) -> Iterator[tuple[int, Any]]:
    """Line number and row; in place of a row the reason (a string) why it could not be parsed."""
    whole = {".parquet": _parquet_rows, ".txt": notation_rows}.get(path.suffix)
    if whole is not None:
        yield from whole(path)
        return
    answers = _answers(path)
    line = 0
    try:
        with OPENERS.get(path.suffix, open)(path, "rb") as file:
            for line, raw in enumerate(file, start=1):
                if raw.strip():
                    yield line, _joined(_parsed(raw.rstrip()), answers)
    except (OSError, EOFError, lzma.LZMAError) as error:
        yield line + 1, f"the file cannot be read on from here ({error})"


def _parsed(raw: bytes) -> Any:
    try:
        row = json.loads(raw.decode("utf-8-sig"))
    except json.JSONDecodeError as error:
        return f"broken JSON at column {error.colno}: {error.msg}"
    except (UnicodeDecodeError, RecursionError) as error:
        return f"not readable as JSON: {error}"
    return row if isinstance(row, dict) else f"a row is a JSON object, not a {type(row).__name__}"


def _answers(path: Path) -> dict[str, Any]:
    """Ground truth by id, for BFCL: it lies in ``possible_answer/`` beside the questions, under the same file name."""
    beside = path.parent / "possible_answer" / path.name
    if not beside.is_file():
        return {}
    rows = [_parsed(line) for line in beside.read_bytes().splitlines() if line.strip()]
    return {
        row["id"]: row["ground_truth"]
        for row in rows
        if isinstance(row, dict) and "ground_truth" in row and "id" in row
    }


def _joined(row: Any, answers: dict[str, Any]) -> Any:
    if answers and isinstance(row, dict) and format_of(row) == "bfcl" and row.get("id") in answers:
        return {"ground_truth": answers[row["id"]], **row}
    return row


def _parquet_rows(path: Path) -> Iterator[tuple[int, Any]]:
    import tempfile

    from datasets import Dataset  # here: importing it takes seconds, and only Parquet needs it

    with tempfile.TemporaryDirectory() as cache:
        try:
            table = Dataset.from_parquet(str(path), cache_dir=cache, keep_in_memory=True)
        except Exception as error:  # noqa: BLE001 - `datasets` wraps Arrow's errors in several of its own
            yield 0, f"not readable as Parquet ({str(error).splitlines()[0]})"
            return
        for line, row in enumerate(table, start=1):
            row = {key: value for key, value in row.items() if value is not None}
            yield line, {key: _column(value) if key in JSON_COLUMNS else value for key, value in row.items()}


def _column(value: Any) -> Any:
    try:
        return json.loads(value) if isinstance(value, str) else value
    except json.JSONDecodeError:
        return value
