"""Single answers through the graphs of ``fused_graphs``: keys and values of the source in 8 bits, memory that is used again, logits on demand."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort

from needle.device.fused_graphs import PARTS
from needle.device.stepper import KeysValues, OnnxStepper
from needle.device.weights import GROUP, WeightsFile
from needle.student.shape import WEIGHTS, Shape

FEW = 256
"""Up to so many logits are computed one by one; for more the whole vocabulary is multiplied."""
SHORT, KEPT_ROWS = 32, 64
"""Up to so many tokens together, their unpacked rows are kept; such sets that are kept at most (4 MB for a width of 512)."""
HEADROOM = 1.25
"""How far beyond the largest number of the tools their scale reaches, so that most requests need no other one."""
ROOM, STRIDE, KEPT, KEPT_FORMS = 128, 64, 4, 32
"""Answer tokens for which there is room at first; source tokens by which room is measured; memories that are kept for the next answers; sizes
of steps for which a memory keeps inputs and outputs."""


class Rounded:
    """Keys and values ``[2 * layers, K, tokens, E]`` as 8-bit integers, a scale ``[2 * layers]`` each; keys and values in turn."""

    def __init__(self, values: KeysValues, stem: str) -> None:
        """Round the tensors ``STEM_{key,value}_LAYER``."""
        arrays = [values[f"{stem}_{part}_{layer}"].numpy()[0] for layer in range(len(values) // 2) for part in PARTS]
        self.scales = np.array([HEADROOM / 127 * _largest(array) for array in arrays], dtype=np.float32)
        self.integers = np.empty((len(arrays), *arrays[0].shape), dtype=np.int8)
        for place, array in enumerate(arrays):
            self.integers[place] = np.rint(array / self.scales[place])

    def at(self, place: int, scale: np.float32) -> np.ndarray:
        """One tensor, with that scale."""
        if scale == self.scales[place]:
            return self.integers[place]
        return np.rint(self.integers[place] * (self.scales[place] / scale))


def _largest(array: np.ndarray) -> float:
    return max(float(array.max()), -float(array.min()), 1e-12)


class Head:
    """Logits from the states of a decoder."""

    def __init__(self, session: ort.InferenceSession, folder: Path, weights: WeightsFile) -> None:
        """``session`` of ``head_graph``."""
        self._session, self._bits = session, weights.bits
        data = np.asarray(np.memmap(folder / WEIGHTS, dtype=np.uint8, mode="r"))  # an array: slices of a memmap are slow to make

        def stored(name: str, kind: type) -> np.ndarray:
            place = weights[f"embedding.weight.{name}"]
            return data[place.offset : place.offset + place.length].view(kind).reshape(place.shape)

        self._rows, self._scale = stored("integers", np.uint8), stored("scale", np.float16)
        self.vocabulary = len(self._scale)
        """V."""
        self._kept: dict[bytes, np.ndarray] = {}

    def every(self, states_PD: np.ndarray) -> np.ndarray:
        """Logits ``[P, V]``."""
        return self._session.run(["logits"], {"states": states_PD[None]})[0][0]

    def few(self, state_D: np.ndarray, tokens: np.ndarray) -> np.ndarray:
        """Logits of these tokens, rounded as the graph does it: the state in groups of 8 bits."""
        groups = state_D.reshape(-1, GROUP)
        step = np.maximum(np.abs(groups).max(axis=1, keepdims=True), 1e-12) / np.float32(127)
        return self._unpacked(tokens) @ (np.rint(groups / step) * step).reshape(-1)

    def _unpacked(self, tokens: np.ndarray) -> np.ndarray:
        """Rows of the embedding ``[tokens, D]``; the same digits, marks and names are asked for again and again."""
        key = tokens.tobytes()
        found = self._kept.get(key)
        if found is None:
            rows = self._rows[tokens]
            if self._bits == 4:
                rows = np.stack((rows & 15, rows >> 4), axis=-1)
            rows = rows.reshape(len(tokens), -1, GROUP).astype(np.float32) - np.float32(2 ** (self._bits - 1))
            found = (rows * self._scale[tokens].astype(np.float32)[..., None]).reshape(len(tokens), -1)
            if len(self._kept) >= KEPT_ROWS:
                self._kept = {}
            if len(tokens) <= SHORT:
                self._kept[key] = found
        return found


class Logits:
    """Logits after several tokens, computed as far as they are asked for."""

    def __init__(self, head: Head, states_PD: np.ndarray) -> None:
        self._head, self._states, self._every = head, states_PD, None
        self.shape = len(states_PD), head.vocabulary

    def among(self, row: int, tokens: np.ndarray) -> np.ndarray:
        """Logits of ``tokens`` at a place."""
        if len(tokens) <= FEW and self._every is None:
            return self._head.few(self._states[row], tokens)
        return self.every()[row].take(tokens)

    def every(self) -> np.ndarray:
        """Logits ``[places, V]``."""
        if self._every is None:
            self._every = self._head.every(self._states)
        return self._every


class _Form:
    """What goes into a step and comes out of it, for one number of tokens."""

    def __init__(self, tokens: int, last: int, width: int) -> None:
        self.ids, self.positions = np.zeros((1, tokens), dtype=np.int64), np.zeros((1, tokens), dtype=np.int64)
        self.last, self.states = np.arange(tokens - last, tokens, dtype=np.int64), np.zeros((1, last, width), dtype=np.float32)
        arrays = {"ids": self.ids, "positions": self.positions, "last": self.last}
        self.inputs = {name: ort.OrtValue.ortvalue_from_numpy(array) for name, array in arrays.items()}
        self.output = ort.OrtValue.ortvalue_from_numpy(self.states)


class Workspace:
    """The memory of one answer, bound to the graph; used for one after the other."""

    def __init__(self, session: ort.InferenceSession, shape: Shape, room: int) -> None:
        """``room`` for so many tokens of the source."""
        self._session, self._binding, self._bound, self.room = session, session.io_binding(), {}, room
        count = 2 * shape.num_decoder_layers
        self._source = np.zeros((count, 1, shape.num_key_value_heads, room, shape.head_size), dtype=np.int8)
        self._own = np.zeros((count, 1, shape.num_key_value_heads, ROOM, shape.head_size), dtype=np.float32)
        self._scales, self._width = np.zeros((count, 1), dtype=np.float32), shape.hidden_size
        self.tools: Rounded | None = None
        self._forms: dict[tuple[int, int], _Form] = {}
        self._last_form: _Form | None = None
        self._sizes = [np.zeros(1, dtype=np.int32), np.zeros((), dtype=np.int32), np.zeros(1, dtype=np.int32), np.zeros((), dtype=np.int32)]
        for name, array in zip(("source_length", "source_total", "length", "total"), self._sizes, strict=True):
            self._bind(name, array)
        for place, scale in enumerate(self._scales):
            self._bind(f"{PARTS[place % 2]}_scale_{place // 2}", scale)
        self._bind_caches("source", self._source)
        self._bind_caches("self", self._own)

    def _bind(self, name: str, array: np.ndarray) -> ort.OrtValue:
        """An input that shares its memory with ``array``."""
        value = self._bound[name] = ort.OrtValue.ortvalue_from_numpy(array)  # this keeps the memory, the binding does not
        self._binding.bind_ortvalue_input(name, value)
        return value

    def _bind_caches(self, stem: str, arrays: np.ndarray) -> None:
        """Keys and values of the layers in turn, to be read and written in place."""
        for place, array in enumerate(arrays):
            name = f"{stem}_{PARTS[place % 2]}_{place // 2}"
            self._binding.bind_ortvalue_output(f"new_{name}", self._bind(name, array))

    def begin(self, tools: Rounded, request: KeysValues) -> None:
        """Stand before an answer over these tools and this request."""
        layers, start = range(len(self._source) // 2), tools.integers.shape[2]
        more = np.concatenate([request[f"request_{part}_{layer}"].numpy() for layer in layers for part in PARTS])
        scales = np.maximum(tools.scales, np.abs(more).max(axis=(1, 2, 3)) / np.float32(127))
        for place, scale in enumerate(scales):
            if tools is not self.tools or scale != self._scales[place, 0]:
                self._source[place, 0, :, :start] = tools.at(place, scale)
        self.tools, self._scales[:, 0], end = tools, scales, start + more.shape[2]
        self._source[:, 0, :, start:end] = np.rint(more / scales[:, None, None, None])
        self._sizes[0][0], self._sizes[1][...] = end - 1, end

    def _grow(self, tokens: int) -> None:
        """Room for so many answer tokens."""
        if tokens > self._own.shape[3]:
            more = np.zeros((*self._own.shape[:3], max(tokens, self._own.shape[3]), self._own.shape[4]), dtype=np.float32)
            self._own = np.concatenate((self._own, more), axis=3)
            self._bind_caches("self", self._own)

    def append(self, tokens: Sequence[int], start: int, last: int) -> np.ndarray:
        """States ``[last, D]`` after each of the ``last`` of the tokens, which come behind ``start`` others."""
        most = int(self._sizes[1])
        if len(tokens) > most:  # the operator takes no more new tokens at a time than the source has
            parts = self.append(tokens[:most], start, max(1, last - len(tokens) + most)), self.append(tokens[most:], start + most, min(last, len(tokens) - most))
            return np.concatenate(parts)[-last:]
        end = start + len(tokens)
        self._grow(end)
        self._sizes[2][0], self._sizes[3][...] = end - 1, end
        form = self._form(len(tokens), last)
        form.ids[0], form.positions[0] = tokens, range(start, end)
        self._session.run_with_iobinding(self._binding)
        return form.states[0].copy()

    def _form(self, tokens: int, last: int) -> _Form:
        """Memory for a step of so many tokens, which is bound then."""
        key = tokens, last
        if key not in self._forms:
            if len(self._forms) >= KEPT_FORMS:
                self._forms = {}
            self._forms[key] = _Form(tokens, last, self._width)
        form = self._forms[key]
        if form is not self._last_form:
            for name, value in form.inputs.items():
                self._binding.bind_ortvalue_input(name, value)
            self._binding.bind_ortvalue_output("states", form.output)
            self._last_form = form
        return form


class Singles:
    """The two sessions of single answers, and memory that is free; safe for threads."""

    def __init__(self, session: ort.InferenceSession, head: Head, shape: Shape) -> None:
        """Sessions of ``single_graph`` and ``head_graph``."""
        self.head, self._session, self._shape = head, session, shape
        self._free: list[Workspace] = []
        self._lock = threading.Lock()

    def begin(self, tools: Rounded, request: KeysValues) -> Workspace:
        """Memory for an answer, at best such that held one over these tools."""
        room = -(-(tools.integers.shape[2] + request["request_key_0"].shape()[2]) // STRIDE) * STRIDE
        with self._lock:
            fits = sorted((one for one in self._free if one.room == room), key=lambda one: one.tools is tools)
            if fits:
                self._free.remove(fits[-1])
        space = fits[-1] if fits else Workspace(self._session, self._shape, room)
        space.begin(tools, request)
        return space

    def end(self, space: Workspace) -> None:
        """Give memory back."""
        with self._lock:
            self._free = [*self._free, space][-KEPT:]


class SingleStepper:
    """One answer over its tools and its request; once it is split into several (``keep``), an ``OnnxStepper`` goes on."""

    alignment = None

    def __init__(self, singles: Singles, tools: Rounded, request: KeysValues, split: Callable[[], OnnxStepper]) -> None:
        """``split`` makes a stepper that stands before the same answer and can be repeated."""
        self._singles, self._split, self._others = singles, split, None
        self._space = singles.begin(tools, request)
        self._written: list[int] = []

    def __del__(self) -> None:
        if hasattr(self, "_space"):
            self._singles.end(self._space)

    def step(self, tokens: Sequence[Sequence[int]]) -> np.ndarray:
        """Append tokens to each row; logits ``[B, V]`` after the last one of each."""
        return self.step_all(tokens[0], 1).every() if self._others is None else self._others.step(tokens)

    def step_all(self, tokens: Sequence[int], last: int) -> Logits:
        """Append tokens; logits after each of the ``last`` ones."""
        states = self._space.append(tokens, len(self._written), last)
        self._written += tokens
        return Logits(self._singles.head, states)

    def back_to(self, length: int) -> None:
        """Take back all but the first ``length`` tokens."""
        del self._written[length:]

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these rows, in this order (repeats allowed)."""
        if self._others is None and len(rows) > 1:
            self._others = self._split()
            self._others.step([self._written])
        if self._others is not None:
            self._others.keep(rows)
