"""Several processes (gloo, on the CPU) train what one would, sharded or not; one that dies ends the others, and nothing is lost."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from train_helpers import rows, settings, tiny_model, trainer

from needle.cli import guarded
from needle.errors import UserError
from needle.student.modeling.storage import load_model
from needle.train.examples import ExampleSet
from needle.train.feed import batches
from needle.train.students import Students
from needle.train.world import World

SECONDS = 100
"""Longest wait for the processes of a test."""


def together(work: Callable[[World], Any], out: Path, processes: int = 2) -> list[int]:
    """Exit codes of forked processes that do ``work``, find each other as torchrun would tell them to, and write what
    it returns to ``OUT/RANK.json`` and what they say to ``OUT/RANK.txt``."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = []
    for rank in range(processes):
        child = os.fork()
        if child == 0:
            code = 70
            try:
                with (out / f"{rank}.txt").open("w") as said, redirect_stdout(said), redirect_stderr(said):
                    told = {"WORLD_SIZE": processes, "RANK": rank, "LOCAL_RANK": rank, "MASTER_PORT": port}
                    os.environ |= {"MASTER_ADDR": "127.0.0.1"} | {key: str(value) for key, value in told.items()}
                    code = guarded(
                        lambda: (out / f"{os.environ['RANK']}.json").write_text(json.dumps(work(World()))) * 0
                    )
            finally:
                os._exit(code)
        started.append(child)
    codes, end = [], time.monotonic() + SECONDS
    for child in started:
        while (found := os.waitpid(child, os.WNOHANG)) == (0, 0):
            if time.monotonic() > end:
                os.kill(child, signal.SIGKILL)
            time.sleep(0.02)
        codes.append(os.waitstatus_to_exitcode(found[1]))
    return codes


def plan(shard: bool, steps: int) -> Any:
    return settings(steps=steps, validations=2, rows=4, shard=shard, cooldown=0.0)


def step(world: World, examples: list, shard: bool, out: Path) -> list[float]:
    """Loss, norm and tokens of one step; its gradients, put together, go to ``out``."""
    model = tiny_model()
    students = Students([model], settings(shard=shard, clip=1e9), torch.float32, world=world)
    students.optimizers = []  # the gradients stay
    parts = students.update(examples, 0.5)
    whole = {n: w.grad.full_tensor() if shard and w.ndim == 2 else w.grad for n, w in model.named_parameters()}
    if world.first:
        save_file({name: gradient.contiguous() for name, gradient in whole.items()}, out)
    return [parts["loss"], parts["norm"], parts["tokens"]]


def go(
    tokenizer: Tokenizer, out: Path, shard: bool, steps: int, report: Callable[[dict], None] = lambda _: None
) -> Any:
    """A run of so many steps in ``out``, continued where there is one."""
    start = load_model(out / "last") if (out / "last").exists() else tiny_model()
    made = trainer(tokenizer, out, plan(shard, steps), model=start)
    if made.out.joinpath("last").exists():
        made.resume()
    done = made.run(report)
    return [done.steps, done.rows, done.best]


def interrupt_at_3(record: dict[str, Any]) -> None:
    """Ctrl-C while the third step is being reported."""
    if record["step"] == 3:
        signal.raise_signal(signal.SIGINT)


