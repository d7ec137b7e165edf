"""Files that are fitted to a student and lie beside its weights: written whole or not at all, and refused by name when they are none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from safetensors import SafetensorError

from needle.errors import UserError

T = TypeVar("T")


def write_beside(folder: Path, file: str, content: bytes) -> None:
    """Put ``content`` into the folder, which is made where it is missing. Raises ``UserError`` when it cannot be written."""
    temporary = folder / f".{file}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)
        temporary.replace(folder / file)
    except OSError as error:
        raise UserError(f"{folder / file}: cannot be written ({error.strerror}); choose another folder with --out") from error


def read_beside(folder: Path, file: str, read: Callable[[Path], T], what: str, again: str) -> T | None:
    """What ``read`` makes of the file; None where there is none. Raises ``UserError`` for one that it cannot read: no ``what``, made ``again`` so."""
    path = folder / file
    if not path.is_file():
        return None
    try:
        return read(path)
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: {what} ({error}); delete it, or {again}") from error
