"""The parts of the page that show figures of one run. What ``results.json`` does not have leaves its section out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from needle.evals.bfcl.text import bfcl_lines, bfcl_note, bfcl_rows
from needle.evals.report.markup import Html, facts, join, section, table, tag
from needle.evals.report.plots import bars, interval, ruler, rulers
from needle.evals.taxonomy import CODES
from needle.evals.text import LABELS, VERDICT_RATES, percent

DUE = {"call": "a call is due", "ask": "a question is due", "cannot": "no tool fits"}
"""Words for what was due, by row of the decision matrix."""

DID = {
    "call": "called",
    "ask": "asked back",
    "cannot": "declined in words",
    "silent": "no call, no words",
    "malformed": "malformed",
    "infra": "no answer",
}
"""Words for what was done, by column."""

RIGHT = {("call", "call"), ("ask", "ask"), ("ask", "silent"), ("cannot", "cannot"), ("cannot", "silent")}
"""Cells of the matrix where the decision is the one that was due (whether the calls are right is another figure)."""
FAIR = {("ask", "cannot"), ("cannot", "ask")}
"""Cells where nothing was called, as was due, but the words are the wrong ones."""


def figures(summary: Mapping[str, Any]) -> Html:
    """All rates on one scale, the model's first, then the floors."""
    rates = summary["rates"]
    lines = [(LABELS[name], rates[name], "main" if name == "correct" else "") for name in VERDICT_RATES]
    for label, part in (("where a call is due", "must_call"), ("where none is due", "no_call_due")):
        if summary.get(part, {}).get("n"):
            lines.append((label, summary[part]["correct"], "sub"))
    floors = summary.get("floors", {})
    lines += [(f"floor: {name}", floor["correct"], "floor") for name, floor in floors.items()]
    words = {"copy": "ceiling: copying from the request", "gold": "ceiling: the right calls, through the reader"}
    lines += [
        (words.get(name, name), found["correct"], "ceiling") for name, found in (summary.get("ceilings") or {}).items()
    ]
    notches = [(f"floor {name}", floor["correct"]["value"]) for name, floor in floors.items()]
    note = (
        "The needle is the measured share, the band its 95 % interval. Floors are callers that know nothing, "
        "on the same rows; notches repeat them. Ceilings know the answer, or as much of it as the request says."
    )
    return section("figures", "Figures", rulers("Share of rows", lines, notches), note=note)


def groups(
    key: str, title: str, label: str, parts: Mapping[str, Any], floor: Mapping[str, float] | None, short: str
) -> Html:
    """Rates over parts of the suite; a single part says nothing that the figures do not."""
    if len(parts) < 2:
        return Html("")

    def line(name: str, rates: Mapping[str, Any]) -> list[Any]:
        notch = [("best floor", floor[name])] if floor and name in floor else []
        shares = [tag("b" if rate == "correct" else "span", percent(rates[rate]["value"])) for rate in VERDICT_RATES]
        span = tag("span", interval(rates["correct"]), class_="soft")
        return [name, f"{rates['n']:,}", *shares, ruler(rates["correct"], notch), span]

    head = [label, "rows", *(LABELS[rate] for rate in VERDICT_RATES), "", "95 % interval"]
    return section(
        key,
        title,
        table(title, head, (line(*part) for part in parts.items()), numbers=(1, 2, 3, 4, 6), look="wide"),
        short=short,
    )


def leaderboard_rules(summary: Mapping[str, Any]) -> Html:
    """The BFCL's own figures; nothing for other suites."""
    if "bfcl" not in summary:
        return Html("")
    lines = [
        (label, rate, "main" if label.startswith("BFCL verdict, mean") else "")
        for label, rate in bfcl_lines(dict(summary))
    ]
    floors = [(f"floor {name}", value) for name, value in summary["bfcl"].get("floors", {}).items()]
    credited = bool(summary["bfcl"].get("credited"))
    heads = [
        "category",
        "rows",
        "BFCL verdict",
        *(["without credit for malformed"] if credited else []),
        "correct (ours)",
    ]
    rows = [
        [name, f"{n:,}", percent(theirs), *([percent(uncredited)] if credited else []), percent(ours)]
        for name, n, theirs, uncredited, ours in bfcl_rows(dict(summary))
    ]
    categories = tag("details", tag("summary", "By category"), table("By category", heads, rows, numbers=(1, 2, 3, 4)))
    tables = (rulers("Verdict of the leaderboard", lines, floors), categories)
    return section("bfcl", "By the rules of the BFCL leaderboard", *tables, note=bfcl_note(dict(summary)), short="BFCL")


def decisions(summary: Mapping[str, Any]) -> Html:
    """What was due against what was done: call, ask, decline, break."""
    found = summary.get("decisions")
    if not found or not found.get("matrix"):
        return Html("")
    due, quiet, told = found["must_call"], found["abstention"], found.get("told_apart", {})
    words = ["Malformed output never counts as abstaining."]
    if due["n"]:
        words.append(
            f"Where a call is due, one was made in {percent(due['called'])} % of {due['n']:,} rows and was right in "
            f"{percent(due['correct'])} %."
        )
    if quiet["n"]:
        shares = (
            f"precision {percent(quiet['precision'])}, recall {percent(quiet['recall'])}, F1 {percent(quiet['f1'])}"
        )
        words.append(f"Making no call: {shares}.")
    if told.get("n"):
        words.append(f"Of {told['n']:,} answers in words, {percent(told['share'])} % asked or declined as was due.")
    if found.get("called_without_tools"):
        words.append(f"{found['called_without_tools']:,} calls were made with no tool on offer.")
    return section(
        "decisions", "To call, to ask or to decline", matrix(found["matrix"]), note=" ".join(words), short="Decisions"
    )


