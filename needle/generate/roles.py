"""Which of two stated values belongs to which argument: a small model learned from the train part of the recorded traces.

    python -m needle.generate.roles data/traces/train.jsonl.gz          # fits it again and writes roles.json

A pair of arguments with their values is described twice, as it is and exchanged: the words beside each value and its
shape, each together with the words of the argument's name and description; the order of the two; whether the values of a
call lie together. A log-linear model over hashed features (hashing trick: Weinberger et al. 2009) learns to prefer the
right one. Its score is the log-odds that the values are *not* exchanged. No toolset of the validation or test part is seen.
"""

from __future__ import annotations

import base64
import json
import random
import re
import sys
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from needle.tools.grounding.ground import Grounding, Slot, ground_calls, slots
from needle.tools.grounding.said import STOP, same_word, words_of
from needle.tools.spec import ToolCall, ToolSpec
from needle.tools.validate import is_valid

BITS = 17
FILE = "roles.json"
FIRST = re.compile(r"^(from|source|src|origin|start|begin|since|depart|sender|old|base|check_?in|min|low|opens?|after|pick_?up|out)", re.I)
SECOND = re.compile(r"^(to|target|dest|end|until|till|finish|arriv|receiver|new|quote|check_?out|max|high|closes?|before|return|drop_?off|due|into|expir)", re.I)
BETWEEN = re.compile(r"\s*(?:to|till|until|into|and|->|→|-|–|—|/|vs\.?|against|through|in)(?: the)?\s*", re.I)


@dataclass(frozen=True)
class Said:
    """A value of a call that the request states."""

    slot: Slot
    """Argument and value."""
    span: tuple[int, int]
    """Where it is stated."""
    call: int
    """Number of the call."""


def stated(calls: Sequence[ToolCall], tools: Sequence[ToolSpec], groundings: Sequence[Grounding]) -> list[Said]:
    """The texts and numbers of calls that have a span, items of lists left out."""
    spans = {item.path: item.span for item in groundings if item.span}
    return [
        Said(slot, spans[slot.path], int(slot.path.partition(".")[0]))
        for slot in slots(calls, tools)
        if slot.path in spans and not isinstance(slot.value, bool) and isinstance(slot.place[-1], str)
    ]


def pairs(said: Sequence[Said]) -> Iterator[tuple[Said, Said]]:
    """Two different values of one type, from two places of the request."""
    for index, one in enumerate(said):
        for two in said[index + 1 :]:
            a, b = one.slot.value, two.slot.value
            if a != b and isinstance(a, str) == isinstance(b, str) and one.span != two.span:
                yield one, two


def interchangeable(calls: Sequence[ToolCall], one: Said, two: Said, tools: Sequence[ToolSpec]) -> bool:
    """Whether the schemas allow each of two values in the other's place."""
    made = list(calls)
    for item, value in ((one, two.slot.value), (two, one.slot.value)):
        made[item.call] = ToolCall(made[item.call].name, _with(made[item.call].arguments, item.slot.place, value))
    return is_valid([made[one.call], made[two.call]], tools)


def _with(held: Any, place: Sequence[str | int], value: Any) -> Any:
    """A copy of nested arguments with another value at a place."""
    if not place:
        return value
    copied = dict(held) if isinstance(held, dict) else list(held)
    copied[place[0]] = _with(held[place[0]], place[1:], value)
    return copied


def score(one: Said, two: Said, said: Sequence[Said], request: str) -> float:
    """Log-odds that two values stand in the right places."""
    return float(sum(_weights()[place] * count for place, count in features(one, two, said, request).items()))


def features(one: Said, two: Said, said: Sequence[Said], request: str) -> Counter[int]:
    """Hashed features of the pair as it is, less those of the exchanged pair."""
    here: list[int] = []
    there: list[int] = []
    if one.call == two.call or one.slot.name != two.slot.name:
        here += _fits(one.slot, one.span, request) + _fits(two.slot, two.span, request)
        there += _fits(one.slot, two.span, request, two.slot.value) + _fits(two.slot, one.span, request, one.slot.value)
    if one.call == two.call:
        _order(one, two, request, here, there)
    else:
        _distance(one, two, said, here, there)
    found = Counter(here)
    found.subtract(Counter(there))
    return Counter({place: count for place, count in found.items() if count})


