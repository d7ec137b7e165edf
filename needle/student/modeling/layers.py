"""Building blocks: linear map, norm, rotary positions, attention, feed-forward, the two layer kinds.

Parameters are fp32. Activations have the compute type chosen by the caller (fp32 or bf16); weights are cast at use, norms run in fp32.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from needle.student.modeling.config import NeedleConfig
from needle.student.modeling.norm import RowsNorm

KeyValue = tuple[Tensor, Tensor]
Observer = Callable[[Tensor], None]
"""Gets attention probabilities ``[B, H, T, S]``."""


class Linear(nn.Linear):
    """Bias-free linear map that casts its fp32 weight to the activation's type; ``fake_quantize`` rounds it first, when set."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, bias=False)
        self.fake_quantize: Callable[[Tensor], Tensor] | None = None
        self.rounded: Tensor | None = None

    def round_ahead(self, on: bool) -> None:
        """Round the weight now, for the uses that follow (a compiled one would skip the rounding of scales); off: at each use again."""
        self.rounded = self.fake_quantize(self.weight) if on and self.fake_quantize is not None else None

    def forward(self, x: Tensor) -> Tensor:
        """``x [..., inputs]`` to ``[..., outputs]``."""
        if self.rounded is not None:
            weight = self.rounded
        else:
            weight = self.weight if self.fake_quantize is None else self.fake_quantize(self.weight)
        return F.linear(x, weight.to(x.dtype))


class RMSNorm(nn.Module):
    """Zero-centred RMS norm: ``x / rms(x) * (1 + gain)``, in fp32."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.zeros(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Same shape and type as ``x``."""
        if x.device.type == "cpu" and x.requires_grad and not torch.compiler.is_compiling():
            return RowsNorm.apply(x, self.gain, self.eps)
        return F.rms_norm(x.float(), (x.shape[-1],), 1 + self.gain, self.eps).to(x.dtype)


def rotary_table(positions_N: Tensor, head_size: int, theta: float) -> KeyValue:
    """Cosines and sines ``[N, 1, E / 2]`` for integer positions ``[N]``."""
    frequencies = theta ** (-torch.arange(0, head_size, 2, device=positions_N.device, dtype=torch.float32) / head_size)
    angles = positions_N.float()[:, None, None] * frequencies
    return angles.cos(), angles.sin()


def rotate(x_NHE: Tensor, table: KeyValue) -> Tensor:
    """Apply rotary positions (half-split form) to flat heads ``[N, heads, E]``."""
    cos, sin = table
    first, second = x_NHE.float().chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1).to(x_NHE.dtype)


@dataclass(frozen=True)
class Blocks:
    """Which flat tokens form the padded queries and keys of one attention call, cut into blocks of rows of similar length."""

    queries: Tensor
    """Flat index of each query, all blocks ``[B, T]`` one after the other; padding points at the row's first token."""
    keys: Tensor | None
    """Flat index of each key, all blocks ``[B, S]`` one after the other; None: keys and values are a cache, one block ``[B, K, S, E]`` already."""
    biases: tuple[Tensor, ...]
    """Of each block ``[B, 1, T or 1, S]`` in fp32: 0 where a query may look, a large negative number elsewhere."""
    shapes: tuple[tuple[int, int, int], ...]
    """``(B, T, S)`` of each block."""
    real_N: Tensor
    """Places of the real queries among all padded ones, in flat order."""


class Layout(Protocol):
    """Another way than ``Blocks`` to say which flat tokens look at which, that computes it itself."""

    def attend(self, query_NHE: Tensor, keys_values: KeyValue) -> Tensor:
        """Heads ``[N, H * E]`` of flat queries ``[N, H, E]`` over flat keys and values ``[M, K, E]``."""
        ...


