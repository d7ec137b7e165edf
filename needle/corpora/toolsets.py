"""Labelled requests to rows: toolsets of varied hardness, each shared by a few dozen requests.

A request of a corpus is an ``Item``: text, and the functions that it asks for with the values of their slots. ``assemble``
draws a toolset (the functions of some requests and others beside them), words it, and gives it to all requests that fit.
A share of the requests finds its function withheld, lacks a required value, or is joined with another one.
"""

from __future__ import annotations

import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from needle.corpora.functions import Function, Slot, Style, Worded, draw_style, encode, word_function
from needle.tools import ToolCall
from needle.traces import Trace


@dataclass(frozen=True)
class Item:
    """One labelled request of a corpus."""

    id: str
    """Where it stands in the corpus."""
    text: str
    """The request."""
    calls: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    """(key of a function, slot -> value) in order; empty: no function is asked for."""
    kind: str = ""
    """Kind of a row without calls: ``chat`` or ``irrelevant``."""
    system: str | None = None
    """Facts that hold for the request."""
    messages: tuple[dict[str, Any], ...] = ()
    """Earlier turns."""
    lacks: bool = False
    """Whether a value is known to be absent when its slot is (labels are complete): then a required slot means ``missing``."""
    meta: Mapping[str, Any] = field(default_factory=dict)
    """More lineage."""


@dataclass(frozen=True)
class Mix:
    """How rows are put together; the same for all sets unless the config says otherwise."""

    rows: tuple[int, int] = (16, 64)
    """Least and most rows of a toolset."""
    tools: tuple[int, int] = (1, 8)
    """Least and most tools of a toolset."""
    uses: float = 1.0
    """How often each labelled request is used, each time over another toolset (on average)."""
    withheld: float = 0.08
    """Share of rows whose function is not on offer; the answer is ``[]``."""
    joined: float = 0.12
    """Share of rows made of two or three requests over the same toolset."""
    chat: float = 0.03
    """Share of rows that ask for nothing, where the corpus has such text."""
    missing: float = 0.06
    """Most rows in which a required value is absent; the answer is ``[]``."""
    same_service: float = 0.6
    """How often a tool beside the asked one is taken from its service."""
    most: int = 0
    """Most rows of a set; 0: no limit."""


JOINTS = (
    "{} and {}", "{} and {}", "{} and then {}", "{}, then {}", "{} and also {}", "{}. Also {}", "{}, and {}", "{}. then {}", "{} plus {}", "{}; {}",
    "first {}, then {}", "{}, after that {}", "{}. Oh and {}", "I need two things: {} and {}", "{}. {}",
)  # fmt: skip
FEW = 200
"""Functions looked at for one toolset where a set has very many."""
NO_JOIN = re.compile(r"[?!]|^(and|also|then|no|yes|ok|okay|but|hi|hey|hello|thanks|thank)\b", re.IGNORECASE)


