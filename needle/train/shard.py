"""FSDP2: weights, gradients and optimiser states of a large student spread over the processes of a run (``--shard``).

    torchrun --nproc-per-node 8 -m needle.cli train --preset proxy --base none --shard --traces ... --out ...

Matrices are sharded by ``torch.distributed.fsdp.fully_shard`` (Zhao et al., arXiv:2304.11277): each encoder layer on
its own, the decoder and
the embedding together, since the decoder's keys over the source are made outside its layers. Norms and gates are a few
thousand numbers
and stay whole; their gradients are summed as without sharding. What is written is always whole, so a checkpoint of a
sharded run is read,
continued and evaluated like any other, on any number of processes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from needle.errors import UserError
from needle.student.modeling import NeedleModel
from needle.train.batches import Batch
from needle.train.config import TrainConfig
from needle.train.world import World

SHARD_FROM = 300_000_000
"""Parameters from which a run on several processes is sharded unasked: below it weights and states fit beside the
activations."""


def wants_shards(models: Sequence[NeedleModel], config: TrainConfig, world: World) -> bool:
    """Whether the run is sharded: by ``config.shard``, or by its size. Raises ``UserError`` where that is asked for
    and not possible."""
    if config.shard is None:
        return (
            world.size > 1
            and not _hindrance(models, config)
            and sum(p.numel() for p in models[0].parameters()) >= SHARD_FROM
        )
    if not config.shard:
        return False
    if world.size == 1:
        raise UserError(
            "--shard spreads a student over several processes, and this is the only one; start them with torchrun"
        )
    if found := _hindrance(models, config):
        raise UserError(f"--shard does not go with {found}; leave one of the two out")
    return True


def _hindrance(models: Sequence[NeedleModel], config: TrainConfig) -> str | None:
    if len(models) > 1:
        return "students that learn from each other (--loss mutual)"
    if config.average_decay:
        return "a running average of the weights (average_decay)"
    if config.on_policy:
        return "answers that the student samples itself (--on-policy)"
    return "adapters (--lora)" if config.lora else None


def shard(model: NeedleModel, world: World) -> None:
    """Leave each process its part of every matrix, in place. Before the optimisers are made."""
    mesh = init_device_mesh(world.device.type, (world.size,))
    whole = {parameter for parameter in model.parameters() if parameter.ndim < 2}
    for module in (*model.encoder, model):
        fully_shard(module, mesh=mesh, ignored_params=whole)


def even(batches: Iterable[Batch], world: World) -> Iterator[Batch]:
    """The passes of a step, as many as the process with most of them has: further ones weigh nothing and count no row.

    Every pass gathers weights from all processes, so all must make equally many.
    """
    mine = list(batches)
    for number in range(world.largest(len(mine))):
        if number < len(mine):
            yield mine[number]
        else:
            yield replace(mine[-1], weights_N=torch.zeros_like(mine[-1].weights_N), rows=0)


def clip_gradients(parameters: Iterable[nn.Parameter], most: float, world: World) -> float:
    """Scale all gradients so that their global norm is ``most`` at the most; returns the norm before that."""
    parameters = [parameter for parameter in parameters if parameter.grad is not None]
    gradients = [parameter.grad for parameter in parameters]
    parts = [gradient.to_local() for gradient in gradients if isinstance(gradient, DTensor)]
    if not parts:
        return torch.nn.utils.clip_grad_norm_(parameters, most).item()
    [spread] = world.total([sum(part.double().square().sum().item() for part in parts)])
    norm = (spread + sum(g.double().square().sum().item() for g in gradients if not isinstance(g, DTensor))) ** 0.5
    for gradient in gradients:
        gradient.mul_(min(1.0, most / (norm + 1e-6)))
    return norm


def whole_tensor(value: Any) -> Any:
    """A sharded tensor put together by all processes; anything else as it is."""
    return value.full_tensor() if isinstance(value, DTensor) else value


@torch.no_grad()
def whole_model(model: NeedleModel, world: World) -> NeedleModel:
    """A sharded student as a plain one, on the first process; all must call it. One that is not sharded is returned as
    it is."""
    if not any(isinstance(parameter, DTensor) for parameter in model.parameters()):
        return model
    tensors = {}
    for name, value in model.state_dict().items():
        tensor = whole_tensor(value)
        if world.first:
            tensors[name] = tensor
    if not world.first:
        return model
    twin = NeedleModel(model.config).to(world.device)
    twin.load_state_dict(tensors)
    return twin


def whole_optimizers(optimizers: Sequence[torch.optim.Optimizer], world: World) -> list[Any]:
    """Objects whose ``state_dict`` holds whole tensors, on the first process; all must call it."""
    found = []
    for optimizer in optimizers:
        content = optimizer.state_dict()
        states = {
            n: {key: whole_tensor(value) for key, value in state.items()} for n, state in content["state"].items()
        }
        found.append(SimpleNamespace(state_dict=lambda states=states: {"state": states}))
    return found if world.first else []


def spread_like(tensor: Tensor, parameter: Tensor) -> Tensor:
    """A whole tensor spread over the processes as ``parameter`` is, where it is and the shapes agree."""
    if isinstance(parameter, DTensor) and tensor.shape == parameter.shape:
        return distribute_tensor(tensor.to(parameter.device), parameter.device_mesh, parameter.placements)
    return tensor
