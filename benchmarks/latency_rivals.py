"""The two programs beside which ``latency.py`` puts the exported student: Hugging Face ``generate`` and llama.cpp.

``Generate`` is what a plain user of ``transformers`` would have: the same weights in fp32, driven by ``GenerationMixin.generate`` with its
key-value cache, nothing constrained, the toolset read again at each call. ``LlamaCpp`` reads the same tokens with a Llama of about the same size
(random weights: they change what is written, not how long it takes), 4-bit matrices, and the toolset kept as the prefix of its cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F
from transformers import GenerationMixin
from transformers.cache_utils import Cache, DynamicCache, EncoderDecoderCache
from transformers.modeling_outputs import BaseModelOutput, Seq2SeqLMOutput

from needle.student.modeling import NeedleModel
from needle.student.modeling.batching import pack_source
from needle.student.modeling.layers import rotary_table
from needle.student.modeling.storage import load_model
from needle.student.tokenizer import BOS, EOS, PAD, SPECIAL_IDS

CACHE = "cache" if "cache" in Seq2SeqLMOutput.__dataclass_fields__ else "past_key_values"
"""What ``transformers`` calls the cache of an output; it was renamed in 5.x."""
LLAMA = {"layers": 12, "size": 512, "heads": 8, "kinds": 4, "inner": 704, "vocabulary": 8192}
"""26.6 million weights, like the student's 26.3."""


class _Reader:
    """The encoder as ``generate`` calls it."""

    def __init__(self, model: Generating) -> None:
        self.model = model

    def forward(self, input_ids: torch.Tensor, **_: Any) -> BaseModelOutput:
        """``[1, tools + request]`` to states ``[1, tools + request, D]``."""
        ids, cut = input_ids[0].tolist(), self.model.tools
        return BaseModelOutput(last_hidden_state=self.model.encode(pack_source([ids[:cut]], [ids[cut:]], [0]))[None])

    __call__ = forward


class Generating(NeedleModel, GenerationMixin):
    """The student with the ``forward`` that ``generate`` needs, for one row."""

    main_input_name = "input_ids"
    tools = 0
    """Tokens of the toolset at the start of the input."""

    def get_encoder(self, *_: Any) -> _Reader:
        """Called once by each ``generate``."""
        return _Reader(self)

    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        decoder_input_ids: torch.Tensor | None = None,
        encoder_outputs: BaseModelOutput | None = None,
        cache: Cache | None = None,
        past_key_values: Cache | None = None,
        **_: Any,
    ) -> Seq2SeqLMOutput:
        """One decoder step: logits ``[1, T, V]`` and the grown cache."""
        kept = cache if cache is not None else past_key_values
        assert isinstance(kept, EncoderDecoderCache) and decoder_input_ids is not None and encoder_outputs is not None
        own, cross = kept.self_attention_cache, kept.cross_attention_cache
        start, count = own.get_seq_length(), decoder_input_ids.shape[1]
        x = self.embed(decoder_input_ids[0], torch.float32)
        table = rotary_table(torch.arange(start, start + count), self.config.head_size, self.config.rope_theta)
        for index, layer in enumerate(self.decoder):
            query, key, value = layer.regions.project(layer.attention, x, table)
            x = layer.regions.add(layer.attention, x, _attend(query, own.update(_heads(key), _heads(value), index), count > 1))
            if not kept.is_updated.get(index):
                cross.update(*map(_heads, layer.regions.remember(layer.cross.branch, encoder_outputs[0][0])), index)
                kept.is_updated[index] = True
            seen = cross.layers[index].keys, cross.layers[index].values
            x = layer.regions.add(layer.cross, x, _attend(layer.regions.ask(layer.cross, x), seen, False))
            x = x if layer.ffn is None else layer.ffn.add(x, layer.ffn.branch(layer.ffn.norm(x)))
        return Seq2SeqLMOutput(logits=self.logits(self.decoder_norm(x))[None], **{CACHE: kept})


def _heads(x_NKE: torch.Tensor) -> torch.Tensor:
    """``[1, K, N, E]``."""
    return x_NKE.transpose(0, 1)[None]


def _attend(query_NHE: torch.Tensor, seen: tuple[torch.Tensor, torch.Tensor], causal: bool) -> torch.Tensor:
    """Heads ``[N, H * E]`` by PyTorch's fused attention."""
    heads = F.scaled_dot_product_attention(_heads(query_NHE), *seen, is_causal=causal, enable_gqa=True)
    return heads[0].transpose(0, 1).flatten(1)


