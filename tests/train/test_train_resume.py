"""A run that was cut (kill -9 included) and continued is the run that was not: to the last bit, whatever it is made
of."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from tokenizers import Tokenizer
from train_helpers import each, rows, settings, tiny_model

from needle.distil import train
from needle.errors import UserError
from needle.student.modeling.storage import load_model
from needle.train.checkpoint import alone, save_checkpoint, whole
from needle.train.config import TrainConfig
from needle.train.examples import ExampleSet
from needle.train.loop import Trainer
from needle.train.teachers import Teachers

ROOT = Path(__file__).parents[2]
KINDS = {
    "averages and rounding": ({"average_decay": 0.9, "quantize_bits": 4, "quantize_share": 0.5}, {}),
    "adapters, rounding and averages": (
        {"lora": 4, "quantize_bits": 8, "quantize_share": 0.5, "average_decay": 0.9},
        {},
    ),
    "a teacher of the decoder": ({"trained": "decoder"}, {"taught": True}),
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
        _trainer(tokenizer, out, config, **options).run(
            lambda record: os.kill(os.getpid(), signal.SIGKILL) if record["step"] == step else None
        )
        os._exit(1)  # never reached
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL


def _same_run(first: Path, second: Path) -> None:
    names = {path.name for path in first.glob("*.safetensors")}
    assert (
        names == {path.name for path in second.glob("*.safetensors")} >= {"model.safetensors", "optimizer.safetensors"}
    )
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


def test_what_a_larger_budget_adds_to_a_finished_run_is_validated_and_saved(tokenizer: Tokenizer, tmp_path: Path) -> None:
    for steps in (1, 3):
        run = _trainer(tokenizer, tmp_path, settings(steps=steps, validations=2))
        run.run()
        state = json.loads((tmp_path / "last" / "training_state.json").read_text())
        assert (state["step"], state["best"]["step"]) == (steps, steps)


def test_a_disk_that_is_full_leaves_the_old_checkpoint_whole_and_nothing_beside_it(
    tokenizer: Tokenizer, tmp_path: Path
) -> None:
    run = _trainer(tokenizer, tmp_path, settings(steps=4, validations=2))
    before: dict[str, bytes] = {}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(record: dict) -> None:
        if record["step"] == 2:
            before.update({path.name: path.read_bytes() for path in (tmp_path / "last").iterdir()})
            resource.setrlimit(
                resource.RLIMIT_FSIZE, (500_000, limits[1])
            )  # the kernel refuses to write more into a file

    try:
        with pytest.raises((OSError, SafetensorError)):
            run.run(fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert len(before) > 4 and {path.name: path.read_bytes() for path in (tmp_path / "last").iterdir()} == before
    assert {path.name for path in tmp_path.iterdir()} == {"last", "best", "log.jsonl"}
    assert _trainer(tokenizer, tmp_path, settings(steps=4, validations=2)).run().steps == 4


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rows": 5, "lora": 4}, ("lora 0 there and 4 now", "rows 4 there and 5 now")),
        ({"steps": None, "minutes": 1.0}, ()),
    ],
)
def test_another_configuration_is_refused_with_what_differs_and_changes_nothing(
    tokenizer: Tokenizer, tmp_path: Path, changes: dict, words: tuple
) -> None:
    _trainer(tokenizer, tmp_path, settings(steps=1, validations=1)).run()
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    if not words:
        _trainer(tokenizer, tmp_path, settings(**{"steps": 1, "validations": 1, **changes}))
        return
    with pytest.raises(UserError) as error:
        _trainer(tokenizer, tmp_path, settings(**{"steps": 1, "validations": 1, **changes}))
    assert all(part in str(error.value) for part in words) and "\n" not in str(error.value)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_folder_that_is_in_use_or_holds_something_else_is_left_alone(tiny_base: Path, home_traces: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"

    def refused(words: str) -> None:
        before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
        with pytest.raises(UserError, match=words):
            train([home_traces], out, base=str(tiny_base), settings={"steps": 1, "rows": 4})
        assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before

    ready, release = os.pipe(), os.pipe()
    if (other := os.fork()) == 0:
        with alone(out):
            os.write(ready[1], b"1")
            os.read(release[0], 1)
        os._exit(0)
    os.read(ready[0], 1)
    refused("another process is training there")
    os.write(release[1], b"1")
    os.waitpid(other, 0)
    (out / "best").mkdir()
    (out / "best" / "model.safetensors").write_bytes(b"of another run")
    refused("a checkpoint is there already")
    out = out / "best" / "model.safetensors"
    refused("--out is the folder")


def test_settings_that_followed_from_no_budget_stay_when_one_is_given(tiny_base: Path, home_traces: Path, tmp_path: Path) -> None:
    plan = {"steps": 1, "rows": 4, "validations": 1, "patience": 3, "keep_base": False, "validation_rows": 1}
    train([home_traces], tmp_path / "run", base=str(tiny_base), settings=plan)
    given = {name: value for name, value in plan.items() if name not in ("validations", "patience")} | {"steps": 2}
    assert train([home_traces], tmp_path / "run", base=str(tiny_base), settings=given, resume=True).steps == 2


def test_other_weights_under_the_name_of_a_teacher_are_another_run(tiny_base: Path, home_traces: Path, tmp_path: Path) -> None:
    teacher, budget = tmp_path / "teacher", {"rows": 4, "validations": 1, "validation_rows": 2, "compile": "off"}
    tokenizer = Tokenizer.from_file(str(tiny_base / "tokenizer.json"))
    start = load_model(tiny_base)
    save_checkpoint(teacher, start, tokenizer, {})
    train([home_traces], tmp_path / "run", base=str(tiny_base), loss="soft", teachers=[str(teacher)], settings=budget | {"steps": 1})
    start.embedding.weight.data += 0.5
    save_checkpoint(teacher, start, tokenizer, {})
    with pytest.raises(UserError, match="weights of the teachers"):
        train([home_traces], tmp_path / "run", base=str(tiny_base), loss="soft", teachers=[str(teacher)], settings=budget | {"steps": 2}, resume=True)


def test_a_setting_that_is_none_is_named_with_the_ones_that_might_be_meant(tiny_base: Path, home_traces: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no 'stepz'; for example steps"):
        train([home_traces], tmp_path / "run", base=str(tiny_base), settings={"stepz": 1})


def test_other_traces_or_another_loss_are_another_run(cli, tiny_base: Path, home_traces: Path, tmp_path: Path) -> None:
    first = ["train", "--base", tiny_base, "--steps", 1, "--rows", 4, "--out", tmp_path / "run"]
    assert cli(*first, "--traces", home_traces).code in (0, 1)
    shorter = tmp_path / "train.jsonl"
    shorter.write_text("".join((home_traces / "train.jsonl").read_text().splitlines(keepends=True)[:-1]))
    before = (tmp_path / "run" / "last" / "model.safetensors").read_bytes()
    assert "traces" in cli(*first, "--traces", shorter, "--resume").complaint
    assert (
        "loss hard there and mutual now"
        in cli(*first, "--traces", home_traces, "--loss", "mutual", "--resume").complaint
    )
    assert (tmp_path / "run" / "last" / "model.safetensors").read_bytes() == before


@pytest.mark.slow
def test_the_command_killed_at_any_moment_goes_on_bit_for_bit(
    tiny_base: Path, home_traces: Path, tmp_path: Path
) -> None:
    command = [
        sys.executable,
        "-m",
        "needle.cli",
        "train",
        "--traces",
        str(home_traces),
        "--base",
        str(tiny_base),
        "--steps",
        "40",
        "--rows",
        "8",
        "--seed",
        "3",
    ]

    def start(out: Path, *more: str) -> subprocess.Popen:
        return subprocess.Popen(
            [*command, "--out", str(out), *more], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    assert start(tmp_path / "whole").wait() in (0, 1)
    kills, more = 0, ()
    for lines in (12, 25):
        process = start(tmp_path / "cut", *more)
        log = tmp_path / "cut" / "log.jsonl"
        while process.poll() is None and (not log.exists() or not f'"step": {lines},' in log.read_text()):
            time.sleep(0.05)
        process.kill()
        kills += process.wait() == -signal.SIGKILL
        more = ("--resume",) if (tmp_path / "cut" / "last").exists() else ()
    assert kills == 2
    assert start(tmp_path / "cut", *more).wait() in (0, 1)
    _same_run(tmp_path / "whole" / "last", tmp_path / "cut" / "last")
