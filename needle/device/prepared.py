"""Encoded toolsets, kept in memory and (on request) on disk, so that a toolset is read once and not at every start of a program."""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
import zlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import onnxruntime as ort
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from needle.device.single import Rounded
from needle.device.stepper import KeysValues, numpy_of, values_of
from needle.tools.places import cache_folder

MEMORY, DISK = 64 << 20, 512 << 20
"""Most bytes kept in memory (the newest toolset is kept whatever its size) and on disk; the least recently used go."""


@dataclass(frozen=True)
class Prepared:
    """A toolset's keys and values."""

    length: int
    """Its tokens."""
    encoder: KeysValues
    """What a request looks at in the encoder, ``past_...``; there may be room behind the toolset's places."""
    decoder: KeysValues
    """What an answer looks at, ``tools_...``."""

    lock: threading.Lock = field(default_factory=threading.Lock, compare=False, repr=False)
    """Held by whom uses that room."""

    def widen(self, room: int) -> None:
        """Have room for so many places."""
        for name, value in self.encoder.items():
            batch, kinds, places, size = value.shape()
            if places < self.length + room:
                wider = np.zeros((batch, kinds, self.length + room, size), dtype=np.float32)
                wider[:, :, : self.length] = value.numpy()[:, :, : self.length]
                self.encoder[name] = ort.OrtValue.ortvalue_from_numpy(wider)

    def exact(self) -> KeysValues:
        """A copy of ``encoder`` without that room."""
        return values_of({name: array[:, :, : self.length] for name, array in numpy_of(self.encoder).items()})

    @cached_property
    def rounded(self) -> Rounded:
        """The same in 8 bits, for single answers."""
        return Rounded(self.decoder, "tools")

    @property
    def size(self) -> int:
        """Bytes in memory."""
        rounded = self.__dict__.get("rounded")
        whole = sum(4 * int(np.prod(value.shape())) for part in (self.encoder, self.decoder) for value in part.values())
        return whole + (rounded.integers.nbytes if rounded else 0)


def toolsets_folder() -> Path | None:
    """``toolsets`` in the cache folder; None where nothing is kept."""
    folder = cache_folder()
    return None if folder is None else folder / "toolsets"


class ToolsetCache:
    """Least recently used first out. Safe for threads and processes: files are replaced whole, and a damaged one is made again."""

    def __init__(self, folder: Path | None, memory: int = MEMORY, disk: int = DISK) -> None:
        """``folder`` None: nothing is read from or written to disk."""
        self.folder, self.memory, self.disk = folder, memory, disk
        self._kept: OrderedDict[bytes, Prepared] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, toolset: Sequence[int], model: Callable[[], str], encode: Callable[[], Prepared], keep: bool) -> Prepared:
        """The prepared toolset of a model (its digest); ``encode`` makes it. ``keep``: write it to disk if it is not there."""
        key = np.asarray(toolset, dtype=np.int32).tobytes()
        with self._lock:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
        path = None
        if self.folder is not None and (keep or (found is None and self.folder.is_dir())):
            path = self.folder / f"{hashlib.blake2b(key + model().encode(), digest_size=16).hexdigest()}.safetensors"
        if found is None:
            found = (read_prepared(path, len(toolset)) if path else None) or encode()
            self._remember(key, found)
        if keep and path is not None and not path.is_file():
            self._write(path, numpy_of({**found.encoder, **found.decoder}), found.length)
        return found

    def means(self, sources: Sequence[tuple[Sequence[int], Sequence[int]]], model: Callable[[], str], make: Callable[[], np.ndarray], keep: bool) -> np.ndarray:
        """What ``OnnxEngine.pooled`` makes of texts, from disk where it lies there; ``keep``: put it there."""
        if self.folder is None or not (keep or self.folder.is_dir()):
            return make()
        key = repr([(list(tools), list(request)) for tools, request in sources]) + model()
        path = self.folder / f"{hashlib.blake2b(key.encode(), digest_size=16).hexdigest()}.safetensors"
        found = _read(path, len(sources))
        if found is not None:
            return found["means"]
        made = make()
        if keep:
            self._write(path, {"means": made}, len(sources))
        return made

    def _remember(self, key: bytes, prepared: Prepared) -> None:
        with self._lock:
            self._kept[key] = prepared
            while len(self._kept) > 1 and sum(one.size for one in self._kept.values()) > self.memory:
                self._kept.popitem(last=False)

    def _write(self, path: Path, arrays: dict[str, np.ndarray], length: int) -> None:
        """A cache that cannot be written (full disk, read-only home) is no reason to fail."""
        temporary = path.with_suffix(f".{os.getpid()}-{threading.get_ident()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(save(arrays, {"length": str(length), "crc": str(_checksum(arrays))}))
            temporary.replace(path)
            files = sorted(path.parent.glob("*.safetensors"), key=lambda file: file.stat().st_mtime, reverse=True)
            total = 0
            for file in files:
                total += file.stat().st_size
                if total > self.disk and file != path:
                    file.unlink(missing_ok=True)
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink()


def _checksum(arrays: dict[str, np.ndarray]) -> int:
    value = 0
    for name in sorted(arrays):
        value = zlib.crc32(np.ascontiguousarray(arrays[name]).data, value)
    return value


def read_prepared(path: Path, length: int) -> Prepared | None:
    """A toolset of the cache; None when there is none or it is damaged."""
    arrays = _read(path, length)
    if arrays is None:
        return None
    return Prepared(length, *(values_of({n: a for n, a in arrays.items() if n.startswith(stem)}) for stem in ("past", "tools")))


def _read(path: Path, length: int) -> dict[str, np.ndarray] | None:
    try:
        with safe_open(path, "np") as file:
            notes = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if notes.get("length") != str(length) or notes.get("crc") != str(_checksum(arrays)):
            return None
        os.utime(path)
    except (OSError, SafetensorError, ValueError):
        return None
    return arrays
