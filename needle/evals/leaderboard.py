"""Many runs in one table a suite: measured figures with intervals, floors, and what others published, marked as such.

board = leaderboard(["runs/a", "runs/b"]); print(board_markdown(board))

Runs stand in one table only when suite, sample and scorer are the same. Published figures (``published.json``) stand
beside runs over the whole suite, in the column whose rule of counting is theirs, each with its source.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from needle.errors import UserError
from needle.evals.provenance import require_one_scorer
from needle.evals.run import read_summary

PUBLISHED = Path(__file__).with_name("published.json")
MEASURED, FLOOR, PRINTED = "measured", "floor", "published"
"""What a line of a table rests on."""
ALIASES = {"snips": "snips/7-way"}
"""Suites that are the same rows as a part of theirs, by name."""

Rate = dict[str, float]
"""``value`` with ``low`` and ``high`` where there is an interval, all from 0 to 1."""

METRICS = {
    "bfcl_mean": "BFCL verdict, mean of 13 categories",
    "bfcl_pooled": "BFCL verdict, all rows",
    "bfcl_unstated": "BFCL, weighting not stated",
    "field_f1": "field micro-F1",
    "strict": "ordered strict exact match",
    "correct": "correct",
    "must_call": "correct where a call is due",
    "no_call_due": "correct where none is due",
    "schema_valid": "schema-valid",
    "well_formed": "well-formed",
}
"""Columns, in order; a table shows those that some line of it has, and is sorted by the first."""


@lru_cache(maxsize=1)
def published() -> dict[str, Any]:
    """``published.json``: ``about``, ``sources`` by key, ``figures`` (suite, metric, model, parameters, value in %)."""
    return json.loads(PUBLISHED.read_text(encoding="utf-8"))


def leaderboard(directories: Sequence[str | Path]) -> dict[str, Any]:
    """Tables over finished runs, as JSON: ``tables`` (suite, hash, rows, columns, lines) and the ``sources`` they name.

    Raises ``UserError`` for a folder without a finished run, for none at all, and for runs of several scorer versions.
    """
    if not directories:
        raise UserError("no folder named; name folders that needle eval wrote")
    runs = [(Path(directory), read_summary(Path(directory))) for directory in directories]
    require_one_scorer((str(path), summary["scorer_version"]) for path, summary in runs)
    suites: dict[tuple[str, str], list[tuple[Path, dict[str, Any]]]] = {}
    for path, summary in runs:
        suites.setdefault((summary["suite"]["name"], summary["suite"]["hash"]), []).append((path, summary))
    tables = [_table(name, members) for (name, _), members in sorted(suites.items(), key=lambda item: item[0])]
    used = dict.fromkeys(line["source"] for table in tables for line in table["lines"] if line["source"])
    return {
        "format": 1,
        "scorer_version": runs[0][1]["scorer_version"],
        "tables": tables,
        "sources": {key: published()["sources"][key] for key in used},
    }


def _table(name: str, runs: Sequence[tuple[Path, dict[str, Any]]]) -> dict[str, Any]:
    summary = runs[0][1]
    suite = summary["suite"]
    whole = suite.get("limit") is None
    lines = [_measured(path, one) for path, one in runs] + _floors(summary)
    if whole:
        lines += _printed(ALIASES.get(name, name))
    columns = [metric for metric in METRICS if any(metric in line["rates"] for line in lines)]
    able = [metric for metric in columns if any(metric in line["rates"] for line in lines if line["basis"] == MEASURED)]
    compared = any(line["basis"] == PRINTED for line in lines) or able[0] != "strict"
    first = able[0] if compared else "correct"  # the strict rule matters where others are held to it
    columns.remove(first)
    columns.insert(0, first)
    lines.sort(key=lambda line: [-line["rates"].get(metric, {"value": -1.0})["value"] for metric in columns])
    return {
        "suite": name,
        "title": suite.get("title", ""),
        "hash": suite["hash"],
        "rows": summary["n"],
        "sample": None if whole else {"limit": suite["limit"], "seed": suite["seed"], "of": suite["total"]},
        "columns": columns,
        "lines": lines,
    }


def _measured(path: Path, summary: Mapping[str, Any]) -> dict[str, Any]:
    notes = (
        [] if summary.get("complete", True) else [f"incomplete: {summary['infra_errors']['count']} rows got no answer"]
    )
    parameters = (summary.get("model") or {}).get("parameters")
    return _line(
        summary["caller"], MEASURED, _rates(summary), parameters=parameters, run=path.name, note="; ".join(notes)
    )


def _rates(summary: Mapping[str, Any]) -> dict[str, Rate]:
    """Every column that this run can fill."""
    rates, bfcl = summary["rates"], summary.get("bfcl") or {}
    found: dict[str, Any] = {
        "strict": rates.get("correct_strict"),
        **{key: rates.get(key) for key in ("correct", "schema_valid", "well_formed")},
    }
    for key in ("must_call", "no_call_due"):
        part = summary.get(key) or {}
        found[key] = part.get("correct") if part.get("n") else None
    if bfcl.get("all_categories"):
        found |= {"bfcl_mean": bfcl["mean"], "bfcl_pooled": bfcl["pooled"]}
    if summary["suite"]["name"].startswith("snips"):
        found["field_f1"] = {"value": summary["arguments"]["f1"]}
    return {key: _only(rate) for key, rate in found.items() if rate}


def _floors(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    means = (summary.get("bfcl") or {}).get("floors", {}) if (summary.get("bfcl") or {}).get("all_categories") else {}
    lines = []
    for name, rates in (summary.get("floors") or {}).items():
        names = {
            "strict": "correct_strict",
            "correct": "correct",
            "schema_valid": "schema_valid",
            "well_formed": "well_formed",
        }
        found = {key: _only(rates[other]) for key, other in names.items() if other in rates}
        found |= {key: {"value": rates[key]} for key in ("must_call", "no_call_due") if rates.get(key) is not None}
        if name in means:
            found["bfcl_mean"] = {"value": means[name]}
        if summary["suite"]["name"].startswith("snips") and "f1" in rates:
            found["field_f1"] = {"value": rates["f1"]}
        lines.append(_line(f"{name} (knows nothing)", FLOOR, found))
    return lines


def _printed(suite: str) -> list[dict[str, Any]]:
    """One line for each model and source; figures for other metrics of the same suite share it."""
    lines: dict[tuple[str, str], dict[str, Any]] = {}
    for one in published()["figures"]:
        if one["suite"] == suite:
            key = (one["model"], one["source"])
            new = _line(
                one["model"], PRINTED, {}, one.get("parameters"), source=one["source"], note=one.get("note", "")
            )
            lines.setdefault(key, new)["rates"][one["metric"]] = {"value": one["value"] / 100}
    return list(lines.values())


def _line(
    name: str,
    basis: str,
    rates: dict[str, Rate],
    parameters: int | None = None,
    run: str = "",
    source: str = "",
    note: str = "",
) -> dict[str, Any]:
    known = {"name": name, "basis": basis, "rates": rates, "parameters": parameters}
    return known | {"run": run, "source": source, "note": note}


def _only(rate: Mapping[str, float]) -> Rate:
    return {key: rate[key] for key in ("value", "low", "high") if key in rate}


def views(table: Mapping[str, Any]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Metric and the lines that it is the first figure of: no line is compared by two rules, none is left out."""
    found: dict[str, list[dict[str, Any]]] = {}
    for line in table["lines"]:
        metric = next((column for column in table["columns"] if column in line["rates"]), None)
        if metric:
            found.setdefault(metric, []).append(line)
    return sorted(found.items(), key=lambda item: table["columns"].index(item[0]))


