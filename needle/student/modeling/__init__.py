"""The student in PyTorch: configuration, layers, model. Only this folder and ``needle.train`` import torch."""

from needle.student.modeling.config import PRESETS, NeedleConfig
from needle.student.modeling.model import NeedleModel

__all__ = ["PRESETS", "NeedleConfig", "NeedleModel"]