class Generate:
    """``transformers``' own greedy loop over the weights of a checkpoint or export."""

    def __init__(self, folder: Path, toolset: Sequence[int], request: Sequence[int]) -> None:
        plain = load_model(folder)
        self.model = Generating(plain.config).eval()
        self.model.load_state_dict(plain.state_dict())
        self.model.tools, self.model.encoder.main_input_name = len(toolset), "input_ids"
        self.ids = torch.tensor([[*toolset, *request]])

    def call(self, tokens: int) -> list[int]:
        """Write exactly ``tokens`` tokens."""
        with torch.inference_mode():
            out = self.model.generate(
                self.ids, attention_mask=torch.ones_like(self.ids), **{CACHE: EncoderDecoderCache(DynamicCache(), DynamicCache())},
                do_sample=False, use_cache=True, min_new_tokens=tokens, max_new_tokens=tokens,
                decoder_start_token_id=SPECIAL_IDS[BOS], eos_token_id=SPECIAL_IDS[EOS], pad_token_id=SPECIAL_IDS[PAD],
            )  # fmt: skip
        return out[0, 1:].tolist()


class LlamaCpp:
    """llama.cpp through ``llama-cpp-python``, one thread, weights of ``write_llama``."""

    def __init__(self, path: Path, toolset: Sequence[int], request: Sequence[int]) -> None:
        """Raises ImportError when it is not installed."""
        import llama_cpp

        self.llama = llama_cpp.Llama(str(path), n_ctx=1024, n_batch=512, n_ubatch=512, n_threads=1, n_threads_batch=1, verbose=False)
        self.toolset, self.requests, self.calls = list(toolset), (list(request), list(request)[::-1]), 0

    def call(self, tokens: int, new: bool) -> list[int]:
        """Read the request (and the toolset, if it is ``new``; else it is the kept prefix) and write ``tokens`` tokens."""
        if new:
            self.llama.reset()
        self.calls += 1
        prompt = self.toolset + self.requests[self.calls % 2]  # not the one just read, which would still be in the cache
        written = self.llama.generate(prompt, temp=0.0, repeat_penalty=1.0)
        return [next(written) for _ in range(tokens)]


def write_llama(path: Path, shape: dict[str, int] = LLAMA) -> None:
    """A GGUF file of a Llama with random weights, matrices in Q4_0. Raises ImportError without the ``gguf`` package."""
    import gguf

    random = np.random.default_rng(0)
    size, head = shape["size"], shape["size"] // shape["heads"]
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_context_length(1024)
    writer.add_embedding_length(size)
    writer.add_block_count(shape["layers"])
    writer.add_feed_forward_length(shape["inner"])
    writer.add_head_count(shape["heads"])
    writer.add_head_count_kv(shape["kinds"])
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_dimension_count(head)
    writer.add_vocab_size(shape["vocabulary"])
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q4_0)
    names = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    kinds = [gguf.TokenType.UNKNOWN, *[gguf.TokenType.CONTROL] * 2, *[gguf.TokenType.BYTE] * 256]
    more = shape["vocabulary"] - len(names)
    writer.add_tokenizer_model("llama")
    writer.add_token_list([*names, *(f"t{number}" for number in range(more))])
    writer.add_token_scores([0.0] * shape["vocabulary"])
    writer.add_token_types([*kinds, *[gguf.TokenType.NORMAL] * more])
    for name, form in _tensors(shape, head).items():
        if len(form) == 1:
            writer.add_tensor(name, np.ones(form, dtype=np.float32))
        else:
            table = random.standard_normal(form, dtype=np.float32) * np.float32(0.02)
            kind = gguf.GGMLQuantizationType.Q4_0
            writer.add_tensor(name, gguf.quants.quantize(table, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _tensors(shape: dict[str, int], head: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes (rows, columns) of the weights; the output layer is the embedding."""
    size, kinds, inner = shape["size"], shape["kinds"] * head, shape["inner"]
    found: dict[str, tuple[int, ...]] = {"token_embd.weight": (shape["vocabulary"], size), "output_norm.weight": (size,)}
    layer = {
        "attn_norm": (size,), "attn_q": (size, size), "attn_k": (kinds, size), "attn_v": (kinds, size), "attn_output": (size, size),
        "ffn_norm": (size,), "ffn_gate": (inner, size), "ffn_up": (inner, size), "ffn_down": (size, inner),
    }  # fmt: skip
    return found | {f"blk.{number}.{name}.weight": form for number in range(shape["layers"]) for name, form in layer.items()}
