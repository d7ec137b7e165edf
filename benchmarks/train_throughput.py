"""Training throughput beside Hugging Face ``Trainer`` and the machine's limits, in one run.

    python benchmarks/train_throughput.py                              # the 26M student on recorded traces, 64 rows a step
    python benchmarks/train_throughput.py --compile                    # with a compiled arm
    python benchmarks/train_throughput.py --lanes 1                    # and one with a single lane (on a CPU, rows are shared by threads)
    python benchmarks/train_throughput.py --rows 512 --repeats 20      # an accelerator
    python benchmarks/train_throughput.py --preset nano --rows 16 --repeats 1
    python benchmarks/train_throughput.py --memory                     # peak memory, each arm in a process of its own

Every step of ``Trainer`` is followed by one of ``needle train``'s (and one of its compiled twin) on the same rows, so that all see the same machine.
The baseline is what a user of ``Trainer`` writes: the same model and compute type over batches padded to the longest row, tools encoded again
for every row, fused attention with a mask, AdamW, no compile; its collation is not counted, ours is. Our step runs Muon, which costs more.
Tokens are those that the rows stand for (a toolset counts for each of its rows, padding never): one numerator for all. Model FLOP utilisation
(MFU) counts the products that our layout needs, so a slower arm has a lower one. Needs ``pip install accelerate``.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import Trainer, TrainerCallback, TrainingArguments

from needle.student.modeling import PRESETS, NeedleConfig, NeedleModel
from needle.student.modeling.layers import KeyValue
from needle.student.modeling.model import Source, Target
from needle.student.tokenizer import BOS, PAD, SPECIAL_IDS, load_tokenizer
from needle.traces.read import read_traces
from needle.train.batches import sizes
from needle.train.config import TrainConfig
from needle.train.examples import Example, ExampleSet
from needle.train.loop import compute_type
from needle.train.losses import hard_label_loss
from needle.train.speed import copy_bandwidth, peak_flops
from needle.train.students import Students

TRACES = Path(__file__).parents[1] / "data" / "traces" / "validation.jsonl.gz"


@dataclass(frozen=True)
class Dense:
    """Attention over rows padded to one length: ``scaled_dot_product_attention`` with a mask ``[B, 1, T, S]``."""

    mask: Tensor

    def attend(self, query_NHE: Tensor, keys_values: KeyValue) -> Tensor:
        """``[B * T, H, E]`` over ``[B * S, K, E]`` to ``[B * T, H * E]``."""
        rows, _, length, seen = self.mask.shape
        query, key, value = (x.unflatten(0, (rows, -1)).transpose(1, 2) for x in (query_NHE, *keys_values))
        out = F.scaled_dot_product_attention(query, key, value, self.mask, enable_gqa=True)
        return out.transpose(1, 2).flatten(2).flatten(0, 1)


class ForTrainer(nn.Module):
    """The student as ``Trainer`` wants a model: a padded batch in, the loss out."""

    def __init__(self, model: NeedleModel, dtype: torch.dtype) -> None:
        super().__init__()
        self.model, self.dtype = model, dtype

    def forward(self, source: Tensor, tools: Tensor, lengths: Tensor, target: Tensor, labels: Tensor, weights: Tensor) -> dict[str, Tensor]:
        """``source [B, S]``, ``target [B, T]``; how long each row's tools and source are."""
        (rows, width), height = source.shape, target.shape[1]
        place = torch.arange(width, device=source.device)
        real = place < lengths[:, None]
        # a padded query looks at the tools like any other: no row of the mask is empty
        sees = real[:, None] & ((place[None, :, None] >= tools[:, None, None]) | (place < tools[:, None, None]))
        causal = torch.ones(height, height, dtype=torch.bool, device=source.device).tril()
        itself, whole = Dense(sees[:, None]), Dense(causal.expand(rows, 1, -1, -1))
        cross = Dense(real[:, None, None].expand(-1, 1, height, -1))
        positions = place.repeat(rows), torch.arange(height, device=source.device).repeat(rows)
        states = self.model(Source(source.flatten(), positions[0], itself, itself, itself), Target(target.flatten(), positions[1], whole, cross), self.dtype)
        return {"loss": hard_label_loss(self.model.logits(states), labels.flatten(), weights.flatten(), 1e-4) / weights.sum()}


def collate_padded(examples: Sequence[Example], token_weights: dict[int, float]) -> dict[str, Tensor]:
    """Rows padded on the right to the longest of the batch."""
    pad, bos = SPECIAL_IDS[PAD], SPECIAL_IDS[BOS]

    def filled(rows: list[list[Any]], value: Any) -> Tensor:
        width = max(map(len, rows))
        return torch.tensor([row + [value] * (width - len(row)) for row in rows])

    return {
        "source": filled([[*e.tools, *e.request] for e in examples], pad),
        "tools": torch.tensor([len(e.tools) for e in examples]),
        "lengths": torch.tensor([len(e.tools) + len(e.request) for e in examples]),
        "target": filled([[bos, *e.answer[:-1]] for e in examples], pad),
        "labels": filled([list(e.answer) for e in examples], 0),
        "weights": filled([[token_weights[kind] for kind in e.classes] for e in examples], 0.0),
    }


class Interleave(TrainerCallback):
    """Times every step of ``Trainer`` and lets the other arms take theirs after it."""

    def __init__(self, others: dict[str, Callable[[int], None]], device: torch.device) -> None:
        self.others, self.device, self.start = others, device, 0.0
        self.seconds: dict[str, list[float]] = {"Trainer": [], **{name: [] for name in others}}

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        """Called by ``Trainer`` after it has drawn its batch."""
        self.start = self._now()

    def on_step_end(self, args: Any, state: Any, *_: Any, **__: Any) -> None:
        """Called after its optimiser step; the other arms follow."""
        self.seconds["Trainer"].append(self._now() - self.start)
        for name, step in self.others.items():
            start = self._now()
            step(state.global_step - 1)
            self.seconds[name].append(self._now() - start)


