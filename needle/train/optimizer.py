"""Muon for the matrices of the layers, AdamW for everything else, and the warm-up-stable-decay schedule."""

from __future__ import annotations

import torch
from torch import nn

from needle.train.config import TrainConfig
from needle.train.lora import is_adapted


def make_optimizers(model: nn.Module, config: TrainConfig) -> list[torch.optim.Optimizer]:
    """``torch.optim.Muon`` (Jordan et al., 2024) on 2-D weights inside the layers, AdamW on embedding, norms and gates.

    A model with adapters has AdamW on them alone: an update of a factor that is spread evenly (Muon's) is none of their product.
    """
    if is_adapted(model):
        return [_with_peaks(torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=config.adam_lr, betas=(0.9, 0.99), weight_decay=0.0))]
    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and not name.startswith("embedding")]
    embedding = [p for name, p in model.named_parameters() if p.ndim == 2 and name.startswith("embedding")]
    small = [p for p in model.parameters() if p.ndim < 2]
    muon = torch.optim.Muon(matrices, lr=config.muon_lr, weight_decay=config.weight_decay, momentum=0.95, nesterov=True)
    groups = [{"params": embedding, "weight_decay": config.weight_decay}, {"params": small, "weight_decay": 0.0}]
    adam = torch.optim.AdamW(groups, lr=config.adam_lr, betas=(0.9, 0.95), eps=1e-8)
    return [_with_peaks(muon), _with_peaks(adam)]


def _with_peaks(optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    for group in optimizer.param_groups:
        group["peak_lr"] = group["lr"]
    return optimizer


def rate(progress: float, config: TrainConfig) -> float:
    """Share of the peak rate at ``progress`` (0 to 1) of the run: rise, stay, fall linearly to the floor."""
    if progress < config.warmup:
        return max(progress / config.warmup, 0.02)
    if progress < 1 - config.cooldown:
        return 1.0
    left = max(1 - progress, 0.0) / config.cooldown if config.cooldown else 1.0
    return config.floor + (1 - config.floor) * left


def current_rates(optimizers: list[torch.optim.Optimizer]) -> dict[str, float]:
    """Learning rate of each kind of optimiser by its name in the log: ``lr_muon``, ``lr_adamw``."""
    return {f"lr_{type(optimizer).__name__.lower()}": optimizer.param_groups[0]["lr"] for optimizer in optimizers}


def set_rate(optimizers: list[torch.optim.Optimizer], share: float) -> None:
    """Set every group's rate to ``share`` of its peak."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["peak_lr"] * share
