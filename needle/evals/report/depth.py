"""Sections for whoever asks further: arguments by type and origin, tools and parameters, other rules of scoring."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from needle.evals.report.markup import Html, join, section, table, tag
from needle.evals.report.plots import interval
from needle.evals.text import LABELS, VERDICT_RATES, percent

MODES = {
    "ordered": "the calls in order, alternatives and defaults honoured (the headline)",
    "unordered": "the same in any order",
    "strict": "neither alternatives nor defaults nor looser comparisons",
    "leaderboard": "the rules of the BFCL on any row",
    "bfcl": "the leaderboard's own verdict",
    "bfcl_fixed": "the same with the errata",
}
"""What a match mode asks for."""
MOST = 12
"""Lines of a table of tools or parameters."""


def arguments(summary: Mapping[str, Any]) -> Html:
    """Precision, recall and F1 over arguments, by type and by how the value comes about; grounding; broken keywords."""
    found, slots = summary.get("arguments"), summary.get("slots", {})
    if not found or not any(found.get(name) for name in ("true_positives", "false_positives", "false_negatives")):
        return Html("")
    head = ["", "due", "right, %", "precision", "recall", "F1"]
    whole = _argument_line("all", slots.get("all") or found)
    parts = [
        tag(
            "div",
            table(
                title,
                [title, *head[1:]],
                [whole, *(_argument_line(*one) for one in slots[key].items() if one[1].get("n"))],
                range(1, 6),
            ),
        )
        for key, title in (("by_derivation", "value that is due"), ("by_type", "type"))
        if slots.get(key)
    ]
    if not parts:
        parts = [table("Arguments", head, [whole], range(1, 6))]
    words = (
        "Copied values stand in the request as written, normalised ones in another form; inferred ones are not said. "
    )
    words = (words if slots.get("by_derivation") else "") + _grounding(summary.get("grounding") or {})
    keywords = [[tag("code", word), f"{count:,}"] for word, count in list(summary.get("keywords", {}).items())[:MOST]]
    broken = table("Words of JSON Schema that were not met", ["schema word not met", "times"], keywords, (1,))
    return section("arguments", "Arguments", tag("div", *parts, class_="columns"), broken, note=words)


def _argument_line(name: str, one: Mapping[str, Any]) -> list[Any]:
    shares = [percent(one[key]) if key in one else "" for key in ("accuracy", "precision", "recall", "f1")]
    return [name, f"{one['n']:,}" if one.get("n") else "", *shares]


def _grounding(found: Mapping[str, Any]) -> str:
    if not found.get("n"):
        return ""
    return (
        f"Of {found['n']:,} values that need words, {percent(found['grounded'])} % stand in the request, "
        f"{percent(found['bound'])} % where they should, and {percent(found['invented'])} % are invented."
    )


def tools(summary: Mapping[str, Any]) -> Html:
    """The tools and parameters with most failures."""
    named, parameters = summary.get("by_tool") or {}, summary.get("by_parameter") or {}
    wrong = {name: round(one["rows"] * (1 - one["correct"])) for name, one in named.items()}
    lines = [
        [
            tag("button", name, type="button", class_="code", data_tool=name),
            f"{wrong[name]:,}",
            f"{one['rows']:,}",
            percent(one["arguments"]),
            _codes(one["codes"]),
        ]
        for name, one in list(named.items())[:MOST]
        if wrong[name]
    ]
    first = table("Tools", ["tool", "wrong", "of rows", "arguments right, %", "codes"], lines, (1, 2, 3))
    lines = [
        [
            tag("code", name),
            one["type"],
            f"{one['wrong']:,}",
            *(f"{one.get(key, 0):,}" for key in ("wrong_value", "missing", "extra")),
        ]
        for name, one in list(parameters.items())[:MOST]
    ]
    second = table(
        "Parameters", ["parameter", "type", "wrong", "another value", "left out", "not asked for"], lines, (2, 3, 4, 5)
    )
    return section(
        "tools", "Tools and parameters", first, second, note="Those with most failures first.", short="Tools"
    )


def _codes(counts: Mapping[str, int]) -> Html:
    return tag("small", ", ".join(f"{code} {count:,}" for code, count in list(counts.items())[:4]))


def readings(summary: Mapping[str, Any]) -> Html:
    """What other rules make of the same answers: match modes, a forgiving reader, decoding without constraints."""
    return section(
        "readings",
        "Under other rules",
        _modes(summary.get("modes") or {}),
        _reading(summary.get("reading") or {}, summary["rates"]),
        *(_variant(name, one, summary["rates"]) for name, one in (summary.get("variants") or {}).items()),
        note="The same answers scored, or read, or decoded in another way.",
    )


def _modes(found: Mapping[str, Any]) -> Html | None:
    rates = found.get("rates") or {}
    if len(set(rates.values())) < 2:
        return None
    body = []
    for name, share in rates.items():
        differing = [
            one
            for one in found.get("differences", ())
            if "ordered" in (one["right"], one["wrong"]) and name in (one["right"], one["wrong"])
        ]
        more = join(
            join(
                (
                    f" {one['count']:,} only by {one['right']}: ",
                    *(join((tag("a", _short(at), href="#rows", data_row=at), " ")) for at in one["ids"][:3]),
                )
            )
            for one in differing
            if name != "ordered"
        )
        body.append([name, percent(share), join((MODES.get(name, ""), tag("small", more)))])
    return table("Match modes", ["match mode", "right, %", "asks for"], body, (1,), look="prose")


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:39] + "…"


def _reading(found: Mapping[str, Any], rates: Mapping[str, Any]) -> Html | None:
    repaired = found.get("repaired") or {}
    if not found.get("unread"):
        return None
    steps = ", ".join(f"{step} {count:,}" for step, count in repaired.get("steps", {}).items())
    told = (
        f"{found['unread']:,} of {found['answered']:,} outputs could not be read. A forgiving reader gets calls out of "
        f"{repaired['rows']:,}, {repaired['correct']:,} of them right" + (f" ({steps})." if steps else ".")
    )
    lines = [
        [
            LABELS[name],
            percent(rates[name]["value"]),
            percent(repaired["rates"][name]["value"]),
            interval(repaired["rates"][name]),
        ]
        for name in VERDICT_RATES
    ]
    return join(
        (
            tag("h3", "Read forgivingly"),
            tag("p", told),
            table("Read forgivingly", ["rate", "strict, %", "forgiving, %", "95 % interval"], lines, (1, 2, 3)),
        )
    )


def _variant(name: str, one: Mapping[str, Any], rates: Mapping[str, Any]) -> Html:
    lines = []
    for rate in VERDICT_RATES:
        gap = one["difference"][rate]
        span = f"{100 * gap['difference']:+.1f} ({100 * gap['low']:+.1f} to {100 * gap['high']:+.1f})"
        lines.append(
            [LABELS[rate], percent(rates[rate]["value"]), percent(one["rates"][rate]["value"]), span.replace("-", "−")]
        )
    head = ["rate", "constrained, %", f"{name}, %", "difference, points (95 %)"]
    return join(
        (tag("h3", f"Decoded another way: {name}"), table(f"Decoded another way: {name}", head, lines, (1, 2, 3)))
    )
