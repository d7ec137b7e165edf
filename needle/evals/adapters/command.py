"""``cmd:./my-model --flag``: a program that reads one JSON object a line and answers each with one line.

    {"id": 0, "query": "dim the hall", "system": null, "messages": [], "tools": [...]}        we write
    {"output": "[{\\"name\\": ...}]"}   or   {"calls": [{"name": ..., "arguments": {...}}]}      it answers

It is started once and kept. One that crashes, hangs or writes anything else costs that row an infrastructure error
and is started again for the next.
"""

from __future__ import annotations

import hashlib
import json
import os
import queue
import shlex
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from needle.errors import UserError
from needle.evals.adapters.text import Output, TextCaller, output_from, request_to_dict
from needle.evals.parsers import AUTO
from needle.tools.caller import Request

PATIENCE = 60.0
"""Seconds that a program may take for one row."""
STARTUP = 600.0
"""Seconds for its first row, before which it may have weights to load."""

STRAY = "protocol: more than one line for a row"


class CommandCaller(TextCaller):
    """Answers by asking a program, line by line."""

    concurrency = 1
    """Requests at a time: rows come in small portions, so that a killed run loses few answers of a slow program."""

    def __init__(
        self, command: str, *, parser: str = AUTO, patience: float = PATIENCE, startup: float = STARTUP
    ) -> None:
        """``command`` is split as a shell would, but no shell runs it. Raises ``UserError`` for a broken one."""
        try:
            self.words = shlex.split(command)
        except ValueError as error:
            raise UserError(f"cmd:{command}: {error}; close the quotes") from error
        if not self.words:
            raise UserError("cmd: names no program; write cmd:./my-model --flag")
        self.name, self.parser, self.patience, self.startup = f"cmd:{command}", parser, patience, startup
        self.settings = {"files": _digests(self.words)}
        self._process: subprocess.Popen[bytes] | None = None
        self._lines: queue.Queue[bytes] = queue.Queue()
        self._complaints: IO[bytes] | None = None
        self._asked, self._limit = 0, startup

    def write(self, requests: Sequence[Request]) -> list[Output]:
        """One output a request. Raises ``UserError`` when there is no such program."""
        return [self._ask(request) for request in requests]

    def close(self) -> None:
        """Stop the program."""
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(OSError):
            process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            with suppress(OSError):
                stream.close() if stream else None

    def __del__(self) -> None:
        with suppress(Exception):
            self.close()

    def _ask(self, request: Request) -> Output:
        start = time.perf_counter()
        if self._stray():
            return self._failed(STRAY, start)
        if self._process is None or self._process.poll() is not None:
            self._start()
        number, self._asked = self._asked, self._asked + 1
        limit, self._limit = self._limit, self.patience
        late = f"timeout: no answer within {limit:g} s"
        if not self._send(json.dumps({"id": number, **request_to_dict(request)}, separators=(",", ":")), limit):
            return self._failed("crashed" if time.perf_counter() - start < limit else late, start)
        try:
            answer = self._lines.get(timeout=limit)
        except queue.Empty:
            return self._failed(late, start)
        if not answer.endswith(b"\n"):
            return self._failed("crashed", start)
        try:
            value = json.loads(answer)
        except ValueError:
            text = answer.decode(errors="replace").strip()
            return self._failed(f"protocol: a line that is no JSON ({text[:60]!r}); write logs to stderr", start)
        if isinstance(value, dict) and value.get("id", number) != number:
            return self._failed(f"protocol: the answer has id {value['id']}, {number} was asked", start)
        return self._failed(STRAY, start) if self._stray() else output_from(value, time.perf_counter() - start)

    def _stray(self) -> bool:
        """Whether there is a line that nothing was asked for; the end of a program that has left is none."""
        if self._process is None or self._lines.empty():
            return False
        if self._lines.get():
            return True
        self.close()
        return False

    def _send(self, line: str, limit: float) -> bool:
        """Write a request; False when the program is gone, or reads so slowly that it had to be stopped."""
        process = self._process
        assert process is not None and process.stdin is not None
        watchdog = threading.Timer(limit, process.kill)
        watchdog.start()
        try:
            process.stdin.write(line.encode("utf-8", "surrogatepass") + b"\n")
            process.stdin.flush()
        except OSError:
            return False
        finally:
            watchdog.cancel()
        return True

    def _start(self) -> None:
        self.close()
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the program
        try:
            self._process = subprocess.Popen(
                self.words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._complaints
            )
        except OSError as error:
            raise UserError(
                f"{self.name}: cannot be started ({error.strerror}); check the path and its rights"
            ) from error
        self._lines, self._limit = queue.Queue(), max(self.startup, self.patience)
        threading.Thread(target=_read_lines, args=(self._process.stdout, self._lines), daemon=True).start()

    def _failed(self, reason: str, start: float) -> Output:
        """The program is stopped; why it failed, with its exit code and last complaint."""
        process = self._process
        if process is not None and reason == "crashed":
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=1)
            reason = f"crashed: exit code {process.poll()}"
        self.close()
        last = _last_line(self._complaints)
        return Output(failure=reason + (f" ({last})" if last else ""), seconds=time.perf_counter() - start)


def _read_lines(stream: IO[bytes] | None, lines: queue.Queue[bytes]) -> None:
    with suppress(OSError, ValueError):
        for line in stream or ():
            lines.put(line)
    lines.put(b"")  # the end: an answer without its line end, or none


def _last_line(stream: IO[bytes] | None) -> str:
    if stream is None:
        return ""
    with suppress(OSError, ValueError):
        stream.seek(max(0, os.fstat(stream.fileno()).st_size - 2000))
        return (stream.read().decode(errors="replace").strip().splitlines() or [""])[-1][:160]
    return ""


def _digests(words: Sequence[str]) -> dict[str, Any]:
    """Content hash of the small files that a command line names, so that a changed script is another model."""
    found = {}
    for word in words:
        path = Path(word)
        with suppress(OSError, ValueError):
            if path.is_file() and path.stat().st_size < 2**20:
                found[path.name] = hashlib.blake2b(path.read_bytes(), digest_size=4).hexdigest()
    return found
