"""A training run as a page: ``report.html`` from the files of its folder, so that it can be made anew at any time.

write_run_report("runs/shop")      # needle report runs/shop
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from needle.evals.report.files import write_page
from needle.evals.report.markup import Html, facts, join, section, table, tag
from needle.evals.report.page import page

if TYPE_CHECKING:
    from needle.train.history import History

REPORT = "report.html"
POINTS = 300
"""Most points of a curve; of a longer run each point is the mean of its neighbours."""
WIDTH, HEIGHT, LEFT, BOTTOM = 360, 200, 52, 30
"""Size of a chart, and room for its axes, in its own units."""
LATEST = 6
"""Validations whose sample answers are shown: the first, and the last ones."""
CHARTS = (
    ("loss", "Loss", "hard labels, a weighted token"),
    ("soft_loss", "Soft-label loss", "against the teachers"),
    ("peer_loss", "Peer loss", "against the other students"),
    ("validation_exact", "Held-out exact match", "share of rows"),
    ("validation_loss", "Held-out loss", "a weighted token"),
    ("norm", "Gradient norm", "before clipping"),
    ("lr_muon", "Learning rate", "of Muon: matrices of the layers"),
    ("lr_adamw", "Learning rate", "of AdamW: embedding, norms, gates"),
    ("weight_norm", "Norm of the weights", ""),
    ("tokens_per_second", "Tokens a second", "without padding"),
    ("mfu", "Model FLOP utilisation", "share of what one large product reaches"),
    ("padding_share", "Padding", "share of the tokens that went through the model"),
    ("recompiles", "Recompiles", "graphs compiled in the step"),
)
"""Curves that have a name and words of their own; other numbers of the log follow under their own names."""
QUIET = ("step", "epoch", "rows", "tokens", "rate", "progress", "rows_per_second")


def is_run(folder: Path) -> bool:
    """Whether ``needle train`` wrote this folder."""
    return (folder / "log.jsonl").is_file()


def write_run_report(out: Path, path: Path | None = None) -> Path:
    """The page of the run in ``out`` from its files as they are; returns where it is. Raises ``UserError`` when there
    is no run."""
    from needle.train.history import read_facts, read_history, read_samples

    return write_page(
        path or out / REPORT, render_run(out.resolve().name, read_history(out), read_facts(out), read_samples(out))
    )


def render_run(
    name: str, history: History, about: Mapping[str, Any], samples: Mapping[int, Sequence[Mapping[str, Any]]]
) -> str:
    """The whole page of a run: curves, validations, sample answers, data, settings."""
    parts = [_curves(history), _validations(history), _samples(samples), _data(about), _settings(about)]
    return page(name, "needle training run", _lead(history, about), parts, _warnings(history))


def _lead(history: History, about: Mapping[str, Any]) -> Html:
    best, steps = history.best, history.steps
    words = (
        f"Held-out exact match {_percent(best['validation_exact'])} % at step {best['step']:,}."
        if best
        else "Not validated yet."
    )
    done = f"{steps[-1]['step']:,} steps, {steps[-1].get('rows', 0):,} examples" if steps else "No step yet"
    total = about.get("parameters", {}).get("total")
    size = f"{total:,} parameters, " if total else ""
    machine = about.get("machine", {}).get("device", "")
    return join(
        (
            tag("p", words, class_="headline"),
            tag("p", f"{size}{done}{f', {machine}' if machine else ''}.", class_="soft"),
        )
    )


def _warnings(history: History) -> list[str]:
    found = []
    if history.best and history.best["step"] == 0 and history.steps:
        found.append("Nothing was learnt: no step scored better on the held-out rows than the start, which is kept.")
    if history.steps and history.steps[-1].get("progress", 1.0) < 0.9 and "validation_exact" not in history.steps[-1]:
        found.append(f"{100 * history.steps[-1]['progress']:.0f} % of the run was done when this page was written.")
    return found


def _curves(history: History) -> Html:
    named = {key: (title, words) for key, title, words in CHARTS}
    others = (
        {key for record in history.records for key, value in record.items() if isinstance(value, int | float)}
        - named.keys()
        - set(QUIET)
    )
    named |= {key: (key.replace("_", " "), "") for key in sorted(others)}
    drawn = [chart(title, words, history.series(key)) for key, (title, words) in named.items()]
    return section(
        "curves",
        "Curves",
        tag("div", *drawn, class_="plots") if any(drawn) else None,
        note="Over optimiser steps; the figure below a curve is its last value.",
    )


def chart(title: str, words: str, places: Sequence[tuple[int, float]]) -> Html:
    """One curve over steps with its own scale, or nothing where there are no values."""
    if not places:
        return Html("")
    places = _thinned(places)
    low, high = min(value for _, value in places), max(value for _, value in places)
    if high == low:  # a level line stands in the middle
        low, high = low - (abs(low) / 2 or 1.0), high + (abs(high) / 2 or 1.0)
    ticks = _ticks(low, high)
    low, high = min(low, ticks[0]), max(high, ticks[-1])
    first, last = places[0][0], max(places[-1][0], places[0][0] + 1)

    def x(step: float) -> str:
        return f"{LEFT + (step - first) / (last - first) * (WIDTH - LEFT - 8):.1f}"

    def y(value: float) -> str:
        return f"{10 + (high - value) / ((high - low) or 1) * (HEIGHT - BOTTOM - 10):.1f}"

    grid = [
        join(
            (
                tag("line", x1=LEFT, x2=WIDTH - 8, y1=y(at), y2=y(at), class_="grid"),
                tag("text", _short(at), x=LEFT - 6, y=y(at), dy="4", text_anchor="end"),
            )
        )
        for at in ticks
    ]
    line = tag("polyline", points=" ".join(f"{x(step)},{y(value)}" for step, value in places), class_="curve")
    ends = [
        tag("text", f"{step:,}", x=x(step), y=HEIGHT - BOTTOM + 16, text_anchor=anchor)
        for step, anchor in ((first, "start"), (places[-1][0], "end"))
    ]
    dots = (
        [tag("circle", cx=x(step), cy=y(value), r="2.5", class_="dot") for step, value in places]
        if len(places) <= 30
        else []
    )
    before, after = (f"{_short(value)} at step {step:,}" for step, value in (places[0], places[-1]))
    said = f"{title}: from {before} to {after}"
    box = tag("svg", *grid, *ends, line, *dots, viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img", aria_label=said)
    return tag(
        "figure",
        tag("figcaption", tag("b", title), tag("span", words, class_="soft")),
        box,
        tag("small", f"last: {_short(places[-1][1])}"),
    )


def _thinned(places: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    size = -(-len(places) // POINTS)
    parts = [places[start : start + size] for start in range(0, len(places), size)]
    return [(part[-1][0], sum(value for _, value in part) / len(part)) for part in parts]


def _ticks(low: float, high: float) -> list[float]:
    """Three to six round numbers over a range."""
    span = (high - low) or abs(high) or 1.0
    unit = 10.0 ** math.floor(math.log10(span / 4))
    step = next(unit * factor for factor in (1, 2, 5, 10) if span / (unit * factor) <= 5)
    start = math.floor(low / step)
    return [number * step for number in range(start, math.ceil(high / step) + 1)] or [low]


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _validations(history: History) -> Html:
    body = [
        [
            f"{record['step']:,}" + (" (kept)" if record is history.best else ""),
            *(
                _percent(record[f"validation_{key}"]) if f"validation_{key}" in record else ""
                for key in ("exact", "free", "tokens")
            ),
            f"{record['validation_loss']:.3f}" if "validation_loss" in record else "",
        ]
        for record in history.validations
    ]
    head = ["step", "exact match, %", "exact without constraints, %", "tokens right, %", "loss"]
    return section(
        "validations",
        "Validations",
        table("Validations", head, body, range(1, 5)),
        note="On held-out rows that the run does not train on; they choose the checkpoint.",
    )


def _samples(samples: Mapping[int, Sequence[Mapping[str, Any]]]) -> Html:
    steps = list(samples)
    shown = steps if len(steps) <= LATEST else [steps[0], *steps[-LATEST + 1 :]]
    parts = []
    for step in reversed(shown):
        rows = samples[step]
        right = sum(bool(row.get("right")) for row in rows)
        title = tag("summary", f"Step {step:,}: {right:,} of {len(rows):,} right")
        parts.append(
            tag(
                "details",
                title,
                table(
                    f"Answers at step {step:,}",
                    ["", "request", "right calls", "answer"],
                    map(_sample, rows),
                    look="wide prose samples",
                ),
                open=step == shown[-1],
            )
        )
    return section(
        "samples", "Sample answers", *parts, note="The same held-out rows at each validation.", short="Samples"
    )


def _sample(row: Mapping[str, Any]) -> list[Any]:
    mark = tag(
        "span",
        "✓" if row.get("right") else "✗",
        class_="mark yes" if row.get("right") else "mark no",
        title="right" if row.get("right") else "wrong",
    )
    student = tag("small", f" student {row['student']}") if row.get("student") else None
    said = row.get("error") or calls_line(row.get("predicted", []))
    return [
        join((mark, student)),
        str(row.get("request", "")),
        tag("code", calls_line(row.get("gold", []))),
        tag("code", said),
    ]


def calls_line(calls: Sequence[Mapping[str, Any]]) -> str:
    """Calls as a person reads them: ``set_light(room="hall", level=4)``; "no call" for none."""
    lines = []
    for call in calls:
        arguments = call.get("arguments")
        inner = (
            ", ".join(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in arguments.items())
            if isinstance(arguments, Mapping)
            else arguments
        )
        lines.append(f"{call.get('name')}({inner})")
    return "; ".join(lines) or "no call"


def _data(about: Mapping[str, Any]) -> Html:
    body = [
        [
            entry["file"],
            "" if entry.get("rows") is None else f"{entry['rows']:,}",
            f"{entry['uses']:g}",
            entry.get("licence", "not stated"),
            tag("code", entry["sha256"][:16]),
        ]
        for entry in about.get("data", ())
    ]
    counts = {key.replace("_", " "): f"{value:,}" for key, value in about.get("rows", {}).items()}
    told = facts(counts) if counts else None
    return section(
        "data",
        "Data",
        told,
        table("Files", ["file", "rows", "uses an epoch", "licence", "SHA-256 begins"], body, (1, 2)) or None,
    )


def _settings(about: Mapping[str, Any]) -> Html:
    from needle.train.facts import changed_settings

    settings = dict(about.get("settings", {}))
    changed = changed_settings(settings)
    body = [
        [tag("b", key) if key in changed else key, tag("code", json.dumps(value))]
        for key, value in sorted(settings.items(), key=lambda item: item[0] not in changed)
    ]
    origin = {
        "start": about.get("start", {}).get("name"),
        "loss": about.get("loss"),
        "teachers": ", ".join(one["name"] for one in about.get("teachers", ())),
    }
    versions = about.get("machine", {})
    made = facts({key: value for key, value in {**origin, **versions}.items() if value is not None})
    return section(
        "settings",
        "Settings",
        made if about else None,
        table("Settings", ["setting", "value"], body, look="prose") or None,
        note="Those in bold differ from the default.",
    )
