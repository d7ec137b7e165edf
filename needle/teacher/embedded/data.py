"""Finds the recorded teacher traces and reads what the embedded teacher needs of them, fast.

The traces lie in ``data/traces`` of a checkout; an installed package has no such folder and the teacher then
phrases from schemas alone. ``NEEDLE_DATA`` names another data folder. ``find_traces`` says which it is.
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TRACES = Path("traces") / "train.jsonl.gz"
"""Only the training part: the phrasing of validation and test toolsets must stay unseen."""


def find_traces() -> tuple[Path | None, str]:
    """The file of recorded traces (None: there is none) and a sentence that says what is used."""
    override = os.environ.get("NEEDLE_DATA")
    root = Path(override) if override else Path(__file__).resolve().parents[3] / "data"
    path = root / TRACES
    if path.is_file():
        return path, f"phrasing learnt from {path}"
    return None, f"no recorded traces at {path}: phrasing from schemas alone"


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Rows of the file as dictionaries; rows of one toolset share one ``tools`` object.

    A row's tools are most of its text and repeat from row to row, so their text is cut out and parsed once. Our
    writer puts ``tools`` before ``calls``; a line of another shape is parsed whole.
    """
    known: dict[str, Any] = {}
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            head, has_tools, rest = line.partition(',"tools":')
            tools, has_calls, tail = rest.rpartition(',"calls":')
            if not (has_tools and has_calls):
                yield json.loads(line)
                continue
            try:
                row = json.loads(f'{head},"calls":{tail}')
                if tools not in known:
                    known[tools] = json.loads(tools)
            except ValueError:  # the marks were part of a string
                yield json.loads(line)
                continue
            yield row | {"tools": known[tools]}
