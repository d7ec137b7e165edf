"""Texts to train the tokenizer on: tools, requests and answers as they are rendered, and plain text beside them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from needle.errors import UserError
from needle.student.rendering import answer_pieces, tool_segments
from needle.tools import fingerprint
from needle.traces import Trace


def trace_texts(traces: Iterable[Trace]) -> Iterator[str]:
    """Every toolset once; every request and every call."""
    seen: set[str] = set()
    for trace in traces:
        key = fingerprint(trace.tools)
        if key not in seen:
            seen.add(key)
            yield from (text for tool in trace.tools for _, text in tool_segments(tool))
        yield trace.query
        by_name = {tool.name: tool for tool in trace.tools}
        for call in trace.calls:
            yield "".join(piece for piece, _ in answer_pieces(call, by_name.get(call.name)))


def file_texts(paths: Iterable[Path], limit: int = 4_000_000) -> Iterator[str]:
    """Lines of plain-text files, at most ``limit`` characters of each. Raises ``UserError`` for a missing file."""
    for path in paths:
        if not path.is_file():
            raise UserError(f"{path}: no such text file")
        with path.open(encoding="utf-8", errors="replace") as lines:
            read = 0
            for line in lines:
                read += len(line)
                if read > limit:
                    break
                yield line
