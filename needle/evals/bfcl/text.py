"""The leaderboard's figures in words: lines for the closing table, a Markdown table, a warning about the credit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

GROUPS = {"non_live": "non-live", "live": "live", "irrelevance": "irrelevance"}


def bfcl_lines(summary: dict[str, Any]) -> Iterator[tuple[str, dict[str, float]]]:
    """Label and rate of each leaderboard figure of a run; nothing for runs on other suites."""
    found = summary.get("bfcl")
    if not found:
        return
    count = found["mean"]["n"]
    of = f"{count} categories" if count > 1 else "1 category"
    yield f"BFCL verdict, mean of {of}", found["mean"]
    if found["credited"]:
        yield "- without credit for malformed", found["mean_uncredited"]
    yield "BFCL verdict, all rows", found["pooled"]
    if found.get("fixed", {}).get("mean"):
        yield "BFCL verdict, errata mended, mean", found["fixed"]["mean"]
        yield "BFCL verdict, errata mended, all rows", found["fixed"]["pooled"]
    if found["must_call"]["n"]:
        yield "BFCL verdict where a call is due", found["must_call"]
    if found["abstention"]["n"]:
        yield "BFCL verdict where none is due", found["abstention"]
        if found["credited"]:
            yield "- without credit for malformed", found["abstention_uncredited"]


def bfcl_rows(summary: dict[str, Any]) -> Iterator[tuple[str, int, float, float, float]]:
    """Category, rows, the leaderboard's verdict, the same without credit for malformed output, ours."""
    for name, rates in summary["bfcl"]["categories"].items():
        yield name, rates["n"], rates["value"], rates["uncredited"], rates["correct"]


def bfcl_note(summary: dict[str, Any]) -> str:
    """What a reader must know about the figures, in one paragraph."""
    found = summary["bfcl"]
    groups = found["groups"]
    parts = ", ".join(f"{label} {100 * groups[key]:.1f}" for key, label in GROUPS.items() if key in groups)
    floors = ", ".join(f"{name} {100 * value:.1f}" for name, value in found["floors"].items())
    count = found["mean"]["n"]
    text = f"The mean is over {count} categories, each counting the same. Floors of the mean: {floors}."
    if parts:
        text += f" Parts of the leaderboard's overall score (of which they are 30 of 100): {parts}."
    fixed = found.get("fixed")
    if fixed and (fixed["left_out"] or fixed["changed"]):
        text += f" With the errata, {fixed['left_out']} rows that no answer can meet are left out"
        text += f" and {fixed['changed']} verdicts change."
    if found["credited"]:
        text += f" {found['credited']} malformed answers pass there as abstentions; nowhere else in this report."
    return text if found["all_categories"] else text + " Not all 13 categories are in this run."
