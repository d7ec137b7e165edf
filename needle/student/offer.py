"""Which tools of a large set the student is shown: all that fit, or the ones that fit the request best."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from needle.errors import UserError
from needle.tools import Request, ToolSpec, fingerprint

KEPT = 64
"""Large toolsets whose index is kept; beyond it all are forgotten."""


@dataclass(frozen=True)
class _Known:
    """A large toolset, indexed."""

    order: Callable[[str], list[int]]
    lengths: list[int]


class Offer:
    """Cuts toolsets down to what a model can read; one for each caller, for its tokenizer."""

    def __init__(self, length: Callable[[Sequence[ToolSpec]], int], most: int | None = None) -> None:
        """``length``: tokens of a toolset. ``most``: tools that are shown at most. Raises ``UserError`` for less than one."""
        if most is not None and most < 1:
            raise UserError(f"at most {most} tools: show at least one")
        self.length, self.most = length, most
        self._known: dict[str, _Known] = {}
        self._lock = threading.Lock()

    def shown(self, request: Request, room: int) -> Request:
        """The request with all its tools where they take no more than ``room`` tokens, else with the best that do, in their order.

        A tool that the request's choice names is always among them. A set in which not even one tool fits stays as it is: whoever reads it
        says so.
        """
        few = self.most is None or len(request.tools) <= self.most
        if few and self.length(request.tools) <= room:
            return request
        known = self._index(request.tools)
        told = [str(turn.get("content") or "") for turn in request.messages if turn.get("role") == "user"]
        order = known.order(" ".join([*told[-1:], request.query]))
        if request.choice.only is not None:
            order.sort(key=lambda place: request.tools[place].name != request.choice.only)
        kept: list[int] = []
        for place in order:
            if known.lengths[place] <= room and (self.most is None or len(kept) < self.most):
                kept.append(place)
                room -= known.lengths[place]
        return replace(request, tools=tuple(request.tools[place] for place in sorted(kept))) if kept else request

    def _index(self, tools: Sequence[ToolSpec]) -> _Known:
        from needle.tools.retrieval import ToolIndex  # here: only large toolsets need it

        key = fingerprint(tools)
        with self._lock:
            known = self._known.get(key)
        if known is None:
            known = _Known(ToolIndex(tools).order, [self.length([tool]) for tool in tools])
            with self._lock:
                if len(self._known) >= KEPT:
                    self._known.clear()
                self._known[key] = known
        return known