@pytest.fixture(scope="module")
def pair(tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes did: a step and a run, each without and with sharding; the sharded run was continued once."""
    out = tmp_path_factory.mktemp("pair")
    examples = ExampleSet(rows(), tokenizer, tiny_model().config).rendered()

    def work(world: World) -> Any:
        mine = examples[:7] if world.first else examples[7:]  # passes of three rows: one process makes more of them
        done = {"evened": [examples.index(row) for row in world.evened(examples[:2] if world.first else examples[2:])]}
        for kind, shard in (("plain", False), ("sharded", True)):
            done[f"{kind} step"] = step(world, mine, shard, out / f"{kind}.safetensors")
        done["plain"] = go(tokenizer, out / "plain", False, 4)
        with pytest.raises(KeyboardInterrupt):
            go(tokenizer, out / "sharded", True, 4, interrupt_at_3)
        done["sharded"] = go(tokenizer, out / "sharded", True, 4)
        world.leave()
        return done

    assert together(work, out) == [0, 0], (out / "0.txt").read_text() + (out / "1.txt").read_text()
    return out


@pytest.mark.parametrize("kind", ["plain", "sharded"])
def test_two_processes_have_the_gradients_of_one(kind: str, pair: Path, tokenizer: Tokenizer, tmp_path: Path) -> None:
    examples = ExampleSet(rows(), tokenizer, tiny_model().config).rendered()
    loss, norm, tokens = step(World(), examples, False, tmp_path / "one.safetensors")
    for rank in (0, 1):
        said = json.loads((pair / f"{rank}.json").read_text())[f"{kind} step"]
        assert said[:2] == pytest.approx([loss, norm], rel=1e-4)
        assert said[2] >= tokens  # a toolset that both processes read counts twice
    one, two = load_file(tmp_path / "one.safetensors"), load_file(pair / f"{kind}.safetensors")
    for name, gradient in one.items():
        torch.testing.assert_close(two[name], gradient, atol=1e-6, rtol=1e-4)


def test_rows_of_a_step_are_shared_anew_by_their_length(pair: Path, tokenizer: Tokenizer) -> None:
    examples = ExampleSet(rows(), tokenizer, tiny_model().config).rendered()
    mine = [json.loads((pair / f"{rank}.json").read_text())["evened"] for rank in (0, 1)]
    assert sorted(mine[0] + mine[1]) == list(range(len(examples)))
    read = [{tuple(examples[place].tools) for place in part} for part in mine]
    assert read[0] and read[1] and not read[0] & read[1]  # small toolsets are read once, and nobody is left without
    assert World().evened(examples) == examples  # one process keeps its rows


def test_a_run_of_two_processes_ends_on_both_and_is_written_once(pair: Path) -> None:
    first, second = (json.loads((pair / f"{rank}.json").read_text()) for rank in (0, 1))
    assert first["plain"] == second["plain"] and first["plain"][0] == 4
    log = [json.loads(line) for line in (pair / "plain" / "log.jsonl").read_text().splitlines()]
    assert [record["step"] for record in log if "loss" in record] == [1, 2, 3, 4]
    assert sorted(path.name for path in (pair / "plain").iterdir()) == ["best", "last", "log.jsonl"]


def test_a_sharded_run_learns_what_the_other_does_across_a_stop_and_is_written_whole(pair: Path) -> None:
    losses = [
        [json.loads(line)["loss"] for line in (pair / kind / "log.jsonl").read_text().splitlines()]
        for kind in ("plain", "sharded")
    ]
    assert losses[0] == pytest.approx(losses[1], rel=2e-4) and losses[0][-1] < losses[0][0]
    for file in ("model.safetensors", "optimizer.safetensors"):
        plain, sharded = (load_file(pair / kind / "last" / file) for kind in ("plain", "sharded"))
        assert {name: value.shape for name, value in plain.items()} == {
            name: value.shape for name, value in sharded.items()
        }
        far = [
            name
            for name in plain
            if plain[name].ndim == 2
            and torch.cosine_similarity(plain[name].flatten(), sharded[name].flatten(), 0) < 0.999
        ]
        assert not far, far


def test_one_process_goes_on_with_a_sharded_run(pair: Path, tokenizer: Tokenizer, tmp_path: Path) -> None:
    (pair / "sharded" / "last").rename(tmp_path / "last")
    made = trainer(tokenizer, tmp_path, plan(False, 5), model=load_model(tmp_path / "last"))
    made.resume()
    assert made.step == 4 and made.run().steps == 5


def test_processes_share_the_rows_of_an_epoch_without_repeats(tokenizer: Tokenizer) -> None:
    examples = ExampleSet(rows(), tokenizer, tiny_model().config)
    parts = [list(batches(examples, 0, 0, 1, 1, share=(rank, 3))) for rank in range(3)]
    assert [len(part) for part in parts] == [3, 3, 3]
    drawn = [example for part in parts for batch in part for example in batch]
    assert len(drawn) == len(set(drawn)) == 9


def test_a_process_that_dies_ends_the_other_soon_with_one_line_and_what_was_saved_is_whole(
    tokenizer: Tokenizer, tmp_path: Path
) -> None:
    def work(world: World) -> Any:
        made = trainer(tokenizer, tmp_path / "run", plan(False, 6))
        take = made._step

        def step_or_die(*given: Any) -> dict:
            if made.step == 4 and world.rank == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            return take(*given)

        made._step = step_or_die
        return made.run().steps

    began = time.monotonic()
    assert together(work, tmp_path) == [2, -signal.SIGKILL]
    assert time.monotonic() - began < 60
    said = [line for line in (tmp_path / "0.txt").read_text().splitlines() if line.startswith("needle: ")]
    assert len(said) == 1 and "another process of the run is gone" in said[0] and "--resume" in said[0]
    again = trainer(tokenizer, tmp_path / "run", plan(False, 6), model=load_model(tmp_path / "run" / "last"))
    again.resume()
    assert again.step == 3 and (tmp_path / "run" / "best" / "model.safetensors").is_file()


@pytest.mark.parametrize(
    ("models", "change", "words"), [(1, {}, "torchrun"), (2, {}, "mutual"), (1, {"average_decay": 0.9}, "average")]
)
def test_sharding_that_is_not_possible_is_refused(
    models: int, change: dict, words: str, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World()
    if words != "torchrun":
        monkeypatch.setattr(world, "size", 2)
    with pytest.raises(UserError, match=words):
        Students([tiny_model() for _ in range(models)], settings(shard=True, **change), torch.float32, world=world)
