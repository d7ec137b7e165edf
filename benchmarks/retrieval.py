"""How often the right tools are among the k that fit a request best, in toolsets of 50, 100 and 500 tools.

    python benchmarks/retrieval.py [--traces data/traces/validation.jsonl.gz] [--learn data/traces/train.jsonl.gz]

Toolsets of the recorded traces are merged (tools of one name once) until there are that many tools; the requests are those of the merged toolsets
whose answer has a call. A row counts when every tool that its answer calls is among the k. Beside the index: shared words alone; with
``--learn`` also a contrastive head on the frozen encoder of the bundled base (``needle.train.retrieval``), alone and added to the index.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from needle.tools import Request, ToolSpec
from needle.tools.likeness import telling_words, tool_words
from needle.tools.retrieval import ToolIndex
from needle.traces import Trace
from needle.traces.read import read_traces

Order = Callable[[str], list[int]]
AT = (1, 3, 5, 10, 20)


def pools(traces: Sequence[Trace], size: int) -> Iterator[tuple[list[ToolSpec], list[Trace]]]:
    """Merged toolsets of at least ``size`` tools with the rows of those in them."""
    by_set: dict[str, list[Trace]] = {}
    for trace in traces:
        by_set.setdefault(trace.toolset, []).append(trace)
    names = sorted(by_set)
    random.Random(0).shuffle(names)
    tools: dict[str, ToolSpec] = {}
    rows: list[Trace] = []
    for name in names:
        for trace in by_set[name]:
            tools = {tool.name: tool for tool in trace.tools} | tools
        rows += [trace for trace in by_set[name] if trace.calls and all(tools[tool.name] == tool for tool in trace.tools)]
        if len(tools) >= size:
            yield list(tools.values()), rows
            tools, rows = {}, []


def by_shared_words(tools: Sequence[ToolSpec]) -> Order:
    """Tools by the number of telling words that they share with the request."""
    known = [tool_words(tool) for tool in tools]

    def order(query: str) -> list[int]:
        asked = telling_words(query)
        return sorted(range(len(tools)), key=lambda place: -len(asked & known[place]))

    return order


class Learned:
    """A head fitted on the rows of ``toolsets`` training toolsets; orders tools alone or together with the index."""

    def __init__(self, file: Path, toolsets: int, rows: int) -> None:
        from needle.models import checkpoint_folder
        from needle.student.modeling.storage import load_model
        from needle.student.tokenizer import load_tokenizer
        from needle.train import retrieval

        self.room, folder = retrieval, checkpoint_folder()
        self.model, self.tokenizer = load_model(folder), load_tokenizer(folder)
        traces, _ = read_traces(file)
        kept = set(random.Random(0).sample(sorted({trace.toolset for trace in traces}), toolsets))
        asked = [trace for trace in traces if trace.calls and trace.toolset in kept]
        asked = random.Random(0).sample(asked, min(rows, len(asked)))
        tools = list({_key(tool): tool for trace in asked for tool in trace.tools}.values())
        place = {_key(tool): number for number, tool in enumerate(tools)}
        right = [[place[_key(tool)] for tool in trace.tools if tool.name in {call.name for call in trace.calls}] for trace in asked]
        self.vectors: dict[str, np.ndarray] = {}
        self.heads = retrieval.fit_head(self._requests([trace.request for trace in asked]), self._tools(tools), right)

    def _requests(self, requests: Sequence[Request]) -> np.ndarray:
        return self.room.pooled_requests(self.model, self.tokenizer, requests)

    def _tools(self, tools: Sequence[ToolSpec]) -> np.ndarray:
        fresh = [tool for tool in tools if _key(tool) not in self.vectors]
        self.vectors |= dict(zip(map(_key, fresh), self.room.pooled_tools(self.model, self.tokenizer, fresh), strict=True)) if fresh else {}
        return np.stack([self.vectors[_key(tool)] for tool in tools])

    def order(self, tools: Sequence[ToolSpec], weight: float) -> Order:
        """``weight`` of the index beside the cosine."""
        known, index = self._tools(tools), ToolIndex(tools)

        def by_both(query: str) -> list[int]:
            near = self.room.similarity(self._requests([Request(query, ())]), known, self.heads)[0]
            scores = near + weight * np.array(index.scores(query))
            return np.argsort(-scores, kind="stable").tolist()

        return by_both


def _key(tool: ToolSpec) -> str:
    return json.dumps(tool.to_dict(), sort_keys=True)


def recall(traces: Sequence[Trace], size: int, make: Callable[[Sequence[ToolSpec]], Order], most: int) -> tuple[list[float], int, float]:
    """Share of rows with all called tools among the first k, for each k; rows; milliseconds a request."""
    hits, count, seconds = [0] * len(AT), 0, 0.0
    for tools, rows in pools(traces, size):
        order = make(tools)
        for trace in random.Random(0).sample(rows, min(most, len(rows))):
            began = time.perf_counter()
            places = order(trace.query)
            seconds += time.perf_counter() - began
            worst = max(places.index(place) for place, tool in enumerate(tools) if tool.name in {call.name for call in trace.calls})
            hits = [hit + (worst < k) for hit, k in zip(hits, AT, strict=True)]
            count += 1
    return [hit / max(count, 1) for hit in hits], count, 1000 * seconds / max(count, 1)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--traces", type=Path, default=Path("data/traces/validation.jsonl.gz"))
    parser.add_argument("--rows", type=int, default=300, help="rows of each merged toolset")
    parser.add_argument("--learn", type=Path, help="training traces for a learned head")
    parser.add_argument("--toolsets", type=int, default=350, help="training toolsets of the head")
    options = parser.parse_args()
    traces, _ = read_traces(options.traces)
    methods: dict[str, Callable[[Sequence[ToolSpec]], Order]] = {"shared words": by_shared_words, "index": lambda tools: ToolIndex(tools).order}
    if options.learn:
        head = Learned(options.learn, options.toolsets, 3000)
        methods |= {"learned head": lambda tools: head.order(tools, 0.0), "both": lambda tools: head.order(tools, 0.1)}
    for size in (50, 100, 500):
        for name, make in methods.items():
            rates, count, spent = recall(traces, size, make, options.rows)
            at = "  ".join(f"@{k} {rate:.3f}" for k, rate in zip(AT, rates, strict=True))
            print(f"{size:4} tools  {name:13} recall {at}  ({count:,} rows, {spent:.2f} ms)", flush=True)


if __name__ == "__main__":
    main()
