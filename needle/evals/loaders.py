"""Suites whose rows this repository does not carry: where each is found, and the function that reads it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from needle.evals import bias, droidcall, mobile_actions, seal_tools, snips, when2call
from needle.evals.bfcl.load import CATEGORIES, find_bfcl, load_bfcl
from needle.evals.datafiles import DataFiles
from needle.evals.hub import HubFiles
from needle.traces.trace import Trace

Rows = tuple[list[Trace], list[str]]
"""Rows, and those that cannot be used in words."""


@dataclass(frozen=True)
class Loader:
    """How the rows of a suite are found and read that are not files of example rows."""

    parts: tuple[str, ...]
    """Names that may stand behind the suite's, as in ``bfcl/parallel``."""
    find: Callable[[str | Path | None], DataFiles | None]
    """Where the data are, given a folder to look in or None."""
    load: Callable[[DataFiles | HubFiles, str | None, int], Rows]
    """The rows of one part, or all; the seed draws the order of tools where a suite shuffles them."""
    hub: HubFiles | None = None
    """Where the data are fetched from if they are not on this machine."""


LOADERS = {
    "bfcl": Loader(CATEGORIES, find_bfcl, lambda data, part, seed: (load_bfcl(data, part), [])),
    "bias": Loader(bias.AXES, bias.find_bias, bias.load_bias),
    "droidcall": Loader((), droidcall.find_droidcall, droidcall.load_droidcall, droidcall.HUB),
    "mobile-actions": Loader(
        (), mobile_actions.find_mobile_actions, mobile_actions.load_mobile_actions, mobile_actions.HUB
    ),
    "seal-tools": Loader(
        tuple(seal_tools.PARTS),
        seal_tools.find_seal_tools,
        lambda data, part, seed: (seal_tools.load_seal_tools(data, part, seed), []),
    ),
    "snips": Loader(
        snips.PARTS, snips.find_snips, lambda data, part, seed: (snips.load_snips(data, part, seed), [])
    ),
    "when2call": Loader(
        tuple(when2call.PARTS), when2call.find_when2call, when2call.load_when2call, when2call.HUB
    ),
}
"""Loaders by the name that a definition gives."""
