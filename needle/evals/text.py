"""A run in words: rows for the terminal, Markdown for a README, and what a reader must be warned of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from needle.evals.bfcl.text import bfcl_lines, bfcl_note, bfcl_rows
from needle.evals.pair_text import pair_lines, pair_markdown
from needle.evals.reading import reading_warnings

if TYPE_CHECKING:
    from needle.evals.run import Results

VERDICT_RATES = ("well_formed", "schema_valid", "correct")
"""The three headline rates, never merged into one."""

LABELS = {
    "well_formed": "well-formed",
    "schema_valid": "schema-valid",
    "correct": "correct",
    "correct_unordered": "correct in any order",
    "names_right": "tool names right",
}


def percent(share: float) -> str:
    """Share as a percentage with one decimal, without the sign."""
    return f"{100 * share:.1f}"


def warnings(summary: dict[str, Any]) -> list[str]:
    """What stands between the figures and a fair reading of them."""
    suite, infra = summary["suite"], summary["infra_errors"]["count"]
    found = reading_warnings(summary)
    if infra:
        found.append(
            f"Incomplete: {infra} of {summary['n']} rows got no answer and count as wrong; "
            "run the same command again to ask for them."
        )
    if suite["unusable"]:
        found.append(
            f"{suite['unusable']} rows of the suite could not be used and are not in the figures; "
            f"first: {suite['problems'][0]}"
        )
    if suite["duplicate_ids"]:
        found.append(f"{suite['duplicate_ids']} rows share the id of an earlier row; they are kept under a new id.")
    if suite["gold_suspect"]:
        ids = ", ".join(suite["gold_suspect"][:3])
        found.append(
            f"{len(suite['gold_suspect'])} rows have gold calls that break their own schemas ({ids}); "
            "they are scored as they are."
        )
    found += suite.get("notes", [])
    if suite.get("conversions"):
        first = next(iter(suite["conversions"]))
        found.append(f"{suite['conversions_count']} things were lost or guessed in reading tools; first: {first}")
    return found


def _lines(summary: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Label, share, interval of the closing table."""

    def line(label: str, rate: dict[str, float]) -> tuple[str, str, str]:
        return label, percent(rate["value"]), f"{percent(rate['low'])} to {percent(rate['high'])}"

    for name in VERDICT_RATES:
        yield line(LABELS[name], summary["rates"][name])
    for label, part in (("correct where a call is due", "must_call"), ("correct where none is due", "no_call_due")):
        if summary[part]["n"]:
            yield line(label, summary[part]["correct"])
    for label, rate in bfcl_lines(summary):
        yield line(label, rate)
    for name, rates in summary["floors"].items():
        yield line(f"floor: {name}", rates["correct"])
    for name, told in (summary.get("ceilings") or {}).items():
        yield line(f"ceiling: {name}", told["correct"])


def summary_table(results: Results) -> str:
    """The closing table of a run for a terminal, plain text."""
    summary = results.summary
    rows = [("", "%", "95 % interval"), *_lines(summary)]
    width = max(len(label) for label, _, _ in rows)
    table = [f"{label:<{width}}  {share:>5}  {interval}".rstrip() for label, share, interval in rows]
    head = f"{summary['caller']} on {summary['suite']['name']}, {summary['n']:,} rows"
    notes = [bfcl_note(summary)] if "bfcl" in summary else []
    causes = ", ".join(f"{code} {count:,}" for code, count in list(summary["causes"].items())[:5])
    found = summary["arguments"]
    notes.append("arguments: " + ", ".join(f"{name} {percent(found[name])}" for name in ("precision", "recall", "f1")))
    causes_line = [f"most frequent first causes: {causes}"] if causes else []
    return "\n".join([head, *table, *causes_line, *notes, *pair_lines(summary), *warnings(summary)])


def to_markdown(results: Results) -> str:
    """The run as Markdown: a headline table, one by kind, and how to read them."""
    summary = results.summary
    suite = summary["suite"]
    lines = [
        f"**{summary['caller']}** on **{suite['name']}** "
        f"({summary['n']:,} rows, suite {suite['hash']}, scorer {summary['scorer_version']})",
        "",
    ]
    lines += ["| | % | 95 % interval |", "|---|---:|---|"]
    lines += [f"| {label} | {share} | {interval} |" for label, share, interval in _lines(summary)]
    lines += ["", "| kind | rows | well-formed | schema-valid | correct |", "|---|---:|---:|---:|---:|"]
    for kind, rates in summary["by_kind"].items():
        cells = " | ".join(percent(rates[name]["value"]) for name in VERDICT_RATES)
        lines.append(f"| {kind.replace('|', '/')} | {rates['n']:,} | {cells} |")
    if "bfcl" in summary:
        lines += ["", "| BFCL category | rows | BFCL verdict | without credit for malformed | correct (ours) |"]
        lines += ["|---|---:|---:|---:|---:|"]
        lines += [f"| {name} | {n:,} | {' | '.join(map(percent, shares))} |" for name, n, *shares in bfcl_rows(summary)]
        lines += ["", bfcl_note(summary)]
    lines += pair_markdown(summary)
    lines += _markdown_decisions(summary.get("decisions", {}).get("matrix", {}))
    if summary.get("command"):
        lines += ["", f"Made by `{summary['command'].replace('`', '')}`."]
    lines += ["", f"Intervals: {summary['intervals']}.", *(f"\n> {text}" for text in warnings(summary))]
    return "\n".join(lines) + "\n"


def _markdown_decisions(matrix: dict[str, dict[str, int]]) -> list[str]:
    """What was due against what was done, as counts; malformed output has its own column always."""
    due = {name: row for name, row in matrix.items() if sum(row.values())}
    used = [did for did in next(iter(matrix.values()), {}) if did == "malformed" or any(row[did] for row in due.values())]
    if not due:
        return []
    head = ["", f"| due | {' | '.join(used)} |", f"|---|{'---:|' * len(used)}"]
    return head + [f"| {name} | {' | '.join(f'{row[did]:,}' for did in used)} |" for name, row in due.items()]
