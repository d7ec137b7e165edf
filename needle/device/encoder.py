"""Tools and requests through the encoder, which gives keys and values: of its own layers for what is read later, of the decoder's for the answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property

import numpy as np
import onnxruntime as ort

from needle.device.graphs import pair
from needle.device.prepared import Prepared
from needle.device.stepper import KeysValues
from needle.student.shape import Shape

ROOM = 64
"""Places behind the tools are made in such steps, so that requests are read without a copy of the tools' keys and values."""
Places = tuple[KeysValues, "KeysValues | None"]
"""``past_...`` and, where they are to be continued in place, the same again."""


class Encoder:
    """The encoder graph that every runtime has."""

    def __init__(self, session: ort.InferenceSession, shape: Shape) -> None:
        """A session of ``encoder_graph``."""
        self.session, self._shape = session, shape
        self._past = [name for layer in range(shape.num_encoder_layers) for name in pair("past", layer)]
        self._cross = [name for layer in range(shape.num_decoder_layers) for name in pair("cross", layer)]

    def tools(self, ids: Sequence[int]) -> Prepared:
        """A toolset, for requests and answers."""
        past, tools = self._read(ids, None, True, "tools")
        return Prepared(len(ids), past, tools)

    def request(self, ids: Sequence[int], before: Prepared | None, stem: str) -> KeysValues:
        """Keys and values ``STEM_...`` for the decoder of a request over its tools, or of tokens by themselves."""
        return self._read(ids, before, False, stem)[1]

    def _read(self, ids: Sequence[int], before: Prepared | None, keep: bool, stem: str) -> tuple[KeysValues, KeysValues]:
        start, length, binding = before.length if before else 0, len(ids), self.session.io_binding()
        inputs = {"ids": np.array([ids], dtype=np.int64), "positions": np.arange(start, start + length, dtype=np.int64)[None]}
        for name, array in (inputs | self._sizes(start, length)).items():
            binding.bind_cpu_input(name, array)
        with self._places(before, length, keep) as (past, same):
            for name in self._past:
                binding.bind_ortvalue_input(name, past[name])
            names = [name for name in self._past if keep or same]
            for name in names:
                own = name.replace("past", "own")
                binding.bind_ortvalue_output(own, same[name]) if same else binding.bind_output(own)
            for name in self._cross:
                binding.bind_output(name)
            self.session.run_with_iobinding(binding)
        values, cross = binding.get_outputs(), [name.replace("cross", stem) for name in self._cross]
        own = same or dict(zip(names, values, strict=False))
        return own if keep else {}, dict(zip(cross, values[len(names) :], strict=True))

    @cached_property
    def _nothing(self) -> KeysValues:
        """The ``past`` where nothing came before."""
        return self._empty(0)

    def _empty(self, places: int) -> KeysValues:
        form = (1, self._shape.num_key_value_heads, places, self._shape.head_size)
        return {name: ort.OrtValue.ortvalue_from_numpy(np.zeros(form, dtype=np.float32)) for name in self._past}

    def _sizes(self, start: int, length: int) -> dict[str, np.ndarray]:
        return {"sizes": np.array([start, length], dtype=np.int64)}

    @contextmanager
    def _places(self, before: Prepared | None, length: int, keep: bool) -> Iterator[Places]:
        """Where ``past`` lies while a text is read."""
        yield (before.encoder if before else self._nothing), None


class FusedEncoder(Encoder):
    """The graph whose attentions are single operators. Keys and values of tools have room behind them, into which those of a request are
    written, by one thread at a time; others copy."""

    def _sizes(self, start: int, length: int) -> dict[str, np.ndarray]:
        return {"length": np.array([start + length - 1], dtype=np.int32), "total": np.array(start + length, dtype=np.int32)}

    @contextmanager
    def _places(self, before: Prepared | None, length: int, keep: bool) -> Iterator[Places]:
        if before is None:
            past = self._empty(length + ROOM) if keep else self._nothing
            yield past, past if keep else None
            return
        if not before.lock.acquire(blocking=False):
            yield before.exact(), None
            return
        try:
            before.widen(-(-length // ROOM) * ROOM)
            yield before.encoder, before.encoder
        finally:
            before.lock.release()
