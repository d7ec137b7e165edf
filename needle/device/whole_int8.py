"""Matrices of the encoder as 8-bit integers with one scale a column, made when a model is loaded.

The encoder reads many tokens at once, so it is bound by arithmetic, not by memory. CPUs multiply 8-bit integers several times as fast as they can
widen groups of 4-bit ones (VNNI, AMX, dot-product instructions), and the second rounding is far finer than the first.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from needle.device.weights import GROUP, WeightsFile
from needle.student.shape import WEIGHTS, Shape


def encoder_matrices(shape: Shape) -> list[list[str]]:
    """Names of the matrices that stand side by side in each product of the encoder pass."""
    layers = [f"encoder.{layer}.{part}" for layer in range(shape.num_encoder_layers) for part in ("attention", "ffn")]
    found = []
    for name in layers:
        if name.endswith("attention"):
            found += [[f"{name}.branch.{part}" for part in "qkv"], [f"{name}.branch.o"]]
        elif shape.ffn_size:
            found += [[f"{name}.branch.up"], [f"{name}.branch.down"]]
    return found + [[f"decoder.{layer}.cross.branch.{part}" for part in "kv"] for layer in range(shape.num_decoder_layers)]


def column_integers(folder: Path, shape: Shape, weights: WeightsFile) -> dict[str, np.ndarray]:
    """``NAMES.columns [inputs, outputs]`` (int8) and ``NAMES.column_scale [outputs]`` of each product of the encoder pass."""
    data = np.memmap(folder / WEIGHTS, dtype=np.uint8, mode="r")
    out = {}
    for names in encoder_matrices(shape):
        made = [_columns(data, weights, f"{name}.weight") for name in names]
        out[f"{'+'.join(names)}.columns"] = np.ascontiguousarray(np.concatenate([integers for integers, _ in made]).T)
        out[f"{'+'.join(names)}.column_scale"] = np.concatenate([scale for _, scale in made])
    return out


def _columns(data: np.ndarray, weights: WeightsFile, table: str) -> tuple[np.ndarray, np.ndarray]:
    """``[outputs, inputs]`` and ``[outputs]``. The largest integer of a group is the top by construction, so scales give the largest weights."""
    place, factor = weights[f"{table}.integers"], weights[f"{table}.scale"]
    packed = data[place.offset : place.offset + place.length].reshape(place.shape)
    scale = data[factor.offset : factor.offset + factor.length].view(np.float16).reshape(factor.shape).astype(np.float32)
    top = 2 ** (weights.bits - 1) - 1
    column = np.maximum(scale.max(-1), 1e-12) * np.float32(top / 127)
    if weights.bits == 4:
        integers = np.empty((place.shape[0], place.shape[1], 2), dtype=np.uint8)
        np.bitwise_and(packed, 15, out=integers[..., 0])
        np.right_shift(packed, 4, out=integers[..., 1])
    else:
        integers = packed
    groups = integers.reshape(*scale.shape, GROUP).astype(np.float32)
    groups -= 2 ** (weights.bits - 1)
    groups *= (scale / column[:, None])[..., None]
    return np.rint(groups, out=groups).astype(np.int8).reshape(len(scale), -1), column
