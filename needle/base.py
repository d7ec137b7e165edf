"""The published base from its sources by one command, ``needle train-base``: the mix of public sets, the training run, the small file.

What it is made of and how is in ``data/base.json`` and ``data/corpora.json``. Each part is kept when it is finished, so the same command
goes on after a stop; on a card that is lent for minutes it runs in pieces.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from needle.errors import UserError

SOURCES = Path(__file__).parents[1] / "data"
"""Recipes and recorded traces of the source tree."""


@dataclass(frozen=True)
class BaseResult:
    """What a call of ``train_base`` reached."""

    trained: Any
    """The ``TrainReport``; ``complete`` says whether the run is at its end."""
    export: Path | None
    """Folder of the 4-bit checkpoint, once the run is complete."""


def train_base(
    data: Path | None,
    out: Path,
    *,
    changes: dict[str, Any] | None = None,
    piece: float | None = None,
    build: Callable[[Path, Path, Path], None],
    report: Callable[[dict[str, Any]], None] = lambda _: None,
) -> BaseResult:
    """Build the mix, train, export; what an earlier call finished is kept.

    Args:
        data: folder with the unpacked public sets; None: train on the recorded traces alone.
        out: ``mix``, ``run`` and ``int4`` are made in it.
        changes: settings of ``TrainConfig`` that differ from ``data/base.json`` (budget, rows a step, seed ...).
        piece: stop after so many minutes of training, to be continued by the same call.
        build: makes a mix: ``(config, data, folder)``.
        report: called with every record of the training run.

    Raises:
        UserError: no source tree, unusable sets, settings or checkpoints.
    """
    from needle.distil import train
    from needle.export import export_quantized
    from needle.models import require_torch
    from needle.terminal import first_process

    require_torch("training")
    from needle.train.checkpoint import whole

    recipe = _recipe()
    run = out / "run"
    folders = [f"{SOURCES / name}@{uses}" for name, uses in recipe["traces"].items()]
    if data is not None:
        build(SOURCES / recipe["mix"], data, out / "mix")
        folders += sorted(str(path.parent) for path in (out / "mix").glob("*/train.jsonl.gz"))
    changes = dict(changes or {})
    settings = {key: value for key, value in recipe["settings"].items() if not (key == "minutes" and "steps" in changes)} | changes
    trained = train(
        [Path(folder) for folder in folders], run, base="none", preset=recipe["preset"], settings=settings, report=report, piece=piece,
        resume=whole(run / "last").exists(),
    )  # fmt: skip
    if not trained.complete:
        return BaseResult(trained, None)
    if first_process():
        export_quantized(str(run / "best"), out / "int4", recipe["settings"]["quantize_bits"])
    return BaseResult(trained, out / "int4")


def _recipe() -> dict[str, Any]:
    path = SOURCES / "base.json"
    if not path.is_file():
        raise UserError("data/base.json is not beside the package: the base is trained from the source tree; clone the repository")
    return json.loads(path.read_text(encoding="utf-8"))
