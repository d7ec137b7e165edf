"""``needle.json``, the list of what an exported folder holds; read before anything in it is run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from needle.device.graphs import VERSION
from needle.errors import UserError

MANIFEST = "needle.json"
FORMAT = 1
"""Of the folder; a runtime refuses others."""
EDITABLE = ("README.md", "calibration.json", "retrieval.safetensors", "prior.json")
"""Files that may be written anew in an exported folder."""


def check_manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest of an exported folder; None where there is none (a checkpoint).

    Raises:
        UserError: the folder is incomplete, damaged or of another version.
    """
    path = folder / MANIFEST
    if not path.is_file():
        return None
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        version, files = (manifest["format"], manifest["graph"]), dict(manifest["files"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not a manifest ({error}); export the model again") from error
    if version != (FORMAT, VERSION):
        raise UserError(f"{folder}: exported as format {version[0]}, graphs {version[1]}; this needle runs {FORMAT} and {VERSION}: export it again")
    for name, size in files.items():
        found = (folder / name).stat().st_size if (folder / name).is_file() else None
        if found is None or (found != size and name not in EDITABLE):
            state = "is missing" if found is None else f"has {found:,} bytes instead of {size:,}"
            raise UserError(f"{folder}: {name} {state}; copy the whole folder again")
    return manifest
