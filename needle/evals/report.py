"""One self-contained HTML file for a run: figures with intervals and floors, tables, and a browser of every row.

Nothing is loaded from elsewhere (a content policy in the page forbids it). The figures are plain HTML; the rows are
embedded as JSON in which no ``<`` occurs, and the script of ``report.html`` writes them as text only, so hostile
requests stay text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

from needle.evals.bfcl.text import bfcl_lines, bfcl_note, bfcl_rows
from needle.evals.rows import Row
from needle.evals.taxonomy import CODES
from needle.evals.text import LABELS, VERDICT_RATES, percent, warnings

TEMPLATE = Path(__file__).with_name("report.html")
ROW_LIMIT = 5000
"""Rows in the browser of one report; failures come first."""

DECISION_WORDS = {"call": "called", "no_call": "abstained", "malformed": "malformed", "infra": "no answer"}


def render_report(summary: dict[str, Any], rows: Sequence[Row]) -> str:
    """The whole page for a summary (``results.json``) and its scored rows."""
    parts = {
        "title": escape(f"{summary['caller']} on {summary['suite']['name']}"),
        "lead": _lead(summary),
        "warnings": "".join(f'<p class="warning">{escape(text)}</p>' for text in warnings(summary)),
        "cards": "".join(_card(summary, name) for name in VERDICT_RATES),
        "floors": _floors(summary),
        "kinds": _group_table("kind", summary["by_kind"], summary["floors"][summary["best_floor"]["name"]]["by_kind"]),
        "calls": _group_table("calls due", summary["by_calls"], None),
        "bfcl": _bfcl(summary),
        "matrix": _matrix(summary["abstention"]),
        "arguments": _arguments(summary),
        "causes": _causes(summary),
        "about": _about(summary),
        "data": _embedded(rows),
    }
    # one pass, so that a request that contains a mark of the template is left alone
    return re.sub(r"\{\{(\w+)\}\}", lambda mark: parts[mark[1]], TEMPLATE.read_text(encoding="utf-8"))


def _lead(summary: dict[str, Any]) -> str:
    suite = summary["suite"]
    size = f"{summary['n']:,} rows" + (f" of {suite['total']:,}" if suite["total"] != summary["n"] else "")
    return escape(f"{suite['title'] or suite['name']}: {size} from {summary['clusters']:,} toolsets")


def _bar(rate: dict[str, float], ticks: Iterable[tuple[str, float]] = ()) -> str:
    """A track from 0 to 100 with the interval, the value, and floors as ticks."""
    low, high = 100 * rate["low"], 100 * rate["high"]
    marks = "".join(
        f'<i class="tick" style="left:{100 * value:.2f}%" title="{escape(name)} {percent(value)}"></i>'
        for name, value in ticks
    )
    span = f'<i class="span" style="left:{low:.2f}%;width:{high - low:.2f}%"></i>'
    return f'<span class="bar">{span}{marks}<i class="dot" style="left:{100 * rate["value"]:.2f}%"></i></span>'


def _card(summary: dict[str, Any], name: str) -> str:
    rate, ticks, note = summary["rates"][name], [], ""
    if name == "correct":
        ticks = [(f"floor {floor}", rates["correct"]["value"]) for floor, rates in summary["floors"].items()]
        best = summary["best_floor"]
        points = 100 * (rate["value"] - best["correct"]["value"])
        note = f"{points:+.1f} points against the best floor, {best['name']} ({percent(best['correct']['value'])})"
    return (
        f'<div class="card {name}"><h2>{escape(LABELS[name])}</h2>'
        f'<p class="figure">{percent(rate["value"])}<small> %</small></p>{_bar(rate, ticks)}'
        f'<p class="range">{percent(rate["low"])} – {percent(rate["high"])}</p><p class="note">{escape(note)}</p></div>'
    )


def _table(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    """Cells are HTML already."""
    header = "".join(f"<th>{cell}</th>" for cell in head)
    lines = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in line) + "</tr>" for line in body)
    return f'<div class="scroll"><table><thead><tr>{header}</tr></thead><tbody>{lines}</tbody></table></div>'


def _floors(summary: dict[str, Any]) -> str:
    rows: list[tuple[str, dict[str, Any]]] = [(summary["caller"], summary["rates"])]
    rows += [(f"floor: {name}", rates) for name, rates in summary["floors"].items()]
    return _table(
        ["", *(escape(LABELS[name]) for name in VERDICT_RATES), ""],
        (
            [escape(name), *(percent(rates[rate]["value"]) for rate in VERDICT_RATES), _bar(rates["correct"])]
            for name, rates in rows
        ),
    )


def _group_table(label: str, groups: dict[str, Any], floor: dict[str, float] | None) -> str:
    def line(name: str, rates: dict[str, Any]) -> list[str]:
        cells = [escape(name), f"{rates['n']:,}", *(percent(rates[rate]["value"]) for rate in VERDICT_RATES)]
        ticks = [] if floor is None else [("best floor", floor[name])]
        correct = rates["correct"]
        return [*cells, f"{_bar(correct, ticks)}<small>{percent(correct['low'])} – {percent(correct['high'])}</small>"]

    head = [label, "rows", *(LABELS[rate] for rate in VERDICT_RATES), "95 % interval"]
    return _table([escape(cell) for cell in head], (line(name, rates) for name, rates in groups.items()))


def _bfcl(summary: dict[str, Any]) -> str:
    """The leaderboard's own figures; nothing for other suites."""
    if "bfcl" not in summary:
        return ""
    heads = ["category", "rows", "BFCL verdict", "without credit for malformed", "correct (ours)"]
    rows = ([escape(name), f"{n:,}", *map(percent, shares)] for name, n, *shares in bfcl_rows(summary))
    totals = ([escape(label), percent(rate["value"]), _bar(rate)] for label, rate in bfcl_lines(summary))
    tables = _table(["", "%", "95 % interval"], totals) + _table(heads, rows)
    note = f'<p class="note">{escape(bfcl_note(summary))}</p>'
    return f'<section id="bfcl"><h2>By the rules of the leaderboard</h2>{tables}{note}</section>'


