"""New names for tools and parameters, in schemas, gold calls, alternatives and earlier turns at once; and the way back.

    renaming = synonyms(trace.tools, random.Random(1))      # or masks(...): names without a meaning
    other = rename(trace, renaming)
    assert rename(other, renaming.inverse()) == trace

A parameter is named by its tool and its dotted schema path, in which lists leave no mark: ``items.amount`` is the
``amount`` of every item. Parameters of schemas that name keys in other places than ``properties`` (references, branches,
patterns, dependencies) keep their names.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from needle.tools.spec import ToolCall, ToolSpec
from needle.traces.trace import Trace

PATH_KEYED = ("spans",)
"""Entries of ``meta`` that are keyed by ``call index.argument path``."""
ELSEWHERE = frozenset(
    ("$ref", "allOf", "if", "then", "else", "not", "patternProperties", "propertyNames", "dependentRequired",
     "dependentSchemas", "dependencies", "unevaluatedProperties")
)  # fmt: skip
"""Keywords under which a schema may name keys, or have them named, out of sight of its ``properties``."""
WORDS: dict[str, tuple[str, ...]] = {
    "get": ("fetch", "retrieve", "read", "lookup"), "fetch": ("get", "retrieve"), "set": ("update", "change", "adjust"),
    "update": ("change", "modify", "edit"), "create": ("add", "make", "new"), "add": ("create", "insert", "append"),
    "delete": ("remove", "erase", "drop"), "remove": ("delete", "drop"), "send": ("dispatch", "submit", "transmit"),
    "list": ("show", "enumerate"), "search": ("find", "query"), "find": ("search", "locate"), "start": ("begin", "launch"),
    "stop": ("end", "halt"), "play": ("start_playing",), "calculate": ("compute", "work_out"), "book": ("reserve",),
    "convert": ("transform",), "check": ("inspect", "verify"), "schedule": ("plan", "arrange"),
    "query": ("search_text", "search_term"), "date": ("day", "on_date"), "time": ("at_time", "clock_time"),
    "name": ("label", "title"), "title": ("name", "heading"), "message": ("text", "body"), "text": ("content", "wording"),
    "recipient": ("addressee", "contact"), "count": ("number", "how_many"), "amount": ("quantity", "value"),
    "quantity": ("amount", "count"), "duration": ("length", "how_long"), "temperature": ("temp", "degrees"),
    "room": ("area", "zone"), "color": ("colour",), "colour": ("color",), "location": ("place", "where"),
    "city": ("town", "city_name"), "destination": ("target_place", "arrival"), "user": ("account", "person"),
    "id": ("identifier", "key"), "email": ("email_address", "mail"), "phone": ("phone_number",), "price": ("cost",),
    "language": ("lang",), "lights": ("lamps", "lighting"), "alarm": ("alarm_clock",), "weather": ("forecast",),
    "note": ("memo",), "reminder": ("alert",), "event": ("appointment",), "restaurant": ("dining_place",),
}  # fmt: skip
"""Words of names, and others that mean the same in a name."""
VERBS = frozenset(
    "get fetch set update create add delete remove send list search find start stop play calculate book convert check "
    "schedule".split()
)
"""Of these, the ones that mean so only where a name begins with them."""


@dataclass(frozen=True)
class Renaming:
    """Old names to new ones; what is not listed keeps its name."""

    tools: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Old tool name to new."""
    parameters: Mapping[str, Mapping[str, str]] = field(default_factory=dict, hash=False)
    """Old tool name to a map of old dotted path to the new last part of it."""
    back: bool = False
    """Whether this takes another renaming back."""

    def inverse(self) -> Renaming:
        """The renaming that takes everything back."""
        back: dict[str, dict[str, str]] = {}
        for tool, names in self.parameters.items():
            back[self.tools.get(tool, tool)] = {_renamed(path, names): path.rpartition(".")[2] for path in names}
        return Renaming({new: old for old, new in self.tools.items()}, back, not self.back)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, for a trace's lineage; empty when nothing is renamed."""
        full = {"tools": dict(self.tools), "parameters": {tool: dict(names) for tool, names in self.parameters.items()}}
        return {key: value for key, value in full.items() if value}


def rename(trace: Trace, renaming: Renaming) -> Trace:
    """The same example under other names: tools, calls, alternatives, earlier turns, and in ``meta`` spans, votes and
    rejected calls. Token probabilities are of the old names and stay behind."""
    index = {number: call.name for number, call in enumerate(trace.calls)}
    meta = {key: _noted(key, value, index, renaming) for key, value in trace.meta.items() if key != "topk" or not renaming.to_dict()}
    return replace(
        trace,
        tools=rename_specs(trace.tools, renaming),
        calls=tuple(_call(call, renaming) for call in trace.calls),
        alternatives={
            _path(path, index, renaming): [
                _value(item, _schema_path(path), renaming.parameters.get(index.get(_number(path), ""), {}))
                for item in others
            ]
            for path, others in trace.alternatives.items()
        },
        messages=tuple(_message(message, renaming) for message in trace.messages),
        meta=meta,
    )


