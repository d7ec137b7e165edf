"""What a student is asked to do at one batch: the loss parts of labels, votes, teachers and peers, each with its
share."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from needle.train.batches import Batch
from needle.train.config import TrainConfig
from needle.train.examples import Example
from needle.train.losses import SoftTargets, hard_label_loss, soft_label_loss

Parts = dict[str, tuple[float, Tensor]]
"""Loss parts by name: share in the objective, and sum over the batch's tokens."""


def objective(
    config: TrainConfig, mine_NV: Tensor, others: Sequence[Tensor], taught: SoftTargets | None, batch: Batch,
    progress: float, sampled: bool = False,
) -> Parts:  # fmt: skip
    """Parts for the student with logits ``mine_NV``; ``others``: logits of its peers; ``taught``: what the teachers
    say.

    ``loss`` (hard labels), ``votes_loss`` (shares of votes in the place of the label), ``soft_loss`` and
    ``peer_loss``; ``teacher_entropy`` is no part of the objective (share 0), only logged. The answers of a
    ``sampled`` batch are the student's own: they are no labels, so only the teachers' word counts (GKD: Agarwal et
    al., arXiv:2306.13649).
    """
    sources: dict[str, tuple[float, SoftTargets]] = {}
    if taught is not None:
        sources["soft_loss"] = (1.0 if sampled else config.soft_weight, taught)
    if others:
        heard = (
            config.soft_weight * min(progress / config.peer_warmup, 1.0) if config.peer_warmup else config.soft_weight
        )
        said = sum((other.detach().float() / config.temperature).softmax(-1) for other in others) / len(others)
        sources["peer_loss"] = (heard, SoftTargets(said))
    parts: Parts = {}
    if not sampled:
        parts |= _labels(config, mine_NV, batch, 1 - sum(share for share, _ in sources.values()) / max(len(sources), 1))
    if taught is not None:
        parts["teacher_entropy"] = (0.0, entropy(taught, batch.weights_N))
    for name, (share, targets) in sources.items():
        loss = soft_label_loss(mine_NV, targets, batch.weights_N, config.temperature, config.divergence, config.skew)
        parts[name] = (share / len(sources), loss)
    return parts


def entropy(targets: SoftTargets, weights_N: Tensor) -> Tensor:
    """Sum over tokens of weight x entropy of the targets as they are kept: what a cross-entropy would have above the
    divergence."""
    rest = [] if targets.rest is None else [targets.rest[:, None]]
    shares = torch.cat((targets.probabilities, *rest), dim=-1)
    return (torch.special.entr(shares).sum(-1) * weights_N).sum()


def _labels(config: TrainConfig, mine_NV: Tensor, batch: Batch, share: float) -> Parts:
    """Hard labels, given up in part for the votes at the positions that have any."""
    weights_N = batch.weights_N
    voted = voted_targets(batch.examples, mine_NV) if config.vote_weight else None
    parts: Parts = {}
    if voted is not None:
        weights_N = weights_N.clone()
        weights_N[voted.places] *= 1 - config.vote_weight
        parts["votes_loss"] = (share * config.vote_weight, soft_label_loss(mine_NV, voted, batch.weights_N))
    elif config.vote_weight:  # every process of a run logs the same parts
        parts["votes_loss"] = (0.0, mine_NV.new_zeros(()))
    return {"loss": (share, hard_label_loss(mine_NV, batch.labels_N, weights_N, config.z_loss))} | parts


def voted_targets(examples: Sequence[Example], like_NV: Tensor) -> SoftTargets | None:
    """The votes of ``examples`` (rows in flat order) over the vocabulary and on the device of ``like_NV``; None where
    no row has any."""
    places, spread, start = [], [], 0
    for example in examples:
        places += [start + place for place, _ in example.votes]
        spread += [shares for _, shares in example.votes]
        start += len(example.answer)
    if not places:
        return None
    rows = torch.tensor([row for row, shares in enumerate(spread) for _ in shares])
    tokens, shares = zip(*(pair for pairs in spread for pair in pairs), strict=True)
    probabilities = torch.zeros(len(places), like_NV.shape[-1])
    probabilities[rows, torch.tensor(tokens)] = torch.tensor(shares)
    return SoftTargets(probabilities.to(like_NV.device), places=torch.tensor(places, device=like_NV.device))