def matrix(counts: Mapping[str, Mapping[str, int]]) -> Html:
    """Rows are what was due, columns what was done; a cell is shaded by its share of its row."""
    used = [did for did in DID if did == "malformed" or any(row.get(did) for row in counts.values())]
    used += [did for row in counts.values() for did in row if did not in DID and did not in used]

    def cell(due: str, did: str, row: Mapping[str, int]) -> Html:
        count, total = row.get(did, 0), sum(row.values())
        share = count / total if total else 0.0
        look = "good" if (due, did) in RIGHT else "fair" if (due, did) in FAIR else "bad"
        words = (f"{count:,}", tag("small", f" {percent(share)} %"))
        return tag("span", *words, class_=f"cell {look} s{round(10 * share)}")

    body = [
        [join((DUE.get(due, due), tag("small", f" {sum(row.values()):,}"))), *(cell(due, did, row) for did in used)]
        for due, row in counts.items()
        if sum(row.values())
    ]
    return tag(
        "div", table("What was due against what was done", ["", *(DID.get(d, d) for d in used)], body), class_="matrix"
    )


def failures(summary: Mapping[str, Any]) -> Html:
    """The most telling failures in words, then first causes and all codes."""
    told = [
        tag(
            "li",
            tag("a", tag("q", _cut(one["query"])), href=f"#row={_quoted(one['id'])}", data_row=one["id"]),
            tag("p", one["words"], "."),
            tag(
                "p",
                tag("code", one["cause"]),
                f" like {one['like'] - 1:,} other rows" if one["like"] > 1 else " the only such row",
                class_="note",
            ),
        )
        for one in summary.get("telling", ())
    ]
    causes = summary.get("causes", {})
    total = sum(causes.values())
    first = bars(
        "First causes",
        ["first cause", "rows", "meaning"],
        [_cause(code, count, total) for code, count in causes.items()],
    )
    others = {code: count for code, count in summary.get("codes", {}).items() if count != causes.get(code)}
    every = bars("All codes", ["code", "rows", "meaning"], [_cause(code, count, 0) for code, count in others.items()])
    more = (
        tag("details", tag("summary", "Every code that applies, also behind the first cause"), every) if every else None
    )
    stories = tag("ol", *told, class_="told") if told else None
    note = "A row has one first cause, the outermost fault; press one to see its rows."
    return section("failures", "Why rows fail", stories, first, more, note=note if total else "", short="Failures")


def _cause(code: str, count: int, total: int) -> tuple[Any, int, Any]:
    share = tag("small", f" {percent(count / total)} % of failures") if total else None
    return tag("button", code, type="button", class_="code", data_code=code), count, join((CODES.get(code, ""), share))


def about(summary: Mapping[str, Any]) -> Html:
    """Where every figure comes from and how to get it again."""
    suite = summary["suite"]
    total = suite.get("total", summary["n"])
    sample = (
        f"all {total:,} rows"
        if suite.get("limit") is None
        else f"{suite['limit']:,} rows by kind, seed {suite['seed']}, of {total:,}"
    )
    source, model = summary.get("provenance", {}), summary.get("model", {})
    settings = ", ".join(f"{key} {value}" for key, value in (model.get("settings") or {}).items())
    known = {
        "model": summary["caller"],
        "decoding": settings,
        "output read by": model.get("parser"),
        "suite": f"{suite['name']}: {suite.get('title', '')}".rstrip(": "),
        "measures": suite.get("measures"),
        "data": f"hash {suite['hash']}, {sample}",
        "source": " ".join(filter(None, (suite.get("source"), suite.get("revision") and f"({suite['revision']})"))),
        "licence": suite.get("licence"),
        "intervals": summary.get("intervals"),
        "difference that can be shown": _points(summary.get("smallest_detectable")),
        "scorer": f"version {summary['scorer_version']}, needle-distill {summary.get('package_version', '')}",
        "source commit": source.get("source_commit"),
        "made on": " ".join(
            filter(None, (source.get("platform"), source.get("python") and f"Python {source['python']}"))
        ),
    }
    command = summary.get("command")
    again = tag("pre", command, class_="command", tabindex="0") if command else None
    heading = tag("h3", "To reproduce") if command else None
    files = [[tag("code", name), tag("code", digest[:16])] for name, digest in (suite.get("files") or {}).items()]
    listed = (
        tag("details", tag("summary", f"Files of the data ({len(files)})"), table("Files", ["file", "SHA-256"], files))
        if files
        else None
    )
    return section("about", "Where this comes from", facts(known), listed, heading, again, short="Provenance")


def headline(summary: Mapping[str, Any]) -> Html:
    """The run in two sentences."""
    rate, n = summary["rates"]["correct"], summary["n"]
    first = join((tag("b", f"{percent(rate['value'])} %"), f" of {n:,} rows are right ({interval(rate)})"))
    best = summary.get("best_floor")
    if best:
        gap = 100 * (rate["value"] - best["correct"]["value"])
        side = "above" if gap > 0 else "below" if gap < 0 else "at"
        amount = f"{abs(gap):.1f} points {side}" if gap else "exactly at"
        first = join((first, f", {amount} the best floor ({best['name']}, {percent(best['correct']['value'])})"))
    parts = [
        f"{percent(summary[part]['correct']['value'])} % where {words}"
        for part, words in (("must_call", "a call is due"), ("no_call_due", "none is due"))
        if summary.get(part, {}).get("n")
    ]
    second = f" That is {' and '.join(parts)}." if len(parts) == 2 else ""
    return tag("p", first, ".", second, class_="headline")


def _points(share: float | None) -> str:
    return "" if share is None else f"{percent(share)} points"


def _cut(text: str, limit: int = 220) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _quoted(text: str) -> str:
    return quote(text, safe="", errors="replace")
