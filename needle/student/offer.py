"""Which tools of a large set the student is shown: all that fit, or the ones that fit the request best."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from needle.errors import UserError
from needle.tools import Request, ToolSpec, fingerprint
from needle.tools.retrieval import ToolIndex, best_first, searched

if TYPE_CHECKING:
    import numpy as np

    from needle.student.retrieval import Finder

KEPT = 64
"""Large toolsets whose index is kept; beyond it all are forgotten."""


@dataclass(frozen=True)
class _Known:
    """A large toolset, indexed."""

    index: ToolIndex
    lengths: list[int]
    vectors_MS: np.ndarray | None


class Offer:
    """Cuts toolsets down to what a model can read; one for each caller, for its tokenizer."""

    def __init__(self, length: Callable[[Sequence[ToolSpec]], int], most: int | None = None, finder: Finder | None = None) -> None:
        """``length``: tokens of a toolset. ``most``: tools that are shown at most. ``finder``: finds tools by meaning beside their words.

        Raises ``UserError`` for less than one.
        """
        if most is not None and most < 1:
            raise UserError(f"at most {most} tools: show at least one")
        self.length, self.most, self.finder = length, most, finder
        self._known: dict[str, _Known] = {}
        self._lock = threading.Lock()

    def fits(self, tools: Sequence[ToolSpec], room: int) -> bool:
        """Whether all of ``tools`` are shown, given ``room`` tokens."""
        return (self.most is None or len(tools) <= self.most) and self.length(tools) <= room

    def shown(self, request: Request, room: int) -> tuple[Request, tuple[str, ...] | None]:
        """The request with all its tools where they take no more than ``room`` tokens, else with the best that do, in their order.

        A tool that the request's choice names is always among them. A set in which not even one tool fits stays as it is: whoever reads it
        says so. Second: the names of all tools, best first, where tools were left out, else None.
        """
        if self.fits(request.tools, room):
            return request, None
        known = self._index(request.tools)
        order = self._order(request, known)
        kept: list[int] = []
        for place in order:
            if known.lengths[place] <= room and (self.most is None or len(kept) < self.most):
                kept.append(place)
                room -= known.lengths[place]
        if not kept:
            return request, None
        return replace(request, tools=tuple(request.tools[place] for place in sorted(kept))), tuple(request.tools[place].name for place in order)

    def prepare(self, tools: Sequence[ToolSpec], room: int) -> bool:
        """Index a toolset that will be cut ahead of its first request; vectors of its tools are kept on disk, where the engine has one.

        False for a set that is shown as it is.
        """
        if self.fits(tools, room) or all(self.length([tool]) > room for tool in tools):
            return False
        self._index(tools, keep=True)
        return True

    def _order(self, request: Request, known: _Known) -> list[int]:
        """Places of the tools, best first."""
        text = searched(request.query, request.messages)
        scores = known.index.scores(text)
        if self.finder is not None and known.vectors_MS is not None and text.strip():
            scores = [sum(pair) for pair in zip(scores, self.finder.scores(text, known.vectors_MS).tolist(), strict=True)]
        order = best_first(scores)
        if request.choice.only is not None:
            order.sort(key=lambda place: request.tools[place].name != request.choice.only)
        return order

    def _index(self, tools: Sequence[ToolSpec], keep: bool = False) -> _Known:
        key = fingerprint(tools)
        with self._lock:
            known = self._known.get(key)
        if known is None or keep:
            vectors = None if self.finder is None else self.finder.vectors(tools, keep)
            known = _Known(ToolIndex(tools), [self.length([tool]) for tool in tools], vectors)
            with self._lock:
                if len(self._known) >= KEPT:
                    self._known.clear()
                self._known[key] = known
        return known
