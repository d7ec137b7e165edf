"""Fetch the files of ``VENDOR.md`` again from npm and store them here: ``python -m needle.serve.playground.vendor.fetch``."""

from __future__ import annotations

import gzip
import hashlib
import re
import subprocess
import tarfile
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
ROW = re.compile(r"^\| `dist/([\w.-]+)` \| (\d+) \| `([0-9a-f]{64})` \|$", re.MULTILINE)
PACKAGE = re.compile(r"`([\w-]+)` (\d+\.\d+\.\d+)")


def listed() -> dict[str, str]:
    """SHA-256 of each file by its name, as ``VENDOR.md`` has them."""
    return {name: digest for name, _, digest in ROW.findall((HERE / "VENDOR.md").read_text(encoding="utf-8"))}


def stored(name: str) -> bytes:
    """The bytes of a file as it was published."""
    path = HERE / name
    return path.read_bytes() if path.is_file() else gzip.decompress((HERE / f"{name}.gz").read_bytes())


def fetch() -> None:
    """Replace the files by those of the registry; nothing is written when a sum differs."""
    found = PACKAGE.search((HERE / "VENDOR.md").read_text(encoding="utf-8"))
    assert found is not None, "VENDOR.md names no package"
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["npm", "pack", "--silent", f"{found[1]}@{found[2]}"], cwd=folder, check=True)
        (archive,) = Path(folder).glob("*.tgz")
        with tarfile.open(archive) as package:
            files = {name: package.extractfile(f"package/dist/{name}").read() for name in listed()}  # type: ignore[union-attr]
    for name, digest in listed().items():
        if hashlib.sha256(files[name]).hexdigest() != digest:
            raise SystemExit(f"{name}: not the file that VENDOR.md names; nothing was changed")
    for name, data in files.items():
        packed = name.endswith(".wasm")
        (HERE / (f"{name}.gz" if packed else name)).write_bytes(gzip.compress(data, 9, mtime=0) if packed else data)


if __name__ == "__main__":
    fetch()
