"""The decoder with its caches, one or several tokens a step: the PyTorch side of ``needle.student.decoding``."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from needle.student.decoding import aligned_heads
from needle.student.modeling.batching import MASKED
from needle.student.modeling.layers import Blocks, KeyValue
from needle.student.modeling.model import NeedleModel, Source, Target, to_device


class TorchStepper:
    """Caches of a batch of rows, ``[B, K, length, E]``; one row of ``source`` a row here (pack it in a single block)."""

    @torch.inference_mode()
    def __init__(self, model: NeedleModel, source: Source, dtype: torch.dtype = torch.float32, align: bool = False) -> None:
        assert len(source.rows.shapes) == 1, "pack the source with pack_source"
        self.model, self.device = model, model.embedding.weight.device
        source = to_device(source, self.device)
        rows, _, seen = source.rows.shapes[0]
        pairs = model.cross_keys_values(model.encode(source, dtype))
        self.cross = [tuple(_padded(x, source.rows.keys, rows, seen) for x in pair) for pair in pairs]
        self.cross_bias = source.rows.biases[0]
        self._align, self.alignment = align, None
        empty = self.cross[0][0][:, :, :0]
        self.cache: list[KeyValue] = [(empty, empty) for _ in pairs]
        self.lengths = torch.zeros(rows, dtype=torch.long)  # on the CPU: it only makes indices

    @torch.inference_mode()
    def step(self, tokens: Sequence[Sequence[int]]) -> np.ndarray:
        """Append tokens to each row; logits ``[B, V]`` after the last one of each."""
        counts = torch.tensor([len(ids) for ids in tokens])
        rows, width = len(counts), int(counts.max())
        starts = counts.cumsum(0) - counts
        steps = torch.arange(width)
        real_BC = steps < counts[:, None]
        row_N, place_N = real_BC.nonzero(as_tuple=True)
        position_N = self.lengths[row_N] + place_N
        capacity = int((self.lengths + counts).max())
        queries_BC = torch.where(real_BC, starts[:, None] + steps, starts[:, None])
        limit_BC = self.lengths[:, None] + torch.where(real_BC, steps, 0)
        hidden = torch.arange(capacity) > limit_BC[:, None, :, None]
        own = Blocks(queries_BC.flatten(), None, (torch.zeros(hidden.shape).masked_fill(hidden, MASKED),), ((rows, width, capacity),),
                     real_BC.flatten().nonzero()[:, 0])  # fmt: skip
        cross = Blocks(own.queries, None, (self.cross_bias,), ((rows, width, self.cross_bias.shape[-1]),), own.real_N)
        ids = torch.tensor([token for row in tokens for token in row])

        target = to_device(Target(ids, position_N, own, cross), self.device)
        where = (row_N.to(self.device), position_N.to(self.device))

        def past(layer: int, new: KeyValue) -> KeyValue:
            self.cache[layer] = tuple(_write(old, x, where, capacity) for old, x in zip(self.cache[layer], new, strict=True))
            return self.cache[layer]

        seen: dict[int, Tensor] = {}
        layers = aligned_heads(self.model.config) if self._align else {}
        states = self.model.decode(target, self.cross, past, {layer: partial(seen.__setitem__, layer) for layer in layers})
        self.alignment = self._aligned([seen[layer][:, heads] for layer, heads in layers.items()], counts) if layers else None
        self.lengths = self.lengths + counts
        return self.model.logits(states[(starts + counts - 1).to(self.device)]).cpu().numpy()

    def _aligned(self, heads: Sequence[Tensor], counts: Tensor) -> list[np.ndarray]:
        """Mean of ``heads [B, heads, C, S]``, without padding."""
        mean_BCS = torch.cat(heads, dim=1).mean(1).float().cpu().numpy()
        real_BS = (self.cross_bias[:, 0, 0] == 0).cpu().numpy()
        return [mean_CS[:count, real_S] for mean_CS, count, real_S in zip(mean_BCS, counts.tolist(), real_BS, strict=True)]

    @torch.inference_mode()
    def back_to(self, length: int) -> None:
        """Take back all but the first ``length`` tokens of the only row."""
        self.lengths[0] = length

    @torch.inference_mode()
    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these rows, in this order."""
        place = torch.tensor(rows, dtype=torch.long)
        index = place.to(self.device)
        self.cache, self.cross = ([tuple(x.index_select(0, index) for x in pair) for pair in pairs] for pairs in (self.cache, self.cross))
        self.cross_bias, self.lengths = self.cross_bias.index_select(0, index), self.lengths.index_select(0, place)


def _padded(x_NKE: Tensor, keys: Tensor, rows: int, seen: int) -> Tensor:
    """Flat keys or values as ``[B, K, S, E]``."""
    return x_NKE.index_select(0, keys).unflatten(0, (rows, seen)).transpose(1, 2).contiguous()


def _write(old: Tensor, new_NKE: Tensor, where: tuple[Tensor, Tensor], capacity: int) -> Tensor:
    """``old [B, K, length, E]`` grown to ``capacity`` with ``new`` at ``where`` (rows, positions)."""
    grown = old.new_zeros(*old.shape[:2], capacity, old.shape[3])
    grown[:, :, : old.shape[2]] = old[:, :, :capacity]
    grown[where[0], :, where[1]] = new_NKE
    return grown
