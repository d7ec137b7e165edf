"""Accepted rows on disk while a run goes on: append-only JSONL that can be read at any time, and read back without
holding the rows in memory."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Self, overload

from needle.errors import UserError
from needle.tools.spec import ToolCall, ToolSpec
from needle.traces.trace import Trace
from needle.traces.write import dump_json, write_rows


class Part:
    """A JSONL file that grows by whole lines.

    A run that is continued makes its rows again in the same order. As long as they are the lines that stand there, the
    file is left alone, so that it never shrinks under a reader; from the first difference on it is written anew.
    """

    def __init__(self, path: Path) -> None:
        """Raises UserError when the folder cannot be written."""
        self.path = path
        self.offsets = array("Q", [0])
        """Where each line starts, and where the last one ends."""
        try:
            path.touch()
            self._file = open(path, "r+b", buffering=1 << 16)  # noqa: SIM115: closed by close()
            self._old = path.stat().st_size
        except OSError as error:
            raise UserError(f"{path}: cannot write there ({error.strerror}); choose another folder") from error

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def append(self, row: Mapping[str, Any]) -> None:
        """Add a row. Raises UserError for a full disk."""
        line = dump_json(row).encode() + b"\n"
        place = self.offsets[-1]
        try:
            if place < self._old:
                self._file.seek(place)
                if self._file.read(len(line)) != line:
                    self._file.truncate(place)
                    self._file.seek(place)
                    self._file.write(line)
                    self._old = place
            else:
                self._file.seek(place)
                self._file.write(line)
        except OSError as error:
            raise UserError(f"{self.path}: cannot be written ({error.strerror}); free some space and run again") from error
        self.offsets.append(place + len(line))

    def flush(self) -> None:
        """Make what was added visible to readers."""
        self._file.flush()

    def trim(self) -> None:
        """No further rows belong to the file: what an earlier run had beyond them goes."""
        if self._old > self.offsets[-1]:
            self._file.truncate(self.offsets[-1])
            self._old = self.offsets[-1]

    def close(self, *, whole: bool) -> None:
        """``whole``: as ``trim``."""
        if whole:
            self.trim()
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._file.close()


class TraceView(Sequence[Trace]):
    """Rows of a ``Part`` as traces, read from the disk whenever they are looked at, so that none stays in memory."""

    def __init__(self, part: Part, order: Sequence[int]) -> None:
        """``order``: numbers of the rows that this view shows, in order. The part must have been flushed."""
        self._part, self._order = part, order
        self._toolsets: dict[str, tuple[ToolSpec, ...]] = {}

    def __len__(self) -> int:
        return len(self._order)

    @overload
    def __getitem__(self, index: int) -> Trace: ...
    @overload
    def __getitem__(self, index: slice) -> TraceView: ...
    def __getitem__(self, index: int | slice) -> Trace | TraceView:
        if isinstance(index, slice):
            return TraceView(self._part, self._order[index])
        with open(self._part.path, "rb") as file:
            return self._read(file, self._order[index])

    def pick(self, numbers: Sequence[int]) -> TraceView:
        """A view of some of these rows, by their places here, in the order given."""
        return TraceView(self._part, array("Q", (self._order[number] for number in numbers)))

    def __iter__(self) -> Iterator[Trace]:
        with open(self._part.path, "rb") as file:
            for number in self._order:
                yield self._read(file, number)

    def _read(self, file: BinaryIO, number: int) -> Trace:
        start, end = self._part.offsets[number : number + 2]
        file.seek(start)
        row = json.loads(file.read(end - start))
        calls = tuple(ToolCall(call["name"], call["arguments"]) for call in row.pop("calls"))
        messages = tuple(row.pop("messages", ()))
        return Trace(tools=self._shared(row.pop("tools")), calls=calls, messages=messages, **row)

    def _shared(self, tools: list[dict[str, Any]]) -> tuple[ToolSpec, ...]:
        """One tuple for every list of tools: rows of a toolset share it."""
        key = dump_json(tools)
        if key not in self._toolsets:
            if len(self._toolsets) >= 256:
                self._toolsets.clear()
            self._toolsets[key] = tuple(ToolSpec(**tool) for tool in tools)
        return self._toolsets[key]


def export_parquet(files: Mapping[str, Path]) -> dict[str, Path]:
    """The parts of a finished run as Parquet, in ``parquet/`` beside the JSONL. Raises UserError when ``datasets`` is not installed."""
    try:
        import datasets  # noqa: F401: what write_rows uses for Parquet
    except ImportError:
        raise UserError('Parquet needs the datasets package: pip install "needle-distill[train]"') from None
    done = {}
    for part, path in files.items():
        with open(path, encoding="utf-8") as lines:
            done[part] = write_rows(path.parent / "parquet" / f"{part}.parquet", (json.loads(line) for line in lines))
    return done
