"""Fits the head that finds tools by meaning (``needle.student.retrieval``), with the student's weights frozen.

Two small projections of averaged encoder outputs are fitted so that a request lies nearer to the tools that its answer calls than to other tools
of the batch (InfoNCE, van den Oord et al., 2018, arXiv:1807.03748; with dense vectors for questions and passages Karpukhin et al., 2020,
arXiv:2004.04906). How much their cosine counts beside the words is chosen on toolsets that the fit did not see.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from needle.tools import ToolSpec
from needle.tools.retrieval import ToolIndex, best_first, searched
from needle.traces import Trace

TEMPERATURE = 0.05
"""Divides cosines in the loss."""
WEIGHTS = (0.0, 2.5, 5.0, 10.0, 20.0)
"""Worth of a cosine of 1, in lexical score, that is tried."""
POOLS = (50, 100)
"""Tools among which held-out requests look for theirs."""
AT = (1, 3, 5, 10)
"""k of recall@k; the weight with the highest mean over pools and k is taken."""


def fit_head(
    requests_ND: np.ndarray, tools_MD: np.ndarray, right: Sequence[Sequence[int]], size: int = 64, epochs: int = 20, seed: int = 0
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
    belongs = [set(own) for own in right]
    steps = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=epochs * -(-rows // batch))
    for _ in range(epochs):
        order = generator.permutation(rows)
        for start in range(0, rows, batch):
            places = order[start : start + batch]
            positives = np.array([generator.choice(right[place]) for place in places])
            also = torch.tensor([[tool in belongs[place] for tool in positives] for place in places])
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


@dataclass(frozen=True)
class Trial:
    """A held-out request that looks for its tools among others."""

    toolset: str
    """Where it is from."""
    pool: int
    """Tools that were asked for (``POOLS``)."""
    words: np.ndarray
    """Lexical score of each tool."""
    near: np.ndarray
    """Cosine of each tool."""
    right: tuple[int, ...]
    """Places of the tools that its answer calls."""

    def worst(self, weight: float) -> int:
        """Place, from 0, of the last of its tools in the common order."""
        order = best_first((self.words + weight * self.near).tolist())
        return max(order.index(place) for place in self.right)


def trials(rows: Sequence[Trace], tools: Sequence[ToolSpec], near_NM: np.ndarray, key: Callable[[ToolSpec], str], seed: int = 0) -> list[Trial]:
    """Each row with a call, in each pool: the tools of its toolset and others of ``tools``, drawn once a toolset.

    ``near_NM``: cosine of rows and tools. ``key``: what tells tools apart; rows whose tools are not among ``tools`` are left out.
    """
    found = []
    place = {key(tool): number for number, tool in enumerate(tools)}
    for toolset in sorted({row.toolset for row in rows}):
        inside = [number for number, row in enumerate(rows) if row.toolset == toolset]
        own = {place[one] for number in inside for tool in rows[number].tools if (one := key(tool)) in place}
        names = {tools[one].name for one in own}
        others = [number for number, tool in enumerate(tools) if tool.name not in names]
        random.Random(f"{seed} {toolset}").shuffle(others)
        for size in POOLS:
            pool = sorted([*own, *others[: max(size - len(own), 0)]])
            index = ToolIndex([tools[number] for number in pool])
            for number in inside:
                row, called = rows[number], {call.name for call in rows[number].calls}
                due = [place.get(key(tool), -1) for tool in row.tools if tool.name in called]
                if called and len(due) == len(called) and -1 not in due:
                    words = np.array(index.scores(searched(row.query, row.messages)))
                    found.append(Trial(toolset, size, words, near_NM[number, pool], tuple(pool.index(one) for one in due)))
    return found


def recall(asked: Sequence[Trial], weight: float) -> dict[int, dict[int, float]]:
    """Pool to k to the share of requests whose called tools are all among the first k."""
    found = {}
    for size in POOLS:
        worst = [trial.worst(weight) for trial in asked if trial.pool == size]
        found[size] = {k: sum(place < k for place in worst) / max(len(worst), 1) for k in AT}
    return found


def choose_weight(asked: Sequence[Trial]) -> tuple[float, Mapping[int, dict[int, dict[str, float]]]]:
    """The weight that is best on one half of the toolsets, and recall on the other: pool, k, then ``words`` and ``both``.

    Where there is one toolset, the halves are requests. 0: the head finds no more than the words do.
    """
    groups = sorted({trial.toolset for trial in asked})
    if len(groups) > 1:
        chosen_on = set(groups[::2])
        halves = [trial for trial in asked if trial.toolset in chosen_on], [trial for trial in asked if trial.toolset not in chosen_on]
    else:
        halves = list(asked[::2]), list(asked[1::2])
    worth = {weight: np.mean([list(at.values()) for at in recall(halves[0], weight).values()]) for weight in WEIGHTS}
    weight = max(WEIGHTS, key=lambda one: worth[one])
    words, both = recall(halves[1], 0.0), recall(halves[1], weight)
    return weight, {size: {k: {"words": words[size][k], "both": both[size][k]} for k in AT} for size in POOLS}
