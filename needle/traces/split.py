"""Splits that cannot leak: by toolset (test toolsets are never trained on), or by request for a single toolset.

needle traces split traces.jsonl --out data/traces --seed 0
"""

from __future__ import annotations

import json
import os
import random
import re
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from needle.errors import UserError
from needle.tools.spec import fingerprint
from needle.traces.trace import Trace
from needle.traces.write import ENDINGS, write_traces

T = TypeVar("T")
PARTS = ("train", "validation", "test")
FRACTIONS = (0.8, 0.1, 0.1)


def split_files(directory: str | os.PathLike[str]) -> dict[str, Path]:
    """The files of a split folder by part, in the order train, validation, test; parts that are absent are left out."""
    directory = Path(directory)
    found = {}
    for part in PARTS:
        candidates = [directory / f"{part}{ending}" for ending in ENDINGS]
        present = [path for path in candidates if path.is_file()]
        if len(present) > 1:
            raise UserError(f"{directory}: {present[0].name} and {present[1].name} are both there; keep one of them")
        if present:
            found[part] = present[0]
    return found


def family(trace: Trace) -> str:
    """What a split is stratified by: the letter before the first dash of the toolset's name, else the domain."""
    letter, dash, _ = trace.toolset.partition("-")
    return letter if dash and len(letter) == 1 else trace.domain


def split_by_toolset(
    traces: Sequence[Trace], seed: int = 0, fractions: Sequence[float] = FRACTIONS
) -> dict[str, list[Trace]]:
    """Divide whole toolsets among train, validation and test, each family in the same proportion.

    Toolsets that share a tool list under two names move together. Rows keep their order. Where there are at least three
    toolsets no part with a share above zero stays empty. Raises UserError when there are fewer toolsets than parts.
    """
    groups = _toolset_groups(traces)
    if len(groups) < sum(share > 0 for share in fractions):
        raise UserError(
            f"{len(groups)} toolset(s) cannot be split by toolset; split by request instead, or bring more toolsets"
        )
    rng = random.Random(seed)
    by_family: dict[str, list[int]] = defaultdict(list)
    for index, rows in enumerate(groups):
        by_family[family(traces[rows[0]])].append(index)
    ordered: list[int] = []
    for name in rng.sample(sorted(by_family), len(by_family)):
        ordered += rng.sample(by_family[name], len(by_family[name]))
    part_of = _spread(len(ordered), fractions)
    return _assemble(traces, [groups[index] for index in ordered], part_of)


def split_by_request(
    traces: Sequence[Trace], seed: int = 0, fractions: Sequence[float] = FRACTIONS
) -> dict[str, list[Trace]]:
    """Divide requests so that no template (the request with argument values masked) is in two parts. For one toolset.

    The parts' sizes are in rows and come as near to ``fractions`` as whole templates allow. Raises UserError when there
    are fewer templates than parts.
    """
    places = split_keys([(f"form {template(trace)}", *_line(trace)) for trace in traces], seed, fractions)
    return {part: [traces[place] for place in rows] for part, rows in places.items()}


def split_keys(
    keys: Sequence[Sequence[Hashable]], seed: int = 0, fractions: Sequence[float] = FRACTIONS
) -> dict[str, list[int]]:
    """Divide rows of which only keys are known so that no key is in two parts; places of the rows by part.

    Args:
        keys: of each row, such as its template and its ancestor.
        seed: of the order in which groups are placed.
        fractions: wanted sizes of train, validation and test.

    Raises:
        UserError: fewer groups than parts.
    """
    groups = _joined(keys)
    if len(groups) < sum(share > 0 for share in fractions):
        raise UserError(f"{len(groups)} different phrasing(s) are too few to split; bring more traces")
    groups = random.Random(seed).sample(groups, len(groups))
    room = {part: share * len(keys) for part, share in zip(PARTS, fractions, strict=True)}
    part_of: list[str] = []
    for number, rows in enumerate(groups):
        waiting = [part for part in PARTS if room[part] > 0 and part not in part_of] if len(groups) - number <= len(PARTS) else []
        # A template goes where most rows are missing; the last templates go to parts that would stay empty otherwise.
        choices = waiting if waiting and len(groups) - number <= len(waiting) else PARTS
        part = max(choices, key=lambda name: room[name] - len(rows) if room[name] >= len(rows) else room[name] - 1e9)
        room[part] -= len(rows)
        part_of.append(part)
    return _assemble(range(len(keys)), groups, part_of)


