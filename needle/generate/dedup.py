"""Deduplication that knows what a slot is: the same wording with other values and other calls is a good row, a copy
is not.

Ordinary near-duplicate filters throw such rows away: of 1,871 requests of one template with different calls, MinHash over
words keeps 16 at a threshold of 0.7 and 1,196 at 0.9. Here five things are refused: the same request again; the same calls
in the same wording (values masked); the same calls in nearly the same words; more than ``cap`` rows of one wording; and
requests that an evaluation suite knows.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import re
import zlib
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from needle.generate.votes import canonical
from needle.teacher.embedded.frames import PREFIXES, SUFFIXES
from needle.tools.grounding.said import STOP, stem, words_of
from needle.traces.contamination import Knowledge
from needle.traces.read import read_traces
from needle.traces.split import template
from needle.traces.trace import Trace

FRAME = re.compile(
    "^(?:"
    + "|".join(re.escape(item.strip(" ,")) for items in PREFIXES.values() for item in items if item.strip())
    + r")[ ,]+"
    "|[ ,]+(?:"
    + "|".join(re.escape(item.strip(" ,")) for items in SUFFIXES.values() for item in items if item.strip())
    + r")\W*$",
    re.IGNORECASE,
)
"""Polite openings and endings: with another of them it is still the same wording."""
NEAR = 0.75
"""Share of the words (of both requests together) that two requests for the same calls must have in common."""
FILLERS = STOP | frozenset("please can could would you hey hi hello just like want need so ok okay thanks thank now go ahead let lets kindly".split())


def wording(trace: Trace) -> str:
    """The request with its values masked and polite frames taken off: what must not be in two parts of a split."""
    # a noisy request is judged by what it was before
    text = trace.meta.get("clean", trace.query)
    spans, left = trace.meta.get("clean_spans") or trace.meta.get("spans", {}), len(text)
    for start, end in sorted((tuple(span) for span in spans.values()), reverse=True):
        end = min(end, left)  # values may share words
        if start < end:
            text, left = f"{text[:start]}0{text[end:]}", start
    for _ in range(3):
        text = FRAME.sub("", text).strip()
    return template(dataclasses.replace(trace, query=text))


class Deduplicator:
    """Remembers what has been accepted."""

    def __init__(self, cap: int, against: Iterable[str] = (), suites: Mapping[str, Sequence[Trace]] | None = None) -> None:
        """``cap``: rows that may share a wording; ``against``: files or folders of suites, or names in ``suites``, which has
        their rows. UserError when one cannot be read."""
        self._cap = cap
        # hashes, not texts: a run of 100,000 rows must not keep them in memory twice
        self._requests: set[int] = set()
        self._copies: set[int] = set()
        self._wordings: Counter[int] = Counter()
        self._near = _NearCopies()
        known = {name: suites[name] if suites and name in suites else read_traces(name)[0] for name in against}
        self._known = Knowledge(known) if known else None

    def refuse(self, trace: Trace) -> str | None:
        """Reason code when the row repeats an accepted one (``duplicate_request``, ``duplicate_calls``, ``near_duplicate``,
        ``template_cap``) or a suite's (``contaminated``), else None; then it counts as accepted."""
        if self._known and any(hit.sign != "tool" for hit in self._known.hits(trace)):
            return "contaminated"
        request = _hash(" ".join(re.findall(r"\w+", trace.query.casefold())))
        form, calls = _hash(wording(trace)), _hash(*canonical(trace.calls))
        copy = hash((form, calls))
        if request in self._requests:
            return "duplicate_request"
        if trace.calls and copy in self._copies:
            return "duplicate_calls"
        words = content_words(trace.query)
        if self._near.has(calls, words):
            return "near_duplicate"
        if self._wordings[form] >= self._cap:
            return "template_cap"
        self._requests.add(request)
        self._copies.add(copy)
        self._wordings[form] += 1
        self._near.add(calls, words)
        return None


def content_words(request: str) -> tuple[int, ...]:
    """Hashes of the stems of a request's words and numbers, small words left out, longest word first (long words are rare)."""
    found = {stem(word) for word, _, _ in words_of(request) if word not in FILLERS}
    return tuple(zlib.crc32(word.encode()) for word in sorted(found, key=lambda word: (-len(word), word)))


class _NearCopies:
    """Requests by their calls, so indexed that only those with a rare word in common are compared.

    Two sets with a Jaccard similarity of at least ``NEAR`` share a word among the first ``size - ceil(NEAR * size) + 1`` of
    each in any fixed order (prefix filtering: Chaudhuri, Ganti and Kaushik 2006).
    """

    def __init__(self) -> None:
        self._index: dict[int, tuple[bytes, ...]] = {}
        """Hash of calls and word to the words of the requests, four bytes each."""

    def has(self, calls: int, words: tuple[int, ...]) -> bool:
        mine = frozenset(words)
        for word in self._prefix(words):
            for held in self._index.get(hash((calls, word)), ()):
                other = memoryview(held).cast("I")
                common = sum(item in mine for item in other)
                if common >= NEAR * (len(mine) + len(other) - common):
                    return True
        return False

    def add(self, calls: int, words: tuple[int, ...]) -> None:
        held = array("I", set(words)).tobytes()
        for word in self._prefix(words):
            key = hash((calls, word))
            self._index[key] = (*self._index.get(key, ()), held)

    @staticmethod
    def _prefix(words: tuple[int, ...]) -> tuple[int, ...]:
        return words[: len(words) - math.ceil(NEAR * len(words)) + 1]


def _hash(*texts: str) -> int:
    """64 bits of texts; the chance that two of a million differ and look alike is one in thirty million."""
    return int.from_bytes(hashlib.blake2b("\0".join(texts).encode(), digest_size=8).digest(), "big", signed=True)
