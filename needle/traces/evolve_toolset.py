"""A whole toolset in another dress, and its traces with it: the same change for every row, and the way back on file.

evolved = evolve_toolset(tools, ("rename_tools", "drop_descriptions"), seed=1)
row = carry_over(trace, evolved)
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from needle.errors import UserError
from needle.tools.spec import ToolSpec
from needle.tools.validate import is_valid
from needle.traces.evolve import OPS, evolve
from needle.traces.renaming import Renaming, rename
from needle.traces.trace import Trace

TOOLSET_OPS = tuple(op for op in OPS if op not in ("resample_distractors", "withhold_gold"))
"""Operations that change a toolset and not which tools are in it."""


@dataclass(frozen=True)
class EvolvedToolset:
    """The new tools and how they came to be."""

    tools: tuple[ToolSpec, ...]
    """In their new order."""
    lineage: dict[str, Any]
    """``parent``, ``ops``, ``seed`` and ``names`` (renamings in order); JSON-ready."""

    @property
    def steps(self) -> list[Renaming]:
        """The renamings, in order."""
        return [Renaming(step.get("tools", {}), step.get("parameters", {})) for step in self.lineage.get("names", [])]


def evolve_toolset(tools: Sequence[ToolSpec], ops: Sequence[str], seed: int) -> EvolvedToolset:
    """The tools after the operations. Raises UserError for an operation that is none of ``TOOLSET_OPS``."""
    wrong = [op for op in ops if op not in TOOLSET_OPS]
    if wrong or not ops:
        raise UserError(
            f"{wrong[0] if wrong else 'nothing'!r} cannot be done to a toolset; choose of {', '.join(TOOLSET_OPS)}"
        )
    made = evolve(Trace("toolset", "-", tuple(tools), ()), ops, seed)
    return EvolvedToolset(made.tools, made.meta["evolved"])


def carry_over(trace: Trace, evolved: EvolvedToolset) -> Trace | None:
    """A trace of the old toolset over the new one, with its lineage; None where its calls would not fit any more or it
    offers a tool that the toolset does not have."""
    made = trace
    for step in evolved.steps:
        made = rename(made, step)
    new = {tool.name: tool for tool in evolved.tools}
    if not all(tool.name in new for tool in made.tools):
        return None
    offered = {tool.name for tool in made.tools}
    tools = tuple(tool for tool in evolved.tools if tool.name in offered)
    line = evolved.lineage | {"parent": trace.id}
    made = replace(made, id=f"{trace.id}~{evolved.lineage['seed']}", tools=tools, meta=made.meta | {"evolved": line})
    return made if is_valid(made.calls, made.tools) else None
