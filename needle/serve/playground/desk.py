"""What the page works on: a model, a file of corrections, a place to train. The glue outside this room provides it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from needle.tools import Caller, Request, ToolCall, ToolSpec


class Desk(Protocol):
    """Everything that the page may read and change. Methods are called from worker threads, and raise ``UserError``."""

    caller: Caller
    """Who answers now."""
    tools: Sequence[ToolSpec]
    """The toolset that the page opens with; empty: the first example."""

    def corrections(self) -> dict[str, Any]:
        """``{"path", "rows"}``: the file of corrections and its rows, oldest first."""

    def keep(self, request: Request, calls: Sequence[ToolCall], toolset: str, answer: Mapping[str, Any]) -> str:
        """Save the right calls for a request as a row, with the model's own ``answer`` beside; returns the row's id."""

    def forget(self, id: str) -> bool:
        """Take a row out again."""

    def train(self, minutes: float | None) -> None:
        """Begin a fine-tune on the corrections."""

    def cancel(self) -> None:
        """End the fine-tune that runs."""

    def training(self) -> dict[str, Any]:
        """Where the fine-tune stands: ``state`` and what the page shows beside it."""

    def use(self, trained: bool) -> None:
        """Answer with the last fine-tune, or with the model that the page began with."""

    def browser_model(self) -> Path:
        """Folder of the exported model for the browser, made first where it is missing."""
