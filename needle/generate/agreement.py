"""How the teachers of a run did: rows labelled and accepted by each, and how often two of them gave the same calls, by kind.

The matrix counts only rows that were put to a vote, so it says how teachers agree where there was doubt, not in general.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

Row = tuple[str, Mapping[str, Any], bool]
"""Kind, lineage, accepted."""


def folder_rows(folder: Path) -> Iterator[Row]:
    """Every judged row of an output folder, read line by line."""
    for name, accepted in (("rows.jsonl", True), ("quarantine.jsonl", False)):
        if (folder / name).is_file():
            with open(folder / name, encoding="utf-8") as file:
                for line in file:
                    row = json.loads(line)
                    yield row.get("kind", ""), row.get("meta") or {}, accepted


def agreement(rows: Iterable[Row]) -> dict[str, Any]:
    """``teachers`` (rows labelled, accepted), ``stated`` and ``not_stated`` (requests with and without
    the author's values), ``repaired``, ``voted``, and ``matrix``: kind -> "a | b" -> agreed, of."""
    labelled: Counter[str] = Counter()
    accepted: Counter[str] = Counter()
    pairs: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0]))
    repaired = voted = settled = stated = silent = 0
    for kind, meta, good in rows:
        stated += meta.get("stated") is True
        silent += meta.get("stated") is False
        name = meta.get("labeller")
        if name:
            labelled[name] += 1
            accepted[name] += good
        repaired += good and "repaired" in meta
        votes = meta.get("votes")
        if not votes:
            continue
        voted += 1
        settled += good
        for one, two in combinations(votes["ballots"], 2):
            if one["teacher"] != two["teacher"]:
                key = " | ".join(sorted((one["teacher"], two["teacher"])))
                pairs[kind][key][0] += one["group"] == two["group"] >= 0
                pairs[kind][key][1] += 1
    return {
        "teachers": {name: {"labelled": count, "accepted": accepted[name]} for name, count in sorted(labelled.items())},
        "stated": stated,
        "not_stated": silent,
        "repaired": repaired,
        "voted": voted,
        "settled_by_vote": settled,
        "matrix": {
            kind: {key: {"agreed": pair[0], "of": pair[1]} for key, pair in sorted(held.items())} for kind, held in sorted(pairs.items())
        },
    }
