"""The tensors of ``model.safetensors`` as graphs read them in place: nothing is converted or stored twice.

Integer weights lie in the file exactly as ``MatMulNBits`` wants them: unsigned with the zero at 8 or 128, two 4-bit numbers a byte, groups of 32
along the input axis. Their fp16 scales are widened by the runtime when it loads the graph.
"""

from __future__ import annotations

import json
import math
import struct
from dataclasses import dataclass
from pathlib import Path

from needle.device.onnx_file import Stored
from needle.errors import UserError
from needle.student.shape import WEIGHTS

GROUP = 32
_KINDS = {"F32": "float32", "F16": "float16", "U8": "uint8"}


@dataclass(frozen=True)
class WeightsFile:
    """What a weights file holds and where."""

    bits: int
    """4 or 8 for integer weights, 16 or 32 for floats."""
    tensors: dict[str, Stored]
    """Name to place."""
    size: int
    """Bytes of the file."""

    @classmethod
    def read(cls, folder: Path) -> WeightsFile:
        """Read the header. Raises ``UserError`` when the file is missing, cut or of another kind."""
        path = folder / WEIGHTS
        try:
            with path.open("rb") as file:
                (length,) = struct.unpack("<Q", file.read(8))
                header = json.loads(file.read(length)) if length < 1 << 24 else None
            size = path.stat().st_size
            bits = int(header.pop("__metadata__", {}).get("needle_bits", 0))
            tensors = {
                name: Stored(_KINDS[entry["dtype"]], tuple(entry["shape"]), 8 + length + entry["data_offsets"][0],
                             entry["data_offsets"][1] - entry["data_offsets"][0])
                for name, entry in header.items()
            }  # fmt: skip
        except FileNotFoundError:
            raise UserError(f"{path}: no weights there; copy the whole folder") from None
        except KeyError as error:
            raise UserError(f"{path}: numbers of type {error}, which the runtime does not read; export the model again") from error
        except (OSError, ValueError, AttributeError, struct.error) as error:
            raise UserError(f"{path}: not readable ({error}); copy or export the model again") from error
        if size < max((place.offset + place.length for place in tensors.values()), default=0):
            raise UserError(f"{path}: cut off after {size} bytes; copy it again")
        if not bits:
            bits = 16 if any(place.kind == "float16" for place in tensors.values()) else 32
        return cls(bits, tensors, size)

    @property
    def parameters(self) -> int:
        """Number of weights of the model."""
        packed = 2 if self.bits == 4 else 1
        kept = {name: place for name, place in self.tensors.items() if not name.endswith(".scale")}
        return sum(math.prod(place.shape) * (packed if name.endswith(".integers") else 1) for name, place in kept.items())

    def __getitem__(self, name: str) -> Stored:
        """Raises ``UserError`` for a tensor that the file lacks."""
        if name not in self.tensors:
            raise UserError(f"{WEIGHTS}: lacks {name}, which config.json asks for; copy or export the model again")
        return self.tensors[name]