def rename_specs(tools: Sequence[ToolSpec], renaming: Renaming) -> tuple[ToolSpec, ...]:
    """The tools under their new names; technical names that descriptions mention change with them."""
    first = {new if renaming.back else old: (old, new) for old, new in renaming.tools.items()}
    spoken = dict(pair for name, pair in first.items() if re.search(r"[_.\-]|[a-z][A-Z]", name))
    return tuple(
        ToolSpec(
            renaming.tools.get(tool.name, tool.name),
            _mentioned(tool.description, spoken),
            _schema(tool.parameters, "", renaming.parameters.get(tool.name, {})),
        )
        for tool in tools
    )


def parameter_paths(tool: ToolSpec) -> list[str]:
    """Dotted paths of the parameters that can be renamed, outermost first; empty for schemas that name keys elsewhere."""
    return list(_paths(tool.parameters, "")) if _plain(tool.parameters) else []


def synonyms(
    tools: Sequence[ToolSpec], rng: random.Random, *, of_tools: bool = True, of_parameters: bool = True
) -> Renaming:
    """Names of the same meaning: words replaced by their like, another letter case style, a prefix here and there."""
    style = rng.choice(("snake", "camel", "pascal", "kebab", "snake"))
    prefix = rng.choice(("", "", "", "app", "api", "do"))
    names: dict[str, str] = {}
    if of_tools:
        for tool in tools:
            words = [*([prefix] if prefix else []), *_like(tool.name, rng)]
            names[tool.name] = _free(_styled(words, style), names.values())
    inner = rng.choice(("snake", "camel", "snake"))
    parameters = {}
    for tool in tools if of_parameters else ():
        parameters[tool.name] = _fresh(
            tool, lambda path: _styled(_like(path.rpartition(".")[2], rng), inner), parameter_paths(tool)
        )
    return Renaming(names, {tool: paths for tool, paths in parameters.items() if paths})


def masks(
    tools: Sequence[ToolSpec], rng: random.Random, *, of_tools: bool = True, of_parameters: bool = True
) -> Renaming:
    """Names without a meaning, so that only descriptions tell what is what (Hammer, arXiv 2410.04587). What has no
    description (for a parameter: nor listed values) keeps its name: nothing else would say what it is."""
    names: dict[str, str] = {}
    for tool in tools if of_tools else ():
        if tool.description.strip():
            names[tool.name] = _free(_random_name(rng), names.values())
    parameters = {}
    for tool in tools if of_parameters else ():
        told = [path for path in parameter_paths(tool) if _says_itself(tool.parameters, path)]
        parameters[tool.name] = _fresh(tool, lambda path: _random_name(rng), told)
    return Renaming(names, {tool: paths for tool, paths in parameters.items() if paths})


def _fresh(tool: ToolSpec, name: Any, paths: Sequence[str]) -> dict[str, str]:
    """New last parts for paths, no two alike beside each other."""
    taken: dict[str, set[str]] = {}
    for path in parameter_paths(tool):
        if path not in paths:
            taken.setdefault(path.rpartition(".")[0], set()).add(path.rpartition(".")[2])
    found = {}
    for path in paths:
        beside = taken.setdefault(path.rpartition(".")[0], set())
        new = _free(name(path), beside)
        beside.add(new)
        found[path] = new
    return found


def _free(name: str, taken: Any) -> str:
    number, made = 2, name
    while made in taken:
        made, number = f"{name}{number}", number + 1
    return made


def _random_name(rng: random.Random) -> str:
    parts = [
        "".join(rng.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(rng.randint(3, 6)))
        for _ in range(rng.randint(1, 2))
    ]
    return rng.choice(("_", "")).join(parts) + (str(rng.randrange(10)) if rng.random() < 0.3 else "")