def _hash(*parts: Any) -> int:
    return zlib.crc32("\x1f".join(map(str, parts)).encode()) & ((1 << BITS) - 1)


@lru_cache(maxsize=4096)
def _words(name: str, description: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return (
        tuple(word for word, _, _ in words_of(name)),
        tuple(word for word, _, _ in words_of(description) if word not in STOP)[:8],
    )


def _fits(slot: Slot, span: tuple[int, int], request: str, value: Any = None) -> list[int]:
    """A value at a span in an argument: what stands around it and what it looks like, by the argument's words."""
    value = slot.value if value is None else value
    name, told = _words(slot.name, str(slot.schema.get("description") or ""))
    pattern = r"[\w']+|->|[^\w\s]"
    before = (["^"] * 4 + re.findall(pattern, request[max(0, span[0] - 40) : span[0]].casefold()))[-4:]
    after = (re.findall(pattern, request[span[1] : span[1] + 30].casefold()) + ["$"] * 3)[:3]
    context = [
        f"1{before[3]}", f"12{before[2]} {before[3]}", f"2{before[2]}", f"+{after[0]}", f"s{_shape(value)}", f"z{_size(value)}",
        f"e{span[0] == 0}{span[1] >= len(request) - 1}", f"c{str(value)[:1].isupper()}", f"q{before[3] in _QUOTES}",
    ]  # fmt: skip
    last = name[-1] if name else ""
    keys = [f"l{last}", *(f"n{word}" for word in name[:-1]), f"f{slot.schema.get('format') or slot.schema.get('type')}"]
    keys += [f"d{word}" for word in told[:6]] + (["enum"] if "enum" in slot.schema else [])
    found = [_hash(key, item) for key in keys for item in context]
    own = [word for word, _, _ in words_of(str(value))]
    found += [_hash(key, f"w{word}") for word in own[:6] for key in [*keys[:2], *(k for k in keys if k[0] == "d")][:5]]
    for place, word in zip(("b1", "b2", "b3", "a1", "a2"), (before[3], before[2], before[1], after[0], after[1])):
        if len(word) > 2 and word not in STOP:
            if any(same_word(word, item) for item in name):
                found.append(_hash("name", place))
            elif any(same_word(word, item) for item in told):
                found.append(_hash("told", place))
        elif word in name:
            found.append(_hash("name", place))
    for kind, items in (("own name", name), ("own told", told)):
        if any(same_word(word, item) for word in own for item in items if len(item) > 2):
            found.append(_hash(kind))
    return found


_QUOTES = frozenset("\"'“")


def _shape(value: Any) -> str:
    text = re.sub(r"\d+", "9", re.sub(r"[a-z]+", "x", re.sub(r"[A-Z]+", "X", str(value))))
    return re.sub(r"(x_){2,}", "x_+", re.sub(r"\s+", "_", text))[:8]


def _size(value: Any) -> str:
    if isinstance(value, str):
        return f"t{min(len(value.split()), 6)}"
    return f"{'i' if value == int(value) else 'f'}{len(str(int(abs(value))))}"


def _order(one: Said, two: Said, request: str, here: list[int], there: list[int]) -> None:
    ahead = one.span < two.span
    gap = request[min(one.span[1], two.span[1]) : max(one.span[0], two.span[0])]
    between = gap.strip().casefold() if BETWEEN.fullmatch(gap) else ""
    for found, first, second in ((here, *((one, two) if ahead else (two, one))), (there, *((two, one) if ahead else (one, two)))):
        a, b = _words(first.slot.name, "")[0], _words(second.slot.name, "")[0]
        found += [_hash("order", x, y) for x in {*a[-1:], *a[:1]} for y in {*b[-1:], *b[:1]}]
        ends = [bool(test.search(item.slot.name)) for item in (first, second) for test in (FIRST, SECOND)]
        found.append(_hash("ends", *ends))
        if between:
            found.append(_hash("between", between, *ends))
    here.append(_hash("schema", ahead))
    there.append(_hash("schema", not ahead))
    less = one.slot.value < two.slot.value
    whole = bool(FIRST.search(one.slot.name) and SECOND.search(two.slot.name))
    for found, smaller in ((here, less), (there, not less)):
        found += [_hash("less", _words(one.slot.name, "")[0][-1:], _words(two.slot.name, "")[0][-1:], smaller), _hash("ends less", whole, smaller)]


def _distance(one: Said, two: Said, said: Sequence[Said], here: list[int], there: list[int]) -> None:
    rest = [[i.span for i in said if i.call == a.call and i is not a and i.span != b.span] for a, b in ((one, two), (two, one))]

    def near(span: tuple[int, int], others: Sequence[tuple[int, int]]) -> int:
        return min((max(start - span[1], span[0] - end, 0) for start, end in others), default=0)

    now, then = near(one.span, rest[0]) + near(two.span, rest[1]), near(two.span, rest[0]) + near(one.span, rest[1])
    sign, far, same = (now > then) - (now < then), min(abs(now - then) // 8, 4), one.slot.name == two.slot.name
    along = (one.call < two.call) == (one.span < two.span)
    for found, side, order in ((here, sign, along), (there, -sign, not along)):
        found += [_hash("near", same, all(rest), side), _hash("near far", same, side, far), _hash("along", same, any(rest), order)]
        if all(rest):
            kept = ((min(rest[0]) < min(rest[1])) == (one.span < two.span)) == (found is here)
            found += [_hash("cross", same, kept), _hash("cross along", same, kept, order), _hash("cross near", same, kept, side)]


@lru_cache(maxsize=1)
def _weights() -> np.ndarray:
    held = json.loads((resources.files("needle.generate") / FILE).read_text(encoding="utf-8"))
    return np.frombuffer(zlib.decompress(base64.b64decode(held["weights"])), dtype=np.int8).astype(np.float32) * held["scale"]


def fit(traces: Sequence[Any], *, epochs: int = 2, rate: float = 0.1, decay: float = 1e-3, seed: int = 0) -> np.ndarray:
    """Weights by logistic regression with Adagrad (Duchi et al. 2011) on every pair of every trace; float32, ``2**BITS``."""
    data = []
    for trace in traces:
        said = stated(trace.calls, trace.tools, ground_calls(trace.calls, trace.tools, trace.query, trace.system))
        for one, two in pairs(said):
            if not interchangeable(trace.calls, one, two, trace.tools):
                continue
            found = features(one, two, said, trace.query)
            data.append((np.fromiter(found, dtype=np.int64), np.fromiter(found.values(), dtype=np.float32)))
    weights, squares = np.zeros(1 << BITS, np.float32), np.full(1 << BITS, 1e-6, np.float32)
    rng = random.Random(seed)
    for _ in range(epochs):
        rng.shuffle(data)
        for places, counts in data:
            wrong = 1 / (1 + np.exp(np.clip(float(weights[places] @ counts), -30, 30)))
            slope = decay * weights[places] - wrong * counts
            squares[places] += slope * slope
            weights[places] -= rate * slope / np.sqrt(squares[places])
    return weights


def main() -> None:
    """Fit on a file of traces and write ``roles.json`` beside this module."""
    from needle.traces.read import read_traces

    weights = fit(read_traces(sys.argv[1])[0])
    scale = float(np.abs(weights).max()) / 127
    packed = zlib.compress(np.round(weights / scale).astype(np.int8).tobytes(), 9)
    made = {"bits": BITS, "scale": scale, "weights": base64.b64encode(packed).decode()}
    (Path(__file__).parent / FILE).write_text(json.dumps(made) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
