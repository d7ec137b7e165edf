"""Rows that belong together, in words: what each disturbance costs, each group's rate, what two runs fail on alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from needle.evals.pairs import inherited
from needle.evals.rows import RowReader, read_rows

ROWS = "rows.jsonl"


def _points(value: float) -> str:
    return f"{100 * value:+.1f}"


def _span(one: Mapping[str, float], low: str = "low", high: str = "high") -> str:
    return f"{100 * one[low]:.1f} to {100 * one[high]:.1f}"


def pair_tables_text(summary: Mapping[str, Any]) -> Iterator[tuple[str, list[tuple[str, ...]]]]:
    """Title and rows (first row: the head) of every table of a run on ``robustness`` or ``bias``; else nothing."""
    if "robustness" in summary:
        rows = [("disturbance", "rows", "plain %", "disturbed %", "difference", "95 % interval")]
        for name, one in summary["robustness"]["variants"].items():
            gap = f"{_points(one['low'])} to {_points(one['high'])}"
            mark = "" if one.get("same_answer", True) else " (another task)"
            shares = (f"{100 * one['plain']:.1f}", f"{100 * one['disturbed']:.1f}", _points(one["delta"]), gap)
            rows.append((name + mark, str(one["n"]), *shares))
        yield "What disturbances cost", rows
    for axis, found in summary.get("bias", {}).items():
        rows = [("group", "rows", "correct %", "95 % interval")]
        rows += [
            (name, str(one["n"]), f"{100 * one['value']:.1f}", _span(one)) for name, one in found["groups"].items()
        ]
        yield f"Swapped: {axis} ({found['flips']} of {found['sets']} requests flip)", rows


def pair_lines(summary: Mapping[str, Any]) -> list[str]:
    """The tables as lines for a terminal."""
    lines: list[str] = []
    for title, rows in pair_tables_text(summary):
        widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
        lines += ["", title]
        for first, *cells in rows:
            shown = (cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))
            lines.append("  ".join([first.ljust(widths[0]), *shown]).rstrip())
    return lines


def pair_markdown(summary: Mapping[str, Any]) -> list[str]:
    """The tables as Markdown."""
    lines: list[str] = []
    for title, (head, *rows) in pair_tables_text(summary):
        lines += ["", f"**{title}**", "", f"| {' | '.join(head)} |", f"|---|{'---:|' * (len(head) - 1)}"]
        lines += [f"| {' | '.join(row)} |" for row in rows]
    return lines


def inherited_text(teacher: str | Path, student: str | Path) -> str:
    """Failures of two runs on ``bias`` by axis and group; an empty text for runs on other suites.

    The first run is the teacher's, the second the student's. Rows are matched by id.
    """
    reader = RowReader()
    first = {row["id"]: row for row in read_rows(Path(teacher) / ROWS)}
    second = {row["id"]: row for row in read_rows(Path(student) / ROWS)}
    both = [key for key in first if key in second]
    traces = [reader.trace(first[key]) for key in both]
    right = [[bool(run[key].get("verdict", {}).get("correct")) for key in both] for run in (first, second)]
    table = inherited(traces, *right)
    lines = []
    for axis, groups in table.items():
        lines += [
            "",
            f"Failures on swapped {axis}: the first run (teacher), the second (student), both (perhaps inherited)",
        ]
        width = max(map(len, groups))
        for name, one in groups.items():
            n = one["n"]
            shares = [one["teacher"] + one["both"], one["student"] + one["both"], one["both"]]
            cells = "  ".join(f"{100 * count / n:5.1f} %" for count in shares)
            lines.append(f"{name:<{width}}  {n:>4} rows  {cells}")
    return "\n".join(lines).lstrip("\n")