def _like(name: str, rng: random.Random) -> list[str]:
    words = re.findall(r"[A-Za-z]+|\d+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)) or [name]
    return [
        rng.choice(WORDS[low]) if low in WORDS and (place == 0 or low not in VERBS) and rng.random() < 0.6 else low
        for place, low in enumerate(word.lower() for word in words)
    ]


def _styled(words: Sequence[str], style: str) -> str:
    parts = [part for word in words for part in word.split("_")]
    if style in ("camel", "pascal"):
        joined = "".join(part.capitalize() for part in parts)
        return joined if style == "pascal" else joined[:1].lower() + joined[1:]
    return ("-" if style == "kebab" else "_").join(parts)


def _says_itself(parameters: dict[str, Any], path: str) -> bool:
    """Whether a parameter without its name can still be told from those beside it: by words or by its own values."""
    beside: Any = {"properties": parameters.get("properties")}
    *parents, last = path.split(".")
    for part in parents:
        beside = _inner(beside)["properties"][part]
    found = _inner(beside)["properties"]
    for keyword in ("description", "enum"):
        said = {
            key: _inner(item).get(keyword) or item.get(keyword) for key, item in found.items() if isinstance(item, dict)
        }
        if said.get(last) and all(item != said[last] for key, item in said.items() if key != last):
            return True
    return False


def _inner(schema: dict[str, Any]) -> dict[str, Any]:
    """The object schema inside of nested lists."""
    while isinstance(schema.get("items"), dict):
        schema = schema["items"]
    return schema


def _plain(schema: Any) -> bool:
    if not isinstance(schema, dict):
        return True
    if ELSEWHERE & schema.keys() or any(
        "properties" in branch
        for key in ("anyOf", "oneOf")
        for branch in schema.get(key) or ()
        if isinstance(branch, dict)
    ):
        return False
    return all(_plain(item) for item in [schema.get("items"), *(schema.get("properties") or {}).values()])


def _paths(schema: Any, path: str) -> Iterator[str]:
    if not isinstance(schema, dict):
        return
    for key, value in (_inner(schema).get("properties") or {}).items():
        yield path + key
        yield from _paths(value, f"{path}{key}.")


def _schema(schema: Any, path: str, names: Mapping[str, str]) -> Any:
    if not isinstance(schema, dict) or not names:
        return schema
    made = dict(schema)
    if isinstance(schema.get("properties"), dict):
        made["properties"] = {
            names.get(path + key, key): _schema(value, f"{path}{key}.", names)
            for key, value in schema["properties"].items()
        }
    if isinstance(schema.get("required"), list):
        made["required"] = [names.get(path + key, key) for key in schema["required"]]
    if isinstance(schema.get("items"), dict):
        made["items"] = _schema(schema["items"], path, names)
    for key in ("default", "const"):
        if key in schema:
            made[key] = _value(schema[key], path.removesuffix("."), names)
    for key in ("examples", "enum"):
        if isinstance(schema.get(key), list):
            made[key] = [_value(item, path.removesuffix("."), names) for item in schema[key]]
    return made


def _value(value: Any, path: str, names: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        inside = f"{path}." if path else ""
        return {names.get(inside + key, key): _value(item, inside + key, names) for key, item in value.items()}
    return [_value(item, path, names) for item in value] if isinstance(value, list) else value


def _call(call: ToolCall, renaming: Renaming) -> ToolCall:
    names = renaming.parameters.get(call.name, {})
    return ToolCall(renaming.tools.get(call.name, call.name), _value(call.arguments, "", names))


def _noted(key: str, value: Any, index: Mapping[int, str], renaming: Renaming) -> Any:
    """An entry of ``meta`` under the new names."""
    if key in PATH_KEYED and isinstance(value, dict):
        return {_path(path, index, renaming): item for path, item in value.items()}
    if key == "rejected" and isinstance(value, list):
        return [_call(ToolCall(call["name"], call["arguments"]), renaming).to_dict() for call in value]
    if key == "votes" and isinstance(value, dict) and "decisions" in value:
        said = {
            name: {" + ".join(renaming.tools.get(tool, tool) for tool in names.split(" + ")): share for names, share in shares.items()}
            if name == "tools"
            else {_path(path, index, renaming): share for path, share in shares.items()}
            for name, shares in value["decisions"].items()
        }
        return value | {"decisions": said}
    return value


def _number(path: str) -> int:
    head = path.split(".")[0]
    return int(head) if head.isdigit() else -1


def _schema_path(path: str) -> str:
    """``0.items.1.amount`` -> ``items.amount``: without the call's number and the places in lists."""
    return ".".join(part for part in path.split(".")[1:] if not part.isdigit())


def _path(path: str, index: Mapping[int, str], renaming: Renaming) -> str:
    names = renaming.parameters.get(index.get(_number(path), ""), {})
    head, *parts = path.split(".")
    done, made = "", []
    for part in parts:
        if part.isdigit():
            made.append(part)
            continue
        done = f"{done}.{part}" if done else part
        made.append(names.get(done, part))
    return ".".join([head, *made])


def _renamed(path: str, names: Mapping[str, str]) -> str:
    parts = path.split(".")
    return ".".join(names.get(".".join(parts[: depth + 1]), part) for depth, part in enumerate(parts))


def _message(message: dict[str, Any], renaming: Renaming) -> dict[str, Any]:
    if message.get("role") == "tool" and message.get("name") in renaming.tools:
        return {**message, "name": renaming.tools[message["name"]]}
    if not message.get("tool_calls"):
        return message
    calls = []
    for item in message["tool_calls"]:
        function = item.get("function", item)
        arguments = function.get("arguments", {})
        as_text = isinstance(arguments, str)
        try:
            given = json.loads(arguments) if as_text else arguments
        except ValueError:
            given = None
        if not isinstance(given, dict):
            calls.append(item)
            continue
        call = _call(ToolCall(function.get("name", ""), given), renaming)
        made = {
            **function,
            "name": call.name,
            "arguments": json.dumps(call.arguments, ensure_ascii=False) if as_text else call.arguments,
        }
        calls.append({**item, "function": made} if "function" in item else made)
    return {**message, "tool_calls": calls}


def _mentioned(text: str, spoken: Mapping[str, str]) -> str:
    for old, new in spoken.items():
        if old not in text:
            continue
        text = re.sub(rf"(?<![\w.\-]){re.escape(old)}(?![\w\-])", lambda _, new=new: new, text)
    return text
