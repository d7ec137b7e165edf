"""Contamination: rows that an evaluation suite knows already, found before they are trained on.

    report = contamination(rows, {"bfcl": suite_rows})         # or a plain list of traces
    clean, report = drop_contaminated(rows, suite_rows)

Three signs, from sure to weak: ``request`` (the same request, case, accents and punctuation aside), ``overlap`` (shared
runs of ``N`` words cover at least half of the words of a suite's request, the rule of Tulu 3, arXiv 2411.15124, for
requests long enough to have such a run) and ``tool`` (a tool with the same name and the same parameters). By default
rows are dropped for the first two; a shared tool is reported, because training and testing on the same app's tools can be meant.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from needle.errors import UserError
from needle.tools.spec import ToolSpec
from needle.traces.trace import Trace
from needle.traces.write import dump_json

N = 8
"""Words in a run."""
COVERED = 0.5
"""Share of a suite request's words that shared runs must cover."""
SIGNS = ("request", "overlap", "tool")
PROSE = frozenset({"description", "title", "examples", "$comment"})
"""Schema keys that are words for people: a reworded tool is the same tool."""


@dataclass(frozen=True)
class Hit:
    """One row that a suite knows."""

    row: str
    """Id of the row."""
    sign: str
    """One of ``SIGNS``."""
    suite: str
    """Name of the suite."""
    other: str
    """Id of the suite's row."""
    detail: str
    """The shared request, the share covered, or the name of the tool."""


@dataclass(frozen=True)
class ContaminationReport:
    """Every hit, and what was compared."""

    rows: int
    """Rows looked at."""
    suites: dict[str, int]
    """Suite to its number of rows."""
    hits: tuple[Hit, ...]
    """One for each row, sign and suite; in the order of the rows."""

    def counts(self) -> dict[str, dict[str, int]]:
        """Suite -> sign -> rows hit."""
        found = Counter((hit.suite, hit.sign) for hit in self.hits)
        return {suite: {sign: found[suite, sign] for sign in SIGNS} for suite in self.suites}

    def rows_hit(self, signs: Iterable[str] = SIGNS) -> set[str]:
        """Ids of the rows with one of these signs."""
        wanted = set(signs)
        return {hit.row for hit in self.hits if hit.sign in wanted}

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: counts, not the hits."""
        return {"rows": self.rows, "suites": self.suites, "hits": self.counts()}

    def table(self) -> str:
        """Plain text for a terminal: a line a suite, rows hit by sign."""
        width = max(map(len, [*self.suites, "suite"]))
        lines = [f"{'suite':<{width}}  {'rows':>8}  " + "  ".join(f"{sign:>8}" for sign in SIGNS)]
        for suite, counts in self.counts().items():
            lines.append(f"{suite:<{width}}  {self.suites[suite]:>8,}  " + "  ".join(f"{counts[s]:>8,}" for s in SIGNS))
        return "\n".join(lines)


def normal_words(text: str) -> tuple[str, ...]:
    """Words of a request without case, accents and punctuation; signs that change a number stay with it."""
    plain = "".join(char for char in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(char))
    return tuple(re.findall(r"\d+(?:[.,:]\d+)*|[^\W\d_]+", plain))


def tool_key(tool: ToolSpec) -> str:
    """Hash of a tool's name and parameters, words for people left out: 16 hex digits."""
    text = f"{tool.name}\n{dump_json(_bones(tool.parameters))}"
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


