"""How often the right tools are among the k that fit a request best, in toolsets of 50, 100 and 500 tools.

    python benchmarks/retrieval.py [--traces data/traces/validation.jsonl.gz] [--model FOLDER]

Toolsets of the recorded traces are merged (tools of one name once) until there are that many tools; the requests are those of the merged toolsets
whose answer has a call. A row counts when every tool that its answer calls is among the k. Beside the index: shared words alone, and where the
checkpoint has a head (``needle calibrate --retrieval``), that alone and added to the index.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from needle.models import checkpoint_folder, open_engine
from needle.student.retrieval import Finder, RetrievalHead
from needle.student.tokenizer import load_tokenizer
from needle.tools import ToolSpec
from needle.tools.likeness import telling_words, tool_words
from needle.tools.retrieval import ToolIndex, best_first
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


def by_head(finder: Finder, tools: Sequence[ToolSpec], words: float) -> Order:
    """Tools by the head's score and ``words`` times the lexical one."""
    known, index = finder.vectors(tools), ToolIndex(tools)
    return lambda query: best_first((finder.scores(query, known) + words * np.array(index.scores(query))).tolist())


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
    parser.add_argument("--model", help="checkpoint with a head; default: the bundled base")
    parser.add_argument("--sizes", type=int, nargs="+", default=[50, 100, 500], help="tools in a merged toolset")
    options = parser.parse_args()
    traces, _ = read_traces(options.traces)
    methods: dict[str, Callable[[Sequence[ToolSpec]], Order]] = {"shared words": by_shared_words, "index": lambda tools: ToolIndex(tools).order}
    folder = checkpoint_folder(options.model)
    head = RetrievalHead.load(folder)
    if head is not None:
        finder = Finder(head, open_engine(folder), load_tokenizer(folder))
        methods |= {"learned head": lambda tools: by_head(finder, tools, 0.0), "both": lambda tools: by_head(finder, tools, 1.0)}
    for size in options.sizes:
        for name, make in methods.items():
            rates, count, spent = recall(traces, size, make, options.rows)
            at = "  ".join(f"@{k} {rate:.3f}" for k, rate in zip(AT, rates, strict=True))
            print(f"{size:4} tools  {name:13} recall {at}  ({count:,} rows, {spent:.2f} ms)", flush=True)


if __name__ == "__main__":
    main()
