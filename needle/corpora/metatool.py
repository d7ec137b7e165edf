"""MetaTool: which of many plugins a request is for (the requests were written by a vendor's model: off unless asked for).

Files: ``dataset/data/all_clean_data.csv`` (Query, Tool), ``multi_tool_query_golden.json`` (two tools), ``plugin_des.json`` and
``big_tool_des.json`` (descriptions). Tools take no arguments.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

from needle.corpora.catalogue import Options
from needle.corpora.functions import Function
from needle.corpora.toolsets import Assembler, Item
from needle.tools.likeness import telling_words
from needle.traces import Trace


def rows(root: Path, options: Options) -> Iterator[Trace]:
    """Rows of queries for one tool and for two."""
    folder = root / "dataset"
    described = {name.lower(): text for part in ("plugin_des", "big_tool_des") for name, text in json.loads((folder / f"{part}.json").read_text(encoding="utf-8")).items()}
    functions: dict[str, Function] = {}
    items = []
    with (folder / "data" / "all_clean_data.csv").open(encoding="utf-8", newline="") as file:
        labelled = [(row["Query"], (row["Tool"],)) for row in csv.DictReader(file)]
    labelled += [(row["query"], tuple(row["tool"])) for row in json.loads((folder / "data" / "multi_tool_query_golden.json").read_text(encoding="utf-8"))]
    for number, (text, tools) in enumerate(labelled):
        options.read += 1
        if any(tool.lower() not in described for tool in tools):
            options.dropped["tool without a description"] += 1
            continue
        for tool in tools:
            functions.setdefault(tool, Function(tool, "plugins", (tool,), (described[tool.lower()],)))
        items.append(Item(str(number), " ".join(text.split()), tuple((tool, {}) for tool in tools)))
    yield from Assembler("metatool", functions, items, options.mix, options.seed, options.dropped, apart=_apart).rows()


def _apart(one: Function, other: Function) -> bool:
    """Whether two plugins are about different things, by the words of their descriptions."""
    a, b = telling_words(one.descriptions[0]), telling_words(other.descriptions[0])
    return len(a & b) <= 0.2 * min(len(a), len(b)) if a and b else False
