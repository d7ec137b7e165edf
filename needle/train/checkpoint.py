"""Checkpoints: a folder that ``from_pretrained`` reads, and the state that continues the run. Written beside, then swapped in."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Container, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer

from needle.errors import UserError
from needle.student.modeling import NeedleModel
from needle.student.modeling.storage import WEIGHTS, write_tensors
from needle.student.tokenizer import BOS, EOS, PAD, write_tokenizer
from needle.train.shard import spread_like

STATE, OPTIMIZER, LOCK = "training_state.json", "optimizer.safetensors", ".lock"


@contextmanager
def alone(out: Path) -> Iterator[None]:
    """Keeps the folder of a run for this process, so that two runs never mix their files; the system lets go of it when the process ends.

    A record lock: workers that are forked do not hold it on. Raises ``UserError`` when another process trains there. Without locks in
    the file system (or on Windows) nothing is checked.
    """
    out.mkdir(parents=True, exist_ok=True)
    with (out / LOCK).open("a") as file:
        try:
            import fcntl

            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:
            raise UserError(f"{out}: another process is training there; wait for its end, or give another --out") from error
        except (ImportError, OSError):
            pass
        yield


def save_checkpoint(
    folder: Path,
    model: NeedleModel,
    tokenizer: Tokenizer,
    state: dict[str, Any],
    optimizers: list[torch.optim.Optimizer] | None = None,
    extra: dict[str, NeedleModel] | None = None,
) -> None:
    """Write weights, tokenizer and state; with ``optimizers`` the run can be continued. An older folder is replaced only when all is written.

    ``extra``: further models of the run (peers, averages) by file name. Raises ``OSError`` or ``SafetensorError`` when it cannot be written;
    then nothing is left of it, and the older folder is as it was.
    """
    with replaced(folder) as fresh:
        model.config.save_pretrained(fresh)
        write_tensors(model.state_dict(), fresh / WEIGHTS)
        save_tokenizer(fresh, tokenizer)
        for name, other in (extra or {}).items():
            write_tensors(other.state_dict(), fresh / f"{name}.safetensors")
        if optimizers is not None:
            write_tensors(_optimizer_tensors(optimizers), fresh / OPTIMIZER)
        (fresh / STATE).write_text(json.dumps(state, indent=1))


@contextmanager
def replaced(folder: Path) -> Iterator[Path]:
    """An empty folder beside that takes the place of ``folder`` once the block has ended, all on disk.

    After an error nothing is left of it, and an older folder is as it was. ``whole`` mends what a kill between the two renames leaves.
    """
    fresh, old = folder.with_name(folder.name + ".new"), _old(folder)
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        fresh.mkdir(parents=True)
        yield fresh
        for path in fresh.iterdir():
            _to_disk(path)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)  # on a full disk the half that was written is in the way
        raise
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    fresh.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def _to_disk(path: Path) -> None:
    """A power cut after the swap must not find empty files under the good name."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _old(folder: Path) -> Path:
    return folder.with_name(folder.name + ".old")


def whole(folder: Path) -> Path:
    """The checkpoint folder, put back in place if a process was killed between the two renames of ``save_checkpoint``."""
    if not folder.exists() and _old(folder).exists():
        _old(folder).rename(folder)
    return folder


def save_tokenizer(folder: Path, tokenizer: Tokenizer) -> None:
    """``tokenizer.json`` and the file that makes ``AutoTokenizer`` read it."""
    write_tokenizer(tokenizer, folder / "tokenizer.json")
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": PAD, "eos_token": EOS, "bos_token": BOS}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=1))


def _optimizer_tensors(optimizers: list[torch.optim.Optimizer]) -> dict[str, torch.Tensor]:
    tensors = {}
    for number, optimizer in enumerate(optimizers):
        for parameter, values in optimizer.state_dict()["state"].items():
            for key, value in values.items():
                tensors[f"{number}.{parameter}.{key}"] = torch.as_tensor(value).contiguous()
    return tensors


def read_state(folder: Path) -> dict[str, Any]:
    """The state of the run whose checkpoint this is. Raises ``UserError`` when the folder holds no run that can be continued."""
    if not (folder / STATE).is_file() or not (folder / OPTIMIZER).is_file():
        raise UserError(f"{folder}: nothing to resume there (no {STATE} with {OPTIMIZER})")
    return json.loads((folder / STATE).read_text())


def same_settings(before: dict[str, Any], now: dict[str, Any], free: Container[str] = ()) -> None:
    """Raises ``UserError`` naming the settings other than ``free`` that are not as they were, with both values."""
    before, now = (json.loads(json.dumps(one)) for one in (before, now))
    different = [f"{key} {before[key]} there and {now[key]} now" for key in now if key not in free and before.get(key, now[key]) != now[key]]
    if different:
        raise UserError(f"the run has other settings: {'; '.join(different)}; continue it with its own, or give another --out")


def load_state(folder: Path, optimizers: list[torch.optim.Optimizer], extra: dict[str, NeedleModel] | None = None) -> None:
    """Restore optimisers and ``extra`` models in place. Raises ``UserError`` when the folder lacks one of them."""
    for name, model in (extra or {}).items():
        if not (folder / f"{name}.safetensors").is_file():
            raise UserError(f"{folder}: the run there has no {name}; continue it with the settings and students that it began with")
        model.load_state_dict(load_file(folder / f"{name}.safetensors"))
    tensors = load_file(folder / OPTIMIZER)
    for number, optimizer in enumerate(optimizers):
        content, parameters = optimizer.state_dict(), [one for group in optimizer.param_groups for one in group["params"]]
        entries: dict[int, dict[str, Any]] = {}
        for name, tensor in tensors.items():
            owner, parameter, key = name.split(".")
            if int(owner) == number:
                entries.setdefault(int(parameter), {})[key] = spread_like(tensor, parameters[int(parameter)])
        content["state"] = entries
        optimizer.load_state_dict(content)
