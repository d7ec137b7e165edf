"""``TorchEngine``: a ``NeedleModel`` behind a ``StudentCaller``, for checkpoints in training and for comparison with the exported graphs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from needle.student.modeling.batching import pack_source
from needle.student.modeling.config import NeedleConfig
from needle.student.modeling.model import NeedleModel, to_device
from needle.student.modeling.stepper import TorchStepper
from needle.student.modeling.storage import WEIGHTS, load_model
from needle.student.retrieval import Source, pooled_layers, pooled_width

ROWS = 32
"""Texts that are encoded at once."""


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

    @torch.inference_mode()
    def pooled(self, sources: Sequence[Source], keep: bool | None = None) -> np.ndarray:
        """See ``needle.student.caller.Engine.pooled``; nothing is kept."""
        found = np.zeros((len(sources), pooled_width(self.model.config)), dtype=np.float32)
        order = sorted(range(len(sources)), key=lambda place: sum(map(len, sources[place])))
        for start in range(0, len(order), ROWS):
            places = order[start : start + ROWS]
            for place, mean in zip(places, self._means([sources[place] for place in places]), strict=True):
                found[place] = mean
        return found

    def _means(self, sources: Sequence[Source]) -> list[np.ndarray]:
        firsts = [tools for tools, _ in sources]
        seconds = [request or firsts[0][:1] for _, request in sources]
        packed = to_device(pack_source(firsts, seconds, range(len(sources))), self.model.embedding.weight.device)
        first, second = self.model.encode(packed, self.dtype).split([sum(map(len, firsts)), sum(map(len, seconds))])
        parts = zip(sources, first.split(list(map(len, firsts))), second.split(list(map(len, seconds))), strict=True)
        states = torch.stack([(own if request else tools).mean(0) for (_, request), tools, own in parts])
        layers = self.model.decoder[: pooled_layers(self.model.config)]
        return list(torch.cat([layer.cross.branch.v(states) for layer in layers], -1).float().cpu().numpy())

    def facts(self) -> dict[str, int | None]:
        """Number of parameters and bytes of the weights file."""
        return {"parameters": sum(weight.numel() for weight in self.model.parameters()), "bytes": self.weight_bytes}
