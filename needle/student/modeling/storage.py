"""Read and write a student's folder: floats as ``from_pretrained`` knows them, or 4-bit / 8-bit integers in one small safetensors file.

Integers are stored unsigned (zero at 8 or 128), which is also how ONNX Runtime's ``MatMulNBits`` reads them: the exported graphs point into this
file.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from needle.errors import UserError
from needle.student.modeling.config import NeedleConfig
from needle.student.modeling.model import NeedleModel
from needle.student.modeling.quantize import dequantize, quantize
from needle.student.shape import WEIGHTS


def pack_nibbles(integers: Tensor) -> Tensor:
    """Two 4-bit integers a byte: columns 0, 2, 4 ... in the low half, 1, 3, 5 ... in the high half."""
    shifted = (integers + 8).to(torch.uint8)
    return shifted[:, 0::2] | (shifted[:, 1::2] << 4)


def unpack_nibbles(packed: Tensor) -> Tensor:
    """Inverse of ``pack_nibbles``, int8."""
    return torch.stack((packed & 15, packed >> 4), dim=-1).flatten(-2).to(torch.int8) - 8


def save_quantized(model: NeedleModel, folder: Path, bits: int) -> None:
    """Write ``config.json`` and every matrix with so many bits; gains and gates stay fp32. ``bits`` is 4 or 8 (integers), 16 or 32."""
    assert bits in (4, 8, 16, 32), bits
    tensors: dict[str, Tensor] = {}
    for name, weight in model.state_dict().items():
        if weight.ndim < 2:
            tensors[name] = weight.float().contiguous()
            continue
        if bits > 8:
            tensors[name] = weight.to(torch.float16 if bits == 16 else torch.float32).contiguous()
            continue
        integers, scale = quantize(weight, bits)
        tensors[f"{name}.integers"] = (pack_nibbles(integers) if bits == 4 else (integers.short() + 128).to(torch.uint8)).contiguous()
        tensors[f"{name}.scale"] = scale.contiguous()
    folder.mkdir(parents=True, exist_ok=True)
    model.config.save_pretrained(folder)
    write_tensors(tensors, folder / WEIGHTS, {"needle_bits": str(bits)} if bits < 16 else {})


def write_tensors(tensors: dict[str, Tensor], path: Path, notes: dict[str, str] | None = None) -> None:
    """A safetensors file that others may read, as any other file (the library leaves it to its owner alone)."""
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, metadata={"format": "pt", **(notes or {})})
    path.chmod(0o644)


def load_model(folder: Path) -> NeedleModel:
    """The model of a checkpoint folder, quantised or not, in fp32. Raises ``UserError`` when the folder holds none."""
    if not (folder / "config.json").is_file() or not (folder / WEIGHTS).is_file():
        raise UserError(f"{folder}: no student there (a checkpoint folder holds config.json, {WEIGHTS} and tokenizer.json)")
    try:
        config = NeedleConfig.from_pretrained(folder)
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{folder / 'config.json'}: not a configuration ({str(error).splitlines()[0]}); copy the checkpoint again") from error
    if config.model_type != "needle":
        raise UserError(f"{folder}: a {config.model_type!r} model, not a needle student")
    try:
        with safe_open(folder / WEIGHTS, "pt") as file:
            bits = int((file.metadata() or {}).get("needle_bits", 0))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{folder / WEIGHTS}: not readable ({error}); copy or train the checkpoint again") from error
    model = NeedleModel(config)
    try:
        model.load_state_dict(_restored(tensors, bits) if bits else tensors)
    except (RuntimeError, KeyError) as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise UserError(f"{folder}: the weights do not fit config.json ({reason}); copy or train the checkpoint again") from error
    return model.eval()


def _restored(tensors: dict[str, Tensor], bits: int) -> dict[str, Tensor]:
    """The matrices of stored integers. (8-bit files were signed before graphs pointed into them.)"""
    out = {}
    for name, tensor in tensors.items():
        if name.endswith(".integers"):
            weight = name.removesuffix(".integers")
            integers = unpack_nibbles(tensor) if bits == 4 else tensor if tensor.dtype == torch.int8 else (tensor.short() - 128).to(torch.int8)
            out[weight] = dequantize(integers, tensors[f"{weight}.scale"])
        elif not name.endswith(".scale"):
            out[name] = tensor
    return out
