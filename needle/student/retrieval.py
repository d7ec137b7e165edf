"""Tools found by meaning, beside their words: two small projections over what the encoder makes of a request and of each tool.

Each text is encoded by itself and averaged over its tokens. What is averaged are the values that the decoder's first layers read: linear in the
encoder's states, as wide as they are, and given out by every engine as it is. The cosine of the projected averages, times ``weight``, is added to
the lexical score of ``needle.tools.retrieval``. Dense vectors for questions and passages: Karpukhin et al., 2020, arXiv:2004.04906.
``needle.train.retrieval`` fits the projections; ``docs/formats.md`` describes the file.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save
from tokenizers import Tokenizer

from needle.errors import UserError
from needle.student.beside import read_beside, write_beside
from needle.student.rendering import render_request, render_tools
from needle.tools import Request, ToolSpec

if TYPE_CHECKING:
    from needle.student.caller import Engine

FILE, FORMAT = "retrieval.safetensors", 1
"""The file beside the weights, and the version of its layout."""
KEPT = 16384
"""Tools whose vectors are kept; beyond it all are forgotten."""
Source = tuple[Sequence[int], Sequence[int]]
"""Tokens of a toolset and of a request; the request empty: the toolset is what is averaged."""


def pooled_layers(config: Any) -> int:
    """Decoder layers whose values are averaged: as many as make up the width of the encoder, from the first."""
    return min(-(-config.hidden_size // (config.num_key_value_heads * config.head_size)), config.num_decoder_layers)


def pooled_width(config: Any) -> int:
    """Width D of an average."""
    return pooled_layers(config) * config.num_key_value_heads * config.head_size


def request_source(tokenizer: Tokenizer, text: str, most: int) -> Source:
    """What is encoded of a request: its text without tools, facts and turns, the first ``most`` tokens of it."""
    return render_tools(tokenizer, ()), render_request(tokenizer, Request(text, ()))[:most]


def tool_source(tokenizer: Tokenizer, tool: ToolSpec, most: int) -> Source:
    """What is encoded of a tool: all that the student reads of it, the first ``most`` tokens."""
    return render_tools(tokenizer, [tool])[:most], ()


@dataclass(frozen=True)
class RetrievalHead:
    """Projections to a common space of requests and tools, and how much their cosine counts."""

    requests_DS: np.ndarray
    """For averages of requests, float32."""
    tools_DS: np.ndarray
    """For averages of tools, float32."""
    weight: float
    """Lexical score that a cosine of 1 is worth."""
    fitted_on: Mapping[str, Any] = field(default_factory=dict)
    """Where it comes from: ``requests``, ``tools``, ``source``, ``seed``; ``recall`` on toolsets that neither the fit nor the weight saw."""

    @cached_property
    def digest(self) -> str:
        """Fingerprint of what decides the order of tools."""
        state = hashlib.blake2b(digest_size=8)
        for part in (self.requests_DS, self.tools_DS, np.float64(self.weight)):
            state.update(part.tobytes())
        return state.hexdigest()

    def requests(self, pooled_ND: np.ndarray) -> np.ndarray:
        """``[N, S]``, each of length 1."""
        return _unit(_unit(pooled_ND) @ self.requests_DS)

    def tools(self, pooled_MD: np.ndarray) -> np.ndarray:
        """``[M, S]``, each of length 1."""
        return _unit(_unit(pooled_MD) @ self.tools_DS)

    def save(self, folder: Path) -> None:
        """Write the file beside the weights, in fp16: whole or not at all. Raises ``UserError`` when it cannot be written."""
        arrays = {"requests": self.requests_DS.astype(np.float16), "tools": self.tools_DS.astype(np.float16)}
        notes = {"retrieval": json.dumps({"format": FORMAT, "weight": self.weight, "fitted_on": self.fitted_on})}  # one key: the order of several is chance
        write_beside(folder, FILE, save(arrays, notes))

    @classmethod
    def load(cls, folder: Path) -> RetrievalHead | None:
        """The head of a checkpoint or export folder, None where there is none. Raises ``UserError`` for a file that is none."""
        return read_beside(folder, FILE, cls._read, "no retrieval head", "fit it anew with `needle calibrate --retrieval`")

    @classmethod
    def _read(cls, path: Path) -> RetrievalHead:
        with safe_open(path, "np") as file:
            notes = json.loads((file.metadata() or {})["retrieval"])
            requests, tools = (file.get_tensor(name).astype(np.float32) for name in ("requests", "tools"))
        weight = float(notes["weight"])
        if notes["format"] != FORMAT or requests.ndim != 2 or requests.shape != tools.shape or not np.isfinite([weight, requests.sum(), tools.sum()]).all():
            raise ValueError("its numbers are not ours")
        return cls(requests, tools, weight, notes["fitted_on"])


class Finder:
    """A head at work on an engine: vectors of tools, made once, and how near a request is to each. Safe for threads."""

    def __init__(self, head: RetrievalHead, engine: Engine, tokenizer: Tokenizer) -> None:
        """Raises ``UserError`` for a head that was fitted for a model of another width."""
        self.head, self.engine, self.tokenizer = head, engine, tokenizer
        if head.tools_DS.shape[0] != pooled_width(engine.config):
            raise UserError(f"{FILE} was fitted for another model; delete it, or fit it anew with `needle calibrate --retrieval`")
        self._kept: dict[bytes, np.ndarray] = {}
        self._lock = threading.Lock()

    def vectors(self, tools: Sequence[ToolSpec], keep: bool = False) -> np.ndarray:
        """``[M, S]`` of the tools; ``keep``: the engine also puts what it made of them on its disk, where it has one."""
        sources = [tool_source(self.tokenizer, tool, self.engine.config.max_source_tokens) for tool in tools]
        keys = [np.asarray(ids, dtype=np.int32).tobytes() for ids, _ in sources]
        with self._lock:
            known = {key: self._kept[key] for key in keys if key in self._kept}
        fresh = [place for place, key in enumerate(keys) if keep or key not in known]
        if fresh:
            made = self.head.tools(self.engine.pooled([sources[place] for place in fresh], keep))
            known |= {keys[place]: vector for place, vector in zip(fresh, made, strict=True)}
            with self._lock:
                if len(self._kept) + len(fresh) > KEPT:
                    self._kept.clear()
                self._kept |= {keys[place]: known[keys[place]] for place in fresh[:KEPT]}
        return np.stack([known[key] for key in keys])

    def scores(self, text: str, vectors_MS: np.ndarray) -> np.ndarray:
        """``[M]``: what is added to the lexical score of each tool."""
        source = request_source(self.tokenizer, text, self.engine.config.max_request_tokens)
        return self.head.weight * (vectors_MS @ self.head.requests(self.engine.pooled([source]))[0])


def _unit(x_ND: np.ndarray) -> np.ndarray:
    return x_ND / np.maximum(np.linalg.norm(x_ND, axis=-1, keepdims=True), 1e-12)
