"""Traces to files: JSONL, compressed JSONL, Parquet; whole or not at all, and the same bytes for the same traces.

write_traces("out/train.jsonl.gz", traces)
"""

from __future__ import annotations

import gzip
import io
import json
import lzma
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from needle.errors import UserError
from needle.traces.trace import Trace

ENDINGS = (".jsonl", ".jsonl.gz", ".jsonl.xz", ".parquet")

JSON_COLUMNS = ("tools", "calls", "alternatives", "messages", "meta")
"""Columns kept as JSON text in Parquet: their shape differs from row to row, and Arrow's structs are fixed."""


def dump_json(value: Any) -> str:
    """Compact JSON on one line, keys in the order given, non-ASCII text as it is."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that replaces it when the block ends well and disappears when it does not."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise UserError(f"{path}: cannot write there ({error.strerror}); choose another folder") from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(
            f"{path}: not written ({error.strerror or error}); free some space or choose another folder"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def check_target(target: str | os.PathLike[str], source: str | os.PathLike[str]) -> None:
    """Raise UserError where the rows that are read, of which some may be left out, would be overwritten by what is made of them."""
    if Path(target).resolve() == Path(source).resolve():
        raise UserError(f"{target}: the rows are read from there, and those that are left out would be lost; write to another file")


def write_rows(path: str | os.PathLike[str], rows: Iterable[Mapping[str, Any]]) -> Path:
    """Write dictionaries, one a line (or a Parquet row). The ending of ``path`` chooses the layout.

    Raises UserError for an unknown ending and for a disk that cannot be written.
    """
    path = Path(path)
    if not path.name.endswith(ENDINGS):
        raise UserError(f"{path}: unknown ending; use one of {', '.join(ENDINGS)}")
    with atomic(path) as temporary:
        if path.suffix == ".parquet":
            _write_parquet(temporary, rows)
        else:
            with (
                open(temporary, "wb") as raw,
                _compressed(raw, path.suffix) as packed,
                io.TextIOWrapper(packed, encoding="utf-8", newline="\n") as text,
            ):
                text.writelines(dump_json(row) + "\n" for row in rows)
    return path


def write_traces(path: str | os.PathLike[str], traces: Iterable[Trace]) -> Path:
    """Write traces in the row format of ``docs/formats.md``; same traces, same bytes. Errors as ``write_rows``."""
    return write_rows(path, (trace.to_dict() for trace in traces))


def _compressed(raw: BinaryIO, suffix: str) -> BinaryIO:
    """A writer into ``raw``; gzip without name and time, so that equal rows give equal bytes."""
    if suffix == ".gz":
        return gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=raw, mtime=0)
    if suffix == ".xz":
        return lzma.LZMAFile(raw, "wb", preset=6)
    return raw


def _write_parquet(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    import datasets  # here: importing it takes seconds, and only Parquet needs it

    rows, shown = list(rows), not datasets.are_progress_bars_disabled()
    made = datasets.Dataset.from_dict(flat_columns(rows, list(dict.fromkeys(name for row in rows for name in row))))
    datasets.disable_progress_bars()
    try:
        made.to_parquet(str(path))
    finally:
        if shown:
            datasets.enable_progress_bars()


def flat_columns(rows: Iterable[Mapping[str, Any]], names: Iterable[str]) -> dict[str, list[Any]]:
    """Rows as columns of plain values: what differs in shape from row to row is JSON text, what a row lacks None."""
    rows = list(rows)
    return {
        name: [
            dump_json(row[name]) if name in JSON_COLUMNS and name in row and not isinstance(row[name], str) else row.get(name)
            for row in rows
        ]
        for name in names
    }