class Assembler:
    """Rows of one set. ``functions`` by key; ``items`` in a fixed order; the same seed gives the same rows."""

    def __init__(self, name: str, functions: Mapping[str, Function], items: Sequence[Item], mix: Mix, seed: int, dropped: Counter[str], apart: Callable[[Function, Function], bool] | None = None) -> None:
        """``apart``: whether two functions may be offered together, beside what their ``rivals`` say."""
        self.name, self.mix, self.dropped, self.apart = name, mix, dropped, apart
        self.rng = random.Random(f"{seed}/{name}")
        self.functions = {key: _with_choices(function, items) for key, function in functions.items()}
        self.asked: dict[str, list[Item]] = defaultdict(list)
        self.silent = [item for item in items if not item.calls]
        for item in items:
            if item.calls:
                self.asked[item.calls[0][0]].append(item)
        self.services: dict[str, list[str]] = defaultdict(list)
        for key in sorted(self.asked):
            self.services[self.functions[key].service].append(key)
        self.left = {key: self._deal(key) for key in sorted(self.asked)}
        self.everything = [item for key in sorted(self.asked) for item in self.asked[key]]
        self.tries: Counter[str] = Counter()

    def _deal(self, key: str) -> list[Item]:
        """The requests of a function in random order, each as often as ``uses`` says."""
        whole, part = int(self.mix.uses), self.mix.uses % 1
        dealt = [item for item in self.asked[key] for _ in range(whole + (self.rng.random() < part))]
        return self.rng.sample(dealt, len(dealt))

    def rows(self) -> Iterator[Trace]:
        """All rows, toolset after toolset, until the requests are used up (or ``most`` rows are made)."""
        made = number = 0
        while any(self.left.values()) and not (self.mix.most and made >= self.mix.most):
            number += 1
            for trace in self._toolset(number):
                made += 1
                yield trace
        self.dropped["fits no wording"] += sum(self.tries.values())

    def _toolset(self, number: int) -> list[Trace]:
        rng = self.rng
        keys = self._draw_functions()
        style = draw_style(rng)
        room = rng.randint(*self.mix.rows)
        chosen = self._draw_items(keys, max(1, round(room * (1 - self.mix.withheld - self.mix.chat))))
        worded = self._word(keys, chosen, style)
        tools = tuple(one.spec for one in worded.values())
        name = f"{self.name}-{number:05}"
        rows: list[tuple[str, Item, list[ToolCall]]] = []
        lacking: list[Item] = []
        for item in chosen:
            answer = self._answer(item, worded)
            if answer:
                rows.append(("single" if len(answer) == 1 else "parallel", item, answer))
            elif answer is None:
                self._give_back(item)
            else:
                lacking.append(item)
        allowed = int(len(rows) * self.mix.missing + rng.random())
        for item in lacking[allowed:]:
            self._give_back(item)
        if len(rows) < self.mix.rows[0] // 2:
            for _, item, _ in rows:
                self._give_back(item)
            return []
        rows = self._join(rows) + [("missing", item, []) for item in lacking[:allowed]]
        rows += self._without(keys, round(len(rows) * self.mix.withheld + rng.random() * 0.9))
        if self.silent:
            rows += [(item.kind, item, []) for item in rng.sample(self.silent, min(len(self.silent), round(len(rows) * self.mix.chat + rng.random() * 0.5)))]
        rng.shuffle(rows)
        domain = self.functions[keys[0]].service
        return [self._trace(f"{name}-{place:03}", name, domain, tools, *row) for place, row in enumerate(rows)]

    def _draw_functions(self) -> list[str]:
        """One function with many requests left, and others beside it, none of them a rival of another."""
        rng = self.rng
        keys = [key for key, items in self.left.items() if items]
        everyone = list(self.asked) if len(self.asked) <= FEW else rng.sample(list(self.asked), FEW)
        first = rng.choices(keys, [len(self.left[key]) for key in keys])[0]
        chosen = [first]
        wanted = min(rng.choices(range(self.mix.tools[0], self.mix.tools[1] + 1), [2, 2, 3, 4, 4, 4, 3, 2][: self.mix.tools[1] - self.mix.tools[0] + 1])[0], len(self.asked))
        for _ in range(4 * wanted):
            if len(chosen) >= wanted:
                break
            near = rng.random() < self.mix.same_service
            pool = self.services[self.functions[rng.choice(chosen)].service] if near else everyone
            other = rng.choices(pool, [1 + len(self.left[key]) for key in pool])[0]
            if other not in chosen and not any(self._rival(other, key) for key in chosen):
                chosen.append(other)
        return rng.sample(chosen, len(chosen))

    def _rival(self, one: str, other: str) -> bool:
        if self.apart is not None and not self.apart(self.functions[one], self.functions[other]):
            return True
        return other in self.functions[one].rivals or one in self.functions[other].rivals

    def _draw_items(self, keys: Sequence[str], room: int) -> list[Item]:
        """Requests for the functions, as evenly as what is left allows, at most ``room``."""
        chosen: list[Item] = []
        share = max(1, room // len(keys))
        for key in sorted(keys, key=lambda key: len(self.left[key])):
            take = min(len(self.left[key]), max(share, (room - len(chosen)) // max(1, len(keys))))
            chosen += [self.left[key].pop() for _ in range(min(take, room - len(chosen)))]
        offered = set(keys)
        for item in [item for item in chosen if not all(key in offered for key, _ in item.calls)]:
            chosen.remove(item)
            self._give_back(item)
        return chosen

    def _give_back(self, item: Item) -> None:
        """For another toolset, but not for ever."""
        self.tries[item.id] += 1
        if self.tries[item.id] <= 4:
            self.left[item.calls[0][0]].insert(0, item)
            return
        self.dropped["fits no wording"] += 1
        del self.tries[item.id]

    def _word(self, keys: Sequence[str], chosen: Sequence[Item], style: Style) -> dict[str, Worded]:
        """The toolset in one style, no name twice. Required are slots that must be there, and some of those that always are."""
        worded: dict[str, Worded] = {}
        names: set[str] = set()
        for key in keys:
            function = self.functions[key]
            given = [values for item in chosen for asked, values in item.calls if asked == key]
            always = {slot.key for slot in function.slots if given and all(slot.key in values for values in given)}
            often = {slot.key for slot in function.slots if given and sum(slot.key in values for values in given) >= 0.75 * len(given)}
            strict = self.rng.random() < 0.5
            must = {slot.key for slot in function.slots if slot.required and strict} | {slot for slot in sorted(always) if self.rng.random() < 0.8}
            must |= often if self.rng.random() < 0.3 else set()
            used = {slot for values in given for slot in values}
            spare = 0.5 if len(function.slots) < 6 else 0.2
            keep = [slot.key for slot in function.slots if slot.key in used | must or self.rng.random() < spare]
            for _ in range(8):
                made = word_function(function, style, self.rng, keep, must)
                if made.spec.name not in names:
                    break
            if made.spec.name not in names:
                names.add(made.spec.name)
                worded[key] = made
        return worded

    def _answer(self, item: Item, worded: Mapping[str, Worded]) -> list[ToolCall] | None:
        """The calls in this wording; ``[]`` when a required value is absent; ``None`` when the request does not fit the wording."""
        calls = []
        for key, values in item.calls:
            if key not in worded:
                return None
            one = worded[key]
            bare = item.lacks and not values and any(slot.required for slot in one.function.slots)
            if any(slot not in one.modes for slot in values) or (bare and not one.spec.required):
                return None  # a call without any of its essential values is asked of nobody
            arguments = {one.modes[slot][0]: encode(one, slot, value) for slot, value in values.items()}
            if None in arguments.values():
                return None
            if any(name not in arguments for name in one.spec.required):
                sure = item.lacks and all(slot.required for slot in one.function.slots if slot.key in one.modes and one.modes[slot.key][0] in one.spec.required and slot.key not in values)
                return [] if sure and len(item.calls) == 1 else None
            order = list(one.spec.properties)
            calls.append(ToolCall(one.spec.name, dict(sorted(arguments.items(), key=lambda entry: order.index(entry[0])))))
        return calls

    def _join(self, rows: list[tuple[str, Item, list[ToolCall]]]) -> list[tuple[str, Item, list[ToolCall]]]:
        """Some rows joined in twos (now and then threes); the parts are used up."""
        able = [row for row in rows if row[0] == "single" and not NO_JOIN.search(row[1].text.rstrip("?!. ")) and len(row[1].text) < 90 and not row[1].messages and not row[1].system]
        wanted = round(len(rows) * self.mix.joined + self.rng.random() - 0.5)
        self.rng.shuffle(able)
        joined = []
        while wanted > 0 and len(able) > 1:
            parts = [able.pop() for _ in range(3 if len(able) > 2 and self.rng.random() < 0.15 else 2)]
            if len({str(row[2][0].to_dict()) for row in parts}) == len(parts):
                item = Item("+".join(row[1].id for row in parts), join_texts([row[1].text for row in parts], self.rng), meta={"joined": len(parts)})
                joined.append(("parallel", item, [call for row in parts for call in row[2]]))
                for row in parts:
                    rows.remove(row)
            wanted -= 1
        return rows + joined

    def _without(self, keys: Sequence[str], wanted: int) -> list[tuple[str, Item, list[ToolCall]]]:
        """Requests whose function is not on offer: half of them near misses of the same services."""
        rows: list[tuple[str, Item, list[ToolCall]]] = []
        near = [other for key in keys for other in self.services[self.functions[key].service] if other not in keys]
        for _ in range(4 * wanted):
            if len(rows) >= wanted:
                break
            pool = self.asked[self.rng.choice(near)] if near and self.rng.random() < 0.5 else self.everything
            item = self.rng.choice(pool)
            asked = {key for key, _ in item.calls}
            if not any(key in keys or any(self._rival(key, other) or other in self.functions[key].kin for other in keys) for key in asked):
                rows.append(("irrelevant", item, []))
        return rows

    def _trace(self, row_id: str, toolset: str, domain: str, tools: tuple[Any, ...], kind: str, item: Item, calls: list[ToolCall]) -> Trace:
        meta = {"source": self.name, "row": item.id} | dict(item.meta)
        return Trace(row_id, item.text, tools, tuple(calls), kind, toolset, domain, item.system, {}, item.messages, meta)


def join_texts(texts: Sequence[str], rng: random.Random) -> str:
    """Two or three requests as one, with a connective."""
    texts = [text.strip().rstrip(".,;?!" if place + 1 < len(texts) else ".,;") for place, text in enumerate(texts)]
    joint = rng.choice(JOINTS)
    if len(texts) > 2:
        return f"{texts[0]}, {_low(texts[1])} and {_low(texts[2])}"
    text = joint.format(texts[0] if joint.startswith("{}") else _low(texts[0]), texts[1] if joint == "{}. {}" else _low(texts[1]))
    return f"{text}." if texts[0][:1].isupper() and rng.random() < 0.6 else text


OPENINGS = ("", "", "", "I need help with a few things. ", "Please help me with some tasks. ", "A couple of things. ", "I have several requests. ", "Here is what I need. ", "Could you do a few things for me. ")
FIRST = ("", "", "First, ", "First, please ", "Please ", "To begin with, ")
NEXT = ("Then ", "Then, ", "After that, ", "Next, ", "Also, ", "Additionally, ", "And then ", "Once that is done, ", "")
LAST = ("Finally, ", "Lastly, ", "And finally, ", "After that, ", "Also ", "Last, ")


def chain_texts(texts: Sequence[str], rng: random.Random) -> str:
    """Several requests as the steps of one, a sentence each."""
    leads = [rng.choice(FIRST), *(rng.choice(NEXT) for _ in texts[2:]), rng.choice(LAST)]
    steps = [lead + (_low(text) if lead else text[:1].upper() + text[1:]) for lead, text in zip(leads, (text.strip().rstrip(".,;?!") for text in texts), strict=True)]
    return rng.choice(OPENINGS) + " ".join(f"{step}." for step in steps)


def _low(text: str) -> str:
    first = text.split()[0] if text.split() else ""
    return text if len(first) < 2 or first in ("I'm", "I'd", "I'll", "I've") or not first[1:].islower() else text[0].lower() + text[1:]


def _with_choices(function: Function, items: Sequence[Item]) -> Function:
    """``closed`` slots learn their frequent values from the requests."""
    if not any(slot.kind == "closed" and not slot.choices for slot in function.slots):
        return function
    return replace(function, slots=tuple(_learn(slot, function.key, items) for slot in function.slots))


def _learn(slot: Slot, key: str, items: Sequence[Item]) -> Slot:
    if slot.kind != "closed" or slot.choices:
        return slot
    seen: Counter[str] = Counter()
    for item in items:
        for asked, values in item.calls:
            value = values.get(slot.key) if asked == key else None
            seen.update(str(part).lower() for part in (value if isinstance(value, list | tuple) else [value]) if part)
    return replace(slot, choices=tuple(value for value, count in seen.most_common(14) if count > 1))