def board_markdown(board: Mapping[str, Any]) -> str:
    """The tables as Markdown: published figures are in italics and numbered by source, floors marked."""
    numbers = {key: number for number, key in enumerate(board["sources"], start=1)}
    parts = [part for table in board["tables"] for part in _markdown_tables(table, numbers)]
    if numbers:
        parts.append(
            "Published figures (in italics) were not measured here and may rest on other prompts, decoding and rules:"
        )
        parts.append(
            "\n".join(
                f"{numbers[key]}. {one['title']}. {one['metric']}. From: {one['where']}."
                for key, one in board["sources"].items()
            )
        )
    parts.append(
        f"Measured figures: scorer version {board['scorer_version']}. Floors know nothing and answer the same rows."
    )
    return "\n\n".join(parts) + "\n"


def _markdown_tables(table: Mapping[str, Any], numbers: Mapping[str, int]) -> list[str]:
    parts = [f"### {table_title(table)}"]
    for metric, lines in views(table):
        body = [
            [
                _markdown_name(line),
                size_words(line["parameters"]),
                *_markdown_rate(line, metric),
                basis_words(line, numbers),
            ]
            for line in lines
        ]
        parts.append(_markdown_table(["model", "size", f"{METRICS[metric]}, %", "95 % interval", "basis"], body))
    others, lines = further(table)
    if others:
        body = [[_markdown_name(line), *(_markdown_rate(line, metric)[0] for metric in others)] for line in lines]
        parts.append(_markdown_table(["model", *(f"{METRICS[metric]}, %" for metric in others)], body))
    return parts


def further(table: Mapping[str, Any]) -> tuple[list[str], list[dict[str, Any]]]:
    """Columns beside the first, and the lines that have them: runs measured here and floors."""
    lines = [line for line in table["lines"] if line["basis"] != PRINTED]
    return [column for column in table["columns"][1:] if any(column in line["rates"] for line in lines)], lines


def _markdown_table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    rule = "|".join("---" if n == 0 or name == "basis" else "---:" for n, name in enumerate(head))
    return "\n".join([f"| {' | '.join(head)} |", f"|{rule}|", *(f"| {' | '.join(row)} |" for row in body)])


def _markdown_name(line: Mapping[str, Any]) -> str:
    name = _cell(line["name"])
    return f"*{name}*" if line["basis"] == PRINTED else f"**{name}**" if line["basis"] == MEASURED else name


def _markdown_rate(line: Mapping[str, Any], metric: str) -> tuple[str, str]:
    rate = line["rates"].get(metric)
    if rate is None:
        return "", ""
    text = f"{100 * rate['value']:.1f}"
    span = f"{100 * rate['low']:.1f} to {100 * rate['high']:.1f}" if "low" in rate else ""
    return (f"*{text}*" if line["basis"] == PRINTED else text), span


def basis_words(line: Mapping[str, Any], numbers: Mapping[str, int]) -> str:
    """What a line rests on, with the number of its source and what else must be known."""
    basis = f"published [{numbers[line['source']]}]" if line["basis"] == PRINTED else line["basis"]
    return _cell("; ".join(filter(None, (basis, line["note"]))))


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "/").split())


def table_title(table: Mapping[str, Any]) -> str:
    """Suite, number of rows and which ones, in words."""
    sample = table["sample"]
    rows = (
        f"{table['rows']:,} rows"
        if sample is None
        else f"a sample of {table['rows']:,} of {sample['of']:,} rows (seed {sample['seed']})"
    )
    return f"{table['suite']}, {rows}"


def size_words(parameters: int | None) -> str:
    """Number of parameters for people: 26M, 1.2B, or nothing where it is not known."""
    if not parameters:
        return ""
    return f"{parameters / 1e9:.3g}B" if parameters >= 1e9 else f"{parameters / 1e6:.3g}M"
