"""What is installed, on what machine, and what is missing with the way to get it."""

from __future__ import annotations

import os
import platform
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from needle.models import BUNDLED

LIGHT = (
    "openai", "jsonschema", "jsonschema-rs", "llguidance", "tokenizers", "safetensors", "numpy", "onnxruntime", "pydantic", "typer", "rich", "starlette", "uvicorn",
)  # fmt: skip
EXTRAS = {
    "train": ("torch", "transformers", "datasets", "tensorboard"),
    "hf": ("trl", "peft", "accelerate"),
    "mcp": ("mcp",),
    "ray": ("ray",),
    "trackio": ("trackio",),
}
"""Packages of each extra, beside those that come with them."""


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _device() -> str:
    import torch

    if torch.cuda.is_available():
        return f"GPU {torch.cuda.get_device_name()} ({torch.cuda.get_device_properties(0).total_memory / 2**30:.0f} GiB)"
    native = "native bf16" if torch.cpu._is_avx512_bf16_supported() else "no native bf16"
    return f"CPU, {torch.get_num_threads()} threads, {native}"


def report() -> tuple[list[str], bool]:
    """Lines to print, and whether everything that running a student needs is there; extras that are not installed are named."""
    from needle import __version__

    lines = [f"needle {__version__}, Python {platform.python_version()}, {platform.system()} {platform.machine()}, {os.cpu_count()} cores"]
    healthy = True
    for title, packages in {"plain": LIGHT, **EXTRAS}.items():
        found = {package: _version(package) for package in packages}
        missing = [package for package, number in found.items() if number is None]
        lines.append(f"{title}: {', '.join(f'{package} {number}' for package, number in found.items() if number) or 'not installed'}")
        if missing:
            lines.append(f"  missing: {', '.join(missing)}; pip install " + ("needle-distill" if title == "plain" else f'"needle-distill[{title}]"'))
        healthy = healthy and not (missing and title == "plain")
    lines.append(f"device: {_device() if _version('torch') else 'none for training (torch is missing)'}")
    weights = BUNDLED / "model.safetensors"
    if weights.is_file():
        lines.append(f"bundled base: {weights.stat().st_size / 1e6:.1f} MB")
    else:
        lines.append("bundled base: missing; reinstall the package, or train one with `needle train --base none`")
        healthy = False
    lines.append(f"key for a teacher: {'set' if os.environ.get('OPENAI_API_KEY') or os.environ.get('NEEDLE_API_KEY') else 'not set (only remote teachers need one)'}")
    lines.append(f"free disk here: {shutil.disk_usage(Path.cwd()).free / 2**30:.1f} GiB")
    return lines, healthy
