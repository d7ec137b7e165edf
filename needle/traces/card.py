"""The dataset card: Markdown with a YAML head, its figures counted from the files, so that it cannot drift.

write_card("data/README.md", "data/traces", load_card_text("data/traces/card.json"))
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from needle.errors import UserError
from needle.traces.read import read_traces
from needle.traces.split import split_files
from needle.traces.stats import TraceStats, trace_stats
from needle.traces.trace import Trace
from needle.traces.write import atomic


@dataclass(frozen=True)
class CardText:
    """What a person must say, because it cannot be counted."""

    title: str
    """Heading of the card."""
    summary: str
    """A paragraph on what the data is and who it is for."""
    provenance: str
    """Who wrote the rows, how, and how they were checked."""
    limits: str
    """Known errors, gaps and biases."""
    figures: str = ""
    """Tables on how the rows came to be (asked, kept, refused, cost), as Markdown."""
    rules: str = ""
    """How the data may be used, such as which part is never trained on."""
    command: str = ""
    """The command that made the files."""
    licence: str = "apache-2.0"
    """Licence identifier as the Hugging Face Hub spells it."""
    language: str = "en"
    """Language code."""


def load_card_text(path: str | os.PathLike[str]) -> CardText:
    """The text of a card from a JSON object with the fields of ``CardText``. Raises UserError when it is none."""
    try:
        fields = json.loads(Path(path).read_text(encoding="utf-8"))
        return CardText(**fields)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); give a JSON file with the card's text") from error
    except (json.JSONDecodeError, TypeError) as error:
        names = ", ".join(field.name for field in dataclasses.fields(CardText))
        raise UserError(f"{path}: not the text of a card ({error}); write a JSON object with {names}") from error


def dataset_card(parts: Mapping[str, Sequence[Trace]], text: CardText, folder: str = ".") -> str:
    """The card of a data set given as part name -> traces. ``folder`` is where the files lie, as seen from the card."""
    everything = trace_stats(trace for traces in parts.values() for trace in traces)
    counts = {part: trace_stats(traces) for part, traces in parts.items() if traces}
    sections = [
        _head(parts, text, everything.rows, folder),
        f"# {text.title}\n\n{text.summary}",
        f"## Where it comes from\n\n{text.provenance}",
        "## Parts\n\n" + _part_table(counts),
        "## Mix\n\n" + "\n".join(f"- **{name}**: {value}" for name, value in everything.lines()),
        f"## How it was made, in figures\n\n{text.figures}" if text.figures else "",
        f"## Rules of use\n\n{text.rules}" if text.rules else "",
        f"## Made by\n\n```\n{text.command}\n```" if text.command else "",
        f"## Known limits\n\n{text.limits}",
        f"## Licence\n\n{text.licence.capitalize()}",
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def write_card(path: str | os.PathLike[str], folder: str | os.PathLike[str], text: CardText) -> Path:
    """Count the split files of ``folder`` and write the card to ``path``. Raises UserError as ``read_traces`` does."""
    path, folder = Path(path), Path(folder)
    parts = {part: read_traces(file)[0] for part, file in split_files(folder).items()}
    seen_from_card = os.path.relpath(folder, path.parent)
    with atomic(path) as temporary:
        temporary.write_text(dataset_card(parts, text, seen_from_card), encoding="utf-8")
    return path


def _head(parts: Mapping[str, Sequence[Trace]], text: CardText, rows: int, folder: str) -> str:
    size = next((name for limit, name in _SIZES if rows < limit), "n>1M")
    prefix = "" if folder == "." else f"{folder}/"
    lines = [
        "---",
        f"license: {text.licence}",
        f"language: [{text.language}]",
        f"pretty_name: {text.title}",
        f"size_categories: [{size}]",
        "task_categories: [text-generation]",
        "tags: [function-calling, tool-use]",
        "configs:",
        "- config_name: default",
        "  data_files:",
        *(f"  - split: {part}\n    path: {prefix}{part}.*" for part in parts),
        "---",
    ]
    return "\n".join(lines)


_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def _part_table(counts: Mapping[str, TraceStats]) -> str:
    kinds = sorted({kind for stats in counts.values() for kind in stats.kinds})
    head = ["part", "rows", "toolsets", "tools", "calls", *kinds]
    rows = [
        [part, *(f"{n:,}" for n in (s.rows, s.toolsets, s.tools, s.calls, *(s.kinds.get(k, 0) for k in kinds)))]
        for part, s in counts.items()
    ]
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
