"""What the author of a request says beside it: which value it meant for which argument of which call.

    {"message": "Move the dentist from 3 to 5 pm", "values": [{"tool": "move", "arguments": {"from": "15:00", "to": "5 pm"}}]}

The labeller never sees it, so that author and labeller are independent witnesses: a label whose values are others, or stand
in each other's place, is refused as ``author_disagrees``. Values may be as said or as the schema wants them; what neither
reading can tell is no evidence. An answer without readable values is a message all the same.
"""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from needle.generate.refusal import Refusal
from needle.teacher.wire import WireNames
from needle.tools.arguments import flat_arguments, leaves, plain_schema, schema_at
from needle.tools.grounding.ground import NO, YES, Grounding, Slot, ground, means, member_span
from needle.tools.grounding.hearing import hear, today_in
from needle.tools.grounding.said import STOP, folded, said, words_of
from needle.tools.grounding.units import units_of_parameter
from needle.tools.spec import ToolCall, ToolSpec

REPLY = re.compile(r'^\s*\{\s*"(?:message|values)"\s*:', re.M)
"""Where the JSON of an answer begins, whatever stands before it."""
MESSAGE = re.compile(r'"message"\s*:\s*("(?:[^"\\]|\\.)*")', re.S)
CODE = re.compile(r"[A-Za-z][A-Za-z./_-]*\d[\w./-]*")
PARTS = re.compile(r"\s*(?:[,;&]|\band\b)\s*", re.I)
"""Between the items of a list that an author gives as one text."""
READ = ("said", "normalised", "implied")
"""Origins of a value that make an author's words the words for it."""


@dataclass(frozen=True)
class Stated:
    """One call as its author meant it."""

    tool: str
    """Name of the tool."""
    arguments: dict[str, Any] = field(default_factory=dict, hash=False)
    """Dotted path to the value, as said or as meant; what is empty is left out."""


@dataclass(frozen=True)
class Witness:
    """What the author's values say to a label."""

    refusals: tuple[Refusal, ...] = ()
    """``author_disagrees``, one a value."""
    agreed: frozenset[str] = frozenset()
    """``call index.argument path`` of values on which author and label agree."""


def read_reply(text: str) -> tuple[str, Any]:
    """The message of an author's answer and its raw ``values``; None for an answer in plain text or broken JSON.
    JSON of which not even the message can be read gives an empty one."""
    start = REPLY.search(text)
    if not start:
        return text, None
    try:
        held, _ = json.JSONDecoder(strict=False).raw_decode(text, text.index("{", start.start()))
        if isinstance(held.get("message"), str):
            return held["message"], held.get("values")
    except ValueError:
        pass
    message = MESSAGE.search(text)
    try:
        return (json.loads(message[1], strict=False) if message else ""), None
    except ValueError:
        return "", None


def read_stated(values: Any, names: WireNames) -> tuple[Stated, ...] | None:
    """The calls under ``values``; None when they are not in the form asked for."""
    if not isinstance(values, list):
        return None
    found = []
    for item in values:
        arguments = (item.get("arguments") or {}) if isinstance(item, dict) else None
        if not isinstance(arguments, dict) or not isinstance(item.get("tool"), str):
            return None
        flat = {path: value for path, value in flat_arguments(arguments) if value not in (None, "", [], {})}
        found.append(Stated(names.back(item["tool"]), flat))
    return tuple(found)


