"""Two runs over the same rows side by side, flipped rows first: ``render_pair(comparison, first, second)``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from needle.evals.report.browser import rows_section
from needle.evals.report.disturbed import change, signed
from needle.evals.report.markup import Html, facts, join, section, table, tag
from needle.evals.report.pack import pack
from needle.evals.report.page import page
from needle.evals.report.plots import Line, ruler, rulers
from needle.evals.taxonomy import CODES
from needle.evals.text import LABELS, VERDICT_RATES, percent

if TYPE_CHECKING:
    from needle.evals.compare import Comparison
    from needle.evals.run import Results


def render_pair(comparison: Comparison, first: Results, second: Results) -> str:
    """The whole page for a comparison (``needle.evals.compare``) and the two runs that it compares."""
    a, b = first.summary, second.summary
    parts = [
        _figures(a, b),
        _tests(comparison),
        _gaps(comparison, "skill", "By skill"),
        _gaps(comparison, "kind", "By kind of request"),
        _causes(a.get("causes", {}), b.get("causes", {})),
        rows_section(2),
        _about(a, b),
    ]
    warnings = (
        []
        if comparison.complete
        else ["Incomplete: rows that got no answer count as wrong; run them again before trusting this."]
    )
    names = [comparison.first, comparison.second]
    heading = join(
        (_badge("B"), comparison.second, tag("span", " against ", class_="soft"), _badge("A"), comparison.first)
    )
    return page(
        f"{comparison.second} against {comparison.first} on {comparison.suite}",
        f"needle comparison on {comparison.suite}",
        _headline(comparison),
        parts,
        warnings,
        pack(names, [first.rows, second.rows]),
        heading=heading,
    )


def _badge(letter: str) -> Html:
    return tag("span", letter, class_=f"badge {letter.lower()}")


def _headline(comparison: Comparison) -> Html:
    found = comparison.rates["correct"]
    if found.low > 0:
        verdict = "B is better"
    elif found.high < 0:
        verdict = "A is better"
    else:
        verdict = "No difference shown"
    told = (
        f": B minus A is {signed(found.difference)} points ({signed(found.low)} to {signed(found.high)}) over "
        f"{found.n:,} rows, {found.gained:,} gained and {found.lost:,} lost."
    )
    small = (
        f" A difference of {percent(found.detectable)} points would be found four times in five."
        if found.low <= 0 <= found.high
        else ""
    )
    return tag("p", tag("b", verdict), told, small, class_="headline")


def _figures(a: Mapping[str, Any], b: Mapping[str, Any]) -> Html:
    lines: list[Line] = []
    for name in VERDICT_RATES:
        for letter, summary in (("A", a), ("B", b)):
            main = " main" if name == "correct" else ""
            lines.append((f"{LABELS[name]}, {letter}", summary["rates"][name], f"run-{letter.lower()}{main}"))
    for label, part in (("where a call is due", "must_call"), ("where none is due", "no_call_due")):
        if a.get(part, {}).get("n"):
            lines += [
                (f"{label}, A", a[part]["correct"], "run-a sub"),
                (f"{label}, B", b[part]["correct"], "run-b sub"),
            ]
    floors = [(f"floor {name}", floor["correct"]["value"]) for name, floor in a.get("floors", {}).items()]
    return section(
        "figures",
        "Figures",
        rulers("Share of rows", lines, floors),
        note="Bands are 95 % intervals of each run alone; notches are floors. Whether they differ is tested below, row by row.",
    )


def _tests(comparison: Comparison) -> Html:
    body = []
    for name, found in comparison.rates.items():
        clusters = f"{found.p_permutation:.3g}" if found.clusters else ""
        adjusted = "" if found.p_adjusted is None else f"{found.p_adjusted:.3g}"
        tests = [f"{found.p_value:.3g}", clusters, adjusted, f"{found.gained:,}", f"{found.lost:,}"]
        body.append([LABELS.get(name, name), *change(found.difference, found.low, found.high), *tests])
    head = ["rate", "B − A, points", "95 % interval", "p over rows", "p over toolsets", "after Holm", "gained", "lost"]
    note = (
        f"p over rows: McNemar's exact test; over toolsets: sign flips of whole clusters. Both gave the same calls on "
        f"{percent(comparison.agreement)} % of the rows."
    )
    return section(
        "tests",
        "Paired tests",
        table("Paired tests", head, body, numbers=range(1, len(head))),
        note=note,
        short="Tests",
    )


def _gaps(comparison: Comparison, part: str, title: str) -> Html:
    """Where B is behind or ahead, paired on the rows of each part; what A has right, does B keep it?"""
    body = []
    for gap in (gap for gap in comparison.gaps if gap.part == part):
        paired, at = gap.paired, {"value": gap.second, "low": gap.second, "high": gap.second}
        drawn = ruler(at, [("A", gap.first)], "run-b against")
        kept = "" if gap.kept is None else percent(gap.kept)
        shares = [f"{paired.n:,}", percent(gap.first), tag("b", percent(gap.second)), drawn]
        body.append([gap.name, *shares, *change(paired.difference, paired.low, paired.high), kept])
    head = [part, "rows", "A, %", "B, %", "", "B − A", "95 % interval", "kept, %"]
    shown = table(title, head, body, numbers=(1, 2, 3, 5, 6, 7), look="wide")
    note = "Share right; the needle is B, the notch A. Kept: of the rows that A has right, those that B has right too."
    return section(f"{part}s", title, shown, note=note, short=f"{part.capitalize()}s")


def _causes(a: Mapping[str, int], b: Mapping[str, int]) -> Html:
    codes = sorted({*a, *b}, key=lambda code: -abs(b.get(code, 0) - a.get(code, 0)))
    body = [
        [
            tag("button", code, type="button", class_="code", data_code=code),
            f"{a.get(code, 0):,}",
            f"{b.get(code, 0):,}",
            f"{b.get(code, 0) - a.get(code, 0):+,}",
            CODES.get(code, ""),
        ]
        for code in codes
    ]
    return section(
        "failures",
        "Why rows fail",
        table("First causes", ["first cause", "A", "B", "B − A", "meaning"], body, numbers=(1, 2, 3)),
        short="Failures",
    )


def _about(a: Mapping[str, Any], b: Mapping[str, Any]) -> Html:
    suite = a["suite"]
    known = {
        "A": a["caller"],
        "B": b["caller"],
        "suite": f"{suite['name']}, data hash {suite['hash']}",
        "source": suite.get("source"),
        "licence": suite.get("licence"),
        "scorer": f"version {a['scorer_version']} in both",
        "median seconds a row": " / ".join(f"{(one.get('latency') or {}).get('p50') or 0:.4f}" for one in (a, b)),
    }
    return section("about", "Where this comes from", facts(known), short="Provenance")
