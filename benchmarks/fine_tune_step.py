"""What a step of a fine-tune costs, by what is trained: all weights, adapters, the decoder alone. Same rows, same
machine, taken in turns.

    needle generate --tools data/toolsets/home.json --n 1200 --out out/home
    python benchmarks/fine_tune_step.py --traces out/home --rounds 5

Prints for each arm the median processor seconds a step, its rows a second beside those of all weights, and the bytes
of gradients and
optimiser state. Only the ratios mean something on a machine that does other work.
"""

from __future__ import annotations

import argparse
import copy
import random
import statistics
import time
from pathlib import Path

import torch

from needle.distil import read_split
from needle.models import checkpoint_folder
from needle.student.modeling import NeedleModel
from needle.student.modeling.storage import load_model
from needle.student.tokenizer import load_tokenizer
from needle.train.config import TrainConfig
from needle.train.examples import Example, ExampleSet
from needle.train.loop import compute_type
from needle.train.students import Students

ARMS = ("all weights", "adapters of rank 8", "the decoder alone")


def arm(name: str, base: NeedleModel, rows: int) -> Students:
    """A student of its own that trains what ``name`` says."""
    model = copy.deepcopy(base)
    config = TrainConfig(
        steps=1000,
        rows=rows,
        lora=8 if name.startswith("adapters") else 0,
        trained="decoder" if "decoder" in name else "all",
    )
    return Students([model], config, compute_type("auto"))


def state_bytes(students: Students) -> int:
    """Bytes of gradients and optimiser state after a step (gradients are freed by then: as many bytes as what is
    trained)."""
    trained = sum(4 * p.numel() for p in students.models[0].parameters() if p.requires_grad)
    moments = sum(
        value.numel() * value.element_size()
        for optimizer in students.optimizers
        for state in optimizer.state.values()
        for value in state.values()
        if isinstance(value, torch.Tensor)
    )
    return trained + moments


def timed(students: Students, examples: list[Example]) -> float:
    """Processor seconds of one step, of all threads: other work on the machine changes them little."""
    began = time.process_time()
    students.update(examples, 0.2)
    return time.process_time() - began


def main() -> None:
    """Run the arms in turns and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--traces", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    folder = checkpoint_folder(None)
    base = load_model(folder)
    examples = ExampleSet(read_split([options.traces]).train, load_tokenizer(folder), base.config)
    plan = examples.plan(0, 0, options.rows, options.rows)
    arms = {name: arm(name, base, options.rows) for name in ARMS}
    seconds: dict[str, list[float]] = {name: [] for name in ARMS}
    rows = 0
    for number in range(options.rounds + 1):  # the first round warms up
        batch = examples.draw(plan[number % len(plan)], random.Random(number))
        rows = len(batch)
        for name, students in arms.items():
            seconds[name].append(timed(students, batch))
        print(
            f"round {number}: {rows} rows, "
            + ", ".join(f"{name} {values[-1]:.2f} s" for name, values in seconds.items()),
            flush=True,
        )
    first = statistics.median(seconds[ARMS[0]][1:])
    for name, values in seconds.items():
        middle = statistics.median(values[1:])
        print(
            f"{name:20} {middle:6.2f} s a step   {first / middle:4.2f} x the rows a second   "
            f"{state_bytes(arms[name]) / 1e6:6.1f} MB"
        )


if __name__ == "__main__":
    main()
