"""The decoder with its caches in ONNX Runtime: the back end of ``needle.student.decoding`` on a device."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnxruntime as ort

from needle.student.shape import Shape

KeysValues = dict[str, "ort.OrtValue"]
"""Graph input to tensor, of all layers."""


def numpy_of(values: KeysValues) -> dict[str, np.ndarray]:
    """Copies as arrays."""
    return {name: value.numpy() for name, value in values.items()}


def values_of(arrays: dict[str, np.ndarray]) -> KeysValues:
    """Copies as tensors of the runtime."""
    return {name: ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}


def run_bound(session: ort.InferenceSession, binding: ort.IOBinding, inputs: dict[str, np.ndarray], outputs: Sequence[str]) -> list[ort.OrtValue]:
    """One run with ``inputs`` beside what is bound already; the ``outputs`` in new memory, in order."""
    for name, array in inputs.items():
        binding.bind_cpu_input(name, array)
    binding.clear_binding_outputs()
    for name in outputs:
        binding.bind_output(name)
    session.run_with_iobinding(binding)
    return binding.get_outputs()


class OnnxStepper:
    """Rows side by side; each looks at its tools (one copy for all rows, or a padded one of its own), its request and its own answer."""

    def __init__(
        self, session: ort.InferenceSession, shape: Shape, tools: KeysValues, request: KeysValues, real: tuple[np.ndarray, np.ndarray],
        hidden: np.float32, align: bool,
    ) -> None:  # fmt: skip
        """``real``: which tool and which request places ``[B, tools]``, ``[B, request]`` of each row are not padding; ``hidden``: what is
        added to scores that must not count."""
        self._hidden, self._shape, self._align, self.alignment = hidden, shape, align, None
        self._fixed = {**tools, **request}
        self._shared = tools[f"tools_key_{0}"].shape()[0] == 1
        self._real = np.concatenate(real, axis=1)
        self._sizes = np.array([real[0].shape[1], real[1].shape[1]], dtype=np.int64)
        rows = len(self._real)
        self._lengths = np.zeros(rows, dtype=np.int64)
        self._kept = np.zeros((rows, 0), dtype=bool)
        """Which places of the cache hold a token; rows that append fewer tokens than others have gaps."""
        self._session, self._binding = session, session.io_binding()
        self._outputs = ("logits", "present", *(("alignment",) if align else ()))
        empty = np.zeros((rows, 2 * shape.num_decoder_layers * shape.num_key_value_heads, 0, shape.head_size), dtype=np.float32)
        self._bind(ort.OrtValue.ortvalue_from_numpy(empty))

    def _bind(self, past: ort.OrtValue) -> None:
        """All inputs that stay as they are until the next step."""
        for name, value in {**self._fixed, "past": past}.items():
            self._binding.bind_ortvalue_input(name, value)
        self._binding.bind_cpu_input("sizes", self._sizes)
        self._source_bias = np.where(self._real, np.float32(0), self._hidden)[:, None, None]
        self._binding.bind_cpu_input("source_bias", self._source_bias)

    def step(self, tokens: Sequence[Sequence[int]]) -> np.ndarray:
        """Append tokens to each row; logits ``[B, V]`` after the last one of each."""
        counts = np.array([len(ids) for ids in tokens])
        return self._run(tokens, counts, counts[:, None] - 1)

    def step_all(self, tokens: Sequence[int], last: int) -> np.ndarray:
        """Append tokens to the only row; logits ``[last, V]`` after each of the ``last`` ones."""
        count = len(tokens)
        return self._run([tokens], np.array([count]), np.arange(count - last, count)[None, :, None])[0]

    def back_to(self, length: int) -> None:
        """Take back all but the first ``length`` tokens of the only row."""
        self._lengths[0] = length
        self._kept[0] &= np.cumsum(self._kept[0]) <= length

    def _run(self, tokens: Sequence[Sequence[int]], counts: np.ndarray, last: np.ndarray) -> np.ndarray:
        """Append tokens to each row; logits after those at ``last``."""
        width = int(counts.max())
        real_BC = np.arange(width) < counts[:, None]
        ids = np.zeros((len(tokens), width), dtype=np.int64)
        ids[real_BC] = [token for row in tokens for token in row]
        inputs = {
            "ids": ids,
            "positions": self._lengths[:, None] + np.minimum(np.arange(width), counts[:, None] - 1),
            "last": last,
            "bias": self._bias(real_BC),
        }
        logits, self._present, *alignment = run_bound(self._session, self._binding, inputs, self._outputs)
        self._binding.bind_ortvalue_input("past", self._present)
        if self._align:
            self.alignment = self._aligned(alignment[0].numpy(), counts)
        self._lengths = self._lengths + counts
        self._kept = np.concatenate((self._kept, real_BC), axis=1)
        return logits.numpy()

    def _bias(self, real_BC: np.ndarray) -> np.ndarray:
        """0 where a new token may look among kept and new ones, else a large negative number; queries as the graph folds them."""
        rows, width = real_BC.shape
        if width == 1 and real_BC.all():
            alone = np.zeros((rows, self._kept.shape[1] + 1), dtype=np.float32)
            alone[:, :-1][~self._kept] = self._hidden
            return alone[:, None, None]
        past = np.broadcast_to(self._kept[:, None], (rows, width, self._kept.shape[1]))
        seen = np.concatenate((past, real_BC[:, None] & np.tri(width, dtype=bool)), axis=2)
        bias = np.where(seen, np.float32(0), self._hidden)
        return np.tile(bias, (1, self._shape.num_attention_heads // self._shape.num_key_value_heads, 1))[:, None]

    def _aligned(self, mean_BCS: np.ndarray, counts: np.ndarray) -> list[np.ndarray]:
        return [mean_CS[:count, real] for mean_CS, count, real in zip(mean_BCS, counts, self._real, strict=True)]

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these rows, in this order; gaps in their caches are closed."""
        if not rows:
            return
        index = np.array(rows)
        kept, self._lengths, self._real = self._kept[index], self._lengths[index], self._real[index]
        order = np.argsort(~kept, axis=1, kind="stable")[:, : int(self._lengths.max())]
        past = np.take_along_axis(self._present.numpy()[index], order[:, None, :, None], axis=2)
        self._kept = np.take_along_axis(kept, order, axis=1)
        own = {name: value for name, value in self._fixed.items() if not (self._shared and name.startswith("tools"))}
        self._fixed |= values_of({name: array[index] for name, array in numpy_of(own).items()})
        self._present = ort.OrtValue.ortvalue_from_numpy(past)
        self._bind(self._present)
