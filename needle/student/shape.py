"""Shape of a student, read from ``config.json`` without ``transformers``; ``NeedleConfig`` is the same for training."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path

from needle.errors import UserError

CONFIG, WEIGHTS = "config.json", "model.safetensors"
"""Files of a checkpoint folder, beside ``tokenizer.json``."""


class Derived:
    """What follows from the settings of a student, in ``Shape`` and in ``NeedleConfig``."""

    hidden_size: int
    num_attention_heads: int
    num_encoder_layers: int
    request_independent_layers: int

    @property
    def head_size(self) -> int:
        """Width E of one head."""
        return self.hidden_size // self.num_attention_heads

    @property
    def shares_toolsets(self) -> bool:
        """Whether the rows of a batch can read one copy of their toolset: not where tools see the request."""
        return self.request_independent_layers >= self.num_encoder_layers


@dataclass(frozen=True)
class Shape(Derived):
    """The settings of ``NeedleConfig`` that a runtime needs; see there for their meaning."""

    vocab_size: int = 8192
    """Rows of the embedding."""
    hidden_size: int = 512
    """Width D."""
    num_encoder_layers: int = 12
    """Encoder layers."""
    num_decoder_layers: int = 8
    """Decoder layers."""
    num_attention_heads: int = 8
    """Query heads H."""
    num_key_value_heads: int = 4
    """Key/value heads K."""
    ffn_size: int = 0
    """Inner width of feed-forward blocks; 0: none."""
    request_independent_layers: int = 12
    """Encoder layers in which tools do not see the request."""
    rope_theta: float = 10_000.0
    """Base of the rotary frequencies."""
    norm_eps: float = 1e-6
    """Added to mean squares."""
    max_source_tokens: int = 4096
    """Longest toolset plus request."""
    max_request_tokens: int = 1024
    """Longest request."""
    max_target_tokens: int = 512
    """Longest answer."""
    alignment_heads: list[list[int]] | None = None
    """Pairs (decoder layer, head) whose cross-attention explains arguments."""

    @classmethod
    def read(cls, folder: Path) -> Shape:
        """Read ``config.json``. Raises ``UserError`` when it is missing or no student's."""
        path = folder / CONFIG
        try:
            settings = json.loads(path.read_text(encoding="utf-8"))
            kind = settings.get("model_type")
        except FileNotFoundError:
            raise UserError(f"{folder}: no student there (a checkpoint folder holds {CONFIG}, {WEIGHTS} and tokenizer.json)") from None
        except (OSError, ValueError, AttributeError) as error:
            raise UserError(f"{path}: not a configuration ({error}); copy the checkpoint again") from error
        if kind != "needle":
            raise UserError(f"{folder}: a {kind!r} model, not a needle student")
        shape = cls(**{field.name: settings[field.name] for field in fields(cls) if field.name in settings})
        numbers = [value for value in vars(shape).values() if not isinstance(value, list | None)]
        if not all(isinstance(value, int | float) and value >= 0 for value in numbers) or shape.hidden_size % max(shape.num_attention_heads, 1):
            raise UserError(f"{path}: not a configuration (sizes must be numbers that divide each other); copy the checkpoint again")
        return shape
