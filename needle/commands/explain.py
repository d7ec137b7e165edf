"""An answer for people: each argument with the words it came from, how sure the model is, which tools it saw, who answered."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from needle.tools import CallResult

SHOWN = 20
"""Names of offered tools in a note."""


def explanation(query: str, answer: CallResult) -> list[str]:
    """Lines: the calls, one argument a line with its words and score; then the confidence."""
    spans = {item.path: item for item in answer.evidence}
    lines = [] if answer else ["no call"]
    for number, call in enumerate(answer):
        lines.append(call.name)
        rows = [(path, json.dumps(value, ensure_ascii=False)) for path, value in _leaves(call.arguments)]
        width = max((len(path) + len(value) for path, value in rows), default=0)
        for path, value in rows:
            found = spans.get(f"{number}.{path}")
            came = f'from "{query[found.start : found.end]}" at {found.start} ({100 * found.score:.0f} %)' if found else "not from words of the request"
            lines.append(f"  {path}: {value}{' ' * (width - len(path) - len(value))}  {came}")
    if answer.confidence is not None:
        lines.append(f"confidence {100 * answer.confidence:.0f} %" + ("" if answer.calibrated else " (raw probability, not calibrated)"))
    return lines


def notes(answer: CallResult) -> list[str]:
    """What a reader of the calls should know: unsure, answered by another model, not all tools seen."""
    found = []
    if answer.unsure:
        sure = "" if answer.confidence is None else f": confidence {100 * answer.confidence:.0f} %"
        found.append(f"unsure{sure}; check the calls before they are executed")
    if answer.fallback_error:
        found.append(f"the fallback gave no answer: {answer.fallback_error}")
    if answer.usage.get("escalated") and not answer.unsure:
        found.append(f"answered by {answer.answered_by}")
    if answer.offered is not None:
        more = f" and {len(answer.offered) - SHOWN} more" if len(answer.offered) > SHOWN else ""
        names = ", ".join(answer.offered[:SHOWN])
        found.append(f"too many tools for one reading; the {len(answer.offered)} that fit the request best were offered: {names}{more}")
    return found


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted path and value of every text, number, truth value and null; of empty objects and lists too."""
    if not isinstance(value, dict | list) or not value:
        if path:
            yield path, value
        return
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        yield from _leaves(item, f"{path}.{key}" if path else str(key))