def witness(
    stated: Sequence[Stated],
    calls: Sequence[ToolCall],
    tools: Sequence[ToolSpec],
    request: str,
    groundings: Sequence[Grounding],
    facts: str | None = None,
) -> Witness:
    """Compare a label with what the author states. Calls without a partner are left to the plan, which counts them.

    Args:
        stated: the author's values; empty: nothing is said.
        calls: a label that fits the schemas.
        tools: the tools on offer.
        request: the message.
        groundings: of the label, from ``ground_calls``.
        facts: system text and earlier turns.
    """
    by_name = {tool.name: tool for tool in tools}
    texts = {item.path: request[slice(*item.span)] for item in groundings if item.span}
    reader = _Reader(request, today_in(facts), texts)
    options = [
        (found, abs(number - place), number, place)
        for number, call in enumerate(calls)
        for place, item in enumerate(stated)
        if item.tool == call.name
        for found in [reader.call(number, call, by_name[call.name], item)]
    ]
    refusals: list[Refusal] = []
    agreed: set[str] = set()
    both: dict[str, tuple[str, str]] = {}
    taken: tuple[set[int], set[int]] = (set(), set())
    for found, _, number, place in sorted(options, key=lambda item: (item[0].against, *item[1:])):
        if number not in taken[0] and place not in taken[1]:
            taken[0].add(number)
            taken[1].add(place)
            refusals += found.refusals
            agreed |= found.agreed
            both |= {
                f"{number}.{path}": (_bare(value), _bare(stated[place].arguments[path]))
                for path, value in flat_arguments(calls[number].arguments)
                if path in stated[place].arguments
            }
    for one, other in combinations(both, 2) if not refusals else ():  # "Ann" is in "Ann's studio", so that each alone may pass
        if both[one] == both[other][::-1] and both[one][0] != both[one][1]:
            refusals.append(Refusal("author_disagrees", f"{one} and {other} are exchanged"))
    return Witness(tuple(refusals), frozenset(agreed))


@dataclass(frozen=True)
class _Pair:
    """One call beside one that the author states."""

    refusals: tuple[Refusal, ...]
    agreed: frozenset[str]

    @property
    def against(self) -> int:
        return len(self.refusals) - len(self.agreed)


