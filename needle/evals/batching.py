"""In which order and in what portions a suite is asked: alike rows together for local models, a stream for endpoints.

A batch of a local model costs what its longest row costs, and a toolset is read once for all rows of a batch that
share it. So rows are sorted over the whole suite, by toolset and length, and a batch ends at a number of rows or of
tokens, whichever comes first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from needle.tools.caller import Caller, Request
from needle.tools.spec import ToolSpec
from needle.traces.trace import Trace

CHARACTERS_A_TOKEN = 4
"""Rough length of a token; only for the size of batches."""
BATCH_TOKENS = 65_536
"""Most tokens of a batch (rows times the longest of them), roughly counted."""
ROWS_A_WORKER = 4
"""Rows of an endpoint's portion for each request that it takes at a time: portions are what a crash can lose."""


def portions(
    caller: Caller, traces: Sequence[Trace], batch_size: int, batch_tokens: int = BATCH_TOKENS
) -> Iterator[list[Trace]]:
    """The rows in portions to be asked together. Callers with ``concurrency`` get them in the order of the suite."""
    workers = getattr(caller, "concurrency", None)
    if isinstance(workers, int):
        size = max(1, workers * ROWS_A_WORKER)
        yield from (list(traces[start : start + size]) for start in range(0, len(traces), size))
        return
    yield from batches(traces, batch_size, batch_tokens, getattr(caller, "prompt_length", None))


def batches(
    traces: Sequence[Trace],
    batch_size: int,
    batch_tokens: int = BATCH_TOKENS,
    prompt_length: Callable[[Request], int] | None = None,
) -> Iterator[list[Trace]]:
    """Sorted rows in batches of at most ``batch_size`` rows and ``batch_tokens`` tokens (one row may be longer).

    ``prompt_length`` counts the tokens of a request with its tools; without it they are guessed from characters, which
    sorts worse: models write schemas down in ways of their own.
    """
    count = prompt_length or _guessed
    sizes: dict[tuple[ToolSpec, ...], int] = {}
    first: dict[tuple[ToolSpec, ...], int] = {}
    for place, trace in enumerate(traces):
        if trace.tools not in sizes:
            sizes[trace.tools], first[trace.tools] = count(Request("", trace.tools)), place
    order = sorted(traces, key=lambda trace: (sizes[trace.tools], first[trace.tools], _own_length(trace)))
    batch: list[Trace] = []
    longest = 0
    for trace in order:
        length = max(1, sizes[trace.tools] + _own_length(trace) // CHARACTERS_A_TOKEN)
        if batch and (len(batch) == batch_size or (len(batch) + 1) * max(longest, length) > batch_tokens):
            yield batch
            batch, longest = [], 0
        batch.append(trace)
        longest = max(longest, length)
    if batch:
        yield batch


def _guessed(request: Request) -> int:
    return sum(len(str(tool.to_dict())) for tool in request.tools) // CHARACTERS_A_TOKEN


def _own_length(trace: Trace) -> int:
    return len(trace.query) + len(trace.system or "") + sum(len(str(turn)) for turn in trace.messages)
