"""TensorBoard curves of a run, beside ``log.jsonl``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter


class Curves:
    """Writes every number of a step's record to ``OUT/tensorboard``."""

    def __init__(self, out: Path) -> None:
        self._writer = SummaryWriter(str(out / "tensorboard"))

    def __call__(self, record: dict[str, Any]) -> None:
        """Add one record (it holds ``step``)."""
        for name, value in record.items():
            if name != "step" and isinstance(value, int | float):
                group, _, rest = name.partition("_")
                self._writer.add_scalar(f"{group}/{rest}" if group == "validation" else f"train/{name}", value, record["step"])

    def close(self) -> None:
        """Flush and close the file."""
        self._writer.close()
