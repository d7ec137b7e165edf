"""Several answers over one toolset, or few, as one row: all new tokens behind each other, each behind a mask that shows its own source and answer.

A toolset's keys are then read once for all tokens of a step, in one product a head, and no answer is padded to the longest. The price is that scores
are also computed between a token and the short requests and answers of its neighbours (and other toolsets), and masked. The graph is that of one row.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort

from needle.device.stepper import KeysValues, numpy_of, run_bound, values_of
from needle.device.weights import WeightsFile
from needle.student.shape import WEIGHTS, Shape


def hidden_bias(folder: Path, shape: Shape, weights: WeightsFile) -> np.float32:
    """What is added to a score that must not count: deep enough to leave it e-25 of the least that any other can have, and not much deeper.

    Queries and keys have normed heads, so their gains bound every score. With a bias of -1e9 most probabilities of a flat step would be denormal
    numbers, which CPUs add and multiply many times as slowly as others (half the time of a step of eight rows).
    """
    data = np.memmap(folder / WEIGHTS, dtype=np.uint8, mode="r")

    def largest(name: str) -> float:
        place = weights[f"{name}.gain"]
        return float(np.abs(1 + data[place.offset : place.offset + place.length].view(place.kind).astype(np.float32)).max())

    blocks = [f"decoder.{layer}.{kind}.branch" for layer in range(shape.num_decoder_layers) for kind in ("attention", "cross")]
    bound = shape.head_size**0.5 * max(largest(f"{block}.q_norm") * largest(f"{block}.k_norm") for block in blocks)
    return np.float32(-(2 * bound + 25))


class FlatStepper:
    """A ``needle.student.decoding.Stepper`` for rows that share toolsets."""

    def __init__(
        self, session: ort.InferenceSession, shape: Shape, tools: Sequence[KeysValues], requests: Sequence[KeysValues], toolset_of: Sequence[int],
        hidden: np.float32, align: bool,
    ) -> None:  # fmt: skip
        """``tools`` and ``requests``: keys and values of each, ``[1, K, tokens, E]``; ``hidden``: see ``hidden_bias``."""
        self._hidden, self._align, self.alignment = hidden, align, None
        self._groups = shape.num_attention_heads // shape.num_key_value_heads
        tools_behind, self._tool_set = _behind(tools)
        self._set = np.array(toolset_of)
        self._request, self._request_row = _behind(requests)
        """The second: whose token each place of the requests is; -1: of a row that has left."""
        self._lengths = np.zeros(len(requests), dtype=np.int64)
        self._row = np.zeros(0, dtype=np.int64)
        """The same for places of the cache."""
        self._session, self._binding = session, session.io_binding()
        self._outputs = ("logits", "present", *(("alignment",) if align else ()))
        for name, value in tools_behind.items():
            self._binding.bind_ortvalue_input(name, value)
        empty = np.zeros((1, 2 * shape.num_decoder_layers * shape.num_key_value_heads, 0, shape.head_size), dtype=np.float32)
        self._present = ort.OrtValue.ortvalue_from_numpy(empty)
        self._bind()

    def _bind(self) -> None:
        """What stays as it is until rows leave."""
        for name, value in {**self._request, "past": self._present}.items():
            self._binding.bind_ortvalue_input(name, value)
        self._binding.bind_cpu_input("sizes", np.array([len(self._tool_set), len(self._request_row)], dtype=np.int64))

    def step(self, tokens: Sequence[Sequence[int]]) -> np.ndarray:
        """Append tokens to each row; logits ``[B, V]`` after the last one of each."""
        counts = np.array([len(ids) for ids in tokens])
        ends = np.cumsum(counts)
        row = np.repeat(np.arange(len(tokens)), counts)
        within = np.arange(ends[-1]) - np.repeat(ends - counts, counts)
        seen = np.concatenate((self._set[row][:, None] == self._tool_set, row[:, None] == self._request_row), axis=1)
        before = np.concatenate((row[:, None] == self._row, (row[:, None] == row) & np.tri(len(row), dtype=bool)), axis=1)
        inputs = {
            "ids": np.array([[token for ids in tokens for token in ids]], dtype=np.int64),
            "positions": (self._lengths[row] + within)[None],
            "last": (ends - 1)[None, :, None],
            "bias": self._bias(before),
            "source_bias": self._bias(seen),
        }
        logits, self._present, *alignment = run_bound(self._session, self._binding, inputs, self._outputs)
        self._binding.bind_ortvalue_input("past", self._present)
        if self._align:
            self.alignment = np.split(alignment[0].numpy()[0], ends[:-1])
            self.alignment = [mean[:, seen[end - 1]] for mean, end in zip(self.alignment, ends, strict=True)]
        self._lengths = self._lengths + counts
        self._row = np.concatenate((self._row, row))
        return logits.numpy()[0]

    def _bias(self, seen: np.ndarray) -> np.ndarray:
        """0 where ``seen [queries, keys]``, for query heads as the graph folds them, ``[1, 1, H / K * queries, keys]``."""
        return np.tile(np.where(seen, np.float32(0), self._hidden), (self._groups, 1))[None, None]

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these rows, in this order. What others leave behind is masked, and cleared away when it is the greater part."""
        if not rows:
            return
        index = np.array(rows)
        self._lengths, self._set = self._lengths[index], self._set[index]
        live = self._lengths.sum() + sum((self._request_row == row).sum() for row in rows)
        if 2 * live >= len(self._row) + len(self._request_row) and len(set(rows)) == len(rows):
            number = np.full(max(self._row.max(), self._request_row.max(), index.max()) + 2, -1)
            number[index] = np.arange(len(index))
            self._row, self._request_row = number[self._row], number[self._request_row]
            return
        (own, self._row), (request, self._request_row) = (_places(of, index) for of in (self._row, self._request_row))
        self._present = ort.OrtValue.ortvalue_from_numpy(self._present.numpy()[:, :, own])
        self._request = values_of({name: array[:, :, request] for name, array in numpy_of(self._request).items()})
        self._bind()


def _behind(parts: Sequence[KeysValues]) -> tuple[KeysValues, np.ndarray]:
    """Keys and values of the parts behind each other, and of which part each place is."""
    if len(parts) == 1:
        joined = parts[0]
    else:
        arrays = [numpy_of(part) for part in parts]
        joined = values_of({name: np.concatenate([array[name] for array in arrays], axis=2) for name in arrays[0]})
    return joined, np.repeat(np.arange(len(parts)), [next(iter(part.values())).shape()[2] for part in parts])


def _places(row: np.ndarray, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places of the rows ``index`` in their new order, and the new row of each."""
    found = [np.flatnonzero(row == one) for one in index]
    return np.concatenate(found), np.repeat(np.arange(len(index)), [len(places) for places in found])
