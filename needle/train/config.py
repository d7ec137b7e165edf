"""Every setting of a training run, with its default."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from difflib import get_close_matches
from typing import Any

from needle.errors import UserError
from needle.student.rendering import DECISION, KEY, NAME, STRUCTURE, VALUE


def _near(name: str, names: Iterable[str]) -> str:
    """Which settings might be meant."""
    return f"for example {', '.join(get_close_matches(name, names, 3) or ('temperature', 'divergence', 'soft_weight'))}"


def _switch(text: str) -> bool:
    """Raises ``ValueError`` for anything but true and false."""
    return {"true": True, "false": False}[text.lower()] if text.lower() in ("true", "false") else bool(int(text))


@dataclass(frozen=True)
class TrainConfig:
    """Settings of one run. Exactly one of ``minutes`` and ``steps`` bounds it."""

    minutes: float | None = None
    """Wall-clock budget; the schedule is planned so that the run, with its last validation, ends in time."""
    steps: int | None = None
    """Number of optimiser steps."""
    rows: int = 128
    """Examples a step."""
    rows_per_toolset: int = 10
    """Examples of one toolset that a step takes together; their tools are encoded once."""
    micro_rows: int = 256
    """Examples in one forward pass; gradients of several are summed before the step."""
    muon_lr: float = 0.02
    """Peak rate of Muon (matrices of the layers)."""
    adam_lr: float = 2e-3
    """Peak rate of AdamW (embedding, norms, gates)."""
    weight_decay: float = 0.01
    """Decoupled weight decay of Muon and of the embedding, scaled by the rate."""
    warmup: float = 0.03
    """Share of the run in which the rate rises."""
    cooldown: float = 0.5
    """Share of the run, at its end, in which the rate falls linearly to ``floor``."""
    floor: float = 0.05
    """Last rate as a share of the peak."""
    clip: float = 1.0
    """Largest global gradient norm."""
    z_loss: float = 1e-4
    """Weight of the squared log-partition, which keeps logits small."""
    token_weights: dict[int, float] = field(default_factory=lambda: {STRUCTURE: 0.3, DECISION: 2.0, NAME: 1.5, KEY: 1.0, VALUE: 2.0})
    """Loss weight by token class; most structure is forced at decoding."""
    soft_weight: float = 0.5
    """With teachers or peers: share of the soft-label loss, the rest being hard labels."""
    vote_weight: float = 0.0
    """Share that the shares of a vote take of the hard label's weight, at the tokens where the labels of a row parted."""
    temperature: float = 1.0
    """With teachers or peers: temperature of both distributions; above 1 softens them."""
    divergence: float = 0.0
    """Member of the generalised Jensen-Shannon family: 0 is KL(teacher || student), 1 is KL(student || teacher)."""
    skew: float = 0.0
    """Share of the teacher that is mixed into the student's place in the divergence (DistiLLM: 0.1)."""
    on_policy: float = 0.0
    """Share of the steps whose answers are the student's own samples, scored by the teachers."""
    on_policy_free: bool = False
    """Whether those samples may break the grammar of the tools."""
    preference: str = "simpo"
    """Loss of preference pairs: ``simpo`` (log-probability a token, no reference) or ``dpo`` (against the start of the run)."""
    preference_weight: float = 0.1
    """What the loss of preference pairs counts beside the others."""
    preference_beta: float | None = None
    """Slope of that loss; None: 2.5 for ``simpo``, 0.1 for ``dpo``."""
    preference_margin: float = 0.5
    """SimPO: by how much (after the slope) the right answer is to lead."""
    preference_pairs: int = 16
    """Pairs a step and process."""
    peer_warmup: float = 0.2
    """Co-distillation: share of the run in which the weight of the peers' word rises from nothing."""
    average_decay: float | None = None
    """Keep and judge a running average of the weights with this decay a step (0.99, say); None: the weights themselves."""
    trained: str = "all"
    """What learns: ``all`` weights, or the ``decoder`` alone, for twice as many steps in the same time where toolsets are long."""
    lora: int = 0
    """Rank of low-rank adapters that are trained in place of the weights; 0: the weights themselves."""
    lora_alpha: float = 16.0
    """Strength of the adapters; their correction is scaled by ``lora_alpha / lora``."""
    lora_root: bool = False
    """Scale by ``lora_alpha / sqrt(lora)`` instead (rsLoRA), for ranks above 32 or so."""
    quantize_bits: int | None = None
    """Quantisation-aware training for 4 or 8 bits at the end of the run; None for none."""
    quantize_share: float | None = None
    """Share of the run, at its end, with rounded weights; None: the cooldown."""
    precision: str = "auto"
    """Compute type: ``bf16``, ``fp32``, or ``auto`` (bf16 where the hardware multiplies it natively)."""
    shard: bool | None = None
    """Spread weights, gradients and optimiser states over the processes (FSDP2); None: only for students too large for one device."""
    attention: str = "auto"
    """``plain`` (dense products segment by segment), ``flex`` (one fused kernel, not on a CPU), or ``auto`` (flex on a GPU)."""
    compile: str = "auto"
    """``torch.compile``: ``on``, ``off``, or ``auto`` (on a GPU, and on a CPU with a C++ compiler for runs of 5 minutes and more)."""
    workers: int | None = None
    """Processes that draw batches ahead; None: none on a CPU, up to 8 beside an accelerator. The batches are the same."""
    lanes: int | None = None
    """Threads that share the rows of a step on a CPU; None: one a core, 4 at most, where a step has several toolsets for each. Sums differ in their last bits with the number."""
    validation_rows: int = 200
    """Held-out rows decoded at each validation."""
    validations: int = 5
    """Validations in the run, evenly spread, the last at its end."""
    patience: int | None = None
    """Stop when held-out exact match has not risen over so many validations in a row; None: go on to the end."""
    replay: float = 0.0
    """Share of recorded traces over other toolsets among the rows, so that a fine-tune does not forget them."""
    keep_base: bool = False
    """Score the start as well, and keep it as the best checkpoint when nothing that was learnt is better."""
    seed: int = 0
    """Seed of the initial weights and of the data order."""

    def __post_init__(self) -> None:
        if (self.minutes is None) == (self.steps is None):
            raise UserError("give either --minutes or --steps (one of them)")
        if (self.minutes is not None and self.minutes <= 0) or (self.steps is not None and self.steps <= 0):
            raise UserError("--minutes and --steps must be positive: a run of zero steps learns nothing")
        if min(self.rows, self.rows_per_toolset, self.micro_rows, self.validation_rows, self.validations) < 1 or (self.workers or 0) < 0 or (self.lanes is not None and self.lanes < 1):
            raise UserError("--rows and the other counts of a run must be at least 1 (workers: 0)")
        for name, value in asdict(self).items():
            if isinstance(value, float) and not math.isfinite(value):
                raise UserError(f"{name} {value}: give a finite number")
        if min(self.muon_lr, self.adam_lr, self.weight_decay, self.z_loss) < 0 or not self.clip > 0:
            raise UserError("muon_lr, adam_lr, weight_decay and z_loss must be at least 0, and clip above 0")
        for name in ("soft_weight", "vote_weight", "divergence", "skew", "on_policy", "peer_warmup", "average_decay", "replay", "warmup", "cooldown", "floor"):
            if not 0 <= (getattr(self, name) or 0.0) <= 1:
                raise UserError(f"{name} {getattr(self, name)}: give a number from 0 to 1")
        if self.preference not in ("simpo", "dpo") or self.preference_weight < 0 or self.preference_pairs < 1:
            raise UserError("preference is simpo or dpo, preference_weight at least 0 and preference_pairs at least 1")
        if self.trained not in ("all", "decoder") or (self.lora and self.trained != "all"):
            raise UserError(f"trained {self.trained!r}: give all, or decoder (without --lora)")
        if self.lora < 0 or not self.lora_alpha > 0:
            raise UserError("--lora must be a rank of 0 or more, and lora_alpha above 0")
        if 1 in (self.skew, self.replay) or not self.temperature > 0:
            raise UserError("skew and replay must be below 1 and temperature above 0")
        if self.quantize_share is not None and not 0 <= self.quantize_share <= 1:
            raise UserError(f"quantize_share {self.quantize_share}: give a share of the run, 0 to 1")
        if self.quantize_bits not in (None, 4, 8):
            raise UserError(f"--bits {self.quantize_bits}: weights can be trained for 4 or 8 bits")

    @classmethod
    def made(cls, settings: Mapping[str, Any]) -> TrainConfig:
        """The configuration with these ``settings``. Raises ``UserError`` for a name that is none."""
        names = {item.name for item in fields(cls)}
        for name in settings:
            if name not in names:
                raise UserError(f"settings: there is no {name!r}; {_near(name, names)}")
        return cls(**settings)

    @classmethod
    def read(cls, words: Iterable[str]) -> dict[str, Any]:
        """Settings from ``NAME=VALUE`` each. Raises ``UserError`` for a name that is none, or a value that it does not take."""
        kinds = {item.name: str(item.type) for item in fields(cls) if item.default is not MISSING}
        found: dict[str, Any] = {}
        for word in words:
            name, given, text = word.partition("=")
            if name not in kinds or not given:
                raise UserError(f"--set {word}: write NAME=VALUE with a setting of TrainConfig; {_near(name, kinds)}")
            kind = kinds[name].removesuffix(" | None")
            try:
                empty = text.lower() == "none" and kind != kinds[name]
                found[name] = None if empty else {"int": int, "float": float, "str": str, "bool": _switch}[kind](text)
            except ValueError as error:
                raise UserError(f"--set {word}: {name} takes a value of type {kinds[name]}") from error
        return found

    @property
    def preference_slope(self) -> float:
        """``preference_beta`` as it is used."""
        return self.preference_beta if self.preference_beta is not None else 0.1 if self.preference == "dpo" else 2.5

    def rounds(self, progress: float) -> bool:
        """Whether weights are rounded at ``progress`` (0 to 1) of the run."""
        share = self.cooldown if self.quantize_share is None else self.quantize_share
        return self.quantize_bits is not None and progress >= 1 - share

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionary for logs and checkpoints."""
        return asdict(self)
