"""Data sets that are not part of this repository: found in a folder or a tar archive, read in memory, never unpacked.

They are looked for in the folder that ``--data`` or the environment variable ``NEEDLE_DATA`` names: there itself, in
a folder of the data set's name, or in an archive of that name.
"""

from __future__ import annotations

import hashlib
import os
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from needle.errors import UserError

VARIABLE = "NEEDLE_DATA"
"""Environment variable with the folder that holds data sets."""
_ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.xz")


@dataclass(frozen=True)
class DataFiles:
    """A folder or a tar archive with the files of one data set."""

    where: Path
    """The folder or the archive."""
    hashes: dict[str, str] = field(default_factory=dict, hash=False, compare=False)
    """SHA-256 of what was read, by file."""

    def read(self, names: Sequence[str]) -> dict[str, str]:
        """Text of the files ``names`` (paths inside the data set). Raises ``UserError`` for one that is not there."""
        try:
            found = {name: content.decode("utf-8") for name, content in self._read(names)}
        except (OSError, EOFError, tarfile.TarError, UnicodeDecodeError) as error:
            raise UserError(f"{self.where}: cannot be read ({error}); fetch it again") from error
        missing = next((name for name in names if name not in found), None)
        if missing:
            raise UserError(f"{self.where}: has no {missing}; fetch the whole data set again")
        return found

    def _read(self, names: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        for name, content in self._contents(names):
            self.hashes[name] = hashlib.sha256(content).hexdigest()
            yield name, content

    def _contents(self, names: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        if self.where.is_dir():
            for name in names:
                if (self.where / name).is_file():
                    yield name, (self.where / name).read_bytes()
            return
        with tarfile.open(self.where) as archive:
            members = sorted((one for one in archive if one.isfile()), key=lambda one: one.name.count("/"))
            for name in names:  # the member nearest to the root: folders inside may repeat a name
                member = next((one for one in members if f"/{one.name}".endswith(f"/{name}")), None)
                stream = archive.extractfile(member) if member else None
                if stream:
                    yield name, stream.read()


def find_data(names: Sequence[str], marker: str, folder: str | Path | None = None) -> DataFiles | None:
    """The data set called one of ``names``, recognised in a folder by the file ``marker``; None if it is not there.

    ``folder`` may be the data set itself (folder or archive) or hold it; without one, ``NEEDLE_DATA`` is used.
    """
    base = folder or os.environ.get(VARIABLE)
    if not base:
        return None
    root = Path(base).expanduser()
    if root.is_file() and root.name.endswith(_ARCHIVES):
        return DataFiles(root)
    for place in (root, *(root / name for name in names)):
        if (place / marker).is_file():
            return DataFiles(place)
    archives = (root / f"{name}{ending}" for name in names for ending in _ARCHIVES)
    return next((DataFiles(path) for path in archives if path.is_file()), None)
