"""A head that finds tools by meaning: two small projections on pooled encoder states, trained after the student with its weights frozen.

The request and each tool are encoded by themselves and averaged over their tokens; the projections are fitted so that a request lies nearer to
the tools that its answer calls than to other tools of the batch (InfoNCE, van den Oord et al., 2018, arXiv:1807.03748; with dense vectors for
questions and passages Karpukhin et al., 2020, arXiv:2004.04906).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional as F

from needle.student.modeling import NeedleModel
from needle.student.modeling.batching import pack_source
from needle.student.rendering import render_request, render_tools
from needle.tools import Request, ToolSpec

TEMPERATURE = 0.05
"""Divides cosines in the loss."""


@torch.inference_mode()
def pooled_tools(model: NeedleModel, tokenizer: Tokenizer, tools: Sequence[ToolSpec], rows: int = 32) -> np.ndarray:
    """``[N, D]``: each tool encoded by itself, mean over its tokens."""
    return _pooled(model, [(render_tools(tokenizer, [tool]), None) for tool in tools], rows)


@torch.inference_mode()
def pooled_requests(model: NeedleModel, tokenizer: Tokenizer, requests: Sequence[Request], rows: int = 32) -> np.ndarray:
    """``[N, D]``: each request encoded without tools, mean over its tokens."""
    nothing = render_tools(tokenizer, ())
    return _pooled(model, [(nothing, render_request(tokenizer, request)) for request in requests], rows)


def _pooled(model: NeedleModel, sources: Sequence[tuple[list[int], list[int] | None]], rows: int) -> np.ndarray:
    """Means over the second list of each source, or over the first where there is no second."""
    order = sorted(range(len(sources)), key=lambda place: sum(len(part or ()) for part in sources[place]))
    found = np.zeros((len(sources), model.config.hidden_size), dtype=np.float32)
    for start in range(0, len(order), rows):
        places = order[start : start + rows]
        firsts = [sources[place][0] for place in places]
        seconds = [sources[place][1] or firsts[0][:1] for place in places]
        states = model.encode(pack_source(firsts, seconds, range(len(places)))).float()
        first, second = states.split([sum(map(len, firsts)), sum(map(len, seconds))])
        parts = (second.split([len(ids) for ids in seconds]), first.split([len(ids) for ids in firsts]))
        for row, place in enumerate(places):
            found[place] = parts[sources[place][1] is None][row].mean(0).numpy()
    return found


def fit_head(
    requests_ND: np.ndarray, tools_MD: np.ndarray, right: Sequence[Sequence[int]], size: int = 128, epochs: int = 20, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Projections ``[D, size]`` of requests and of tools.

    ``right``: places among the tools of those that each request's answer calls; one of them, drawn anew each epoch, is the positive, the other
    requests' tools are the negatives (those that are right for the request too are left out).
    """
    torch.manual_seed(seed)
    generator = np.random.default_rng(seed)
    asked, known = _standard(requests_ND), _standard(tools_MD)
    width = asked.shape[1]
    shared = torch.randn(width, size) / width**0.5
    heads = [torch.nn.Parameter(shared.clone()), torch.nn.Parameter(shared.clone())]
    optimizer = torch.optim.AdamW(heads, lr=2e-3, weight_decay=0.05)
    rows, batch = len(right), 256
    belongs_NM = np.zeros((rows, len(tools_MD)), dtype=bool)
    for place, own in enumerate(right):
        belongs_NM[place, list(own)] = True
    steps = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=epochs * -(-rows // batch))
    for _ in range(epochs):
        order = generator.permutation(rows)
        for start in range(0, rows, batch):
            places = order[start : start + batch]
            positives = np.array([generator.choice(right[place]) for place in places])
            also = torch.from_numpy(belongs_NM[places][:, positives])
            scores = _project(asked[places], heads[0]) @ _project(known[positives], heads[1]).T / TEMPERATURE
            also.fill_diagonal_(False)
            loss = F.cross_entropy(scores.masked_fill(also, -1e9), torch.arange(len(places)))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            steps.step()
    return heads[0].detach().numpy(), heads[1].detach().numpy()


def _standard(x_ND: np.ndarray) -> Tensor:
    return F.normalize(torch.from_numpy(x_ND), dim=-1) * x_ND.shape[1] ** 0.5


def _project(x_ND: Tensor, head: Tensor) -> Tensor:
    return F.normalize(x_ND @ head, dim=-1)


def similarity(requests_ND: np.ndarray, tools_MD: np.ndarray, heads: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Cosine ``[N, M]`` of requests and tools under the heads."""
    asked, known = (_project(_standard(x), torch.from_numpy(head)) for x, head in zip((requests_ND, tools_MD), heads, strict=True))
    return (asked @ known.T).numpy()
