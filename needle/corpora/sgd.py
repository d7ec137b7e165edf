"""Schema-Guided Dialogue: turns that open an intent as single requests, service calls with the dialogue before them.

Files: ``schema_{train,dev}.json``, ``{train,dev}.jsonl`` (dialogues with short keys: ``s`` speaker, ``u`` text, ``f`` frames), ``sgd_x``.
An opening turn counts only with the values that it says itself: half of the state at such a turn is carried over from
another service. A service call keeps the canonical values of the corpus (ISO dates; today is 2019-03-01). Names and descriptions
come from the schema and its five SGD-X variants, whose intents and slots have the same order.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from needle.corpora.catalogue import Options
from needle.corpora.functions import Function, Slot
from needle.corpora.toolsets import Assembler, Item
from needle.traces import Trace

PARTS = ("train", "dev")
TODAY = "Today is Friday, 2019-03-01."
CALLS = 0.14
"""Share of the service calls that become rows with the dialogue before them."""
MOST_TURNS, MOST_CHARACTERS = 9, 900
"""Turns and characters of a dialogue before a service call; longer ones are left out."""
NUMBERS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
_BACK = re.compile(r"\b(there|that|those|this one|the same|it|them)\b", re.IGNORECASE)
_REPLY = re.compile(r"(yes|yeah|yep|yup|no|nope|sure|ok|okay|great|perfect|alright|that|those|it|sounds|correct|right|the)\b", re.IGNORECASE)
_MONEY = re.compile(r"amount|price|fare|cost|rent$")


def rows(root: Path, options: Options) -> Iterator[Trace]:
    """Rows over single turns, then rows with a dialogue before them."""
    spoken = load_schemas(root)
    openings: list[Item] = []
    calls: list[Item] = []
    for part in PARTS:
        with (root / f"{part}.jsonl").open(encoding="utf-8") as lines:
            for line in lines:
                dialogue = json.loads(line)
                openings += _openings(dialogue, spoken, part, options)
                calls += _service_calls(dialogue, spoken, part)
    seen: dict[str, Item] = {item.text.lower(): item for item in openings}
    options.dropped["same text as another turn"] += len(openings) - len(seen)
    yield from Assembler("sgd", spoken, list(seen.values()), options.mix, options.seed, options.dropped).rows()
    rng = random.Random(options.seed)
    chosen = [item for item in calls if rng.random() < CALLS]
    written = {key: _canonical(function) for key, function in spoken.items()}
    plain = replace(options.mix, joined=0.0, chat=0.0, uses=1.0)
    for trace in Assembler("sgd-call", written, chosen, plain, options.seed, options.dropped).rows():
        yield replace(trace, meta={**trace.meta, "source": "sgd"})


def load_schemas(root: Path) -> dict[str, Function]:
    """Every intent of every service as a function, keyed ``Service/Intent``."""
    found: dict[str, Function] = {}
    for part in PARTS:
        variants = [json.loads((root / f"schema_{part}.json").read_text(encoding="utf-8"))]
        for number in range(1, 6):
            variants.append(json.loads((root / "sgd_x" / f"v{number}" / part / "schema.json").read_text(encoding="utf-8")))
        for place, service in enumerate(variants[0]):
            others = [variant[place] for variant in variants]
            if any(len(other["slots"]) != len(service["slots"]) or len(other["intents"]) != len(service["intents"]) for other in others):
                continue
            found |= {function.key: function for function in _service(service, others) if function.key not in found}
    same = {key: frozenset(other.key for other in found.values() if other.service == function.service and other.key != key) for key, function in found.items()}
    return {key: replace(function, rivals=frozenset(_rivals(function, found.values())), kin=same[key]) for key, function in found.items()}


def _service(service: Mapping[str, Any], variants: list[Mapping[str, Any]]) -> Iterator[Function]:
    slots = {}
    for place, slot in enumerate(service["slots"]):
        names = dict.fromkeys(_words(variant["slots"][place]["name"]) for variant in variants)
        texts = dict.fromkeys(_sentence(variant["slots"][place]["description"]) for variant in variants)
        slots[slot["name"]] = _slot(slot, tuple(names), tuple(texts))
    domain = service["service_name"].split("_")[0].lower()
    for place, intent in enumerate(service["intents"]):
        names = tuple(dict.fromkeys(_words(variant["intents"][place]["name"]) for variant in variants))
        texts = tuple(dict.fromkeys(_sentence(variant["intents"][place]["description"]) for variant in variants))
        required = set(intent["required_slots"])
        own = tuple(replace(slots[name], required=name in required) for name in [*intent["required_slots"], *intent["optional_slots"]] if name in slots)
        yield Function(f"{service['service_name']}/{intent['name']}", domain, names, texts, own)


def _slot(slot: Mapping[str, Any], names: tuple[str, ...], texts: tuple[str, ...]) -> Slot:
    values = slot["possible_values"]
    name = slot["name"]
    if slot["is_categorical"] and {value.lower() for value in values} <= {"true", "false"} and values:
        return Slot(name, names, texts, "boolean")
    if slot["is_categorical"] and values and all(value.isdigit() for value in values):
        numbers = [int(value) for value in values]
        return Slot(name, names, texts, "integer", limits=(min(numbers), max(numbers)))
    if slot["is_categorical"] and values:
        return Slot(name, names, texts, "enum", tuple(values))
    kind = "time" if re.search(r"(^|_)time", name) else "number" if _MONEY.search(name) else "text"
    return Slot(name, names, texts, kind)


def _canonical(function: Function) -> Function:
    """For service calls: dates and times as the corpus writes them."""
    kinds = {"time": "hhmm"}
    slots = [replace(slot, kind="date" if "date" in slot.key or slot.key == "leaving_on" else kinds.get(slot.kind, slot.kind)) for slot in function.slots]
    return replace(function, slots=tuple(slots))


def _rivals(function: Function, others: Iterable[Function]) -> Iterator[str]:
    """Other services of the same subject, films at home and in the cinema, and two searches of one service."""
    service, intent = function.key.split("/")
    film = {"media", "movies"}
    for other in others:
        its_service, its_intent = other.key.split("/")
        subject = other.service == function.service or {other.service, function.service} == film
        if subject and (its_service != service or (its_intent != intent and its_intent[:4] == intent[:4])):
            yield other.key


def _openings(dialogue: Mapping[str, Any], functions: Mapping[str, Function], part: str, options: Options) -> Iterator[Item]:
    before: dict[str, tuple[str, dict[str, list[str]]]] = {}
    known: set[str] = set()
    turns = dialogue["turns"]
    for number, turn in enumerate(turns):
        if turn["s"] != "U":
            known |= {turn["u"][start:end].lower() for frame in turn.get("f", ()) for _, start, end in frame.get("spans", ())}
            continue
        item_id = f"{part}/{dialogue['id']}/{number}"
        for frame in turn.get("f", ()):
            intent, state = frame.get("intent", "NONE"), frame.get("slots", {})
            old_intent, old_state = before.get(frame["service"], ("NONE", {}))
            before[frame["service"]] = (intent, state)
            key = f"{frame['service']}/{intent}"
            if intent == "NONE" or intent == old_intent or key not in functions:
                continue
            options.read += 1
            fresh = {slot: values for slot, values in state.items() if old_state.get(slot) != values}
            said, silent = _said(turn["u"], fresh, functions[key], known)
            if silent and not said:
                options.dropped["values of an earlier turn only"] += 1
            elif any(slot.key in silent and slot.kind in ("boolean", "enum", "integer") for slot in functions[key].slots):
                options.dropped["value perhaps said in other words"] += 1
            elif len(turn["f"]) > 1 and any(one.get("intent") not in ("NONE", before.get(one["service"], ("", {}))[0]) for one in turn["f"] if one is not frame):
                options.dropped["two services in one turn"] += 1
            elif (silent and _BACK.search(turn["u"])) or (number and _REPLY.match(turn["u"])):
                options.dropped["refers to an earlier turn"] += 1
            else:
                yield Item(item_id, turn["u"], ((key, said),), lacks=not silent, meta={"turn": number})
        known |= {value.lower() for _, state in before.values() for values in state.values() for value in values}
    last = turns[-2] if turns[-1]["s"] == "S" and len(turns) > 1 else turns[-1]
    if last["s"] == "U" and all(frame.get("intent", "NONE") == "NONE" for frame in last.get("f", ())) and len(last["u"]) < 90:
        yield Item(f"{part}/{dialogue['id']}/last", last["u"], kind="chat")


def _said(text: str, fresh: Mapping[str, list[str]], function: Function, known: set[str]) -> tuple[dict[str, Any], list[str]]:
    """Values of new slots that the turn says, as values of their kind; and the slots whose values it does not say."""
    said: dict[str, Any] = {}
    silent = []
    for slot in function.slots:
        values = [value for value in fresh.get(slot.key, ()) if value != "dontcare"]
        if not values:
            continue
        span = _span(text, [*values, NUMBERS[int(values[0])]] if slot.kind == "integer" and values[0].isdigit() and int(values[0]) < len(NUMBERS) else values)
        if slot.kind in ("boolean", "enum") and (span or not known or not any(value.lower() in known for value in values)):
            said[slot.key] = values[0].lower() == "true" if slot.kind == "boolean" else values[0]
        elif slot.kind == "integer" and values[0].isdigit() and (span or not known):
            said[slot.key] = int(values[0])
        elif span and slot.kind not in ("boolean", "enum", "integer"):
            said[slot.key] = span
        else:
            silent.append(slot.key)
    return said, silent


def _span(text: str, values: list[str]) -> str | None:
    """The longest of the values as it is written in the text."""
    for value in sorted(values, key=len, reverse=True):
        match = re.search(rf"(?<!\w){re.escape(value)}(?!\w)", text, re.IGNORECASE)
        if match:
            return match[0]
    return None


def _service_calls(dialogue: Mapping[str, Any], functions: Mapping[str, Function], part: str) -> Iterator[Item]:
    turns = dialogue["turns"]
    for number, turn in enumerate(turns):
        for frame in turn.get("f", ()):
            if "call" not in frame or number == 0 or turns[number - 1]["s"] != "U" or not 2 < number <= MOST_TURNS:
                continue
            key = f"{frame['service']}/{frame['call']['method']}"
            if key not in functions or sum(len(one["u"]) for one in turns[:number]) > MOST_CHARACTERS:
                continue
            kinds = {slot.key: slot.kind for slot in functions[key].slots}
            values = {slot: _typed(value, kinds.get(slot, "text")) for slot, value in frame["call"]["parameters"].items() if value != "dontcare"}
            messages = tuple({"role": "user" if one["s"] == "U" else "assistant", "content": one["u"]} for one in turns[: number - 1])
            dated = any(re.fullmatch(r"\d{4}-\d\d-\d\d", str(value)) for value in values.values())
            yield Item(f"{part}/{dialogue['id']}/{number}", turns[number - 1]["u"], ((key, values),), system=TODAY if dated else None, messages=messages)


def _typed(value: str, kind: str) -> Any:
    if kind == "boolean":
        return value.lower() == "true"
    return int(value) if kind == "integer" and value.isdigit() else value


def _words(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name).replace("_", " ").lower()


def _sentence(text: str) -> str:
    text = text.strip()
    return text[:1].upper() + text[1:]
