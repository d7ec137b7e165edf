"""The models that a run updates: one student, or several that learn from each other as well (co-distillation)."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

import torch

from needle.errors import UserError
from needle.student.grammar import Constraint
from needle.student.modeling import NeedleModel
from needle.student.modeling.compiled import round_ahead
from needle.student.modeling.model import to_device
from needle.student.modeling.quantize import set_quantization
from needle.train.batches import Shape, micro_batches
from needle.train.config import TrainConfig
from needle.train.examples import Example
from needle.train.lanes import Descend, cores_of, in_lanes, lanes_for
from needle.train.lora import add_adapters, is_adapted, merged, weights_of
from needle.train.objective import objective
from needle.train.optimizer import make_optimizers, rate, set_rate
from needle.train.passes import pass_shape, set_up_compile
from needle.train.preferences import Preferences
from needle.train.rollouts import is_sampled, sampled_answers
from needle.train.shard import clip_gradients, even, shard, wants_shards, whole_model, whole_optimizers
from needle.train.teachers import Source
from needle.train.world import World


class Students:
    """One or several models with their optimisers; the first is the one that the run is about."""

    def __init__(
        self, models: Sequence[NeedleModel], config: TrainConfig, dtype: torch.dtype, teachers: Source | None = None, world: World | None = None,
        preferences: Preferences | None = None, toolsets: float = math.inf,
    ) -> None:  # fmt: skip
        """``toolsets``: how many a step has, on average."""
        self.models, self.config, self.dtype, self.teachers, self.world = list(models), config, dtype, teachers, world or World()
        self.preferences = preferences
        self.constraint: Constraint | None = None  # what on-policy samples keep to
        self.device = models[0].embedding.weight.device
        self.sharded = wants_shards(models, config, self.world)
        if self.sharded:
            if preferences is not None:
                raise UserError("--shard does not go with preference pairs; leave one of the two out")
            shard(models[0], self.world)
        self.lanes = lanes_for(config, self.device, self.world.size, toolsets)
        self.compiled = not self.sharded and set_up_compile(self.models, config, cores_of(self.lanes))
        self.steps = 0
        self.averages = [copy.deepcopy(model).requires_grad_(False) for model in models] if config.average_decay else []
        for model in models if config.trained == "decoder" else ():
            model.requires_grad_(False)
            model.decoder.requires_grad_(True)
        for number, model in enumerate(models if config.lora else ()):
            add_adapters(model, config.lora, config.lora_alpha, config.seed + number, config.lora_root)
        self.optimizers = [optimizer for model in models for optimizer in make_optimizers(model, config)]
        self.shape: Shape | None = None
        self.share_toolsets = all(model.config.shares_toolsets for model in models) and (teachers is None or teachers.shares_toolsets)

    @property
    def judged(self) -> list[NeedleModel]:
        """The weights that are validated and kept: running averages where the run has them. Adapters are merged. All must ask."""
        return self.averages or [whole_model(merged(model), self.world) for model in self.models]

    def whole(self) -> tuple[NeedleModel, list[Any]]:
        """The first student and all optimisers as one process would have them, to be written by the first; all must call it."""
        if not self.sharded:
            return merged(self.models[0]), self.optimizers
        return whole_model(self.models[0], self.world), whole_optimizers(self.optimizers, self.world)

    def extra(self) -> dict[str, NeedleModel]:
        """What a continued run needs beside the first model, by file name."""
        peers = {f"peer{number}": model for number, model in enumerate(self.models[1:], 1)}
        adapted = {"adapted": self.models[0]} if is_adapted(self.models[0]) else {}  # base and adapters apart; ``model`` has their sum
        return adapted | peers | {f"average{number}": model for number, model in enumerate(self.averages)}

    def update(self, examples: Sequence[Example], progress: float) -> dict[str, float]:
        """One optimiser step of every model on the same rows; losses are averaged over the token weights of the whole step, all processes.

        Returns the loss parts of the first model, ``norm``, ``rate``, and of all processes ``tokens`` (without padding), ``padding_share`` and
        ``flops`` (products of the students, teachers and attention scores left out). Raises ``UserError`` when one is not finite.
        """
        config = self.config
        if config.quantize_bits is not None:
            for model in self.models:
                set_quantization(model, config.quantize_bits if config.rounds(progress) else None)
        for model in self.models:
            model.train()
        sampled = is_sampled(config.on_policy, config.seed, self.steps)
        if sampled:
            examples = sampled_answers(self.models[0], examples, (config.seed, self.steps, self.world.rank), self.dtype, self.constraint)
        [total] = self.world.total([sum(config.token_weights[kind] for example in examples for kind in example.classes)])
        sums, counts = self._passes(examples, total, progress, sampled)
        sums |= self._prefer()
        for model in self.models:
            self.world.sum_gradients(model.parameters())
        source, target, slots, *values = self.world.total([*counts, *sums.values()])
        effort = {"tokens": source + target, "padding_share": 1 - (source + target) / slots, "flops": self._flops(source, target)}
        sums = dict(zip(sums, values, strict=True))
        if sampled:  # no label of these answers: the teachers' word is the loss
            sums |= {"loss": sums["soft_loss"], "sampled": 1.0}
        norms = [clip_gradients(model.parameters(), config.clip, self.world) for model in self.models]
        if not all(map(math.isfinite, [*norms, *sums.values()])):
            raise UserError("the loss is not finite; lower muon_lr and adam_lr, or look for broken rows in the data")
        share = rate(progress, config)
        set_rate(self.optimizers, share)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self._average()
        return {**sums, "rate": share, "norm": norms[0], **effort}

    def _passes(self, examples: Sequence[Example], total: float, progress: float, sampled: bool) -> tuple[dict[str, float], list[int]]:
        """Forward and backward over the rows; loss parts of the first model over the weight ``total``, and source, target and all tokens."""
        self.shape = self.shape or pass_shape(self.models, self.config, self.dtype, examples, self.share_toolsets)
        for model in self.models if self.compiled else []:
            round_ahead(model, True)
        learning = [parameter for model in self.models for parameter in model.parameters() if parameter.requires_grad]
        found = in_lanes(lambda rows, descend: self._lane(rows, descend, total, progress, sampled), examples, learning, self.lanes)
        for model in self.models if self.compiled else []:
            round_ahead(model, False)
        sums: dict[str, float] = {}
        for parts, _ in found:
            for name, value in parts.items():
                sums[name] = sums.get(name, 0.0) + value
        return sums, [sum(numbers) for numbers in zip(*(counts for _, counts in found), strict=True)]

    def _lane(
        self, examples: Sequence[Example], descend: Descend, total: float, progress: float, sampled: bool
    ) -> tuple[dict[str, float], list[int]]:
        """``_passes`` over the rows of one lane."""
        config = self.config
        sums: dict[str, float] = {}
        counts = [0, 0, 0]
        passes = micro_batches(examples, config.micro_rows, config.token_weights, self.share_toolsets, self.shape)
        for batch in even(passes, self.world) if self.sharded else passes:
            batch = to_device(batch, self.device)
            logits = [model.logits(model(batch.source, batch.target, self.dtype)) for model in self.models]
            taught = None if self.teachers is None else self.teachers.targets(batch, self.dtype, config.temperature)
            losses = []
            for number, mine in enumerate(logits):
                parts = objective(config, mine, [other for other in logits if other is not mine], taught, batch, progress, sampled)
                losses.append(sum(share * loss for share, loss in parts.values()) / total)
                if number == 0:
                    for name, (_, loss) in parts.items():
                        sums[name] = sums.get(name, 0.0) + loss.item() / total
            descend(sum(losses))
            if batch.rows:
                counts = [a + b for a, b in zip(counts, (*batch.tokens, batch.slots), strict=True)]
        return sums, counts

    def _flops(self, source: float, target: float) -> float:
        """FLOPs of forward and backward passes over so many tokens."""
        return sum(a * source + b * target for a, b in (model.flops_per_token() for model in self.models))

    def _prefer(self) -> dict[str, float]:
        """Add the gradients of this step's preference pairs, where the run has any; this process's share of the logged means."""
        if self.preferences is None:
            return {}
        places, found = self.preferences.drawn(self.steps, self.world.rank), {}
        for number, model in enumerate(self.models):
            parts = self.preferences.parts(model, places, self.dtype)
            (self.config.preference_weight * parts["preference_loss"] / self.world.size).backward()
            found = {name: value.item() / self.world.size for name, value in parts.items()} if number == 0 else found
        return found

    @torch.no_grad()
    def _average(self) -> None:
        """Move the running averages, faster in the first steps so that the start is forgotten."""
        self.steps += 1
        decay = min(self.config.average_decay or 0.0, (1 + self.steps) / (10 + self.steps))
        for model, average in zip(self.models, self.averages, strict=False):
            names, kept = zip(*average.named_parameters(), strict=True)
            for new, mine in zip(weights_of(model, names), kept, strict=True):
                mine.lerp_(new, 1 - decay)


def apart(model: NeedleModel, seed: int, share: float = 0.1) -> NeedleModel:
    """A copy whose matrices carry noise of ``share`` of their own deviation: two students that start alike would stay alike."""
    twin = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in twin.parameters():
            if weight.ndim == 2:
                weight.add_(torch.randn(weight.shape, generator=generator).to(weight.device) * weight.std() * share)
    return twin

