"""Drawings as SVG inside the page: shares on a ruler from 0 to 100, curves, bars. No script draws anything.

Every drawing is decoration of figures that stand beside it as text, or says itself in words what it shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from needle.evals.report.markup import Html, join, table, tag
from needle.evals.text import percent

WIDTH, HEIGHT, LEFT, BOTTOM = 360, 220, 34, 30
"""Size of a plot, and room for its axes, in its own units."""

Line = tuple[str, dict[str, float], str]
"""Label, rate (value, low, high), and classes of one line of a ruler table."""


def points(share: float) -> str:
    """A share as a place on the ruler."""
    return f"{100 * min(1.0, max(0.0, share)):.2f}%"


def ruler(rate: dict[str, float], notches: Iterable[tuple[str, float]] = (), look: str = "") -> Html:
    """The interval as a band, the value as a needle, floors as notches."""
    low, high = rate["low"], rate["high"]
    band = tag("rect", x=points(low), width=points(max(0.002, high - low)), y="6", height="8", rx="4", class_="band")
    marks = [
        tag(
            "line",
            tag("title", f"{name}: {percent(at)}"),
            x1=points(at),
            x2=points(at),
            y1="3",
            y2="17",
            class_="notch",
        )
        for name, at in notches
    ]
    at = points(rate["value"])
    needle = tag("line", x1=at, x2=at, y1="1", y2="19", class_="needle")
    return tag("svg", band, *marks, needle, class_=f"ruler {look}".strip(), height="20", aria_hidden="true")


def interval(rate: dict[str, float]) -> str:
    """Both ends of an interval."""
    return f"{percent(rate['low'])} – {percent(rate['high'])}"


def rulers(caption: str, lines: Sequence[Line], notches: Sequence[tuple[str, float]] = ()) -> Html:
    """Several rates over one another on the same scale, floors as notches on the main one."""
    body = [
        [
            tag("span", label, class_=look),
            ruler(rate, notches if "main" in look else (), look),
            tag("b" if "main" in look else "span", percent(rate["value"])),
            tag("span", interval(rate), class_="soft"),
        ]
        for label, rate, look in lines
    ]
    scale = tag("span", *(tag("span", str(at)) for at in (0, 25, 50, 75, 100)), class_="scale", aria_hidden="true")
    return tag(
        "div", table(caption, ["", scale, "%", "95 % interval"], body, numbers=(2, 3), look="wide"), class_="rulers"
    )


def bars(caption: str, head: Sequence[str], counts: Sequence[tuple[Any, int, Any]]) -> Html:
    """Counted things, most first: what, how many with a bar, and what is to be said of it."""
    most = max((count for _, count, _ in counts), default=0)
    body = [[label, _bar(count / most), f"{count:,}", text] for label, count, text in counts]
    return table(caption, [head[0], "", *head[1:]], body, numbers=(2,))


def _bar(share: float) -> Html:
    rect = tag("rect", width=points(max(0.01, share)), height="10", rx="2")
    return tag("svg", rect, class_="count", height="10", aria_hidden="true")


def plot(
    title: str, words: str, x_label: str, y_label: str, *drawn: Html, x_ticks: Sequence[tuple[float, str]]
) -> Html:
    """A frame with axes around ``drawn`` (made by ``curve``, ``dots``, ``columns``); ``words`` say what it shows."""
    wide = WIDTH - LEFT - 8
    grid = [
        join(
            (
                tag("line", x1=LEFT, x2=LEFT + wide, y1=_y(at), y2=_y(at), class_="grid"),
                tag("text", f"{100 * at:.0f}", x=LEFT - 6, y=_y(at) + 4, text_anchor="end"),
            )
        )
        for at in (0, 0.25, 0.5, 0.75, 1.0)
    ]
    anchors = {0: "start", 1: "end"}
    ticks = [
        tag("text", text, x=_x(at), y=HEIGHT - BOTTOM + 16, text_anchor=anchors.get(at, "middle"))
        for at, text in x_ticks
    ]
    name = tag("text", x_label, x=LEFT + wide / 2, y=HEIGHT - 3, text_anchor="middle", class_="axis")
    box = tag("svg", *grid, *ticks, name, *drawn, viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img", aria_label=words)
    return tag("figure", tag("figcaption", tag("b", title), tag("span", y_label, class_="soft")), box)


def curve(places: Sequence[tuple[float, float]], look: str = "curve") -> Html:
    """A line through places whose coordinates are shares."""
    return tag("polyline", points=" ".join(f"{_x(x):.1f},{_y(y):.1f}" for x, y in places), class_=look)


def dots(places: Sequence[tuple[float, float, float]], look: str = "dot") -> Html:
    """Dots whose coordinates are shares; the third number, a share, is their area."""
    return join(
        tag("circle", cx=f"{_x(x):.1f}", cy=f"{_y(y):.1f}", r=f"{2 + 6 * size**0.5:.1f}", class_=look)
        for x, y, size in places
    )


def columns(shares: Sequence[float], look: str = "column") -> Html:
    """Columns side by side across the whole width, the highest as high as the plot."""
    top, wide = max(shares, default=0) or 1, (WIDTH - LEFT - 8) / max(1, len(shares))
    return join(
        tag(
            "rect",
            x=f"{LEFT + n * wide + 1:.1f}",
            width=f"{max(1, wide - 2):.1f}",
            y=f"{_y(one / top):.1f}",
            height=f"{_y(0) - _y(one / top):.1f}",
            class_=look,
        )
        for n, one in enumerate(shares)
    )


def _x(share: float) -> float:
    return LEFT + share * (WIDTH - LEFT - 8)


def _y(share: float) -> float:
    return 10 + (1 - share) * (HEIGHT - BOTTOM - 10)
