"""Rows and tokens a second of a training step, by how a batch is laid out: toolset shared, one request a toolset, padded; in one run.

    python benchmarks/train_step.py                              # the 26M student on recorded traces
    python benchmarks/train_step.py --compile                    # the same with torch.compile
    python benchmarks/train_step.py --preset nano --rows 16 --repeats 1

The same rows go through each layout in turn: ``shared`` is what ``needle train`` does (a toolset is encoded once for its rows, no padding outside
attention), ``apart`` encodes the tools again for every row, ``padded`` also fills every row to the longest, as a plain trainer does. Tokens
are those that the rows stand for (tools counted for each row, padding never), so the columns compare. Read the ratios.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from needle.student.modeling import PRESETS, NeedleConfig, NeedleModel
from needle.student.modeling.model import to_device
from needle.student.tokenizer import PAD, SPECIAL_IDS, load_tokenizer
from needle.traces.read import read_traces
from needle.train.batches import Batch, Shape, collate
from needle.train.config import TrainConfig
from needle.train.examples import Example, ExampleSet
from needle.train.loop import compute_type
from needle.train.losses import hard_label_loss
from needle.train.optimizer import make_optimizers

CONFIG = TrainConfig(steps=1)


def padded(examples: Sequence[Example]) -> list[Example]:
    """The rows filled up to the longest; class -1 marks answer positions without weight."""
    source, answer = max(len(e.tools) + len(e.request) for e in examples), max(len(e.answer) for e in examples)
    pad = SPECIAL_IDS[PAD]

    def fill(e: Example) -> Example:
        request = (*e.request, *[pad] * (source - len(e.tools) - len(e.request)))
        return replace(e, request=request, answer=(*e.answer, *[pad] * (answer - len(e.answer))),
                       classes=(*e.classes, *[-1] * (answer - len(e.classes))))  # fmt: skip

    return [fill(e) for e in examples]


def layouts(examples: Sequence[Example]) -> dict[str, Batch]:
    """The same rows laid out in three ways."""
    weights = CONFIG.token_weights | {-1: 0.0}
    shared, apart = (collate(examples, weights, share, Shape(256, 256)) for share in (True, False))
    return {"shared": shared, "apart": apart, "padded": collate(padded(examples), weights, False, Shape(256, 256))}


def main() -> None:
    """Print rows/s, tokens/s and the ratio to ``padded`` of each layout."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=PRESETS, default="base")
    parser.add_argument("--rows", type=int, default=128, help="rows a step")
    parser.add_argument("--repeats", type=int, default=5, help="timed steps of each layout, after one that is not timed")
    parser.add_argument("--traces", type=Path, default=Path(__file__).parents[1] / "data" / "traces" / "validation.jsonl.gz")
    parser.add_argument("--compile", action="store_true", help="through torch.compile (dynamic shapes)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = NeedleModel(NeedleConfig(**PRESETS[options.preset])).to(device)
    examples = next(ExampleSet(read_traces(options.traces)[0], load_tokenizer(), model.config).epoch(0, 0, options.rows, CONFIG.rows_per_toolset))
    tokens = sum(len(e.tools) + len(e.request) + len(e.answer) for e in examples)
    optimizers, dtype = make_optimizers(model, CONFIG), compute_type(CONFIG.precision)
    forward = torch.compile(model, dynamic=True) if options.compile else model

    def step(batch: Batch) -> float:
        start = time.perf_counter()
        logits = model.logits(forward(batch.source, batch.target, dtype))
        hard_label_loss(logits, batch.labels_N, batch.weights_N, CONFIG.z_loss).div(batch.weights_N.sum()).backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        if device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - start

    batches = {name: to_device(batch, device) for name, batch in layouts(examples).items()}
    seconds: dict[str, list[float]] = {name: [] for name in batches}
    for repeat in range(options.repeats + 1):
        for name, batch in batches.items():
            taken = step(batch)
            if repeat:
                seconds[name].append(taken)
    report(seconds, len(examples), tokens, f"{options.preset}, {device.type}, {str(dtype).removeprefix('torch.')}")


def report(seconds: dict[str, list[float]], rows: int, tokens: int, what: str) -> None:
    """The table; medians over the timed steps."""
    median = {name: statistics.median(values) for name, values in seconds.items()}
    print(f"{what}: {rows} rows of {tokens:,} tokens a step\n{'':<10}{'rows/s':>10}{'tokens/s':>12}{'ratio':>8}")
    for name, taken in median.items():
        print(f"{name:<10}{rows / taken:>10,.1f}{tokens / taken:>12,.0f}{median['padded'] / taken:>8.2f}")


if __name__ == "__main__":
    main()
