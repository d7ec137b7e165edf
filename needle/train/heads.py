"""Which attention heads of the decoder point at the words that a value came from, chosen on rows whose spans are known.

Every (layer, head) is scored by how often the source token it attends to most, averaged over a value's tokens and among the request's words,
lies in the known span. After Whisper's alignment heads (Radford et al., 2022, arXiv:2212.04356), which were chosen by hand in the same way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from tokenizers import Tokenizer

from needle.student.alignment import value_tokens
from needle.student.modeling import NeedleModel
from needle.student.modeling.batching import pack_source, pack_target
from needle.student.rendering import render_answer, render_request, render_tools
from needle.student.tokenizer import BOS, SPECIAL_IDS
from needle.tools import Request, ToolCall

Spans = Mapping[str, tuple[int, int]]
"""Known first and one-past-last character in the request, by ``call index.argument path``."""
MOST = 8
"""Heads that are kept."""


@dataclass(frozen=True)
class Looked:
    """Where every head looked while one value was written."""

    path: str
    """``call index.argument path``."""
    weights_LHQ: np.ndarray
    """Attention to each token of the request, mean over the value's tokens, float32."""
    offsets: list[tuple[int, int]]
    """Characters of each of these tokens."""

    def hits(self, span: tuple[int, int]) -> np.ndarray:
        """``[L, H]`` boolean: whether the most attended token lies in the span."""
        inside = np.array([start < span[1] and span[0] < end for start, end in self.offsets])
        return inside[self.weights_LHQ.argmax(-1)]

    def characters(self, heads: Sequence[Sequence[int]], length: int) -> list[float]:
        """Mean attention of ``heads`` to each character of a request of ``length`` characters."""
        mean = np.mean([self.weights_LHQ[layer, head] for layer, head in heads], axis=0)
        weights = [0.0] * length
        for (start, end), mass in zip(self.offsets, mean.tolist(), strict=True):
            for character in range(start, end):
                weights[character] += mass / (end - start)
        return weights


@torch.inference_mode()
def looked(model: NeedleModel, tokenizer: Tokenizer, request: Request, calls: Sequence[ToolCall]) -> list[Looked]:
    """Attention behind each value of ``calls`` when the decoder is fed exactly these (teacher forcing)."""
    asked, (answer, _) = render_request(tokenizer, request), render_answer(tokenizer, calls, request.tools)
    encoding = tokenizer.encode(request.query, add_special_tokens=False)
    source = pack_source([render_tools(tokenizer, request.tools)], [asked], [0])
    target = pack_target([[SPECIAL_IDS[BOS], *answer[:-1]]], source)
    seen: dict[int, torch.Tensor] = {}
    observe = {layer: (lambda weights, layer=layer: seen.__setitem__(layer, weights[0])) for layer in range(model.config.num_decoder_layers)}
    model.decode(target, model.cross_keys_values(model.encode(source)), observe=observe)
    weights_LHTQ = torch.stack([seen[layer] for layer in sorted(seen)])[..., -len(encoding.ids) :].float().numpy()
    places = value_tokens(tokenizer, answer)
    return [Looked(path, weights_LHTQ[:, :, tokens].mean(2), encoding.offsets) for path, tokens in places.items() if tokens and encoding.ids]


def choose_heads(found: Sequence[tuple[Looked, tuple[int, int]]], most: int = MOST) -> list[list[int]]:
    """The ``(layer, head)`` pairs that point best, most telling first: at most ``most``, and none that is right half as often as the best."""
    rates = np.mean([one.hits(span) for one, span in found], axis=0)
    order = np.argsort(-rates, axis=None, kind="stable")[:most]
    pairs = [divmod(int(place), rates.shape[1]) for place in order]
    return [[layer, head] for layer, head in pairs if rates[layer, head] >= rates.max() / 2]
