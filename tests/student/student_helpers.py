"""A tiny student with lively weights, and the model written again the plain way: one row, no packing, no caches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from needle.student.modeling import NeedleConfig, NeedleModel
from needle.student.modeling.batching import pack_source, pack_target
from needle.student.tokenizer import BOS, SPECIAL_IDS
from needle.tools import ToolSpec

DATA = Path(__file__).parents[2] / "data"
START = SPECIAL_IDS[BOS]
TINY = {"hidden_size": 64, "num_encoder_layers": 2, "num_decoder_layers": 2, "num_attention_heads": 2,
        "num_key_value_heads": 1, "request_independent_layers": 2}  # fmt: skip


def tiny_model(seed: int = 0, **changes: int) -> NeedleModel:
    """A model whose every part matters: large random weights, gains and gates."""
    torch.manual_seed(seed)
    model = NeedleModel(NeedleConfig(**{**TINY, "initializer_range": 0.15, **changes}))
    for parameter in model.parameters():
        if parameter.ndim < 2:
            nn.init.normal_(parameter, std=0.3)
    return model.eval()


def token_rows(seed: int, *lengths: int) -> list[list[int]]:
    """Random plain tokens, one list for each length."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(20, 8192, (length,), generator=generator).tolist() for length in lengths]


def batch_logits(
    model: NeedleModel,
    toolsets: Sequence[Sequence[int]],
    requests: Sequence[Sequence[int]],
    toolset_of: Sequence[int],
    answers: Sequence[Sequence[int]],
) -> list[Tensor]:
    """Teacher-forced logits ``[T, V]`` of each row, from one packed pass."""
    source = pack_source(toolsets, requests, toolset_of)
    with torch.no_grad():
        logits = model.logits(model(source, pack_target(answers, source)))
    return list(logits.split([len(answer) for answer in answers]))


def _norm(x: Tensor, gain: Tensor, eps: float) -> Tensor:
    return x / (x.square().mean(-1, keepdim=True) + eps).sqrt() * (1 + gain)


def _rotate(x: Tensor, positions: Tensor, theta: float) -> Tensor:
    half = x.shape[-1] // 2
    out = torch.empty_like(x)
    for pair in range(half):
        angle = positions.float() * theta ** (-pair / half)
        first, second = x[..., pair], x[..., half + pair]
        out[..., pair] = first * angle.cos() - second * angle.sin()
        out[..., half + pair] = second * angle.cos() + first * angle.sin()
    return out


def plain_attention(
    attention: nn.Module,
    config: NeedleConfig,
    x: Tensor,
    memory: Tensor,
    seen: Tensor,
    positions: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """Softmax attention ``[T, D]``, one head after the other; ``seen [T, S]`` is True where a query may look."""
    size, heads = config.head_size, []
    for head in range(config.num_attention_heads):
        own = slice(head * size, (head + 1) * size)
        shared = head * config.num_key_value_heads // config.num_attention_heads
        theirs = slice(shared * size, (shared + 1) * size)
        query = _norm(x @ attention.q.weight[own].T, attention.q_norm.gain, config.norm_eps)
        key = _norm(memory @ attention.k.weight[theirs].T, attention.k_norm.gain, config.norm_eps)
        if positions:
            query, key = _rotate(query, positions[0], config.rope_theta), _rotate(key, positions[1], config.rope_theta)
        scores = (query @ key.T / math.sqrt(size)).masked_fill(~seen, -math.inf)
        heads.append(scores.softmax(-1) @ (memory @ attention.v.weight[theirs].T))
    return torch.cat(heads, -1) @ attention.o.weight.T


@torch.no_grad()
def plain_logits(model: NeedleModel, tools: Sequence[int], request: Sequence[int], answer: Sequence[int]) -> Tensor:
    """Logits ``[T, V]`` of one row, written from the description of the architecture."""
    config, scale = model.config, math.sqrt(model.config.hidden_size)
    embedding, eps = model.embedding.weight, model.config.norm_eps
    source = torch.tensor([*tools, *request])
    x, places = embedding[source] * scale, torch.arange(len(source))
    is_tool = places < len(tools)
    for number, layer in enumerate(model.encoder):
        seen = torch.ones(len(source), len(source), dtype=torch.bool)
        if number < config.request_independent_layers:
            seen[is_tool[:, None] & ~is_tool] = False
        normed = _norm(x, layer.attention.norm.gain, eps)
        x = x + layer.attention.gate.sigmoid() * plain_attention(
            layer.attention.branch, config, normed, normed, seen, (places, places)
        )
        x = _plain_ffn(layer, x, eps)
    memory = _norm(x, model.encoder_norm.gain, eps)
    y, places = embedding[torch.tensor(answer)] * scale, torch.arange(len(answer))
    causal, everything = places[:, None] >= places, torch.ones(len(answer), len(source), dtype=torch.bool)
    for layer in model.decoder:
        normed = _norm(y, layer.attention.norm.gain, eps)
        y = y + layer.attention.gate.sigmoid() * plain_attention(
            layer.attention.branch, config, normed, normed, causal, (places, places)
        )
        normed = _norm(y, layer.cross.norm.gain, eps)
        y = y + layer.cross.gate.sigmoid() * plain_attention(layer.cross.branch, config, normed, memory, everything)
        y = _plain_ffn(layer, y, eps)
    return _norm(y, model.decoder_norm.gain, eps) @ embedding.T


def _plain_ffn(layer: nn.Module, x: Tensor, eps: float) -> Tensor:
    if layer.ffn is None:
        return x
    gate, up = (_norm(x, layer.ffn.norm.gain, eps) @ layer.ffn.branch.up.weight.T).chunk(2, dim=-1)
    return x + layer.ffn.gate.sigmoid() * ((gate * gate.sigmoid() * up) @ layer.ffn.branch.down.weight.T)


def tool(name: str, properties: dict | None = None, required: Sequence[str] = (), description: str = "") -> ToolSpec:
    """A tool in one line."""
    return ToolSpec(name, description, {"type": "object", "properties": properties or {}, "required": list(required)})


LIGHT = tool(
    "set_light",
    {
        "room": {"type": "string", "enum": ["kitchen", "hall"]},
        "level": {"type": "integer", "minimum": 0, "maximum": 100},
    },
    ["room"],
    "Dim the lights of a room.",
)
TIMER = tool(
    "start_timer",
    {"minutes": {"type": "integer", "minimum": 1, "maximum": 180}, "label": {"type": "string"}},
    ["minutes"],
)
STOP = tool("stop", description="Stop everything.")
