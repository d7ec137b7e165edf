"""Markup that cannot be broken by what it shows: text is escaped unless it is ``Html``, which is made here.

tag("td", "<b> stays text", class_="name")
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

DRAWN = frozenset({"circle", "line", "polyline", "rect"})
"""Shapes of SVG, which must be closed."""
VOID = DRAWN | {"input"}
"""Elements without content."""


class Html(str):
    """Markup that is whole and safe."""


def join(parts: Iterable[Any]) -> Html:
    """The parts one after another; plain text is escaped, None is left out."""
    return Html("".join(part if isinstance(part, Html) else escape(str(part)) for part in parts if part is not None))


def tag(name: str, *children: Any, **attributes: Any) -> Html:
    """One element. ``class_`` is written ``class``, ``_`` becomes ``-``; None and False leave an attribute out."""
    written = "".join(
        f" {key.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{escape(str(value))}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if name in VOID and not children:
        return Html(f"<{name}{written} />" if name in DRAWN else f"<{name}{written}>")
    return Html(f"<{name}{written}>{join(children)}</{name}>")


def section(key: str, title: str, *children: Any, note: str = "", short: str = "") -> Html:
    """A section with its heading, or nothing where all children are empty. ``short`` names it in the list of them."""
    if not any(children):
        return Html("")
    about = tag("p", note, class_="note") if note else None
    heading = tag("h2", title, id=f"{key}-title")
    return tag("section", heading, about, *children, id=key, aria_labelledby=f"{key}-title", data_short=short or title)


def table(
    caption: str, head: Sequence[Any], body: Iterable[Sequence[Any]], numbers: Iterable[int] = (), look: str = ""
) -> Html:
    """A table that scrolls sideways where it must; columns in ``numbers`` are set right. The caption is for readers
    who cannot see the page."""
    right = set(numbers)

    def cell(name: str, place: int, content: Any, **attributes: Any) -> Html:
        return tag(name, content, class_="number" if place in right else None, **attributes)

    lines = [
        tag(
            "tr",
            *(cell("th" if n == 0 else "td", n, one, scope="row" if n == 0 else None) for n, one in enumerate(row)),
        )
        for row in body
    ]
    if not lines:
        return Html("")
    header = tag("tr", *(cell("th", n, one, scope="col") for n, one in enumerate(head)))
    whole = tag("table", tag("caption", caption), tag("thead", header), tag("tbody", *lines), class_=look or None)
    return tag("div", whole, class_="scroll", tabindex="0", role="region", aria_label=caption)


def facts(pairs: Mapping[str, Any]) -> Html:
    """Terms and what is said of each; empty ones are left out."""
    return tag(
        "dl", *(join((tag("dt", name), tag("dd", text))) for name, text in pairs.items() if text not in ("", None))
    )
