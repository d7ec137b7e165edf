"""Models and tokenizers from a folder or the hub, and the mistakes that can be made there in one line each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils.logging import disable_progress_bar

from needle.errors import UserError

PREFIX = "hf:"


@dataclass(frozen=True)
class Causal:
    """A causal language model as it was loaded."""

    model: nn.Module
    """What ``AutoModelForCausalLM`` gave."""
    tokenizer: Any
    """Its tokenizer, with a padding token."""
    name: str
    """``hf:PATH_OR_ID``."""

    @property
    def context(self) -> int:
        """Most tokens of a row."""
        return getattr(self.model.config, "max_position_embeddings", None) or 1 << 30

    @property
    def ends(self) -> list[int]:
        """Tokens at which it stops writing."""
        ends = self.model.generation_config.eos_token_id
        return ends if isinstance(ends, list) else [] if ends is None else [ends]


def load_causal(name: str, exact: bool) -> Causal:
    """The model that ``name`` (``hf:PATH_OR_ID``) names, on the best device at hand.

    ``exact``: in fp32, as all of its weights are to be trained; else in the type of the file. Raises ``UserError``
    when it cannot be loaded.
    """
    place = name.removeprefix(PREFIX)
    if not place or (place.startswith((".", "/", "~")) and not Path(place).is_dir()):
        raise UserError(f"{name}: no such folder; give hf:FOLDER or hf:OWNER/NAME of a causal language model")
    disable_progress_bar()  # of weights that load and shards that are written: a run has one bar of its own
    try:
        tokenizer = AutoTokenizer.from_pretrained(place)
        model = AutoModelForCausalLM.from_pretrained(place, dtype=torch.float32 if exact else "auto")
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f"{name}: cannot be loaded ({reason[:200]}); check the path or the network") from error
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return Causal(model.to("cuda" if torch.cuda.is_available() else "cpu"), tokenizer, name)


def check_same_vocabulary(student: Any, teacher: Any, name: str) -> None:
    """Soft labels are probabilities over the same tokens. Raises ``UserError`` when the vocabularies of two
    tokenizers differ."""
    if student.get_vocab() != teacher.get_vocab():
        raise UserError(
            f"{name}: a teacher with another tokenizer cannot give soft labels; take one of the student's family, "
            "or learn from its traces alone"
        )
