"""Rows for the page's script: one object a row with an answer a run, tools stored once, compressed into a line of text.

The text is base64 of gzip of JSON: a tenth of the size, and without a character that could end a script element.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Sequence
from typing import Any

from needle.evals import match
from needle.evals.rows import Row, RowReader
from needle.evals.slots import NOT_DUE
from needle.evals.taxonomy import CODES
from needle.evals.verdict import align
from needle.tools.caller import CallResult
from needle.traces.trace import Trace

ROW_LIMIT = 10_000
"""Rows in the browser of one report; flipped rows and failures come first."""


def pack(names: Sequence[str], runs: Sequence[Sequence[Row]], limit: int | None = None) -> dict[str, Any]:
    """What the script needs. ``runs`` holds the same rows in the same order, once a run; ``names`` are the callers."""
    toolsets: dict[str, int] = {}
    strings: dict[str, int] = {}
    reader = RowReader()
    together = sorted(zip(*runs, strict=True), key=_order)[: limit or ROW_LIMIT]
    rows = [_pack(answers, toolsets, strings, reader) for answers in together]
    tools: dict[str, int] = {}
    sets = [[tools.setdefault(json.dumps(tool), len(tools)) for tool in json.loads(text)] for text in toolsets]
    return {
        "runs": list(names),
        "rows": rows,
        "toolsets": sets,
        "tools": [json.loads(text) for text in tools],
        "contexts": list(strings),
        "meanings": CODES,
        "total": len(runs[0]),
    }


def encode(data: dict[str, Any]) -> str:
    """The object as one line of letters; the same object gives the same line."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
    return base64.b64encode(gzip.compress(text, 9, mtime=0)).decode("ascii")


def decode(line: str) -> dict[str, Any]:
    """What ``encode`` made of it."""
    return json.loads(gzip.decompress(base64.b64decode(line)).decode("utf-8", "surrogatepass"))


def _order(answers: tuple[Row, ...]) -> tuple[bool, bool]:
    """Rows on which two runs differ first, then failures; otherwise the order of the suite."""
    right = [row["verdict"]["correct"] for row in answers]
    return len(set(right)) == 1, all(right)


def _pack(
    answers: tuple[Row, ...], toolsets: dict[str, int], strings: dict[str, int], reader: RowReader
) -> dict[str, Any]:
    row = answers[0]
    request, gold = row["request"], row["gold"]
    context = [f"{turn.get('role', '')}: {_said(turn)}" for turn in request.get("messages", ())]
    trace = reader.trace(row)
    return {
        "id": row["id"],
        "kind": gold["kind"],
        "toolset": gold["toolset"],
        "query": request["query"],
        "system": request.get("system"),
        "context": [strings.setdefault(text, len(strings)) for text in context],
        "tools": toolsets.setdefault(json.dumps(request["tools"]), len(toolsets)),
        "gold": gold["calls"],
        "any": match.any_call(trace),
        "also": gold.get("alternatives", {}),
        "origins": _origins(row),
        "answers": [_answer(one, trace, reader.result(one)) for one in answers],
    }


def _origins(row: Row) -> list[dict[str, str]]:
    """For each gold call, type and derivation of its arguments in words, where the scorer has said them."""
    said: dict[tuple[str, str], list[str]] = {}
    for slot in row.get("slots", ()):
        if slot["derivation"] != NOT_DUE:
            said.setdefault((slot["tool"], slot["parameter"]), []).append(f"{slot['type']}, {slot['derivation']}")
    return [
        {name: texts.pop(0) for name in call["arguments"] if (texts := said.get((call["name"], name)))}
        for call in row["gold"]["calls"]
    ]


def _said(turn: dict[str, Any]) -> str:
    content = turn.get("content")
    return content if isinstance(content, str) else json.dumps(turn, ensure_ascii=False)


def _answer(row: Row, trace: Trace, result: CallResult) -> dict[str, Any]:
    verdict = row["verdict"]
    shown = {
        "calls": row["calls"],
        "raw": row["raw"],
        "error": row["error"],
        "decision": verdict["decision"],
        "correct": verdict["correct"],
        "cause": verdict["cause"],
        "codes": verdict["codes"],
        "details": verdict["details"],
        "confidence": row["confidence"],
        "seconds": row["seconds"],
        "prompt": row.get("prompt"),
        "modes": [mode for mode, right in verdict["modes"].items() if right],
        "did": verdict.get("answer"),
        "repaired": row.get("repaired"),
        "free": row.get("free"),
        "pairs": [] if row["error"] is not None or match.any_call(trace) else _pairs(trace, result),
    }
    return {key: value for key, value in shown.items() if value not in (None, [], "") or key in ("calls", "codes")}


def _pairs(trace: Trace, result: CallResult) -> list[list[Any]]:
    """[index of the gold call, index of the call that it is compared with, outcomes of arguments not right]."""
    calls = list(result)
    grid = match.match_grid(trace, calls)
    straight = match.ordered(trace, calls, grid)
    pairs = {i: (i, grid[i][i]) for i in range(len(calls))} if straight else align(grid)
    return [
        [i, j, {name: outcome for name, outcome in found.arguments.items() if outcome != match.RIGHT}]
        for i, (j, found) in sorted(pairs.items())
    ]