class Attention(nn.Module):
    """Grouped-query attention with QK-norm over flat tokens; positions are optional (cross-attention has none)."""

    def __init__(self, config: NeedleConfig) -> None:
        super().__init__()
        size, head = config.hidden_size, config.head_size
        self.head_size = head
        self.q = Linear(size, config.num_attention_heads * head)
        self.k = Linear(size, config.num_key_value_heads * head)
        self.v = Linear(size, config.num_key_value_heads * head)
        self.o = Linear(config.num_attention_heads * head, size)
        self.q_norm = RMSNorm(head, config.norm_eps)
        self.k_norm = RMSNorm(head, config.norm_eps)

    def queries(self, x_ND: Tensor, table: KeyValue | None = None) -> Tensor:
        """Queries ``[N, H, E]``."""
        query = self.q_norm(self.q(x_ND).unflatten(-1, (-1, self.head_size)))
        return rotate(query, table) if table else query

    def keys_values(self, x_ND: Tensor, table: KeyValue | None = None) -> KeyValue:
        """Keys and values ``[N, K, E]``."""
        key = self.k_norm(self.k(x_ND).unflatten(-1, (-1, self.head_size)))
        value = self.v(x_ND).unflatten(-1, (-1, self.head_size))
        return (rotate(key, table) if table else key), value

    def attend(self, query_NHE: Tensor, keys_values: KeyValue, blocks: Blocks | Layout, observe: Observer | None = None) -> Tensor:
        """Heads ``[N, H * E]`` of the real queries of all ``blocks``, in order; ``observe`` gets the probabilities of each one of ``Blocks``.

        Query heads that share a key
        head are folded into the time axis, so that keys are never repeated.
        """
        if not isinstance(blocks, Blocks):
            return blocks.attend(query_NHE, keys_values)
        queries = query_NHE.flatten(1).index_select(0, blocks.queries)
        queries = queries.split([rows * length for rows, length, _ in blocks.shapes])
        if blocks.keys is None:
            pairs = [keys_values]
        else:
            flat = torch.stack(keys_values, dim=1).flatten(1).index_select(0, blocks.keys)
            parts = flat.split([rows * seen for rows, _, seen in blocks.shapes])
            inner = (2, *keys_values[0].shape[1:])
            pairs = [part.view(rows, seen, *inner).permute(2, 0, 3, 1, 4) for part, (rows, _, seen) in zip(parts, blocks.shapes, strict=True)]
        heads = [
            _attend_rows(query.view(rows, length, *query_NHE.shape[1:]), key, value, bias, observe)
            for (rows, length, _), query, (key, value), bias in zip(blocks.shapes, queries, pairs, blocks.biases, strict=True)
        ]
        return torch.cat(heads).index_select(0, blocks.real_N)


