"""SLURP: requests to a home assistant with the labels of HWU64, whose functions it shares.

Files: ``dataset/slurp/{devel,test}.jsonl`` (sentence, scenario, action, entities by token); only ``devel`` is read for training.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from needle.corpora.catalogue import Options
from needle.corpora.functions import load_functions
from needle.corpora.hwu64 import Entity, to_items
from needle.corpora.toolsets import Assembler
from needle.traces import Trace


def rows(root: Path, options: Options) -> Iterator[Trace]:
    """Rows of the development part."""
    functions = load_functions("hwu64")
    labelled = [(str(row["slurp_id"]), row["sentence"], f"{row['scenario']}_{row['action']}", _entities(row)) for row in _read(root, "devel")]
    items = to_items(labelled, functions, options)
    yield from Assembler("slurp", functions, items, options.mix, options.seed, options.dropped).rows()


def held_out(root: Path) -> Iterator[str]:
    """Sentences of the test part."""
    yield from (row["sentence"] for row in _read(root, "test"))


def _read(root: Path, part: str) -> Iterator[dict[str, Any]]:
    with (root / "dataset" / "slurp" / f"{part}.jsonl").open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def _entities(row: Mapping[str, Any]) -> list[Entity]:
    """Entities as characters of the sentence; none for one whose words are not found in order."""
    places, at = [], 0
    for token in row["tokens"]:
        start = row["sentence"].find(token["surface"], at)
        if start < 0:
            return []
        at = start + len(token["surface"])
        places.append((start, at))
    found = []
    for entity in row["entities"]:
        start, end = places[entity["span"][0]][0], places[entity["span"][-1]][1]
        found.append((entity["type"], row["sentence"][start:end], start, end))
    return found
