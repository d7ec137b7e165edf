"""Traces as token ids, and the order in which a run sees them."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tokenizers import Tokenizer

from needle.errors import UserError
from needle.student.modeling import NeedleConfig
from needle.student.rendering import render_answer, render_request, render_tools
from needle.tools import fingerprint
from needle.traces import Trace

Transform = Callable[[Trace, random.Random], Trace]


@dataclass(frozen=True)
class Example:
    """One row as the model reads it."""

    tools: tuple[int, ...]
    """Token ids of the toolset (one object shared by all rows of it)."""
    request: tuple[int, ...]
    """Token ids of the request."""
    answer: tuple[int, ...]
    """Token ids of the answer, ``<eos>`` last."""
    classes: tuple[int, ...]
    """Token class of each answer token."""


class ExampleSet:
    """Traces grouped by toolset; rows are rendered when drawn, so that a transform can vary them from epoch to epoch."""

    def __init__(self, traces: Sequence[Trace], tokenizer: Tokenizer, config: NeedleConfig, transform: Transform | None = None) -> None:
        self.tokenizer, self.transform = tokenizer, transform
        self.groups: dict[str, list[Trace]] = defaultdict(list)
        self.tools: dict[str, tuple[int, ...]] = {}
        self.too_long = 0
        for trace in traces:
            key = fingerprint(trace.tools)
            if key not in self.tools:
                self.tools[key] = tuple(render_tools(tokenizer, trace.tools))
            request, answer = render_request(tokenizer, trace.request), render_answer(tokenizer, trace.calls, trace.tools)[0]
            fits = len(request) <= config.max_request_tokens and len(answer) <= config.max_target_tokens
            if fits and len(self.tools[key]) + len(request) <= config.max_source_tokens:
                self.groups[key].append(trace)
            else:
                self.too_long += 1
        self.groups = {key: rows for key, rows in self.groups.items() if rows}
        if not self.groups:
            raise UserError(f"no trainable example: {len(traces)} traces given, {self.too_long} longer than the context")

    def __len__(self) -> int:
        return sum(len(rows) for rows in self.groups.values())

    def render(self, key: str, trace: Trace, rng: random.Random | None = None) -> Example:
        """Token ids of one row; with ``rng`` the transform is applied first."""
        if self.transform is not None and rng is not None:
            trace = self.transform(trace, rng)
        answer, classes = render_answer(self.tokenizer, trace.calls, trace.tools)
        return Example(self.tools[key], tuple(render_request(self.tokenizer, trace.request)), tuple(answer), tuple(classes))

    def epoch(self, seed: int, epoch: int, rows: int, rows_per_toolset: int) -> Iterator[list[Example]]:
        """Batches of about ``rows`` examples for one pass, in an order that depends on ``(seed, epoch)`` only."""
        rng = random.Random(f"{seed}/{epoch}")
        chunks: list[tuple[str, list[Trace]]] = []
        for key in sorted(self.groups):
            mine = rng.sample(self.groups[key], len(self.groups[key]))
            chunks += [(key, mine[start : start + rows_per_toolset]) for start in range(0, len(mine), rows_per_toolset)]
        rng.shuffle(chunks)
        batch: list[Example] = []
        for key, mine in chunks:
            batch += [self.render(key, trace, rng) for trace in mine]
            if len(batch) >= rows:
                yield batch
                batch = []
        if batch:
            yield batch
