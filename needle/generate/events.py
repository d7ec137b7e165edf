"""``events.jsonl``: what a run did and when, one JSON object a line, for programs that watch it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from needle.traces.write import dump_json

FILE = "events.jsonl"
EVERY_S = 2.0
"""Seconds between two lines on progress."""


class EventLog:
    """Appends to the file of a folder; runs of the same folder follow each other in it."""

    def __init__(self, folder: Path) -> None:
        """The folder must exist."""
        self._file = open(folder / FILE, "a", encoding="utf-8", buffering=1)  # noqa: SIM115: closed by close()
        self._last = 0.0

    def write(self, event: str, **fields: Any) -> None:
        """One line: ``event`` is start, progress, stop or end."""
        self._file.write(dump_json({"event": event, "time": round(time.time(), 3)} | fields) + "\n")

    def due(self) -> bool:
        """Whether it is time for another line on progress."""
        if time.monotonic() - self._last < EVERY_S:
            return False
        self._last = time.monotonic()
        return True

    def close(self) -> None:
        """No more lines."""
        self._file.close()
