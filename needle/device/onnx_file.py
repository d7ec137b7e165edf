"""A model file in the ONNX format (github.com/onnx/onnx, ``onnx.proto``), written without the ``onnx`` package.

Only what graphs of weights in an external file need: nodes, small constants, references into that file, inputs and outputs of free shape.
A device then builds its graphs in milliseconds with nothing installed but ONNX Runtime.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

IR_VERSION, OPSET = 10, 21
"""Format and operator set; every ONNX Runtime since 1.20 reads them."""
MICROSOFT = "com.microsoft"
"""Domain of ONNX Runtime's own operators."""
TYPES = {"float32": 1, "uint8": 2, "int8": 3, "int32": 6, "int64": 7, "float16": 10}
"""ONNX numbers of the element types in use."""
_VARINT, _BYTES, _FLOAT = 0, 2, 5


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def _field(number: int, value: float | bytes | str) -> bytes:
    """One protobuf field; its wire type follows from the Python type."""
    if isinstance(value, int):
        return _varint(number << 3 | _VARINT) + _varint(value)
    if isinstance(value, float):
        return _varint(number << 3 | _FLOAT) + struct.pack("<f", value)
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | _BYTES) + _varint(len(data)) + data


def _attribute(name: str, value: Any) -> bytes:
    if isinstance(value, bytes):
        return _field(1, name) + _field(6, value) + _field(20, 5)
    if isinstance(value, str):
        return _field(1, name) + _field(4, value) + _field(20, 3)
    if isinstance(value, bool | int):
        return _field(1, name) + _field(3, int(value)) + _field(20, 2)
    if isinstance(value, float):
        return _field(1, name) + _field(2, value) + _field(20, 1)
    return _field(1, name) + b"".join(_field(8, int(item)) for item in value) + _field(20, 7)


def _value(name: str, kind: str, shape: Sequence[int | str] | None) -> bytes:
    if shape is None:
        return _field(1, name) + _field(2, _field(1, _field(1, TYPES[kind])))
    dims = b"".join(_field(1, _field(1 if isinstance(dim, int) else 2, dim)) for dim in shape)
    return _field(1, name) + _field(2, _field(1, _field(1, TYPES[kind]) + _field(2, dims)))


@dataclass(frozen=True)
class Stored:
    """A tensor that lies in the weights file."""

    kind: str
    """Element type."""
    shape: tuple[int, ...]
    """Shape under which the graph reads it."""
    offset: int
    """First byte in the file."""
    length: int
    """Number of bytes."""


class GraphWriter:
    """Collects nodes; every method that makes a value returns its name."""

    def __init__(self, weights_file: str) -> None:
        self.weights_file = weights_file
        self._nodes: list[bytes] = []
        self._tensors: dict[str, bytes] = {}
        self._inputs: list[bytes] = []
        self._outputs: list[bytes] = []
        self._constants: dict[tuple, str] = {}
        self._count = 0

    def input(self, name: str, kind: str, shape: Sequence[int | str] | None) -> str:
        """An input; dimensions are numbers or names, None: of any shape."""
        self._inputs.append(_value(name, kind, shape))
        return name

    def output(self, name: str, kind: str, shape: Sequence[int | str] | None) -> None:
        """Give out the value ``name``, which a node makes (``node(..., names=...)``)."""
        self._outputs.append(_value(name, kind, shape))

    def either(self, condition: str, yes: Callable[[], list[str]], no: Callable[[], list[str]]) -> list[str]:
        """The values (fp32) that ``yes`` or ``no`` makes; only the chosen branch is run."""
        outer, branches = self._nodes, []
        for make in (yes, no):
            self._nodes = []
            values = make()
            body = b"".join(_field(1, node) for node in self._nodes) + _field(2, "branch")
            branches.append(body + b"".join(_field(12, _field(1, name) + _field(2, _field(1, _field(1, 1)))) for name in values))
        self._nodes = outer
        found = self.node("If", condition, outputs=len(values), then_branch=branches[0], else_branch=branches[1])
        return [found] if len(values) == 1 else found

    def constant(self, value: Any, kind: str) -> str:
        """A small tensor inside the graph; equal ones are stored once."""
        array = np.asarray(value, dtype=kind)
        key = (kind, array.shape, array.tobytes())
        if key not in self._constants:
            name = self._constants[key] = self._fresh("constant")
            self._tensors[name] = self._tensor(name, kind, array.shape) + _field(9, array.tobytes())
        return self._constants[key]

    def stored(self, name: str, where: Stored, file: str | None = None) -> str:
        """A tensor of the weights file (or of another), under ``name``."""
        if name not in self._tensors:
            entries = {"location": file or self.weights_file, "offset": str(where.offset), "length": str(where.length)}
            external = b"".join(_field(13, _field(1, key) + _field(2, value)) for key, value in entries.items())
            self._tensors[name] = self._tensor(name, where.kind, where.shape) + external + _field(14, 1)
        return name

    def node(self, operator: str, *inputs: str, outputs: int = 1, domain: str = "", names: Sequence[str] = (), **attributes: Any) -> Any:
        """Append a node; returns the name of its output, or a list of ``names``. ``""`` leaves an optional input out."""
        names = list(names) or [self._fresh(operator) for _ in range(outputs)]
        parts = b"".join(_field(1, name) for name in inputs) + b"".join(_field(2, name) for name in names)
        parts += _field(4, operator) + b"".join(_field(5, _attribute(key, value)) for key, value in attributes.items())
        self._nodes.append(parts + (_field(7, domain) if domain else b""))
        return names[0] if len(names) == 1 else names

    def model(self, name: str, notes: dict[str, str]) -> bytes:
        """The file's bytes; ``notes`` become its metadata."""
        graph = b"".join(_field(1, node) for node in self._nodes) + _field(2, name)
        graph += b"".join(_field(5, tensor) for tensor in self._tensors.values())
        graph += b"".join(_field(11, value) for value in self._inputs) + b"".join(_field(12, value) for value in self._outputs)
        opsets = b"".join(_field(8, _field(1, domain) + _field(2, version)) for domain, version in (("", OPSET), (MICROSOFT, 1)))
        metadata = b"".join(_field(14, _field(1, key) + _field(2, value)) for key, value in notes.items())
        return _field(1, IR_VERSION) + _field(2, "needle") + _field(7, graph) + opsets + metadata

    def _fresh(self, stem: str) -> str:
        self._count += 1
        return f"{stem}_{self._count}"

    @staticmethod
    def _tensor(name: str, kind: str, shape: Sequence[int]) -> bytes:
        return b"".join(_field(1, dim) for dim in shape) + _field(2, TYPES[kind]) + _field(8, name)
