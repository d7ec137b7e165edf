"""Two runs over the same rows side by side, flipped rows first: ``render_pair(comparison, first, second)``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from needle.evals.report.markup import Html, facts, join, section, table, tag
from needle.evals.report.pack import pack
from needle.evals.report.page import page
from needle.evals.report.plots import Line, interval, ruler, rulers
from needle.evals.report.sections import rows_section
from needle.evals.taxonomy import CODES
from needle.evals.text import LABELS, VERDICT_RATES, percent

if TYPE_CHECKING:
    from needle.evals.compare import Comparison
    from needle.evals.run import Results
    from needle.evals.statistics import Paired


def render_pair(comparison: Comparison, first: Results, second: Results) -> str:
    """The whole page for a comparison (``needle.evals.compare``) and the two runs that it compares."""
    a, b = first.summary, second.summary
    parts = [
        _figures(a, b),
        _tests(comparison),
        _groups("kinds", "By kind of request", "kind", a.get("by_kind", {}), b.get("by_kind", {}), "Kinds"),
        _groups("calls", "By number of calls due", "calls due", a.get("by_calls", {}), b.get("by_calls", {}), "Calls"),
        _causes(a.get("causes", {}), b.get("causes", {})),
        rows_section([comparison.first, comparison.second]),
        _about(a, b),
    ]
    warnings = [] if comparison.complete else ["Incomplete: rows that got no answer count as wrong; run them again before trusting this."]
    names = [comparison.first, comparison.second]
    heading = join((_badge("B"), comparison.second, tag("span", " against ", class_="soft"), _badge("A"), comparison.first))
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
        f": B minus A is {_signed(found.difference)} points ({_signed(found.low)} to {_signed(found.high)}) over "
        f"{found.n:,} rows, {found.gained:,} gained and {found.lost:,} lost."
    )
    small = f" A difference of {percent(found.detectable)} points would be found four times in five." if found.low <= 0 <= found.high else ""
    return tag("p", tag("b", verdict), told, small, class_="headline")


def _signed(share: float) -> str:
    text = f"{100 * share:+.1f}".replace("-", "−")
    return "0.0" if text[1:] == "0.0" else text


def _figures(a: Mapping[str, Any], b: Mapping[str, Any]) -> Html:
    lines: list[Line] = []
    for name in VERDICT_RATES:
        for letter, summary in (("A", a), ("B", b)):
            main = " main" if name == "correct" else ""
            lines.append((f"{LABELS[name]}, {letter}", summary["rates"][name], f"run-{letter.lower()}{main}"))
    for label, part in (("where a call is due", "must_call"), ("where none is due", "no_call_due")):
        if a.get(part, {}).get("n"):
            lines += [(f"{label}, A", a[part]["correct"], "run-a sub"), (f"{label}, B", b[part]["correct"], "run-b sub")]
    floors = [(f"floor {name}", floor["correct"]["value"]) for name, floor in a.get("floors", {}).items()]
    return section("figures", "Figures", rulers("Share of rows", lines, floors), note="Bands are 95 % intervals of each run alone; notches are floors. Whether the runs differ is tested below, row by row.")


def _tests(comparison: Comparison) -> Html:
    def line(name: str, found: Paired) -> list[Any]:
        adjusted = getattr(found, "p_holm", None) or getattr(found, "adjusted", None)
        return [
            LABELS.get(name, name),
            tag("b", _signed(found.difference)),
            f"{_signed(found.low)} to {_signed(found.high)}",
            f"{found.p_value:.3g}",
            "" if adjusted is None else f"{adjusted:.3g}",
            f"{found.gained:,}",
            f"{found.lost:,}",
        ]

    lines = [line(name, found) for name, found in comparison.rates.items()]
    head = ["rate", "B − A, points", "95 % interval", "McNemar p", "after Holm", "gained", "lost"]
    if not any(row[4] for row in lines):
        head, lines = head[:4] + head[5:], [row[:4] + row[5:] for row in lines]
    return section("tests", "Paired tests", table("Paired tests", head, lines, numbers=range(1, len(head))))


def _groups(key: str, title: str, label: str, a: Mapping[str, Any], b: Mapping[str, Any], short: str) -> Html:
    if len(a) < 2:
        return Html("")
    body = []
    for name in [name for name in a if name in b]:
        one, two = a[name]["correct"], b[name]["correct"]
        gap = two["value"] - one["value"]
        shares = [percent(one["value"]), tag("b", percent(two["value"])), tag("span", _signed(gap), class_="up" if gap > 0 else "down" if gap < 0 else "")]
        body.append([name, f"{a[name]['n']:,}", *shares, ruler(two, [("A", one["value"])], "run-b against"), tag("span", interval(two), class_="soft")])
    head = [label, "rows", "A", "B", "B − A", "", "95 % interval of B"]
    return section(key, title, table(title, head, body, numbers=(1, 2, 3, 4, 6), look="wide"), short=short, note="Share right. The needle is B, the notch A.")


def _causes(a: Mapping[str, int], b: Mapping[str, int]) -> Html:
    codes = sorted({*a, *b}, key=lambda code: -abs(b.get(code, 0) - a.get(code, 0)))
    body = [
        [tag("button", code, type="button", class_="code", data_code=code), f"{a.get(code, 0):,}", f"{b.get(code, 0):,}", f"{b.get(code, 0) - a.get(code, 0):+,}", CODES.get(code, "")]
        for code in codes
    ]
    return section("failures", "Why rows fail", table("First causes", ["first cause", "A", "B", "B − A", "meaning"], body, numbers=(1, 2, 3)), short="Failures")


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
