"""SNIPS: 700 spoken-style requests with marked values, read as calls of seven tools; field micro-F1 is its measure.

Data: the seven ``validate_*.json`` of the custom intents of Coucke et al. 2018 (arXiv 1805.10190),
github.com/sonos/nlu-benchmark. They have slots, not tools: the seven in ``evals/suites/snips/tools.json`` were written
for this project, one parameter a slot, all text and none required. Values are the words of the request. Part ``7-way``
offers all seven tools in an order drawn for each row (so does the suite as a whole), ``gold`` only the right one.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from needle.errors import UserError
from needle.evals.datafiles import DataFiles, find_data
from needle.tools.read import load_toolset
from needle.tools.spec import ToolCall, ToolSpec
from needle.traces.trace import Trace

TOOLS = Path(__file__).resolve().parents[2] / "evals" / "suites" / "snips" / "tools.json"
PARTS = ("7-way", "gold")


def find_snips(folder: str | Path | None = None) -> DataFiles | None:
    """Where the data are, or None."""
    return find_data(("snips",), "validate_AddToPlaylist.json", folder)


def load_snips(data: DataFiles, part: str | None = None, seed: int = 0) -> list[Trace]:
    """All rows under one protocol (``PARTS``; the first without a word). Raises ``UserError`` for bad files."""
    tools = load_toolset(TOOLS)
    names = [f"validate_{tool.name}.json" for tool in tools]
    texts = data.read(names)
    traces = []
    for tool, name in zip(tools, names, strict=True):
        try:
            rows = json.loads(texts[name])[tool.name]
            for number, row in enumerate(rows):
                offered = [tool] if part == "gold" else tools
                traces.append(_trace(f"{tool.name}-{number}", row["data"], tool, offered, seed))
        except (ValueError, KeyError, TypeError) as error:
            problem = f"{type(error).__name__}: {error}".splitlines()[0]
            raise UserError(f"{data.where}: {name} is not in its published form ({problem}); fetch it again") from error
    return traces


def _trace(
    name: str, pieces: Sequence[Mapping[str, Any]], tool: ToolSpec, offered: Sequence[ToolSpec], seed: int
) -> Trace:
    arguments: dict[str, str] = {}
    alternatives: dict[str, list[Any]] = {}
    for piece in pieces:
        slot, text = piece.get("entity"), piece["text"].strip()
        if slot in arguments:  # a slot that is filled twice has room for one value here
            alternatives.setdefault(f"0.{slot}", []).append(text)
        elif slot:
            arguments[slot] = text
    return Trace(
        id=name,
        query="".join(piece["text"] for piece in pieces).strip(),
        tools=tuple(random.Random(f"{seed}\0{name}").sample(offered, len(offered))),
        calls=(ToolCall(tool.name, arguments),),
        kind=tool.name,
        domain=tool.name,
        alternatives=alternatives,
    )
