"""Seeded corruptions of right rows: wrong answers of known kinds, to measure what the verifier catches.

    bad = corrupt(trace, "dropped_value", pool, random.Random(0))      # calls, or None where the row gives no such error

Every corrupted answer still fits the schemas, so that the plain schema check cannot catch it; ``needs`` says why the
answer is certainly wrong: what is dropped or exchanged is a value that the request states.
"""

from __future__ import annotations

import copy
import random
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from needle.generate.plan import SUGGEST, Plan, PlannedCall
from needle.generate.stated import Stated
from needle.generate.values import Suggester
from needle.tools.arguments import flat_arguments, schema_at
from needle.tools.grounding.ground import ground_calls, slots
from needle.tools.grounding.hearing import hear
from needle.tools.spec import ToolCall
from needle.tools.validate import is_valid
from needle.traces.trace import Trace

CLASSES = ("wrong_tool", "dropped_value", "invented_value", "swapped_arguments", "wrong_number_form", "extra_call")
AS_SAID = 0.5
"""Chance that an author states a value in the words of the request."""
FORGOTTEN = 0.05
"""Chance that an author forgets to state an optional argument."""


class Pool:
    """Values and calls of other rows, to take wrong ones from that look right."""

    def __init__(self, traces: Iterable[Trace]) -> None:
        self._by_name: dict[tuple[str, str], list[Any]] = defaultdict(list)
        self._by_type: dict[str, list[Any]] = defaultdict(list)
        self.calls: dict[str, list[ToolCall]] = defaultdict(list)
        for trace in traces:
            self.calls[trace.toolset] += trace.calls
            for slot in slots(trace.calls, trace.tools):
                if not isinstance(slot.value, bool) and "enum" not in slot.schema:
                    kind = _kind(slot.value)
                    self._by_name[slot.name, kind].append(slot.value)
                    self._by_type[kind].append(slot.value)

    def values(self, name: str, value: Any, rng: random.Random) -> list[Any]:
        """Values for a parameter, those of parameters of its name first."""
        kind = _kind(value)
        named, any_name = self._by_name[name, kind], self._by_type[kind]
        return rng.sample(named, min(12, len(named))) + rng.sample(any_name, min(12, len(any_name)))


def plan_of(trace: Trace, rng: random.Random | None = None) -> Plan:
    """The plan that a right row fulfils: its tools, optional arguments, and settled values of enums and booleans.

    With ``rng``, other values are also suggested, where the planner could suggest one and with its chance, as if the author
    had used every suggestion.
    """
    suggester = Suggester()
    by_name = {tool.name: tool for tool in trace.tools}
    calls = []
    for call in trace.calls:
        tool = by_name[call.name]
        flat = dict(flat_arguments(call.arguments))
        mention = tuple(path for path in flat if path.split(".")[0] not in tool.required)
        settled = {
            path: value
            for path, value in flat.items()
            if isinstance(value, bool) or schema_at(tool.parameters, path).get("enum")
        }
        hints = {
            path: value
            for path, value in flat.items()
            if rng and path not in settled and rng.random() < SUGGEST and suggester.suggest(tool, path, random.Random(0)) is not None
        }
        calls.append(PlannedCall(call.name, mention, settled, suggest=hints))
    return Plan(trace.kind, 0, 0, tuple(calls))


def stated_of(trace: Trace, rng: random.Random) -> tuple[Stated, ...]:
    """What an honest author of a right row states beside it: every value, half of the values that the request says in other
    words in those words, and now and then an optional argument forgotten."""
    by_name = {tool.name: tool for tool in trace.tools}
    words = {
        item.path: trace.query[slice(*item.span)]
        for item in ground_calls(trace.calls, trace.tools, trace.query, trace.system)
        if item.span and not isinstance(item.value, bool)
    }
    found = []
    for number, call in enumerate(trace.calls):
        told: dict[str, Any] = {}
        for path, value in flat_arguments(call.arguments):
            at, needed = f"{number}.{path}", path.split(".")[0] in by_name[call.name].required
            forgotten = rng.random() < FORGOTTEN and not needed
            if isinstance(value, list):
                value = [words.get(f"{at}.{n}", item) if rng.random() < AS_SAID else item for n, item in enumerate(value)]
            elif rng.random() < AS_SAID:
                value = words.get(at, value)
            told |= {} if forgotten else {path: value}
        found.append(Stated(call.name, told))
    return tuple(found)


