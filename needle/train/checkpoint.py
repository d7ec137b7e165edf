"""Checkpoints: a folder that ``from_pretrained`` reads, and the state that continues the run. Written beside, then swapped in."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from needle.errors import UserError
from needle.student.modeling import NeedleModel
from needle.student.modeling.storage import WEIGHTS
from needle.student.tokenizer import BOS, EOS, PAD

STATE, OPTIMIZER = "training_state.json", "optimizer.safetensors"


def save_checkpoint(
    folder: Path,
    model: NeedleModel,
    tokenizer: Tokenizer,
    state: dict[str, Any],
    optimizers: list[torch.optim.Optimizer] | None = None,
    extra: dict[str, NeedleModel] | None = None,
) -> None:
    """Write weights, tokenizer and state; with ``optimizers`` the run can be continued. An older folder is replaced only when all is written.

    ``extra``: further models of the run (peers, averages) by file name.
    """
    fresh, old = folder.with_name(folder.name + ".new"), _old(folder)
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    model.config.save_pretrained(fresh)
    save_file({name: weight.contiguous() for name, weight in model.state_dict().items()}, fresh / WEIGHTS, metadata={"format": "pt"})
    save_tokenizer(fresh, tokenizer)
    for name, other in (extra or {}).items():
        save_file({key: weight.contiguous() for key, weight in other.state_dict().items()}, fresh / f"{name}.safetensors")
    if optimizers is not None:
        save_file(_optimizer_tensors(optimizers), fresh / OPTIMIZER)
    (fresh / STATE).write_text(json.dumps(state, indent=1))
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    fresh.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def _old(folder: Path) -> Path:
    return folder.with_name(folder.name + ".old")


def whole(folder: Path) -> Path:
    """The checkpoint folder, put back in place if a process was killed between the two renames of ``save_checkpoint``."""
    if not folder.exists() and _old(folder).exists():
        _old(folder).rename(folder)
    return folder


def save_tokenizer(folder: Path, tokenizer: Tokenizer) -> None:
    """``tokenizer.json`` and the file that makes ``AutoTokenizer`` read it."""
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": PAD, "eos_token": EOS, "bos_token": BOS}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=1))


def _optimizer_tensors(optimizers: list[torch.optim.Optimizer]) -> dict[str, torch.Tensor]:
    tensors = {}
    for number, optimizer in enumerate(optimizers):
        for parameter, values in optimizer.state_dict()["state"].items():
            for key, value in values.items():
                tensors[f"{number}.{parameter}.{key}"] = torch.as_tensor(value).contiguous()
    return tensors


def load_state(folder: Path, optimizers: list[torch.optim.Optimizer], extra: dict[str, NeedleModel] | None = None) -> dict[str, Any]:
    """Restore optimisers and ``extra`` models in place and return the run's state. Raises ``UserError`` when the folder holds no such run."""
    if not (folder / STATE).is_file() or not (folder / OPTIMIZER).is_file():
        raise UserError(f"{folder}: nothing to resume there (no {STATE} with {OPTIMIZER})")
    for name, model in (extra or {}).items():
        if not (folder / f"{name}.safetensors").is_file():
            raise UserError(f"{folder}: the run there has no {name}; continue it with the settings and students that it began with")
        model.load_state_dict(load_file(folder / f"{name}.safetensors"))
    tensors = load_file(folder / OPTIMIZER)
    for number, optimizer in enumerate(optimizers):
        content = optimizer.state_dict()
        entries: dict[int, dict[str, Any]] = {}
        for name, tensor in tensors.items():
            owner, parameter, key = name.split(".")
            if int(owner) == number:
                entries.setdefault(int(parameter), {})[key] = tensor
        content["state"] = entries
        optimizer.load_state_dict(content)
    return json.loads((folder / STATE).read_text())
