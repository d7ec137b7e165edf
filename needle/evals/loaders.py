"""Suites whose rows this repository does not carry: where each is found, and the function that reads it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from needle.evals import bias, droidcall, mobile_actions, seal_tools, snips, when2call
from needle.evals.bfcl.load import CATEGORIES, find_bfcl, load_bfcl
from needle.evals.datafiles import DataFiles
from needle.evals.hub import HubFiles
from needle.traces.trace import Trace


class Rows(NamedTuple):
    """What a loader gives."""

    traces: list[Trace]
    """The rows."""
    problems: list[str] = []
    """Rows that cannot be used, in words."""
    conversions: Mapping[str, int] = {}
    """What reading foreign tools lost or guessed, with the number of tools concerned."""


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
    known: Mapping[str, str] = field(default_factory=dict, hash=False)
    """SHA-256 of the files that published figures rest on, by name as they are read."""


def _bfcl(data: DataFiles | HubFiles, part: str | None, seed: int) -> Rows:
    notes: Counter[str] = Counter()
    return Rows(load_bfcl(data, part, notes), [], dict(notes.most_common()))


LOADERS = {
    "bfcl": Loader(CATEGORIES, find_bfcl, _bfcl),
    "bias": Loader(bias.AXES, bias.find_bias, lambda data, part, seed: Rows(*bias.load_bias(data, part, seed))),
    "droidcall": Loader(
        (),
        droidcall.find_droidcall,
        lambda data, part, seed: Rows(*droidcall.load_droidcall(data, part, seed)),
        droidcall.HUB,
        droidcall.KNOWN,
    ),
    "mobile-actions": Loader(
        (),
        mobile_actions.find_mobile_actions,
        lambda data, part, seed: Rows(*mobile_actions.load_mobile_actions(data, part, seed)),
        mobile_actions.HUB,
        mobile_actions.KNOWN,
    ),
    "seal-tools": Loader(
        tuple(seal_tools.PARTS),
        seal_tools.find_seal_tools,
        lambda data, part, seed: Rows(seal_tools.load_seal_tools(data, part, seed)),
    ),
    "snips": Loader(snips.PARTS, snips.find_snips, lambda data, part, seed: Rows(snips.load_snips(data, part, seed))),
    "when2call": Loader(
        tuple(when2call.PARTS),
        when2call.find_when2call,
        lambda data, part, seed: Rows(*when2call.load_when2call(data, part, seed)),
        when2call.HUB,
    ),
}
"""Loaders by the name that a definition gives."""