def measure(options: argparse.Namespace) -> None:
    """Run all arms and print the table."""
    torch.manual_seed(0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    config, dtype = TrainConfig(steps=1, rows=options.rows, micro_rows=max(options.rows + 16, 256)), compute_type("auto")
    models = [NeedleModel(NeedleConfig(**PRESETS[options.preset])).to(device) for _ in range(2 + options.compile + bool(options.lanes))]
    examples = ExampleSet(read_traces(options.traces)[0], load_tokenizer(), models[0].config)
    steps = list(zip(range(options.repeats + options.warm), examples.epoch(0, 0, options.rows, config.rows_per_toolset), strict=False))
    batches = [rows for _, rows in steps]
    kinds: dict[str, dict[str, Any]] = {"needle": {"compile": "off"}}
    if options.compile:
        kinds["needle, compiled"] = {"compile": "on"}
    if options.lanes:
        kinds[f"needle, {options.lanes} lanes"] = {"compile": "off", "lanes": options.lanes}
    arms = {name: Students([model], TrainConfig(**config.to_dict() | kind), dtype) for (name, kind), model in zip(kinds.items(), models[1:], strict=True)}
    timed = Interleave({name: lambda step, arm=arm: arm.update(batches[step], 0.5) and None for name, arm in arms.items()} if options.only != "Trainer" else {}, device)
    if options.only == "needle":
        for step in range(len(batches)):
            arms["needle"].update(batches[step], 0.5)
    else:
        with tempfile.TemporaryDirectory() as folder:
            args = TrainingArguments(folder, per_device_train_batch_size=1, max_steps=len(batches), report_to=[], save_strategy="no", logging_strategy="no",
                                     use_cpu=device.type == "cpu", remove_unused_columns=False, dataloader_pin_memory=False, disable_tqdm=True)  # fmt: skip
            Trainer(ForTrainer(models[0], dtype), args, train_dataset=batches, callbacks=[timed],
                    data_collator=lambda drawn: collate_padded(drawn[0], config.token_weights)).train()  # fmt: skip
    peak = torch.cuda.max_memory_allocated() if device.type == "cuda" else 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if options.only:
        print(f"{options.only}: peak memory {peak / 2**20:,.0f} MiB")
        return
    report(timed.seconds, batches[options.warm :], options, models[0], device, dtype)


def report(
    seconds: dict[str, list[float]], batches: list[list[Example]], options: argparse.Namespace, model: NeedleModel, device: torch.device, dtype: torch.dtype
) -> None:
    """The machine's limits and the table: medians over the steps after the warm-up, ratios step by step."""
    peak, bandwidth = peak_flops(device, dtype), copy_bandwidth(device)
    rows = sum(map(len, batches)) / len(batches)
    tokens = sum(len(e.tools) + len(e.request) + len(e.answer) for batch in batches for e in batch) / len(batches)
    costs = model.flops_per_token()
    flops = sum(cost * size for batch in batches for cost, size in zip(costs, sizes(batch, True), strict=True)) / len(batches)
    state = 16 * sum(p.numel() for p in model.parameters())  # weights, gradients and two moments in fp32
    print(f"{options.preset}, {device.type}, {str(dtype).removeprefix('torch.')}, {options.threads} threads: {rows:.0f} rows of {tokens:,.0f} tokens a step")
    print(f"limits: {peak / 1e12:.2f} TFLOP/s in a large product, {bandwidth / 1e9:.1f} GB/s in a large copy; a step needs {flops / 1e9:,.0f} GFLOP")
    print(f"at the limits: {1e3 * flops / peak:,.0f} ms of products, {1e3 * 2 * state / bandwidth:,.0f} ms to read and write weights, gradients and moments")
    print(f"{'':<18}{'rows/s':>9}{'tokens/s':>12}{'MFU':>8}{'ratio':>8}")
    base = seconds["Trainer"][options.warm :]
    for name, taken in seconds.items():
        taken = taken[options.warm :]
        middle = statistics.median(taken)
        ratio = statistics.median(a / b for a, b in zip(base, taken, strict=True))
        print(f"{name:<18}{rows / middle:>9,.1f}{tokens / middle:>12,.0f}{flops / middle / peak:>8.1%}{ratio:>8.2f}")


def main() -> None:
    """Read the options; with ``--memory``, run each arm alone."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=PRESETS, default="base")
    parser.add_argument("--rows", type=int, default=64, help="rows a step")
    parser.add_argument("--repeats", type=int, default=5, help="timed steps of each arm")
    parser.add_argument("--warm", type=int, default=2, help="steps before those")
    parser.add_argument("--traces", type=Path, default=TRACES)
    parser.add_argument("--compile", action="store_true", help="a third arm through torch.compile")
    parser.add_argument("--lanes", type=int, default=0, help="an arm with so many lanes (TrainConfig.lanes)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--memory", action="store_true", help="peak memory of each arm instead")
    parser.add_argument("--only", choices=("Trainer", "needle"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if not options.memory:
        return measure(options)
    kept = [word for word in sys.argv[1:] if word != "--memory"]
    for arm in ("Trainer", "needle"):
        subprocess.run([sys.executable, __file__, *kept, "--only", arm], check=True)


if __name__ == "__main__":
    main()
