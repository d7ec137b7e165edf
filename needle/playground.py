"""The desk behind ``needle playground``: the model, the corrections, the fine-tune and the export that the page works with."""

from __future__ import annotations

import hashlib
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from needle.device.manifest import MANIFEST, check_manifest
from needle.errors import UserError
from needle.export import FOLLOWING, export
from needle.models import checkpoint_folder, open_caller, require_torch
from needle.serve.playground import Training
from needle.student.shape import WEIGHTS
from needle.tools import Caller, Request, ToolCall, ToolSpec
from needle.traces import Trace
from needle.traces.corrections import Corrections
from needle.traces.formats import default_kind

FEWEST_ROWS = 8
"""Corrections that a fine-tune needs."""


class LocalDesk:
    """Everything in one folder: ``corrections.jsonl``, ``runs/N`` for the N-th fine-tune, ``browser`` for models that a browser runs."""

    def __init__(self, model: str | None, out: Path, tools: Sequence[ToolSpec] = ()) -> None:
        """Open the model.

        Args:
            model: what ``--model`` names; None for the bundled base.
            out: folder for corrections and runs; made when something is saved.
            tools: the toolset that the page opens with.

        Raises:
            UserError: no such model.
        """
        self.model, self.out, self.tools = model, out, tuple(tools)
        self.first: Caller = open_caller(model)
        self.caller = self.first
        self.kept = Corrections(out / "corrections.jsonl")
        self.run = Training()
        self._lock = threading.Lock()

    def corrections(self) -> dict[str, Any]:
        """The file and its rows."""
        return {"path": str(self.kept.path), "rows": self.kept.rows(), "fewest": FEWEST_ROWS}

    def keep(self, request: Request, calls: Sequence[ToolCall], toolset: str, answer: Mapping[str, Any]) -> str:
        """Save the right calls as a trace; what the model had said goes into its lineage."""
        said = {key: answer[key] for key in ("calls", "confidence", "error") if answer.get(key) is not None}
        meta = {"source": "playground", "model": str(answer.get("model") or self.caller.name), "answer": said}
        trace = Trace("", request.query, request.tools, tuple(calls), default_kind(calls), toolset or "playground", system=request.system, meta=meta)
        return self.kept.add(trace)

    def forget(self, id: str) -> bool:
        """Take a row out again."""
        return self.kept.remove(id)

    def train(self, minutes: float | None) -> None:
        """Begin a fine-tune of the model on the corrections. Raises ``UserError`` where that cannot be done."""
        require_torch("fine-tuning")
        count = len(self.kept.rows())
        if count < FEWEST_ROWS:
            raise UserError(f"a fine-tune needs {FEWEST_ROWS} corrections or more, there are {count}; save some more answers first")
        with self._lock:
            if self.run.state in ("running", "stopping"):
                raise UserError("a fine-tune is running already; wait for it, or cancel it")
            number = 1 + sum(1 for _ in (self.out / "runs").glob("*"))
            folder = self.out / "runs" / str(number)
            self.kept.split(folder / "traces")
            command = [sys.executable, "-m", "needle.cli", "train", "--traces", str(folder / "traces"), "--out", str(folder)]
            command += ["--base", str(self._base())] + ([] if minutes is None else ["--minutes", str(minutes)])
            self.run.start(command, folder)

    def _base(self) -> Path:
        """The checkpoint that a fine-tune starts from. Raises ``UserError`` for a model that is none."""
        try:
            return checkpoint_folder(self.model)
        except UserError as error:
            raise UserError(f"only a checkpoint can be fine-tuned; start the playground with --model CKPT, or without ({error})") from error

    def cancel(self) -> None:
        """End the fine-tune that runs."""
        self.run.cancel()

    def training(self) -> dict[str, Any]:
        """Where the fine-tune stands."""
        found = self.run.status()
        best = self.run.out / "best" if self.run.out else None
        return found | {
            "out": str(self.run.out or ""),
            "usable": bool(best and (best / "config.json").is_file() and found["state"] in ("done", "cancelled")),
            "in_use": self.caller is not self.first,
        }

    def use(self, trained: bool) -> None:
        """Answer with the last fine-tune, or with the first model again."""
        if not trained:
            self.caller = self.first
            return
        if not self.training()["usable"]:
            raise UserError("there is no finished fine-tune to load; run one first")
        self.caller = open_caller(str(self.run.out))

    def browser_model(self) -> Path:
        """Folder of the exported model that the browser loads, in 4 bits; made when it is first asked for."""
        with self._lock:
            source = checkpoint_folder(self.model if self.caller is self.first else str(self.run.out))
            if (source / MANIFEST).is_file():
                return source
            files = [source / name for name in (WEIGHTS, *FOLLOWING)]  # a prior that is fitted later makes another export
            digest = hashlib.blake2b(b"".join(file.read_bytes() for file in files if file.is_file()), digest_size=8).hexdigest()
            folder = self.out / "browser" / digest
            if not _ready(folder):
                export(str(source), folder)
            return folder

    def close(self) -> None:
        """End what still runs."""
        self.run.close()


def _ready(folder: Path) -> bool:
    """Whether a whole export of this version is there; one that an older needle left is made again."""
    try:
        return check_manifest(folder) is not None
    except UserError:
        return False
