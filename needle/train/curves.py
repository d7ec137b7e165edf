"""Curves of a run beside ``log.jsonl``: TensorBoard, or trackio (extra ``[trackio]``), both in files of this machine
only."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from torch.utils.tensorboard import SummaryWriter

from needle.errors import UserError

LOGS = ("tensorboard", "trackio", "none")
"""What ``--curves`` takes."""


class Sink(Protocol):
    """Takes every record of a run."""

    def __call__(self, record: dict[str, Any]) -> None:
        """Add one record (it holds ``step``)."""

    def close(self) -> None:
        """Flush and close."""


def open_curves(out: Path, logs: Sequence[str], settings: dict[str, Any]) -> list[Sink]:
    """The sinks that ``logs`` names. Raises ``UserError`` for an unknown one, or one that is not installed."""
    unknown = set(logs) - set(LOGS)
    if unknown or ("none" in logs and len(set(logs)) > 1):
        raise UserError(f"--curves {' '.join(logs)}: give one or several of tensorboard and trackio, or none")
    makers: dict[str, Callable[[], Sink]] = {
        "tensorboard": lambda: Curves(out),
        "trackio": lambda: Trackio(out, settings),
    }
    return [makers[name]() for name in dict.fromkeys(logs) if name != "none"]


def scalars(record: dict[str, Any]) -> dict[str, float]:
    """The numbers of a record by the name of their curve: ``train/loss``, ``validation/exact``."""
    found = {}
    for name, value in record.items():
        if name != "step" and isinstance(value, int | float):
            group, _, rest = name.partition("_")
            found[f"{group}/{rest}" if group == "validation" else f"train/{name}"] = value
    return found


class Curves:
    """Writes every number of a step's record to ``OUT/tensorboard``."""

    def __init__(self, out: Path) -> None:
        self._writer = SummaryWriter(str(out / "tensorboard"))

    def __call__(self, record: dict[str, Any]) -> None:
        """Add one record (it holds ``step``)."""
        for name, value in scalars(record).items():
            self._writer.add_scalar(name, value, record["step"])

    def close(self) -> None:
        """Flush and close the file."""
        self._writer.close()


class Trackio:
    """Writes every number to a trackio project named after the run, in the SQLite file below ``OUT/trackio``.

    Nothing leaves the machine: no Space, no server and no webhook, whatever the environment names.
    ``TRACKIO_DIR=OUT/trackio trackio show``
    opens the dashboard. The documentation: https://huggingface.co/docs/trackio
    """

    def __init__(self, out: Path, settings: dict[str, Any]) -> None:
        """Raises ``UserError`` when trackio is not installed or has been used with another folder in this process."""
        for name in ("TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL", "TRACKIO_BUCKET_ID", "TRACKIO_WEBHOOK_URL"):
            os.environ.pop(name, None)
        folder = (out / "trackio").resolve()
        os.environ["TRACKIO_DIR"] = str(folder)  # read once, when the package is loaded
        os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
        try:
            import trackio
            from trackio.utils import TRACKIO_DIR
        except ImportError as error:
            raise UserError('--curves trackio: not installed; run pip install "needle-distill[trackio]"') from error
        if Path(TRACKIO_DIR) != folder:
            raise UserError(
                f"--curves trackio: this process already writes to {TRACKIO_DIR}; start another one for {folder}"
            )
        self._trackio = trackio
        with contextlib.redirect_stdout(
            io.StringIO()
        ):  # its greeting would stand in the way of the program's own output
            trackio.init(
                project="needle",
                name=out.resolve().name,
                config=settings,
                resume="allow",
                embed=False,
                auto_log_gpu=False,
                auto_log_cpu=False,
            )

    def __call__(self, record: dict[str, Any]) -> None:
        """Add one record (it holds ``step``)."""
        if numbers := scalars(record):
            self._trackio.log(numbers, step=record["step"])

    def close(self) -> None:
        """Wait until everything is written."""
        with contextlib.redirect_stdout(io.StringIO()):
            self._trackio.finish()