def _matrix(abstention: dict[str, Any]) -> str:
    shown = {"call_due": "a call is due", "no_call_due": "no call is due"}
    columns = [
        key for key in DECISION_WORDS if key != "infra" or any(row["infra"] for row in abstention["matrix"].values())
    ]
    good = {("call_due", "call"), ("no_call_due", "no_call")}

    def cell(due: str, decision: str, total: int) -> str:
        count = abstention["matrix"][due][decision]
        share = count / total if total else 0.0
        kind = "good" if (due, decision) in good else "bad"
        return (
            f'<span class="cell {kind}" style="--share:{share:.3f}">{count:,}<small> {percent(share)} %</small></span>'
        )

    body = []
    for due, words in shown.items():
        total = sum(abstention["matrix"][due].values())
        body.append([words, *(cell(due, decision, total) for decision in columns)])
    note = f"Abstaining: precision {percent(abstention['precision'])}, recall {percent(abstention['recall'])}."
    return (
        _table(["", *(DECISION_WORDS[key] for key in columns)], body)
        + f"<p>{note} Malformed output never counts as abstaining.</p>"
    )


def _arguments(summary: dict[str, Any]) -> str:
    found = summary["arguments"]
    cells = [percent(found[name]) for name in ("precision", "recall", "f1")]
    counts = [f"{found[name]:,}" for name in ("true_positives", "false_positives", "false_negatives")]
    return _table(["precision", "recall", "F1", "right", "wrong or unasked", "missed or wrong"], [[*cells, *counts]])


def _causes(summary: dict[str, Any]) -> str:
    """First causes, each a button that filters the row browser."""
    total = sum(summary["causes"].values())
    if not total:
        return "<p>None.</p>"
    return _table(
        ["first cause", "rows", "share", "meaning"],
        (
            [
                f'<button class="code" data-code="{code}">{code}</button>',
                f"{count:,}",
                percent(count / total),
                escape(CODES[code]),
            ]
            for code, count in summary["causes"].items()
        ),
    )


def _about(summary: dict[str, Any]) -> str:
    suite, latency, due = summary["suite"], summary["latency"], summary["must_call"]
    speed = (
        "not measured"
        if latency["p50"] is None
        else f"{1000 * latency['p50']:.1f} ms median, {1000 * latency['p95']:.1f} ms 95th percentile"
    )
    facts = {
        "model": summary["caller"],
        "suite": f"{suite['name']} ({suite['hash']})",
        "sample": "all rows" if suite["limit"] is None else f"{suite['limit']} rows by kind, seed {suite['seed']}",
        "source": suite["source"] or "not given",
        "licence": suite["licence"],
        "intervals": summary["intervals"],
        "smallest detectable difference": f"{percent(summary['smallest_detectable'])} points (two such runs, unpaired)",
        "must-call accuracy": f"{percent(due['correct']['value'])} % of {due['n']:,} rows where a call is due",
        "right in any order": f"{percent(summary['rates']['correct_unordered']['value'])} %",
        "tool names right": f"{percent(summary['rates']['names_right']['value'])} %",
        "latency": speed,
        "tokens": ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in summary["usage"].items())
        or "not reported",
        "scorer": f"version {summary['scorer_version']}, needle-distill {summary['package_version']}",
    }
    return "<dl>" + "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in facts.items()) + "</dl>"


def _embedded(rows: Sequence[Row]) -> str:
    """Rows as JSON for the script, failures first, equal toolsets stored once; safe inside a script element."""
    shown = sorted(rows, key=lambda row: row["verdict"]["correct"])[:ROW_LIMIT]
    toolsets: dict[str, int] = {}
    packed = [_pack(row, toolsets) for row in shown]
    tools = [json.loads(text) for text in toolsets]
    text = json.dumps({"rows": packed, "tools": tools, "meanings": CODES, "total": len(rows)}, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _pack(row: Row, toolsets: dict[str, int]) -> dict[str, Any]:
    request, gold, verdict = row["request"], row["gold"], row["verdict"]
    return {
        "id": row["id"],
        "kind": gold["kind"],
        "toolset": gold["toolset"],
        "query": request["query"],
        "context": [text for text in (request.get("system"),) if text]
        + [json.dumps(turn) for turn in request.get("messages", ())],
        "tools": toolsets.setdefault(json.dumps(request["tools"]), len(toolsets)),
        "gold": gold["calls"],
        "alternatives": gold.get("alternatives", {}),
        "calls": row["calls"],
        "raw": row["raw"],
        "error": row["error"],
        "decision": verdict["decision"],
        "correct": verdict["correct"],
        "cause": verdict["cause"],
        "codes": verdict["codes"],
        "details": verdict["details"],
    }
