"""A run that was cut (kill -9 included) and continued is the run that was not: to the last bit, whatever it is made of."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from train_helpers import rows, settings, tiny_model

from needle.errors import UserError
from needle.student.modeling.storage import load_model
from needle.train.checkpoint import save_checkpoint, whole
from needle.train.config import TrainConfig
from needle.train.examples import ExampleSet, each
from needle.train.loop import Trainer
from needle.train.teachers import Teachers

KINDS = {
    "averages and rounding": ({"average_decay": 0.9, "quantize_bits": 4, "quantize_share": 0.5}, {}),
    "adapters, rounding and averages": ({"lora": 4, "quantize_bits": 8, "quantize_share": 0.5, "average_decay": 0.9}, {}),
    "a teacher": ({}, {"taught": True}),
    "peers with adapters": ({"lora": 4}, {"peers": 1}),
}
"""Settings of a run, and what else it is made of."""


def _vary(trace, rng):
    return replace(trace, query=f"{trace.query} {rng.randrange(10)}")


def _trainer(tokenizer: Tokenizer, out: Path, config: TrainConfig, peers: int = 0, taught: bool = False) -> Trainer:
    """A run in ``out``: begun, or continued where there is one."""
    start = whole(out / "last")
    models = [load_model(start) if start.exists() else tiny_model(), *(tiny_model(seed + 1) for seed in range(peers))]
    examples = ExampleSet(rows(), tokenizer, models[0].config, each(_vary))
    teachers = Teachers([tiny_model(9, initializer_range=0.2)]) if taught else None
    run = Trainer(models, tokenizer, examples, config, out, lambda _: {"exact": 0.0}, teachers)
    if start.exists():
        run.resume()
    return run


def _killed_at(tokenizer: Tokenizer, out: Path, config: TrainConfig, step: int, **options) -> None:
    """The run in a process of its own that is killed while ``step`` is reported."""
    pid = os.fork()
    if pid == 0:
        _trainer(tokenizer, out, config, **options).run(lambda record: os.kill(os.getpid(), signal.SIGKILL) if record["step"] == step else None)
        os._exit(1)  # never reached
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL


def _same_run(first: Path, second: Path) -> None:
    names = {path.name for path in first.glob("*.safetensors")}
    assert names == {path.name for path in second.glob("*.safetensors")} >= {"model.safetensors", "optimizer.safetensors"}
    for name in names:
        one, other = load_file(first / name), load_file(second / name)
        assert one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one), name


@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_run_goes_on_bit_for_bit(tokenizer: Tokenizer, tmp_path: Path, kind: str) -> None:
    changes, others = KINDS[kind]
    config = settings(steps=3, validations=3, **changes)
    _trainer(tokenizer, tmp_path / "whole", config, **others).run()
    _killed_at(tokenizer, tmp_path / "cut", config, 2, **others)
    assert json.loads((tmp_path / "cut" / "last" / "training_state.json").read_text())["step"] == 2
    _trainer(tokenizer, tmp_path / "cut", config, **others).run()
    first, second = (tmp_path / name / "best" / "model.safetensors" for name in ("whole", "cut"))
    assert first.read_bytes() == second.read_bytes()
    _same_run(tmp_path / "whole" / "last", tmp_path / "cut" / "last")


def test_another_number_of_workers_changes_nothing(tokenizer: Tokenizer, tmp_path: Path) -> None:
    config = settings(steps=2, validations=2)
    _trainer(tokenizer, tmp_path / "whole", config).run()
    _killed_at(tokenizer, tmp_path / "cut", replace(config, workers=1), 1)
    _trainer(tokenizer, tmp_path / "cut", replace(config, workers=2)).run()
    _same_run(tmp_path / "whole" / "last", tmp_path / "cut" / "last")
