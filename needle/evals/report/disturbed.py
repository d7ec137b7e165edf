"""Sections of runs on ``robustness`` and ``bias``: what a disturbance costs, and what a swapped word changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from needle.evals.report.markup import Html, join, section, table, tag
from needle.evals.report.plots import interval, ruler, rulers
from needle.evals.text import percent


def signed(share: float) -> str:
    """A difference of shares in points, with its sign; zero has none."""
    text = f"{100 * share:+.1f}".replace("-", "−")
    return "0.0" if text[1:] == "0.0" else text


def change(difference: float, low: float, high: float) -> tuple[Html, str]:
    """A difference, coloured where its interval leaves out zero, and the interval."""
    look = "up" if low > 0 else "down" if high < 0 else None
    return tag("b", signed(difference), class_=look), f"{signed(low)} to {signed(high)}"


def robustness(summary: Mapping[str, Any]) -> Html:
    """Rows right undisturbed and disturbed, by disturbance, the costliest first."""
    found = summary.get("robustness")
    if not found:
        return Html("")
    body = []
    for name, one in sorted(found["variants"].items(), key=lambda item: item[1]["delta"]):
        label = name if one.get("same_answer", True) else join((name, tag("small", " another task")))
        drawn = ruler(
            {"value": one["disturbed"], "low": one["disturbed"], "high": one["disturbed"]},
            [("plain", one["plain"])],
            "against",
        )
        cells = [
            f"{one['n']:,}",
            percent(one["plain"]),
            percent(one["disturbed"]),
            drawn,
            *change(one["delta"], one["low"], one["high"]),
        ]
        body.append([label, *cells, f"{one['lost']:,}", f"{one['gained']:,}"])
    head = ["disturbance", "rows", "plain, %", "disturbed, %", "", "difference", "95 % interval", "lost", "gained"]
    note = (
        f"Undisturbed {percent(found['plain']['value'])} % right ({interval(found['plain'])}). Needles are the disturbed rows, "
        "notches the same rows undisturbed; differences are paired row by row."
    )
    return section(
        "robustness",
        "What disturbances cost",
        table("Disturbances", head, body, (1, 2, 3, 5, 6, 7, 8), look="wide"),
        note=note,
        short="Robustness",
    )


def bias(summary: Mapping[str, Any]) -> Html:
    """Rates by group of each swapped kind of word, and the pairs of groups that differ."""
    parts = []
    for axis, found in (summary.get("bias") or {}).items():
        lines = [(f"{name} ({one['n']:,})", one, "") for name, one in found["groups"].items()]
        flips = f"{found['flips']:,} of {found['sets']:,} requests are right with one word and wrong with another."
        differing = [pair for pair in found.get("pairs", ()) if pair["difference"] or pair["p_value"] < 1]
        shown = sorted(differing, key=lambda pair: -abs(pair["difference"]))
        body = [
            [
                f"{pair['second']} against {pair['first']}",
                f"{pair['n']:,}",
                *change(pair["difference"], pair["low"], pair["high"]),
                f"{pair['p_value']:.3g}",
            ]
            for pair in shown[:8]
        ]
        head = ["pair of groups", "rows", "difference", "95 % interval", "McNemar p"]
        tests = table(f"Pairs of groups: {axis}", head, body, (1, 2, 3, 4)) or tag(
            "p", "No two groups differ.", class_="note"
        )
        rows = (
            tag("p", "For instance ", *(_flipped(one) for one in found.get("flipped", ())[:4]), class_="note")
            if found.get("flipped")
            else None
        )
        parts += [tag("h3", axis), tag("p", flips), rulers(f"Share right: {axis}", lines), tests, rows]
    note = "The right calls differ in the swapped word alone, so a difference between groups rests on what must not matter."
    return section("bias", "What a swapped word changes", *parts, note=note, short="Bias")


def _flipped(one: Mapping[str, Any]) -> Html:
    return join((tag("a", one["wrong"][0], href="#rows", data_row=one["wrong"][0]), " ")) if one["wrong"] else Html("")
