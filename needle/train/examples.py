"""Traces as token ids, and the order in which a run sees them."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from tokenizers import Tokenizer

from needle.errors import UserError
from needle.student.modeling import NeedleConfig
from needle.student.rendering import render_answer, render_request, render_tools
from needle.tools import ToolSpec, fingerprint
from needle.tools.described import with_formats
from needle.traces import Trace
from needle.traces.standard import standard
from needle.train.votes import Votes, row_votes

Transform = Callable[[Sequence[Trace], random.Random], Sequence[Trace]]
"""Variations of rows that share a toolset: as many, and sharing one again (any that is the same object is rendered once)."""
Chunk = tuple[str, tuple[int, ...]]
"""Rows of one toolset that a step takes together: the toolset's key and their places in its group."""


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
    votes: Votes = ()
    """Places in the answer where the labels of a vote parted, with the share of each next token."""
    specs: tuple[ToolSpec, ...] = field(default=(), compare=False, repr=False)
    """The tools themselves, where the set keeps them (``ExampleSet.keeps_tools``)."""


class ExampleSet:
    """Traces grouped by toolset; rows are rendered when drawn, so that a transform can vary them from epoch to epoch."""

    def __init__(self, traces: Sequence[Trace], tokenizer: Tokenizer, config: NeedleConfig, transform: Transform | None = None) -> None:
        """Raises ``UserError`` when no row fits the context; those that do not are left out whole and counted in ``too_long``."""
        self.tokenizer, self.config, self.transform = tokenizer, config, transform
        self.groups: dict[str, list[Trace]] = defaultdict(list)
        self.tools: dict[str, tuple[int, ...]] = {}
        self.too_long = 0
        self.keeps_tools = False
        told = {id(tools) for tools in {id(trace.tools): trace.tools for trace in traces}.values() if with_formats(tools) is not tools}
        for trace in traces:
            trace = standard(trace) if id(trace.tools) in told else trace
            key = fingerprint(trace.tools)
            if key not in self.tools:
                self.tools[key] = tuple(render_tools(tokenizer, trace.tools))
            if self._fits(self._example(trace, self.tools[key])):
                self.groups[key].append(trace)
            else:
                self.too_long += 1
        self.groups = {key: rows for key, rows in self.groups.items() if rows}
        if not self.groups:
            raise UserError(f"no trainable example: {len(traces)} traces given, {self.too_long} longer than the context")

    def __len__(self) -> int:
        return sum(len(rows) for rows in self.groups.values())

    def toolsets_of(self, rows: int, rows_per_toolset: int) -> float:
        """Toolsets in a batch of about ``rows`` rows, on average."""
        chunks = sum(-(-len(group) // rows_per_toolset) for group in self.groups.values())
        return rows * chunks / len(self)

    def rendered(self) -> list[Example]:
        """Every row as it is, without the transform."""
        return [self._example(trace, self.tools[key]) for key, traces in self.groups.items() for trace in traces]

    def plan(self, seed: int, epoch: int, rows: int, rows_per_toolset: int) -> list[list[Chunk]]:
        """Batches of about ``rows`` rows for one pass, in an order that depends on ``(seed, epoch)`` only."""
        rng = random.Random(f"{seed}/{epoch}")
        chunks: list[Chunk] = []
        for key in sorted(self.groups):
            mine = rng.sample(range(len(self.groups[key])), len(self.groups[key]))
            chunks += [(key, tuple(mine[start : start + rows_per_toolset])) for start in range(0, len(mine), rows_per_toolset)]
        rng.shuffle(chunks)
        batches: list[list[Chunk]] = [[]]
        for chunk in chunks:
            if sum(len(places) for _, places in batches[-1]) >= rows:
                batches.append([])
            batches[-1].append(chunk)
        return batches

    def draw(self, batch: Sequence[Chunk], rng: random.Random) -> list[Example]:
        """The rows of one planned batch, varied by the transform; a variation that is too long gives way to the row as it is."""
        examples: list[Example] = []
        for key, places in batch:
            plain = [self.groups[key][place] for place in places]
            varied = self.transform(plain, rng) if self.transform else plain
            known = {id(plain[0].tools): self.tools[key]}
            for trace, other in zip(plain, varied, strict=True):
                if id(other.tools) not in known:
                    same = other.tools == trace.tools
                    known[id(other.tools)] = self.tools[key] if same else tuple(render_tools(self.tokenizer, other.tools))
                example = self._example(other, known[id(other.tools)])
                examples.append(example if self._fits(example) else self._example(trace, self.tools[key]))
        return examples

    def epoch(self, seed: int, epoch: int, rows: int, rows_per_toolset: int) -> Iterator[list[Example]]:
        """The batches of one pass; each depends on ``(seed, epoch, its number)`` only, whoever draws it."""
        for number, batch in enumerate(self.plan(seed, epoch, rows, rows_per_toolset)):
            yield self.draw(batch, random.Random(f"{seed}/{epoch}/{number}"))

    def _example(self, trace: Trace, tools: tuple[int, ...]) -> Example:
        answer, classes = render_answer(self.tokenizer, trace.calls, trace.tools)
        votes = row_votes(self.tokenizer, trace, answer) if "votes" in trace.meta else ()
        return Example(tools, tuple(render_request(self.tokenizer, trace.request)), tuple(answer), tuple(classes), votes, trace.tools if self.keeps_tools else ())

    def _fits(self, example: Example) -> bool:
        config = self.config
        return (
            len(example.request) <= config.max_request_tokens
            and len(example.answer) <= config.max_target_tokens
            and len(example.tools) + len(example.request) <= config.max_source_tokens
        )