def corrupt(trace: Trace, kind: str, pool: Pool, rng: random.Random) -> tuple[ToolCall, ...] | None:
    """Wrong calls of a class for a right row; None where the row cannot give such an error, or not surely."""
    assert trace.calls and kind in CLASSES
    for _ in range(6):
        calls = _MAKERS[kind](trace, pool, rng)
        if calls is None:
            continue
        if not same_calls(calls, trace) and is_valid(calls, list(trace.tools)):
            return tuple(calls)
    return None


def same_calls(calls: Sequence[ToolCall], trace: Trace) -> bool:
    """Whether calls are the row's, in any order, or come close enough for the row's own ``alternatives``."""
    left = [call.to_dict() for call in calls]
    right = [call.to_dict() for call in trace.calls]
    if len(left) != len(right):
        return False
    if sorted(map(repr, left)) == sorted(map(repr, right)):
        return True
    return any(
        _other(trace, number, path, got)
        for number, (one, two) in enumerate(zip(left, right))
        for path, got in _differing(one["arguments"], two["arguments"])
    )


def _other(trace: Trace, number: int, path: str, got: Any) -> bool:
    return got in trace.alternatives.get(f"{number}.{path}", ())


def _differing(one: dict[str, Any], two: dict[str, Any]) -> list[tuple[str, Any]]:
    return [(key, one.get(key)) for key in {*one, *two} if one.get(key) != two.get(key)]


def _kind(value: Any) -> str:
    if isinstance(value, str):
        for name, pattern in (("date", r"\d{4}-\d\d-\d\d"), ("time", r"\d\d:\d\d(:\d\d)?"), ("moment", r"\d{4}-\d\d-\d\dT.*")):
            if re.fullmatch(pattern, value):
                return name
        return "text"
    return "integer" if isinstance(value, int) else "number"


def _copied(trace: Trace) -> list[ToolCall]:
    return [ToolCall(call.name, copy.deepcopy(call.arguments)) for call in trace.calls]


def _place(call: ToolCall, path: str) -> tuple[Any, Any]:
    """Container and key of a dotted path in a call's arguments."""
    held: Any = call.arguments
    *way, last = path.split(".")
    for part in way:
        held = held[int(part)] if isinstance(held, list) else held[part]
    return held, int(last) if isinstance(held, list) else last


def _slots_said(trace: Trace) -> list[tuple[int, str, Any, tuple[int, int]]]:
    """Call number, path, value and span of everything that the request states."""
    found = []
    for item in ground_calls(trace.calls, trace.tools, trace.query):
        if item.span and item.how in ("said", "normalised") and not isinstance(item.value, bool):
            number, _, path = item.path.partition(".")
            found.append((int(number), path, item.value, item.span))
    return found


def _wrong_tool(trace: Trace, pool: Pool, rng: random.Random) -> list[ToolCall] | None:
    """Another tool of the set, with the arguments that it shares and the rest by type."""
    calls = _copied(trace)
    number = rng.randrange(len(calls))
    old = calls[number]
    others = [tool for tool in trace.tools if tool.name != old.name]
    for tool in rng.sample(others, len(others)):
        given = {name: value for name, value in old.arguments.items() if name in tool.properties}
        spare = [value for name, value in old.arguments.items() if name not in given]
        for name in tool.required:
            for value in spare if name not in given else ():
                if is_valid([ToolCall(tool.name, given | {name: value})], [tool]) or _kind(value) == "text":
                    given[name] = value
                    spare.remove(value)
                    break
        calls[number] = ToolCall(tool.name, given)
        if is_valid([calls[number]], list(trace.tools)):
            return calls
    return None


def _dropped(trace: Trace, pool: Pool, rng: random.Random) -> list[ToolCall] | None:
    """A stated optional value, or a stated item of a list, is missing."""
    calls = _copied(trace)
    by_name = {tool.name: tool for tool in trace.tools}
    options = []
    for number, path, _, _ in _slots_said(trace):
        call = calls[number]
        held, key = _place(call, path)
        needed = path.split(".")[0] in by_name[call.name].required
        if (isinstance(held, list) and len(held) > 1) or (isinstance(held, dict) and ("." in path or not needed)):
            options.append((number, path))
    if not options:
        return None
    number, path = rng.choice(options)
    if {None} & set(trace.alternatives.get(f"{number}.{path}", ())):
        return None
    held, key = _place(calls[number], path)
    del held[key]
    return calls


