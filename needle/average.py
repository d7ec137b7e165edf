"""Several checkpoints of one kind as one: the mean of their weights, ``needle average``.

Runs that went different ways from one start often meet in a better place than any of them reached (Wortsman et al., "Model soups",
arXiv:2203.05482); it costs nothing when the model answers. Whether it is better here, ``needle eval`` on held-out rows tells.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from needle.errors import UserError
from needle.models import checkpoint_folder, require_torch
from needle.student.shape import CONFIG
from needle.student.tokenizer import load_tokenizer, write_tokenizer


def average(checkpoints: Sequence[str], out: Path, weights: Sequence[float] | None = None) -> Path:
    """Write the mean of at least two ``checkpoints`` (folders or hub ids) to the new folder ``out``; returns it.

    ``weights``: share of each (None: all alike); they are scaled to a sum of 1.

    Raises:
        UserError: one checkpoint alone, other shapes or tokenizers, as many weights as there are not, or an ``out`` that is there.
    """
    require_torch("averaging checkpoints")
    from needle.student.modeling.storage import load_model, save_quantized

    shares = list(weights or [1.0] * len(checkpoints))
    if len(checkpoints) < 2:
        raise UserError("one checkpoint is its own average; give two or more")
    if len(shares) != len(checkpoints) or min(shares) < 0 or not sum(shares) > 0:
        raise UserError(f"weights {', '.join(map(str, shares))}: give one of 0 or more to each of the {len(checkpoints)} checkpoints, not all 0")
    if out.exists():
        raise UserError(f"{out}: there is something already; give another --out")
    folders = [checkpoint_folder(one) for one in checkpoints]
    tokenizer = load_tokenizer(folders[0])
    models = [load_model(folder) for folder in folders]
    for name, folder, model in zip(checkpoints, folders, models, strict=True):
        if model.config.to_diff_dict() != models[0].config.to_diff_dict():
            raise UserError(f"{name}: its {CONFIG} differs from that of {checkpoints[0]}; average checkpoints of one shape")
        if json.loads(load_tokenizer(folder).to_str()) != json.loads(tokenizer.to_str()):
            raise UserError(f"{name}: its tokenizer differs from that of {checkpoints[0]}; average checkpoints of one tokenizer")
    states = [model.state_dict() for model in models]
    mean = {key: sum(share / sum(shares) * state[key].double() for share, state in zip(shares, states, strict=True)).to(value.dtype) for key, value in states[0].items()}
    models[0].load_state_dict(mean)
    save_quantized(models[0], out, 32)
    write_tokenizer(tokenizer, out / "tokenizer.json")
    return out
