"""``TorchEngine``: a ``NeedleModel`` behind a ``StudentCaller``, for checkpoints in training and for comparison with the exported graphs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from needle.student.modeling.batching import pack_source
from needle.student.modeling.config import NeedleConfig
from needle.student.modeling.model import NeedleModel
from needle.student.modeling.stepper import TorchStepper
from needle.student.modeling.storage import WEIGHTS, load_model


class TorchEngine:
    """Runs the model on the device it is on, with activations of ``dtype``."""

    def __init__(self, model: NeedleModel, dtype: torch.dtype = torch.float32, weight_bytes: int | None = None) -> None:
        self.model, self.dtype, self.weight_bytes = model, dtype, weight_bytes

    @classmethod
    def from_folder(cls, folder: Path) -> TorchEngine:
        """The engine of a checkpoint folder. Raises ``UserError`` when it holds no student."""
        model = load_model(folder)
        return cls(model, weight_bytes=(folder / WEIGHTS).stat().st_size)

    @property
    def config(self) -> NeedleConfig:
        """The model's configuration."""
        return self.model.config

    def stepper(
        self, toolsets: Sequence[Sequence[int]], requests: Sequence[Sequence[int]], toolset_of: Sequence[int], align: bool = False
    ) -> TorchStepper:
        """See ``needle.student.caller.Engine.stepper``."""
        return TorchStepper(self.model, pack_source(toolsets, requests, toolset_of), self.dtype, align)

    def prepare(self, toolset: Sequence[int]) -> None:
        """Nothing is kept: toolsets are encoded with each batch."""

    def facts(self) -> dict[str, int | None]:
        """Number of parameters and bytes of the weights file."""
        return {"parameters": sum(weight.numel() for weight in self.model.parameters()), "bytes": self.weight_bytes}
