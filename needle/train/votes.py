"""Shares of a vote as soft labels of tokens: where several labels of a request part, each next token gets the votes
through it.

``needle generate --votes`` keeps with a row what share of the labels took which decision (``meta.votes.decisions``:
which tools, which member of an enum, whether an optional argument is given). Every other answer is written as the
student would write it; together they are the branches of a trie, and at each token of the row's own answer where
branches part, the target is the share of votes that goes each way. No teacher's weights or log-probabilities are
needed, and the teacher may have any tokenizer. A decision is judged with the others taken as in the row's answer.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tokenizers import Tokenizer

from needle.student.rendering import render_answer
from needle.student.tokenizer import CALL, EOS, NONE, SPECIAL_IDS, encode
from needle.tools import ToolCall, ToolSpec
from needle.traces import Trace
from needle.traces.write import dump_json

Paths = Sequence[tuple[Sequence[int], float]]
"""Answers (or beginnings of answers) as token ids, each with its share of the votes."""
Votes = tuple[tuple[int, tuple[tuple[int, float], ...]], ...]
"""Places in an answer, each with next tokens and their shares."""
NO_CALL = ""
"""How a vote writes that no tool is called."""


def branches(paths: Paths, gold: Sequence[int]) -> dict[int, dict[int, float]]:
    """Shares of next tokens at every place of ``gold`` where the ``paths`` that came with it so far part."""
    found: dict[int, dict[int, float]] = {}
    live = list(paths)
    for place, token in enumerate(gold):
        shares: dict[int, float] = defaultdict(float)
        for ids, share in live:
            if place < len(ids):
                shares[ids[place]] += share
        if len(shares) > 1:
            total = sum(shares.values())
            found[place] = {other: share / total for other, share in shares.items()}
        live = [(ids, share) for ids, share in live if place < len(ids) and ids[place] == token]
    return found


def row_votes(tokenizer: Tokenizer, trace: Trace, answer: Sequence[int]) -> Votes:
    """The votes of a row at the places of its ``answer``; empty for a row without votes, or whose votes speak of
    other calls."""
    decisions = (trace.meta.get("votes") or {}).get("decisions") or {}
    said: dict[int, dict[int, float]] = {}
    for paths in _alternatives(tokenizer, trace, answer, decisions):
        for place, shares in branches(paths, answer).items():
            said[place] = _after(said.get(place), shares, answer[place])
    return tuple((place, tuple(sorted(shares.items()))) for place, shares in sorted(said.items()))


def _after(earlier: Mapping[int, float] | None, shares: Mapping[int, float], gold: int) -> dict[int, float]:
    """Two decisions at one token: the later is taken only where the earlier went the way of the answer."""
    if earlier is None:
        return dict(shares)
    both = {token: share for token, share in earlier.items() if token != gold}
    for token, share in shares.items():
        both[token] = both.get(token, 0.0) + earlier.get(gold, 0.0) * share
    return both


def _alternatives(
    tokenizer: Tokenizer, trace: Trace, answer: Sequence[int], decisions: Mapping[str, Any]
) -> Iterator[Paths]:
    """For each decision the answers that it could have led to; decisions that do not fit the row's calls are left
    out."""
    tools = decisions.get("tools") or {}
    names = [call.name for call in trace.calls]
    key = " + ".join(names)
    # a row that was varied into another (joined, negated, robbed of its tool) is not what was voted on
    if not tools or key not in tools or tools[key] < max(tools.values()):
        return
    yield [
        (answer if said == key else _towards(tokenizer, answer, names, said), share) for said, share in tools.items()
    ]
    by_name = {tool.name: tool for tool in trace.tools}
    for name, shares in (decisions.get("members") or {}).items():
        spot = _Spot.find(name, trace.calls)
        if spot is not None and spot.value is not _Spot.ABSENT and dump_json(spot.value) in shares:
            values = ((spot.with_value(json.loads(text)), share) for text, share in shares.items())
            yield [(render_answer(tokenizer, calls, trace.tools)[0], share) for calls, share in values]
    spots = [(_Spot.find(name, trace.calls), share) for name, share in (decisions.get("given") or {}).items()]
    for spot, share in sorted((pair for pair in spots if pair[0] is not None), key=lambda pair: pair[0].order(by_name)):
        absent = spot.value is _Spot.ABSENT
        other = spot.with_value(None) if absent else spot.without()
        said = 1 - share if absent else share
        yield [(answer, said), (render_answer(tokenizer, other, trace.tools)[0], 1 - said)]


def _towards(tokenizer: Tokenizer, answer: Sequence[int], names: Sequence[str], said: str) -> list[int]:
    """The beginning of an answer with the tools ``said``: as the row's own while the tools agree, then up to the
    other tool's name."""
    if said == NO_CALL:
        return [SPECIAL_IDS[NONE], SPECIAL_IDS[EOS]]
    others = said.split(" + ")
    same = next(
        (n for n, pair in enumerate(zip(names, others, strict=False)) if pair[0] != pair[1]),
        min(len(names), len(others)),
    )
    starts = [place for place, token in enumerate(answer) if token == SPECIAL_IDS[CALL]]
    begun = list(answer[: [*starts, len(answer) - 1][same]]) if names else []
    return (
        [*begun, SPECIAL_IDS[EOS]]
        if same == len(others)
        else [*begun, SPECIAL_IDS[CALL], *encode(tokenizer, others[same] + '{"')]
    )


@dataclass(frozen=True)
class _Spot:
    """A place in a row's calls: ``call index.argument path``."""

    calls: tuple[ToolCall, ...]
    number: int
    keys: tuple[str, ...]
    value: Any

    ABSENT = object()

    @classmethod
    def find(cls, name: str, calls: Sequence[ToolCall]) -> _Spot | None:
        """None where the call, or the object that holds the argument, is not there."""
        number, _, path = name.partition(".")
        if not number.isdigit() or int(number) >= len(calls) or not path:
            return None
        keys, holder = path.split("."), calls[int(number)].arguments
        if path in holder:
            keys = [path]
        for key in keys[:-1]:
            holder = holder.get(key) if isinstance(holder, dict) else None
        if not isinstance(holder, dict):
            return None
        return cls(tuple(calls), int(number), tuple(keys), holder.get(keys[-1], cls.ABSENT))

    def order(self, tools: Mapping[str, ToolSpec]) -> tuple[int, int]:
        """Place in the answer, as far as the top level of the schema tells."""
        tool = tools.get(self.calls[self.number].name)
        keys = list(tool.properties) if tool else []
        return self.number, keys.index(self.keys[0]) if self.keys[0] in keys else len(keys)

    def with_value(self, value: Any) -> list[ToolCall]:
        """The calls with another value there."""
        return self._changed(lambda holder: holder | {self.keys[-1]: value})

    def without(self) -> list[ToolCall]:
        """The calls without that argument."""
        return self._changed(lambda holder: {key: value for key, value in holder.items() if key != self.keys[-1]})

    def _changed(self, change: Any) -> list[ToolCall]:
        def inside(holder: dict[str, Any], keys: Sequence[str]) -> dict[str, Any]:
            return change(holder) if len(keys) == 1 else holder | {keys[0]: inside(holder[keys[0]], keys[1:])}

        call = self.calls[self.number]
        changed = ToolCall(call.name, inside(call.arguments, self.keys))
        return [*self.calls[: self.number], changed, *self.calls[self.number + 1 :]]
