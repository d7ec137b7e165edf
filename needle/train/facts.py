"""What a run is made of, for ``run.json``, the report and the model card: data with counts and hashes, parents,
settings, machine."""

from __future__ import annotations

import gzip
import hashlib
import json
import platform
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from needle.traces import Trace
from needle.traces.split import split_files
from needle.traces.write import atomic
from needle.train.config import TrainConfig
from needle.train.history import FACTS

_LICENCE = re.compile(r"^license: *(\S.*?) *$", re.MULTILINE)


def file_hash(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def short_path(path: Path | str) -> str:
    """A path that may be published: one from the root of the disk is cut to its last two names."""
    return "/".join(Path(path).parts[-2:]) if Path(path).is_absolute() else str(path)


def data_facts(sources: Sequence[tuple[Path, float]]) -> list[dict[str, Any]]:
    """Each file that a run reads: where it is, rows, SHA-256, how often its rows are used an epoch, licence where its
    card says one.

    ``sources``: path of a folder or file, and its weight. The test file of a folder is none of them.
    """
    found = []
    for path, uses in sources:
        parts = split_files(path) if path.is_dir() else {}
        files = {part: file for part, file in parts.items() if part != "test"} or (
            {} if path.is_dir() else {"all": path}
        )
        licence = _licence(path if path.is_dir() else path.parent)
        for part, file in files.items():
            entry = {
                "file": short_path(file),
                "part": part,
                "rows": _rows(file),
                "sha256": file_hash(file),
                "uses": uses,
            }
            found.append(entry | ({"licence": licence} if licence else {}))
    return found


def _rows(path: Path) -> int | None:
    """Lines of a JSONL file; None for other layouts, which are not opened for this."""
    if path.name.endswith(".jsonl.gz"):
        with gzip.open(path, "rb") as file:
            return sum(bool(line.strip()) for line in file)
    if path.suffix == ".jsonl":
        with path.open("rb") as file:
            return sum(bool(line.strip()) for line in file)
    return None


def _licence(folder: Path) -> str | None:
    """What the data set's card, in the folder or the one above, gives as its licence."""
    for card in (folder / "README.md", folder.parent / "README.md"):
        if card.is_file():
            head = card.read_text(encoding="utf-8", errors="replace")[:2000]
            found = _LICENCE.search(head.split("\n---", 1)[0]) if head.startswith("---") else None
            if found:
                return found[1]
    return None


def authors(traces: Iterable[Trace]) -> dict[str, int]:
    """Models that wrote or labelled rows, as the rows say themselves, with the number of rows; ``""`` counts those
    that say nothing."""
    count: Counter[str] = Counter()
    for trace in traces:
        named = trace.meta.get("teachers")
        models = (
            {str(one.get("model")) for one in named.values() if isinstance(one, dict)}
            if isinstance(named, dict)
            else set()
        )
        if not models and trace.meta.get("model"):
            models = {str(trace.meta["model"])}
        count.update(models or {""})
    return dict(sorted(count.items(), key=lambda item: (-item[1], item[0])))


def licences(traces: Iterable[Trace]) -> dict[str, int]:
    """Licences that rows state, with the number of rows."""
    return dict(Counter(str(trace.meta["licence"]) for trace in traces if trace.meta.get("licence")).most_common())


def checkpoint_facts(name: str, folder: Path) -> dict[str, Any]:
    """A parent or a teacher: its name and the hash of its weights."""
    weights = folder / "model.safetensors"
    return {"name": short_path(name)} | ({"sha256": file_hash(weights)} if weights.is_file() else {})


def _version() -> str:
    try:
        return version("needle-distill")
    except PackageNotFoundError:  # used as it lies, without being installed
        return "from source"


def machine_facts(device: torch.device, processes: int) -> dict[str, Any]:
    """Versions and hardware that the figures of a run depend on; nothing that names the machine or its user."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    return {
        "device": name,
        "processes": processes,
        "needle": _version(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def changed_settings(config: dict[str, Any]) -> dict[str, Any]:
    """The settings that differ from the defaults of ``TrainConfig`` (its budget left out)."""
    plain = json.loads(json.dumps(TrainConfig(steps=1).to_dict()))
    return {key: value for key, value in config.items() if key not in ("steps", "minutes") and plain.get(key) != value}


def write_facts(out: Path, facts: dict[str, Any]) -> None:
    """Put ``run.json`` into the run's folder, whole or not at all."""
    with atomic(out / FACTS) as temporary:
        temporary.write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
