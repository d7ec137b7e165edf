"""``replay:FILE``: outputs that were saved before, by us (``rows.jsonl``) or by anyone: ``{"id", "output"}`` a line.

``calls`` may stand in place of ``output``. A row of the suite without a line counts as an infrastructure error.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from needle.errors import UserError
from needle.evals.adapters.text import Output, TextCaller, output_from
from needle.evals.parsers import AUTO, NATIVE
from needle.tools.caller import CallResult, Request
from needle.traces.trace import Trace


class ReplayCaller(TextCaller):
    """Answers each row of a suite with what is saved under its id."""

    gives_up = False  # rows without output say nothing about the others

    def __init__(self, path: str | Path, traces: Sequence[Trace] = (), *, parser: str = AUTO) -> None:
        """``traces`` tell which id a request has. Raises ``UserError`` for a file that cannot be read, a broken line,
        or two different outputs of one id."""
        self.path, self.parser = Path(path), parser
        text = _read(self.path)
        self.name = f"replay:{self.path.name} ({hashlib.blake2b(text.encode(), digest_size=4).hexdigest()})"
        self._saved: dict[str, dict[str, Any]] = {}
        for number, row in _lines(self.path, text):
            known = self._saved.setdefault(row["id"], row)
            if known is not row and known != row:
                raise UserError(f"{self.path}:{number}: another output for {row['id']}; keep one of the two")
        self._ids: dict[Any, list[str]] = {}
        for trace in traces:
            self._ids.setdefault(_key(trace.request), []).append(trace.id)

    def answer_rows(self, traces: Sequence[Trace]) -> list[CallResult]:
        """Answers by id: needed where a suite asks the same twice under two ids."""
        return [self.read(self._output(trace.id), trace.tools) for trace in traces]

    def write(self, requests: Sequence[Request]) -> list[Output]:
        """Outputs of the rows that ask these requests."""
        return [self._output(next(iter(self._ids.get(_key(request), ())), None)) for request in requests]

    def _output(self, row_id: str | None) -> Output:
        row = self._saved.get(row_id) if row_id is not None else None
        if row is None:
            return Output(failure=f"missing: {self.path.name} has no output for row {row_id}")
        if "output" in row or "raw" not in row:
            return output_from({key: value for key, value in row.items() if key != "id"}, row.get("seconds"))
        if row.get("infra_error"):
            return Output(failure=str(row.get("error")), text=row["raw"])
        own = row.get("parser", NATIVE) == NATIVE and self.parser == AUTO and not row.get("error")
        details = {"seconds": row.get("seconds"), "usage": row.get("usage") or {}, "confidence": row.get("confidence")}
        return Output(row["raw"], row["calls"] if own else None, **details)


def _key(request: Request) -> tuple[Any, ...]:
    return request.query, request.system, request.tools, json.dumps(request.messages, ensure_ascii=False)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text ({error.reason}); save it as JSON lines") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); write replay:FILE with saved outputs") from error


def _lines(path: Path, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    found = False
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise UserError(f"{path}:{number}: broken JSON ({error}); mend or delete that line") from error
        if not isinstance(row, dict) or not isinstance(row.get("id"), str):
            raise UserError(f'{path}:{number}: no saved output; write {{"id": ..., "output": ...}}')
        if not {"output", "raw", "calls"} & row.keys():
            raise UserError(f"{path}:{number}: neither output nor calls; write one of them")
        found = True
        yield number, row
    if not found:
        raise UserError(f"{path}: holds no outputs")