def _invented(trace: Trace, pool: Pool, rng: random.Random) -> list[ToolCall] | None:
    """A stated value is exchanged for one of another row that this request does not state."""
    calls = _copied(trace)
    options = _slots_said(trace)
    free = [slot for slot in slots(trace.calls, trace.tools) if not isinstance(slot.value, bool) and "enum" not in slot.schema]
    names = {slot.path: slot.name for slot in free}
    options = [item for item in options if f"{item[0]}.{item[1]}" in names]
    if not options:
        return None
    number, path, value, _ = rng.choice(options)
    held, key = _place(calls[number], path)
    heard = {item.value for item in hear(trace.query)}
    for other in pool.values(names[f"{number}.{path}"], value, rng):
        told = str(other).casefold() in trace.query.casefold() or other in heard
        if other != value and not told and str(value).casefold() not in str(other).casefold():
            held[key] = other
            return calls
    return None


def _swapped(trace: Trace, pool: Pool, rng: random.Random) -> list[ToolCall] | None:
    """Two stated values of one kind stand in each other's place, in one call or across two."""
    calls = _copied(trace)
    options = [item for item in _slots_said(trace) if not isinstance(_place(calls[item[0]], item[1])[0], list)]
    pairs = [
        (one, two)
        for index, one in enumerate(options)
        for two in options[index + 1 :]
        if _kind(one[2]) == _kind(two[2]) and one[2] != two[2] and one[3] != two[3]
    ]
    for one, two in rng.sample(pairs, min(6, len(pairs))):
        made = _copied(trace)
        (held, key), (other, name) = _place(made[one[0]], one[1]), _place(made[two[0]], two[1])
        held[key], other[name] = other[name], held[key]
        if is_valid(made, list(trace.tools)) and not same_calls(made, trace):
            return made
    return None


def _form(trace: Trace, pool: Pool, rng: random.Random) -> list[ToolCall] | None:
    """A stated number, time or date is written in a wrong form: other power of ten, other half of the day, day for month."""
    calls = _copied(trace)
    options = [item for item in _slots_said(trace) if _kind(item[2]) not in ("text",)]
    if not options:
        return None
    number, path, value, span = rng.choice(options)
    held, key = _place(calls[number], path)
    said = trace.query[span[0] : span[1]]
    if isinstance(value, int | float):
        made: Any = rng.choice([value * 10, value * 100, value * 1000, value / 10, value / 100, -value, value * 60])
        made = int(made) if isinstance(value, int) and made == int(made) else round(made, 6)
        if made in {item.value for item in hear(trace.query)}:
            return None
    elif _kind(value) == "date":
        year, month, day = value.split("-")
        made = f"{year}-{day}-{month}" if int(day) <= 12 and day != month else f"{int(year) + 1}-{month}-{day}"
        if re.search(r"\d[./]\d", said) or (year not in trace.query and made[5:] == value[5:]):
            return None
    else:
        marked = re.search(r"(a\.?m|p\.?m|morning|afternoon|evening|night|noon|1[3-9]:|2[0-3]:|0\d:)", said, re.I)
        place = value.find(":") - 2
        hour = int(value[place : place + 2])
        made = f"{value[:place]}{(hour + 12) % 24:02d}{value[place + 2:]}" if marked else f"{value[:place + 3]}{hour % 60:02d}{value[place + 5:]}"
    held[key] = made
    return calls


def _extra(trace: Trace, pool: Pool, rng: random.Random) -> list[ToolCall] | None:
    """One call more: of another tool with another row's arguments, or the same call again with another value."""
    calls = _copied(trace)
    others = [call for call in pool.calls[trace.toolset] if call not in calls]
    if not others:
        return None
    other = rng.choice(others)
    calls.insert(rng.randrange(len(calls) + 1), ToolCall(other.name, copy.deepcopy(other.arguments)))
    return calls


_MAKERS: dict[str, Callable[[Trace, Pool, random.Random], list[ToolCall] | None]] = {
    "wrong_tool": _wrong_tool,
    "dropped_value": _dropped,
    "invented_value": _invented,
    "swapped_arguments": _swapped,
    "wrong_number_form": _form,
    "extra_call": _extra,
}
