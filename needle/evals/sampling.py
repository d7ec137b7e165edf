"""Samples of a suite: seeded, kinds in proportion, rows that belong together kept together; never a prefix.

A prefix is biased: some suites are sorted easy first.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from needle.traces.trace import Trace


def pair_of(trace: Trace) -> Mapping[str, Any]:
    """What ties a row to its counterparts (``set``, ``variant`` ...), or nothing; see ``robustness`` and ``bias``."""
    return trace.meta.get("scoring", {}).get("pair", {})


def sample(traces: Sequence[Trace], limit: int | None, seed: int = 0) -> list[Trace]:
    """``sample_by_kind``, with rows that belong together taken or left together (``limit`` may then be missed)."""
    sets: dict[Hashable, list[Trace]] = defaultdict(list)
    for trace in traces:
        sets[pair_of(trace).get("set", ("row", trace.id))].append(trace)
    if limit is None or limit >= len(traces) or len(sets) == len(traces):
        return sample_by_kind(traces, limit, seed)
    first = [members[0] for members in sets.values()]
    chosen = {one.id for one in sample_by_kind(first, max(1, limit * len(sets) // len(traces)), seed)}
    return [trace for members in sets.values() if members[0].id in chosen for trace in members]


def sample_by_kind(traces: Sequence[Trace], limit: int | None, seed: int = 0) -> list[Trace]:
    """Seeded sample of ``limit`` rows in the order of the suite, kinds in proportion, each at least once if it fits."""
    if limit is None or limit >= len(traces):
        return list(traces)
    places: dict[str, list[int]] = defaultdict(list)
    for place, trace in enumerate(traces):
        places[trace.kind].append(place)
    quotas = _quotas({kind: len(rows) for kind, rows in places.items()}, limit)
    chance = random.Random(seed)
    chosen = [place for kind in sorted(places) for place in chance.sample(places[kind], quotas[kind])]
    return [traces[place] for place in sorted(chosen)]


def _quotas(sizes: dict[str, int], limit: int) -> dict[str, int]:
    """``limit`` shared out in proportion to ``sizes``: one each first where that fits, then by largest shortfall."""
    total = sum(sizes.values())
    floor = 1 if limit >= len(sizes) else 0
    quotas = {kind: max(floor, limit * size // total) for kind, size in sizes.items()}
    while sum(quotas.values()) > limit:
        above = [kind for kind in quotas if quotas[kind] > floor]
        quotas[max(above, key=lambda kind: (quotas[kind] - limit * sizes[kind] / total, kind))] -= 1
    while sum(quotas.values()) < limit:
        open_kinds = [kind for kind in quotas if quotas[kind] < sizes[kind]]
        quotas[max(open_kinds, key=lambda kind: (limit * sizes[kind] / total - quotas[kind], kind))] += 1
    return quotas