def split_traces(traces: Sequence[Trace], seed: int = 0) -> dict[str, list[Trace]]:
    """By toolset where there are three toolsets or more, else by request."""
    by: Callable[..., dict[str, list[Trace]]] = (
        split_by_toolset if len(_toolset_groups(traces)) >= 3 else split_by_request
    )
    return by(traces, seed)


def write_split(
    parts: dict[str, list[Trace]], out: str | os.PathLike[str], ending: str = ".jsonl.gz"
) -> dict[str, Path]:
    """Write ``out/train``, ``out/validation`` and ``out/test`` with ``ending``; returns the paths."""
    return {part: write_traces(Path(out) / f"{part}{ending}", rows) for part, rows in parts.items()}


def template(trace: Trace) -> str:
    """The request with the values of its calls and all numbers masked, in lower case, without punctuation."""
    text = trace.query.casefold()
    for value in sorted(set(_leaves([call.arguments for call in trace.calls])), key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(value)}(?!\w)", " _ ", text)
    text = re.sub(r"\d+", "_", text)
    return " ".join(re.findall(r"\w+", text))


def _leaves(value: Any) -> Iterable[str]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _leaves(item)
    elif value is not None and not isinstance(value, bool) and str(value).strip():
        yield str(value).casefold().strip()


def lineage(trace: Trace) -> str:
    """Id of the row that a row descends from (``evolved`` from, cut from, or a copy of it with noise); its own when from none."""
    line = trace.meta.get("evolved")
    parent = line.get("parent") if isinstance(line, dict) else trace.meta.get("parent")
    return str(parent or trace.id).partition("~")[0]


def _line(trace: Trace) -> list[str]:
    ancestor = lineage(trace)
    return [f"line {trace.toolset} {ancestor}"] if ancestor else []


def _toolset_groups(traces: Sequence[Trace]) -> list[list[int]]:
    """Row numbers of traces that must stay together: same toolset name, same set of tools, or same ancestor."""
    prints: dict[int, str] = {}
    keys = []
    for trace in traces:
        if id(trace.tools) not in prints:  # rows of a toolset usually share one tuple
            prints[id(trace.tools)] = fingerprint(
                sorted(trace.tools, key=lambda tool: json.dumps(tool.to_dict(), sort_keys=True))
            )
        named = [f"name {trace.toolset}"] if trace.toolset else []
        keys.append((f"tools {prints[id(trace.tools)]}", *_line(trace), *named))
    return _joined(keys)


def _joined(keys: Sequence[Sequence[Hashable]]) -> list[list[int]]:
    """Places in groups such that two that share a key are in one group; in order of first place."""
    parent = list(range(len(keys)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    first: dict[Hashable, int] = {}
    for index, mine in enumerate(keys):
        for key in mine:
            a, b = root(first.setdefault(key, index)), root(index)
            parent[max(a, b)] = min(a, b)
    groups: dict[int, list[int]] = defaultdict(list)
    for index in range(len(keys)):
        groups[root(index)].append(index)
    return list(groups.values())


def _spread(count: int, fractions: Sequence[float]) -> list[str]:
    """Parts for ``count`` places in a row, each part's places evenly spaced, no wanted part empty."""
    taken = dict.fromkeys(PARTS, 0)
    parts = []
    for place in range(1, count + 1):
        due = {part: share * place - taken[part] for part, share in zip(PARTS, fractions, strict=True)}
        part = max(PARTS, key=due.__getitem__)
        taken[part] += 1
        parts.append(part)
    for part, share in zip(PARTS, fractions, strict=True):
        if share > 0 and not taken[part]:
            largest = max(PARTS, key=taken.__getitem__)
            parts[len(parts) - 1 - parts[::-1].index(largest)] = part
            taken[part], taken[largest] = 1, taken[largest] - 1
    return parts


def _assemble(
    traces: Sequence[T], groups: Sequence[Sequence[int]], part_of: Sequence[str]
) -> dict[str, list[T]]:
    """Rows by part, groups in the order of the input. The rows of a group stay adjacent: so they compress well."""
    result: dict[str, list[T]] = {part: [] for part in PARTS}
    for rows, part in sorted(zip(groups, part_of, strict=True), key=lambda pair: pair[0][0]):
        result[part] += [traces[index] for index in rows]
    return result
