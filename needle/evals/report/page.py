"""The page around all reports: one template, one style sheet, one script, nothing loaded from elsewhere.

The content policy in the page lets only this very script and style run (by their hashes), so that markup which slipped
through would still do nothing.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from html import escape
from pathlib import Path
from typing import Any

from needle.evals.report.markup import Html, join, tag
from needle.evals.report.pack import encode

FOLDER = Path(__file__).parent
SCRIPTS = ("base.js", "diff.js", "detail.js", "browser.js")
"""Parts of the script, in order."""
_SECTION = re.compile(r'<section id="([\w-]+)"[^>]* data-short="([^"]*)">')


def page(
    title: str,
    kicker: str,
    lead: Html,
    sections: Iterable[Html],
    warnings: Sequence[str] = (),
    data: Mapping[str, Any] | None = None,
    heading: Html | str = "",
) -> str:
    """A whole page: what ``title`` names, in ``sections`` (empty ones are left out), with rows in ``data`` if any."""
    body = join(sections)
    found = _SECTION.findall(body)
    style, script = _asset("style.css"), "\n".join(map(_asset, SCRIPTS if data else SCRIPTS[:1]))
    skip, words = ("rows", "the rows") if data else (found[0][0] if found else "main", "the figures")
    parts = {
        "title": escape(title),
        "heading": join((heading or title,)),
        "kicker": escape(kicker),
        "lead": lead,
        "warnings": join(tag("p", text, class_="warning", role="note") for text in warnings),
        "nav": join(tag("a", Html(name), href=f"#{key}") for key, name in found),
        "body": body,
        "skip": skip,
        "skip_words": words,
        "data": f'<script type="application/octet-stream" id="data">{encode(dict(data))}</script>' if data else "",
        "style": style,
        "script": script,
        "style_hash": _hash(style),
        "script_hash": _hash(script),
    }
    # one pass, so that a text that contains a mark of the template is left alone
    return re.sub(r"\{\{(\w+)\}\}", lambda mark: parts[mark[1]], _asset("page.html"))


@lru_cache
def _asset(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
