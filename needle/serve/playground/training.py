"""A training run in a process of its own, watched through its ``log.jsonl`` and ended when the person says so."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

State = Literal["idle", "running", "stopping", "done", "unimproved", "failed", "cancelled"]
MOST_POINTS = 200
"""Points of the loss curve that the page is given."""
UNIMPROVED, SAYS_WHERE = 1, "The checkpoint is in "
"""Exit code and last line of ``needle train`` when nothing better than the start was found; a crash has the same code."""
PATIENCE_SECONDS = 20
"""Seconds that a cancelled run has to end by itself."""


class Training:
    """One run at a time. Methods may be called from any thread."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._cancelled, self._began = False, 0.0
        self.out: Path | None = None
        """Folder of the last run, or None before the first."""

    def start(self, command: Sequence[str], out: Path) -> bool:
        """Run ``command``, which trains into ``out``; False when one is still running."""
        with self._lock:
            if self._process is not None and self._process.poll() is None:
                return False
            out.mkdir(parents=True, exist_ok=True)
            with open(out / "output.txt", "wb") as output:
                self._process = subprocess.Popen(
                    command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True
                )
            self.out, self._cancelled, self._began = out, False, time.monotonic()
            return True

    def cancel(self) -> None:
        """Interrupt the run as Ctrl-C does, and kill it if it does not end within ``PATIENCE_SECONDS``."""
        with self._lock:
            process = self._process
            if process is None or process.poll() is not None:
                return
            self._cancelled = True
        process.send_signal(signal.SIGINT)
        threading.Thread(target=_end, args=(process,), daemon=True).start()

    def close(self) -> None:
        """End the run, for a server that goes away."""
        self.cancel()
        if self._process is not None:
            _end(self._process)

    @property
    def state(self) -> State:
        """What the run is doing."""
        if self._process is None:
            return "idle"
        code = self._process.poll()
        if code is None:
            return "stopping" if self._cancelled else "running"
        if self._cancelled or code == 0:
            return "cancelled" if self._cancelled else "done"
        kept = code == UNIMPROVED and self.out is not None and _last_line(self.out / "output.txt").startswith(SAYS_WHERE)
        return "unimproved" if kept else "failed"

    def status(self) -> dict[str, Any]:
        """State, progress from 0 to 1, and the figures of the run so far."""
        state = self.state
        found: dict[str, Any] = {"state": state, "progress": 0.0, "losses": [], "exact": []}
        if self.out is None:
            return found
        records = read_log(self.out / "log.jsonl")
        losses = [(record["step"], record["loss"]) for record in records if "loss" in record]
        found["losses"] = losses[:: max(1, len(losses) // MOST_POINTS)]
        found["exact"] = [(record["step"], record["validation_exact"]) for record in records if "validation_exact" in record]
        found["progress"] = 1.0 if state == "done" else max((record.get("progress", 0.0) for record in records), default=0.0)
        spent = time.monotonic() - self._began
        if state == "running" and found["progress"] > 0.02:
            found["seconds_left"] = spent * (1 - found["progress"]) / found["progress"]
        if state == "failed":
            found["error"] = _last_line(self.out / "output.txt")
        return found


def read_log(path: Path) -> list[dict[str, Any]]:
    """The records of a run's log so far; a last line that is still being written is left out."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")[:-1]
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in lines if line.strip()]


def _last_line(path: Path) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines() or ["the run said nothing"]
    return lines[-1].removeprefix("needle: ")[:500]


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