@dataclass(frozen=True)
class _Reader:
    """Reads values in the light of a request."""

    request: str
    today: datetime.date | None
    texts: Mapping[str, str]
    """``call index.argument path`` to the words that state the label's value."""

    def call(self, number: int, call: ToolCall, tool: ToolSpec, item: Stated) -> _Pair:
        flat, refusals, agreed = dict(flat_arguments(call.arguments)), [], set()
        for path, told in _known(item.arguments, leaves(tool)):
            schema, at = schema_at(tool.parameters, path), f"{number}.{path}"
            if path in flat:
                verdict = self.agrees(flat[path], told, at, schema, tool.parameters)
                if verdict:
                    agreed |= {at, *(text for text in self.texts if text.startswith(f"{at}."))}
                elif verdict is False:
                    refusals.append(Refusal("author_disagrees", f"{at}: author has {told!r}; label has {flat[path]!r}"))
            elif not any(name.startswith(f"{path}.") for name in flat) and self._in_request(told, path, schema):
                refusals.append(Refusal("author_disagrees", f"{at}: author has {told!r}; label has nothing"))
        return _Pair(tuple(refusals), frozenset(agreed))

    def agrees(self, value: Any, told: Any, at: str, schema: dict[str, Any], root: dict[str, Any]) -> bool | None:
        """Whether a label's value is what the author states for it; None where the author's words cannot be read."""
        if isinstance(value, list):
            return self._list(value, told, at, plain_schema(schema.get("items") or {}, root), root)
        if isinstance(value, dict) or isinstance(told, dict):
            return self._object(value, told, at, schema, root) if isinstance(value, dict) and isinstance(told, dict) else None
        told = ", ".join(map(str, told)) if isinstance(told, list) else told
        if isinstance(value, bool):
            switched = _switch(told)
            return None if switched is None else switched == value
        if _bare(value) == _bare(told) or (value == told and not isinstance(told, bool)):
            return True
        if CODE.fullmatch(str(value)) and CODE.fullmatch(str(told)):
            return False  # no reading makes one code of another
        if members := schema.get("enum"):
            return _member(value, told, members, schema)
        stated = self.texts.get(at, "")
        if stated and (said(str(told), stated) or said(stated, str(told))):
            return True
        return self._same(Slot(at, at.rpartition(".")[2], value, schema), told)

    def _same(self, slot: Slot, told: Any) -> bool | None:
        words, value = str(told), slot.value
        how = ground(slot, words, None, self.today)
        if how.how in READ or (how.how == "schema" and how.span):
            return True
        if isinstance(value, int | float):
            numbers = {item.value for item in hear(words) if item.kind == "number"}
            wanted = units_of_parameter(slot.name, slot.schema)
            meant = [item for item in hear(self.request) if item.kind == "number" and item.value in numbers]
            # the sign is a matter of the request's words, which groundedness looks at
            same = abs(value) in numbers or any(means(item, abs(value), wanted, slot.schema) for item in meant)
            return same if numbers else None
        if re.match(r"\d{4}-\d\d-\d\d|\d\d:\d\d", value):
            return False if any(item.kind in ("date", "time", "month") for item in hear(words, self.today)) else None
        back = Slot(slot.path, slot.name, words, slot.schema)
        return ground(back, value, None, self.today).how in READ

    def _object(self, value: dict[str, Any], told: dict[str, Any], at: str, schema: dict[str, Any], root: dict[str, Any]) -> bool:
        """An item of a list: every key of the author's agrees, or is nothing that the request states."""
        inner = {key: plain_schema((schema.get("properties") or {}).get(key) or {}, root) for key in told}
        return all(
            self.agrees(value[key], other, f"{at}.{key}", inner[key], root) is not False
            if key in value
            else key not in (schema.get("properties") or {}) or not self._in_request(other, key, inner[key])
            for key, other in told.items()
        )

    def _list(self, value: list[Any], told: Any, at: str, schema: dict[str, Any], root: dict[str, Any]) -> bool:
        def one(number: int, other: Any) -> bool:
            return self.agrees(value[number], other, f"{at}.{number}", schema, root) is not False

        places = range(len(value))
        if any(isinstance(item, dict) for item in value):
            return not isinstance(told, list) or (len(told) == len(value) and all(one(number, told[number]) for number in places))
        if isinstance(told, list) and len(told) > 1:
            every = all(any(one(n, other) for other in told) for n in places)
            return len(told) == len(value) and every and all(any(one(n, other) for n in places) for other in told)
        told = told[0] if isinstance(told, list) and told else told
        parts = [part for part in PARTS.split(str(told)) if part]
        return all(one(n, told) for n in places) and all(any(one(n, part) or said(part, str(value[n])) for n in places) for part in parts)

    def _in_request(self, told: Any, path: str, schema: dict[str, Any]) -> bool:
        """Whether the request states what the author claims: otherwise it only thought of it."""
        items = told if isinstance(told, list) else [told]
        return any(
            ground(Slot(path, path.rpartition(".")[2], item, schema), self.request, None, self.today).how in ("said", "normalised")
            for item in items
            if isinstance(item, str | int | float) and not isinstance(item, bool)
        )


def _known(arguments: Mapping[str, Any], paths: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """The author's arguments under the tool's paths: in full, or by an ending that only one path has."""
    for path, told in arguments.items():
        free = any(path.startswith(f"{leaf}.") for leaf in paths)  # an object without fixed keys
        fitting = [path] if free or path in paths else [leaf for leaf in paths if leaf.endswith(f".{path}")]
        if len(fitting) == 1:
            yield fitting[0], told


def _bare(value: Any) -> str:
    """The words of a value, joints of names and small words aside."""
    text = str(value)
    return " ".join(word for word, _, _ in words_of(text) if word not in STOP) or folded(text)[0]


def _switch(told: Any) -> bool | None:
    """A boolean, or one in words; None where the words say neither or both."""
    if isinstance(told, bool):
        return told
    text = str(told)
    yes, no = text.casefold() == "true" or bool(YES.search(text)), text.casefold() == "false" or bool(NO.search(text))
    return None if yes == no else yes


def _member(value: Any, told: Any, members: Sequence[Any], schema: dict[str, Any]) -> bool | None:
    """Whether words name a member of an enum (True) or another one (False)."""
    if any(_bare(member) == _bare(told) for member in members):
        return False  # the value itself has been compared before
    if member_span(value, schema, str(told)):
        return True
    return False if any(member_span(other, schema, str(told)) for other in members) else None
