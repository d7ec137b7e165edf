"""A writing plan as the embedded teacher reads it out of a prompt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class PlannedCall:
    """One call that a request is to lead to (or, where it is not due, to fall short of)."""

    tool: str
    """Name of the tool."""
    mention: tuple[str, ...] = ()
    """Optional arguments (dotted paths) that the request should give."""
    values: dict[str, Any] = field(default_factory=dict, hash=False)
    """Settled values of enums and booleans, so that their members are covered evenly."""
    omit: str = ""
    """Required argument that the request must leave open."""
    suggest: dict[str, Any] = field(default_factory=dict, hash=False)
    """Values that the author may use, so that they vary."""
    first: str = ""
    """Argument of which another value is said first and then corrected."""
    due: bool = True
    """Whether the call is right in the end; not, where it is withdrawn or its tool is withheld."""


@dataclass(frozen=True)
class Wish:
    """A plan."""

    kind: str
    """One of the kinds of ``needle.traces``."""
    calls: tuple[PlannedCall, ...] = ()
    """What the request is about; for ``negated`` what it takes back, for ``missing`` what it half asks for."""
    style: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Value of each axis of style; an absent one is plain."""
    withheld: tuple[str, ...] = ()
    """Tools that will not be there when the request is answered."""
    beside: str = ""
    """The tool that the request comes near to."""
    distractor: str = ""
    """A number or name to mention in passing."""
    facts: str = ""
    """What holds for the request."""
    context: str = ""
    """``followup``, ``answer`` or ``relative``."""
    asked: str = ""
    """The argument that differs, or that the assistant asked for."""

    @property
    def form(self) -> str:
        """``command``, ``request``, ``need`` or ``telegram``."""
        return self.style.get("form", "command")

    @property
    def case(self) -> str:
        """``plain``, ``lower`` (speech recognition: no capitals, no punctuation) or ``written`` (capital, full stop)."""
        return self.style.get("case", "plain")


def read_wish(plan: Mapping[str, Any]) -> Wish:
    """The wish of a plan's JSON. Raises KeyError, TypeError or AttributeError where the plan has another shape."""
    calls = tuple(
        PlannedCall(
            item["tool"],
            tuple(item.get("mention", ())),
            dict(item.get("values", {})),
            item.get("omit", ""),
            dict(item.get("suggest", {})),
            item.get("first", ""),
            item.get("due", True),
        )
        for item in plan.get("calls", ())
    )
    return Wish(
        plan["kind"],
        calls,
        dict(plan.get("style", {})),
        tuple(plan.get("withheld", ())),
        plan.get("beside", ""),
        plan.get("distractor", ""),
        plan.get("facts", ""),
        plan.get("context", ""),
        plan.get("differs", "") or plan.get("asked", ""),
    )
