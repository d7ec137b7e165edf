"""Several processes (gloo, on the CPU) train what one would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from train_helpers import rows, settings, tiny_model

from needle.train.examples import ExampleSet
from needle.train.students import Students

HERE = Path(__file__).parent
STEP = """
import sys, torch
from safetensors.torch import save_file
from train_helpers import rows, settings, tiny_model
from needle.student.tokenizer import load_tokenizer
from needle.train.examples import ExampleSet
from needle.train.students import Students
from needle.train.world import World
model, world = tiny_model(), World()
examples = ExampleSet(rows(), load_tokenizer(), model.config).rendered()
students = Students([model], settings(), torch.float32, world=world)
students.optimizers = []  # the gradients stay
parts = students.update(examples[world.rank :: world.size], 0.5)
if world.first:
    save_file({name: weight.grad for name, weight in model.named_parameters()}, sys.argv[1] + "/gradients.safetensors")
    print(parts["loss"], parts["norm"], parts["tokens"])
world.leave()
"""
RUN = """
import json, sys
from pathlib import Path
from train_helpers import settings, trainer, tiny_model
from needle.student.tokenizer import load_tokenizer
made = trainer(load_tokenizer(), Path(sys.argv[1]), settings(steps=3, validations=2, rows=4))
report = made.run()
print(json.dumps([made.world.rank, report.steps, report.rows, report.best]), flush=True)
made.world.leave()
"""


def _together(code: str, out: Path, processes: int = 2) -> list[str]:
    """Output lines of all processes; they find each other as torchrun would tell them to."""
    paths = os.pathsep.join([str(HERE), str(HERE.parents[1])])
    started = []
    for rank in range(processes):
        told = {"WORLD_SIZE": processes, "RANK": rank, "LOCAL_RANK": rank, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": 29500 + os.getpid() % 500}
        env = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"} | {key: str(value) for key, value in told.items()}
        started.append(subprocess.Popen([sys.executable, "-c", code, str(out)], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
    lines = []
    for process in started:
        printed, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors[-2000:]
        lines += printed.splitlines()
    return lines


@pytest.mark.slow
def test_two_processes_have_the_gradients_of_one(tokenizer: Tokenizer, tmp_path: Path) -> None:
    [line] = _together(STEP, tmp_path)
    model = tiny_model()
    examples = ExampleSet(rows(), tokenizer, model.config).rendered()
    students = Students([model], settings(), torch.float32)
    students.optimizers = []
    parts = students.update(examples, 0.5)
    loss, norm, tokens = map(float, line.split())
    assert loss == pytest.approx(parts["loss"], abs=1e-5) and norm == pytest.approx(parts["norm"], rel=1e-4)
    assert tokens >= parts["tokens"]  # a toolset that both processes read counts twice
    gradients = load_file(tmp_path / "gradients.safetensors")
    for name, weight in model.named_parameters():
        torch.testing.assert_close(gradients[name], weight.grad, atol=1e-6, rtol=1e-4)


@pytest.mark.slow
def test_a_run_of_two_processes_ends_on_both_and_is_written_once(tmp_path: Path) -> None:
    lines = [json.loads(line) for line in _together(RUN, tmp_path)]
    assert sorted(line[0] for line in lines) == [0, 1]
    assert lines[0][1:] == lines[1][1:] and lines[0][1] == 3
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [record["step"] for record in log if "loss" in record] == [1, 2, 3]
    assert (tmp_path / "best" / "model.safetensors").is_file() and (tmp_path / "last" / "optimizer.safetensors").is_file()
