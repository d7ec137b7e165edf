"""The student as a ``PreTrainedModel``: encode tools and requests, decode answers, account for its own parameters and FLOPs.

Tokens are kept flat (no padding in any linear map); ``Blocks`` (decoding) or a ``Layout`` (training) say which attend to which. A toolset is encoded once for all the
requests of a batch that share it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel

from needle.student.modeling.config import NeedleConfig
from needle.student.modeling.layers import Blocks, DecoderLayer, EncoderLayer, KeyValue, Layout, Observer, RMSNorm, rotary_table


@dataclass(frozen=True)
class Source:
    """A batch of tools and requests, flat: all toolsets one after the other, then all requests."""

    ids_N: Tensor
    """Token ids."""
    positions_N: Tensor
    """Place of each token; a request continues where its toolset ends."""
    independent: Blocks | Layout
    """Tools looking at their own toolset, requests looking at their toolset and themselves."""
    joint: Blocks | Layout | None
    """Tools and requests looking at both; only for batches in which every toolset has exactly one request."""
    rows: Blocks | Layout
    """The request part of ``independent``: its keys are also what a row's answer may look at."""


@dataclass(frozen=True)
class Target:
    """A batch of answers, flat, for teacher forcing."""

    ids_N: Tensor
    """Decoder input ids (``<bos>`` first)."""
    positions_N: Tensor
    """Place of each token in its answer."""
    itself: Blocks | Layout
    """Answer tokens looking at earlier tokens of the same answer."""
    source: Blocks | Layout
    """Answer tokens looking at the row's tools and request."""
    tokens: int | None = None
    """How many tokens there are before padding; None: no padding."""


def to_device(batch: Any, device: torch.device) -> Any:
    """The same frozen dataclass with every tensor in it (nested ones and tuples included) on ``device``."""
    if isinstance(batch, Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, tuple):
        return tuple(to_device(item, device) for item in batch)
    if is_dataclass(batch):
        return replace(batch, **{field.name: to_device(getattr(batch, field.name), device) for field in fields(batch)})
    return batch


class NeedleModel(PreTrainedModel):
    """Encoder over (tools, requests), decoder over answers, one tied embedding."""

    config_class = NeedleConfig
    base_model_prefix = "needle"
    main_input_name = "source"
    _supports_sdpa = True

    def __init__(self, config: NeedleConfig) -> None:
        super().__init__(config)
        size = config.hidden_size
        self.embedding = nn.Embedding(config.vocab_size, size)
        self.encoder = nn.ModuleList(EncoderLayer(config) for _ in range(config.num_encoder_layers))
        self.encoder_norm = RMSNorm(size, config.norm_eps)
        self.decoder = nn.ModuleList(DecoderLayer(config) for _ in range(config.num_decoder_layers))
        self.decoder_norm = RMSNorm(size, config.norm_eps)
        self.embedding_quantize: Any = None
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """All initialisation: normal weights, smaller output projections, zero gains and gates."""
        std, layers = self.config.initializer_range, self.config.num_encoder_layers + self.config.num_decoder_layers
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=std)
        for name in ("o", "down"):
            if isinstance(getattr(module, name, None), nn.Linear):
                nn.init.normal_(getattr(module, name).weight, std=std / math.sqrt(2 * layers))
        for name in ("gain", "gate"):
            if isinstance(getattr(module, name, None), nn.Parameter):
                nn.init.zeros_(getattr(module, name))

    def embedding_weight(self) -> Tensor:
        """The tied table ``[V, D]`` as it takes part in the forward pass (rounded under quantisation-aware training)."""
        weight = self.embedding.weight
        return weight if self.embedding_quantize is None else self.embedding_quantize(weight)

    def embed(self, ids: Tensor, dtype: torch.dtype) -> Tensor:
        """Scaled token embeddings ``[..., D]`` of type ``dtype``."""
        return (F.embedding(ids, self.embedding_weight()) * math.sqrt(self.config.hidden_size)).to(dtype)

    def encode(self, source: Source, dtype: torch.dtype = torch.float32) -> Tensor:
        """Encode tools and requests to ``[N, D]``.

        In the first ``request_independent_layers`` layers tools see tools only; in the others they see the request as well.
        """
        x_ND = self.embed(source.ids_N, dtype)
        table = rotary_table(source.positions_N, self.config.head_size, self.config.rope_theta)
        for index, layer in enumerate(self.encoder):
            blocks = source.independent if index < self.config.request_independent_layers else source.joint
            assert blocks is not None, "joint encoder layers need batches with one request a toolset"
            x_ND = layer(x_ND, blocks, table)
        return self.encoder_norm(x_ND)

    def cross_keys_values(self, memory_ND: Tensor) -> list[KeyValue]:
        """Keys and values ``[N, K, E]`` of the encoded source for each decoder layer."""
        return [layer.regions.remember(layer.cross.branch, memory_ND) for layer in self.decoder]

    def decode(
        self,
        target: Target,
        source: list[KeyValue],
        past: Callable[[int, KeyValue], KeyValue] = lambda _, new: new,
        observe: Mapping[int, Observer] | None = None,
    ) -> Tensor:
        """Decoder states ``[N, D]``; ``past(layer, (k, v))`` gives all keys and values that ``target.itself`` indexes.

        ``observe[layer]`` gets the cross-attention probabilities ``[B, H, T, S]`` of that layer.
        """
        x_ND = self.embed(target.ids_N, source[0][0].dtype)
        table = rotary_table(target.positions_N, self.config.head_size, self.config.rope_theta)
        for index, layer in enumerate(self.decoder):
            x_ND = layer(x_ND, table, lambda new, i=index: past(i, new), target.itself, source[index], target.source, (observe or {}).get(index))
        return self.decoder_norm(x_ND)

    def logits(self, states: Tensor) -> Tensor:
        """Vocabulary logits in fp32 of decoder states ``[..., D]``."""
        return F.linear(states, self.embedding_weight().to(states.dtype)).float()

    def forward(self, source: Source, target: Target, dtype: torch.dtype = torch.float32) -> Tensor:
        """Decoder states ``[N, D]`` of the target's real tokens under teacher forcing; pass the ones that matter to ``logits``."""
        return self.decode(target, self.cross_keys_values(self.encode(source, dtype)))[: target.tokens]

    def parameter_groups(self) -> dict[str, int]:
        """Parameters by part; asserted to sum to the whole."""
        parts = {"embedding": self.embedding, "encoder": self.encoder, "decoder": self.decoder}
        counts = {name: sum(p.numel() for p in part.parameters()) for name, part in parts.items()}
        counts["final norms"] = self.encoder_norm.gain.numel() + self.decoder_norm.gain.numel()
        total = sum(p.numel() for p in self.parameters())
        assert sum(counts.values()) == total, (counts, total)
        return {**counts, "total": total}

    def flops_per_token(self) -> tuple[int, int]:
        """Matmul FLOPs (forward and backward, 6 per weight, attention scores left out) of a source and of a target token."""
        counts = self.parameter_groups()
        cross = sum(l.cross.branch.k.weight.numel() + l.cross.branch.v.weight.numel() for l in self.decoder)
        return 6 * (counts["encoder"] + cross), 6 * (counts["decoder"] - cross + counts["embedding"])
