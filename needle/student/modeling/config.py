"""Shape of the student as a ``transformers`` configuration, and the three presets."""

from __future__ import annotations

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

from needle.student.shape import Derived
from needle.student.tokenizer import BOS, EOS, PAD, SPECIAL_IDS


@strict
class NeedleConfig(Derived, PreTrainedConfig):
    """Encoder-decoder "simple attention network" (grouped-query attention, RoPE, QK-norm, gated residuals, tied embeddings).

    After the Needle v1 architecture (Cactus Compute, 2026; see also arXiv:2607.18363), re-implemented.
    """

    model_type = "needle"

    vocab_size: int = 8192
    """Rows of the one embedding that encoder, decoder and output share."""
    hidden_size: int = 512
    """Width D of the residual stream."""
    num_encoder_layers: int = 12
    """Self-attention layers over tools and requests."""
    num_decoder_layers: int = 8
    """Layers of causal self-attention and cross-attention over the answer."""
    num_attention_heads: int = 8
    """Query heads H; the head width is D / H."""
    num_key_value_heads: int = 4
    """Key/value heads K."""
    ffn_size: int = 0
    """Inner width of the feed-forward block of each layer; 0 leaves it out."""
    request_independent_layers: int = 12
    """Encoder layers in which tool tokens do not see the request (0: all joint). All of them: tool encodings can be cached."""
    rope_theta: float = 10_000.0
    """Base of the rotary position frequencies."""
    norm_eps: float = 1e-6
    """Added to the mean square in RMS norms."""
    initializer_range: float = 0.02
    """Standard deviation of initial weights; output projections get it over sqrt(2 x layers)."""
    max_source_tokens: int = 4096
    """Longest toolset plus request that is accepted."""
    max_request_tokens: int = 1024
    """Longest request (with facts and earlier turns) that is accepted."""
    max_target_tokens: int = 512
    """Longest answer that is generated."""
    alignment_heads: list[list[int]] | None = None
    """Pairs (decoder layer, head) whose mean cross-attention tells where an argument came from; None: all heads of the last two layers."""
    pad_token_id: int | None = SPECIAL_IDS[PAD]
    eos_token_id: int | list[int] | None = SPECIAL_IDS[EOS]
    bos_token_id: int | None = SPECIAL_IDS[BOS]
    tie_word_embeddings: bool = True
    is_encoder_decoder: bool = True


PRESETS: dict[str, dict[str, int]] = {
    "nano": {"hidden_size": 256, "num_encoder_layers": 6, "num_decoder_layers": 4, "num_attention_heads": 4,
             "num_key_value_heads": 2, "request_independent_layers": 6},
    "base": {},
    "proxy": {"hidden_size": 1024, "num_encoder_layers": 16, "num_decoder_layers": 12, "num_attention_heads": 16,
              "num_key_value_heads": 8, "request_independent_layers": 16},
}  # fmt: skip
"""``nano`` for tests and CPU experiments, ``base`` the 26M student, ``proxy`` a larger teacher with the same tokenizer."""
