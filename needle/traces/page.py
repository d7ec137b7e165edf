"""A page about a folder of traces: one HTML file without anything from outside, to be opened from the disk.

Counts, the mix, why rows were refused, and rows with what states each value marked; filters work in the page itself.
"""

from __future__ import annotations

import html
import json
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from needle.errors import UserError
from needle.traces.browse import Entry, entries, reason_counts
from needle.traces.write import atomic, dump_json

MOST = 2000
"""Rows shown; of larger sets every n-th of each part, so that the page stays light."""
STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#222}
table{border-collapse:collapse}td,th{padding:.2rem .8rem;border-bottom:1px solid #ddd;text-align:left}td.n{text-align:right}
mark{background:#ffe9a8;border-radius:3px}pre{white-space:pre-wrap;margin:.2rem 0;font-size:13px}.row{border-top:1px solid #ddd;padding:.5rem 0}
.tag{font-size:12px;background:#eee;border-radius:3px;padding:0 .4rem;margin-right:.3rem}.bad{background:#fbd5d5}
select,input{font:inherit;margin-right:.5rem}@media(prefers-color-scheme:dark){body{background:#181818;color:#ddd}
td,th,.row{border-color:#444}.tag{background:#333}.bad{background:#5a2a2a}mark{background:#6a5714;color:inherit}}"""
SCRIPT = """const rows=[...document.querySelectorAll('.row')],get=id=>document.getElementById(id);
function show(){let n=0;const want={part:get('part').value,kind:get('kind').value,reason:get('reason').value},text=get('text').value.toLowerCase();
for(const row of rows){const ok=(!want.part||row.dataset.part===want.part)&&(!want.kind||row.dataset.kind===want.kind)
&&(!want.reason||row.dataset.reason.split(' ').includes(want.reason))&&(!text||row.textContent.toLowerCase().includes(text));
row.hidden=!ok;n+=ok}get('count').textContent=n+' rows'}
for(const id of['part','kind','reason','text'])get(id).addEventListener('input',show);show()"""


def write_page(path: str | os.PathLike[str], folder: str | os.PathLike[str]) -> Path:
    """Write the page about a folder or file of traces. UserError when there is nothing to show or no place to write."""
    path = Path(path)
    found = list(entries(folder))
    if not found:
        raise UserError(f"{folder}: no row in it; generate or copy some first")
    with atomic(path) as temporary:
        temporary.write_text(page(found, Path(folder).name, _stats(Path(folder))), encoding="utf-8")
    return path


def page(found: Sequence[Entry], title: str, generation: dict[str, Any] | None = None) -> str:
    """The page as text. ``generation``: the part of ``stats.json`` that a run wrote, for cost and pass rates."""
    shown = _thinned(found)
    note = f"<p>{len(shown):,} of {len(found):,} rows are shown.</p>" if len(shown) < len(found) else ""
    body = [
        f"<h1>{_text(title)}</h1>",
        _parts(found),
        _kinds(generation) if generation else "",
        _reasons(found),
        "<h2>Rows</h2>",
        note,
        _filters(shown),
        *(_row(entry) for entry in shown),
    ]
    head = f"<meta charset=utf-8><meta name=viewport content='width=device-width'><title>{_text(title)}</title><style>{STYLE}</style>"
    return f"<!doctype html><html lang=en><head>{head}</head><body>{''.join(body)}<script>{SCRIPT}</script></body></html>\n"


def _stats(folder: Path) -> dict[str, Any] | None:
    try:
        return json.loads((folder / "stats.json").read_text(encoding="utf-8")).get("generation")
    except (OSError, ValueError, AttributeError):
        return None


def _thinned(found: Sequence[Entry]) -> list[Entry]:
    step = max(1, -(-len(found) // MOST))
    seen: Counter[str] = Counter()
    kept = []
    for entry in found:
        if seen[entry.part] % step == 0:
            kept.append(entry)
        seen[entry.part] += 1
    return kept


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    cells = "".join(
        "<tr>" + "".join(f"<td class=n>{v:,}</td>" if isinstance(v, int) else f"<td>{_text(v)}</td>" for v in row) + "</tr>"
        for row in rows
    )
    return f"<table><tr>{''.join(f'<th>{_text(name)}</th>' for name in head)}</tr>{cells}</table>"


def _parts(found: Sequence[Entry]) -> str:
    parts = list(dict.fromkeys(entry.part for entry in found))
    kinds = list(dict.fromkeys(str(entry.row.get("kind", "")) for entry in found))
    counts = Counter((entry.part, str(entry.row.get("kind", ""))) for entry in found)
    rows = [[part, sum(counts[part, kind] for kind in kinds), *(counts[part, kind] for kind in kinds)] for part in parts]
    return "<h2>Parts and kinds</h2>" + _table(["part", "rows", *kinds], rows)


def _kinds(generation: dict[str, Any]) -> str:
    rows = []
    for kind, wanted in (generation.get("wanted") or {}).items():
        asked, good = generation["asked"].get(kind, 0), generation["accepted"].get(kind, 0)
        rate = f"{good / asked:.0%}" if asked else "–"
        rows.append([kind, wanted, asked, good, rate, f"{(generation.get('usd') or {}).get(kind, 0.0):.4f}"])
    return "<h2>What was asked for</h2>" + _table(["kind", "wanted", "asked", "accepted", "pass rate", "US dollars"], rows)


def _reasons(found: Sequence[Entry]) -> str:
    rows = reason_counts(found)
    return "<h2>Why rows were refused</h2>" + _table(["reason", "rows", "for example"], rows) if rows else ""


def _filters(shown: Sequence[Entry]) -> str:
    choices = {
        "part": dict.fromkeys(entry.part for entry in shown),
        "kind": dict.fromkeys(str(entry.row.get("kind", "")) for entry in shown),
        "reason": dict.fromkeys(code for entry in shown for code in entry.reasons),
    }
    boxes = [
        f"<select id={name}><option value=''>any {name}</option>{''.join(f'<option>{_text(item)}</option>' for item in items)}</select>"
        for name, items in choices.items()
    ]
    return f"<p>{''.join(boxes)}<input id=text placeholder='words'><span id=count></span></p>"


def _row(entry: Entry) -> str:
    row = entry.row
    meta = row.get("meta") or {}
    tags = [f"<span class=tag>{_text(tag)}</span>" for tag in (entry.part, row.get("kind", ""), row.get("id", ""))]
    tags += [f"<span class='tag bad'>{_text(code)}</span>" for code in entry.reasons]
    calls = "\n".join(f"{call['name']} {dump_json(call['arguments'])}" for call in row.get("calls") or ()) or "no call"
    details = f"<pre>{_text('; '.join(row['details']))}</pre>" if row.get("details") else ""
    lineage = f"<details><summary>lineage</summary><pre>{_text(json.dumps(meta, ensure_ascii=False, indent=1))}</pre></details>" if meta else ""
    data = f"data-part='{_text(entry.part)}' data-kind='{_text(row.get('kind', ''))}' data-reason='{_text(' '.join(entry.reasons))}'"
    return f"<div class=row {data}>{''.join(tags)}<div>{_marked(row)}</div><pre>{_text(calls)}</pre>{details}{lineage}</div>"


def _marked(row: Any) -> str:
    """The request with the stretches that state values marked; overlapping ones are one."""
    query = str(row.get("query", ""))
    spans = sorted({(int(start), int(end)): None for start, end in ((row.get("meta") or {}).get("spans") or {}).values()})
    made, at = [], 0
    for start, end in spans:
        start = max(start, at)
        if start < end <= len(query):
            made += [_text(query[at:start]), f"<mark>{_text(query[start:end])}</mark>"]
            at = end
    return "".join(made) + _text(query[at:])


def _text(value: Any) -> str:
    return html.escape(str(value), quote=True)