class Knowledge:
    """What a set of suites knows, indexed once; rows can then be asked about one at a time (``hits``)."""

    def __init__(self, against: Sequence[Trace] | Mapping[str, Sequence[Trace]]) -> None:
        """Raises UserError when there is nothing to compare with."""
        suites = against if isinstance(against, Mapping) else {"suite": against}
        self.suites = {name: len(rows) for name, rows in suites.items()}
        if not any(self.suites.values()):
            raise UserError("nothing to compare with: the suites have no rows; name files of an evaluation suite")
        self._requests: dict[tuple[str, ...], dict[str, str]] = defaultdict(dict)
        self._runs: dict[tuple[str, ...], list[tuple[int, int]]] = defaultdict(list)
        self._long: list[tuple[str, str, int]] = []
        self._tools: dict[str, dict[str, str]] = defaultdict(dict)
        self._keys: dict[int, tuple[tuple[ToolSpec, ...], list[str]]] = {}
        for name, rows in suites.items():
            for trace in rows:
                self._learn(name, trace)

    def _learn(self, suite: str, trace: Trace) -> None:
        words = normal_words(trace.query)
        if words:
            self._requests[words].setdefault(suite, trace.id)
        if len(words) >= N:
            number = len(self._long)
            self._long.append((suite, trace.id, len(words)))
            for start in range(len(words) - N + 1):
                self._runs[words[start : start + N]].append((number, start))
        for key in self._tool_keys(trace):
            self._tools[key].setdefault(suite, trace.id)

    def _tool_keys(self, trace: Trace) -> list[str]:
        held = self._keys.get(id(trace.tools))  # rows of a toolset usually share one tuple; it is kept alive here
        if held is None:
            held = self._keys[id(trace.tools)] = (trace.tools, [tool_key(tool) for tool in trace.tools])
        return held[1]

    def hits(self, trace: Trace) -> list[Hit]:
        """Why a row is contaminated: at most one hit for each sign and suite."""
        words = normal_words(trace.query)
        same = self._requests.get(words, {})
        found = [Hit(trace.id, "request", suite, other, " ".join(words)) for suite, other in same.items()]
        for suite, (share, other) in self._overlaps(words).items():
            if suite not in same:
                found.append(Hit(trace.id, "overlap", suite, other, f"{share:.0%} of its words"))
        shared: dict[str, Hit] = {}
        for key, tool in zip(self._tool_keys(trace), trace.tools, strict=True):
            for suite, other in self._tools.get(key, {}).items():
                shared.setdefault(suite, Hit(trace.id, "tool", suite, other, tool.name))
        return [*found, *shared.values()]

    def _overlaps(self, words: tuple[str, ...]) -> dict[str, tuple[float, str]]:
        """Suite -> (largest covered share of one of its requests, id of that row), where it reaches ``COVERED``."""
        covered: dict[int, set[int]] = defaultdict(set)
        for start in range(len(words) - N + 1):
            for number, place in self._runs.get(words[start : start + N], ()):
                covered[number].update(range(place, place + N))
        best: dict[str, tuple[float, str]] = {}
        for number, places in sorted(covered.items()):
            suite, other, length = self._long[number]
            share = len(places) / length
            if share >= COVERED and share > best.get(suite, (0.0, ""))[0]:
                best[suite] = (share, other)
        return best


def contamination(
    rows: Sequence[Trace], against: Sequence[Trace] | Mapping[str, Sequence[Trace]]
) -> ContaminationReport:
    """Which rows a suite knows. ``against``: its rows, or several suites by name. UserError when that is empty."""
    known = Knowledge(against)
    return ContaminationReport(len(rows), known.suites, tuple(hit for trace in rows for hit in known.hits(trace)))


def drop_contaminated(
    rows: Sequence[Trace],
    against: Sequence[Trace] | Mapping[str, Sequence[Trace]],
    signs: Sequence[str] = ("request", "overlap"),
) -> tuple[list[Trace], ContaminationReport]:
    """The rows without any of ``signs``, in order, and the full report. UserError for an unknown sign."""
    unknown = sorted(set(signs) - set(SIGNS))
    if unknown:
        raise UserError(f"no sign of contamination is called {unknown[0]!r}; use {', '.join(SIGNS)}")
    known = Knowledge(against)
    kept: list[Trace] = []
    hits: list[Hit] = []
    for trace in rows:
        found = known.hits(trace)
        hits += found
        if not any(hit.sign in signs for hit in found):
            kept.append(trace)
    return kept, ContaminationReport(len(rows), known.suites, tuple(hits))


def _bones(schema: Any) -> Any:
    """A schema with sorted keys and without words for people; the order of ``required`` and ``enum`` means nothing."""
    if isinstance(schema, dict):
        bones = {}
        for key in sorted(schema):
            if key == "properties" and isinstance(schema[key], dict):
                bones[key] = {name: _bones(schema[key][name]) for name in sorted(schema[key])}
            elif key in ("required", "enum") and isinstance(schema[key], list):
                bones[key] = sorted(map(dump_json, schema[key]))
            elif key not in PROSE:
                bones[key] = _bones(schema[key])
        return bones
    return [_bones(item) for item in schema] if isinstance(schema, list) else schema
