"""``rows.jsonl``: one JSON object a row, keyed by id, with all that scoring needs: request, gold, output, verdict.

A run can therefore be resumed, scored again under other rules, and read by people, without the suite or the model at
hand.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from needle.errors import UserError
from needle.evals.match import scoring_of
from needle.evals.parsers import NATIVE
from needle.tools.caller import CallResult
from needle.tools.spec import ToolCall, ToolSpec
from needle.traces.trace import Trace

FORMAT = 2
"""Version of a row's layout, in its ``format``; rows of version 1 (which have none) are read too."""
KEYS = {"id", "request", "gold", "calls", "raw", "error", "infra_error", "confidence", "seconds", "usage"}
SEVERAL = ("answered_by", "unsure", "fallback_error", "offered", "ranked")
"""Keys of rows whose caller asks another one, or shows the model a part of the tools; left out where there is nothing to say."""
Row = dict[str, Any]
"""An object with ``KEYS``, ``format``, ``key``, ``parser``, ``repaired`` and, scored, ``verdict`` and ``scorer``."""


def make_row(trace: Trace, result: CallResult, key: str) -> Row:
    """Row of one answer; ``key`` names the question (model, decoding, prompt and tools) that it answers.

    Calls that JSON cannot write (``NaN``; some readers let it pass) are malformed whatever the caller says.
    """
    calls, error = [call.to_dict() for call in result], result.error
    try:
        json.dumps(calls, allow_nan=False)
    except (ValueError, TypeError) as problem:
        calls, error = [], error or f"malformed_json: {problem}"
    return {
        "format": FORMAT,
        "key": key,
        **question_of(trace),
        "parser": getattr(result, "parser", NATIVE),
        "calls": calls,
        "raw": result.raw,
        "error": error,
        "infra_error": result.infra_error,
        "confidence": result.confidence,
        "seconds": result.seconds,
        "usage": result.usage,
    } | {name: getattr(result, name) for name in SEVERAL if getattr(result, name)}


def question_of(trace: Trace) -> Row:
    """The part of a row that comes from the suite: ``id``, ``request`` and ``gold``."""
    whole = trace.to_dict()
    return {
        "id": trace.id,
        "request": {key: whole[key] for key in ("query", "system", "messages", "tools") if key in whole},
        "gold": {key: whole[key] for key in ("calls", "alternatives", "kind", "toolset", "domain") if key in whole}
        | scoring_of(trace),
    }


def dump_line(row: Row) -> str:
    """The row as one line of JSON. Half a surrogate pair, which UTF-8 cannot hold, is escaped."""
    line = json.dumps(row, ensure_ascii=False, separators=(",", ":"))
    try:
        line.encode()
    except UnicodeEncodeError:
        line = json.dumps(row, separators=(",", ":"))
    return line + "\n"


class RowReader:
    """Rows back to traces and results; rows of one toolset share its specs, which keeps caches of schemas warm."""

    def __init__(self) -> None:
        self._toolsets: dict[str, tuple[ToolSpec, ...]] = {}

    def trace(self, row: Row) -> Trace:
        """The example that the row answers."""
        request, gold = row["request"], row["gold"]
        key = json.dumps(request["tools"])
        if key not in self._toolsets:
            self._toolsets[key] = tuple(ToolSpec(**tool) for tool in request["tools"])
        return Trace(
            id=row["id"],
            query=request["query"],
            tools=self._toolsets[key],
            calls=tuple(ToolCall(**call) for call in gold["calls"]),
            kind=gold["kind"],
            toolset=gold["toolset"],
            domain=gold["domain"],
            system=request.get("system"),
            alternatives=gold.get("alternatives", {}),
            messages=tuple(request.get("messages", ())),
            meta={"scoring": gold["scoring"]} if "scoring" in gold else {},
        )

    def result(self, row: Row) -> CallResult:
        """What the caller answered."""
        return CallResult(
            (ToolCall(**call) for call in row["calls"]),
            raw=row["raw"],
            error=row["error"],
            infra_error=row["infra_error"],
            confidence=row["confidence"],
            usage=row["usage"],
            seconds=row["seconds"],
            **{name: row[name] for name in SEVERAL if name in row},
        )


def read_rows(path: Path) -> Iterator[Row]:
    """Rows of a finished or interrupted run; a last line without its end (the run was cut off while writing) is left
    out.

    Raises ``UserError`` for any other line that is no row.
    """
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                if line.endswith("\n"):
                    yield _read_row(path, number, line)
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text ({error.reason}); choose another folder for the results") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); name a folder that needle eval wrote") from error


def _read_row(path: Path, number: int, line: str) -> Row:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise UserError(
            f"{path}:{number}: broken JSON ({error.msg}); delete that line and run the evaluation again"
        ) from error
    if not isinstance(row, dict) or not KEYS <= row.keys():
        raise UserError(f"{path}:{number}: no row of an evaluation; choose another folder for the results")
    return row