def _attend_rows(query_BTHE: Tensor, key_BKSE: Tensor, value_BKSE: Tensor, bias: Tensor, observe: Observer | None) -> Tensor:
    """Heads ``[B * T, H * E]`` of one block."""
    rows, length, heads, size = query_BTHE.shape
    kinds = key_BKSE.shape[1]
    query = (query_BTHE * size**-0.5).transpose(1, 2).reshape(rows, kinds, -1, size)
    scores = query @ key_BKSE.transpose(-1, -2)
    scores = scores.unflatten(2, (heads // kinds, length)) + bias.to(scores.dtype)[:, :, None]
    weights = scores.softmax(-1).flatten(2, 3)
    if observe is not None:
        observe(weights.unflatten(2, (heads // kinds, length)).flatten(1, 2))
    out = (weights @ value_BKSE).unflatten(2, (heads // kinds, length)).flatten(1, 2)
    return out.transpose(1, 2).reshape(rows * length, heads * size)


class FeedForward(nn.Module):
    """SwiGLU block of inner width ``config.ffn_size``."""

    def __init__(self, config: NeedleConfig) -> None:
        super().__init__()
        self.up = Linear(config.hidden_size, 2 * config.ffn_size)
        self.down = Linear(config.ffn_size, config.hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        """``[..., D]`` to ``[..., D]``."""
        gate, up = self.up(x).chunk(2, dim=-1)
        return self.down(F.silu(gate) * up)


class Gated(nn.Module):
    """Residual branch ``x + sigmoid(gate) * branch(norm(x))`` around one sublayer."""

    def __init__(self, config: NeedleConfig, branch: nn.Module) -> None:
        super().__init__()
        self.norm = RMSNorm(config.hidden_size, config.norm_eps)
        self.branch = branch
        self.gate = nn.Parameter(torch.zeros(()))

    def add(self, x: Tensor, y: Tensor) -> Tensor:
        """Residual sum of ``x`` and the branch output ``y``."""
        return x + torch.sigmoid(self.gate).to(x.dtype) * y


def project(gated: Gated, x_ND: Tensor, table: KeyValue) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values of self-attention."""
    attention: Attention = gated.branch
    normed = gated.norm(x_ND)
    return attention.queries(normed, table), *attention.keys_values(normed, table)


def ask(gated: Gated, x_ND: Tensor) -> Tensor:
    """Queries of cross-attention."""
    return gated.branch.queries(gated.norm(x_ND))


def remember(attention: Attention, memory_ND: Tensor) -> KeyValue:
    """Keys and values of cross-attention."""
    return attention.keys_values(memory_ND)


def add(gated: Gated, x_ND: Tensor, heads: Tensor) -> Tensor:
    """Residual sum with the output of attention."""
    return gated.add(x_ND, gated.branch.o(heads))


@dataclass(frozen=True)
class Regions:
    """What layers do around attention, as it is written or compiled (``needle.student.modeling.compiled``)."""

    project: Callable[[Gated, Tensor, KeyValue], tuple[Tensor, Tensor, Tensor]] = project
    ask: Callable[[Gated, Tensor], Tensor] = ask
    remember: Callable[[Attention, Tensor], KeyValue] = remember
    add: Callable[[Gated, Tensor, Tensor], Tensor] = add


class Layer(nn.Module):
    """What both kinds of layers have."""

    fast: Regions | None = None
    """Used in training in place of the plain ones, where set."""

    @property
    def regions(self) -> Regions:
        """The regions to use now."""
        return self.fast if self.fast is not None and self.training else PLAIN


PLAIN = Regions()


class EncoderLayer(Layer):
    """Self-attention over tools and requests, then (optionally) a feed-forward block."""

    def __init__(self, config: NeedleConfig) -> None:
        super().__init__()
        self.attention = Gated(config, Attention(config))
        self.ffn = Gated(config, FeedForward(config)) if config.ffn_size else None

    def forward(self, x_ND: Tensor, blocks: Blocks | Layout, table: KeyValue) -> Tensor:
        """``[N, D]`` to ``[N, D]``; the blocks' queries are all tokens, in flat order."""
        query, *keys_values = self.regions.project(self.attention, x_ND, table)
        x_ND = self.regions.add(self.attention, x_ND, self.attention.branch.attend(query, tuple(keys_values), blocks))
        return x_ND if self.ffn is None else self.ffn.add(x_ND, self.ffn.branch(self.ffn.norm(x_ND)))


class DecoderLayer(Layer):
    """Causal self-attention, cross-attention to the source, then (optionally) a feed-forward block."""

    def __init__(self, config: NeedleConfig) -> None:
        super().__init__()
        self.attention = Gated(config, Attention(config))
        self.cross = Gated(config, Attention(config))
        self.ffn = Gated(config, FeedForward(config)) if config.ffn_size else None

    def forward(
        self,
        x_ND: Tensor,
        table: KeyValue,
        past: Callable[[KeyValue], KeyValue],
        blocks: Blocks | Layout,
        source: KeyValue,
        cross: Blocks | Layout,
        observe: Observer | None = None,
    ) -> Tensor:
        """``[N, D]`` to ``[N, D]``; ``past`` turns this call's keys and values into all that ``blocks`` index (a cache, or itself).

        ``observe`` gets the probabilities of the cross-attention.
        """
        query, *keys_values = self.regions.project(self.attention, x_ND, table)
        x_ND = self.regions.add(self.attention, x_ND, self.attention.branch.attend(query, past(tuple(keys_values)), blocks))
        query = self.regions.ask(self.cross, x_ND)
        x_ND = self.regions.add(self.cross, x_ND, self.cross.branch.attend(query, source, cross, observe))
        return x_ND if self.ffn is None else self.ffn.add(x_ND, self.ffn.branch(self.ffn.norm(x_ND)))
