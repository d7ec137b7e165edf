"""HWU64: requests to a home assistant with intents and marked entities; also used by SLURP, which has the same labels.

File: ``hwu64.jsonl`` (split, text, intent, entities with character spans). Requests are as spoken, in lower case.
Entities that occur twice get their roles from the words before them ("from london to paris"); a part of the day that
follows a time belongs to it ("six thirty in the morning"). Intents that only answer the assistant become rows without a call.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from needle.corpora.catalogue import Options
from needle.corpora.functions import Function, load_functions
from needle.corpora.toolsets import Assembler, Item
from needle.traces import Trace

CHAT = ("general_affirm", "general_negate", "general_praise", "general_dontcare", "general_confirm")
"""Intents that ask for nothing."""
WHOLE = {"qa_factoid": "question", "qa_maths": "question"}
"""Intents whose argument is the whole request."""
ESSENTIAL = {
    "email_querycontact": {"who"}, "qa_definition": {"definition_word"}, "iot_hue_lightchange": {"color_type"}, "music_settings": {"player_setting"},
    "play_game": {"game_name"}, "qa_currency": {"from_currency", "to_currency"}, "email_sendemail": {"recipient"}, "calendar_set": {"event_name"},
    "lists_add": {"item", "list_name"}, "transport_ticket": {"transport_type"}, "takeaway_order": {"food_type"}, "cooking_recipe": {"food_type"},
}  # fmt: skip
"""Values without which a request of the intent is incomplete or its labels are; such requests are left out."""
_TO = re.compile(r"\b(to|into|in|for|towards|till|until|vs|versus|against|and)( (the|us|u s|american))?$")
_FROM = re.compile(r"\b(from|between|leaving|at|of)( (the|my))?$")
_ADD = re.compile(r"(?:please |can you |could you |olly )*(?:add|put|include|insert) (?P<item>(?!.*\b(?:a new|an item|items?|something|this|it|that|one)\b).+?) (?:to|on|in|into|onto) (?:my |the |our )?(?P<list_name>[\w' ]+?) list\b.*")
Entity = tuple[str, str, int, int]
"""Label, words, first character, one past the last."""


def rows(root: Path, options: Options) -> Iterator[Trace]:
    """Rows of the training fold."""
    raw = [json.loads(line) for line in (root / "hwu64.jsonl").read_text(encoding="utf-8").strip().split("\n")]
    labelled = []
    for number, row in enumerate(raw):
        if row["split"] == "train":
            # The end of an entity is its last character here.
            entities = [(one["entity"], one["value"], one["start"], one["end"] + 1) for one in row["entities"]]
            labelled.append((f"{number}", row["text"], row["intent"], entities))
    functions = load_functions("hwu64")
    items = to_items(labelled, functions, options)
    yield from Assembler("hwu64", functions, items, options.mix, options.seed, options.dropped).rows()


def held_out(root: Path) -> Iterator[str]:
    """Requests of the test fold."""
    for line in (root / "hwu64.jsonl").read_text(encoding="utf-8").strip().split("\n"):
        row = json.loads(line)
        if row["split"] == "test":
            yield row["text"]


def to_items(labelled: Iterable[tuple[str, str, str, Sequence[Entity]]], functions: Mapping[str, Function], options: Options) -> list[Item]:
    """(id, text, intent, entities) as items of ``functions``."""
    rng = random.Random(options.seed)
    items = []
    for row_id, text, intent, entities in labelled:
        options.read += 1
        text = " ".join(text.split())
        if intent in CHAT:
            items.append(Item(row_id, text, kind="chat"))
            continue
        key, values, reason = _values(text, intent, entities)
        if key not in functions:
            reason = reason or "intent without a function"
        elif reason is None:
            known = {slot.key for slot in functions[key].slots}
            if set(values) - known:
                reason = "entity that the function has no argument for"
            elif ESSENTIAL.get(key, set()) - set(values):
                reason = "essential value not labelled"
        if reason:
            options.dropped[reason] += 1
        else:
            items.append(Item(row_id, dress(text, values, rng), ((key, values),)))
    return items


def _values(text: str, intent: str, entities: Sequence[Entity]) -> tuple[str, dict[str, Any], str | None]:
    """Function, slot values, and why the request cannot be used."""
    if intent == "lists_createoradd" and (match := _ADD.fullmatch(text)):
        return "lists_add", {"item": match["item"], "list_name": match["list_name"]}, None
    if intent == "lists_createoradd" and not re.search(r"\b(create|make|start|new)\b", text):
        return intent, {}, "essential value not labelled"
    if intent in WHOLE:
        return intent, {WHOLE[intent]: text}, None
    values: dict[str, Any] = {}
    for label, words, start, _ in _merged(text, entities):
        slot = _role(intent, label, text[:start].rstrip())
        if slot is None:
            continue
        if slot in values:
            return intent, {}, "two values for one argument"
        values[slot] = words
    if intent == "qa_currency" and len(values) == 1:
        values = {}
    return intent, values, None


def _merged(text: str, entities: Sequence[Entity]) -> list[Entity]:
    """Entities in order; a part of the day joined with the time before it, and places that a stop word leads in without it."""
    merged: list[Entity] = []
    for label, words, start, end in sorted(entities, key=lambda one: one[2]):
        if text[start:end].lower() != words.lower():
            start = max(text.lower().find(words.lower()), 0)
            end = start + len(words)
        if merged and merged[-1][0] == "time" and label == "timeofday" and re.fullmatch(r" (in the |at )?", text[merged[-1][3] : start]):
            before = merged.pop()
            merged.append(("time", text[before[2] : end], before[2], end))
        else:
            merged.append((label, text[start:end] or words, start, end))
    return [(label, re.sub(r"^(at|in|on|near|by|to|around|next to) (?=\S)", "", words) if label in ("time", "place_name", "date") else words, start, end) for label, words, start, end in merged]


def _role(intent: str, label: str, before: str) -> str | None:
    """The slot of an entity, by its label and the words before it; None for labels that say nothing to the function."""
    if label == "place_name" and intent in ("transport_query", "transport_taxi", "transport_ticket", "datetime_convert"):
        return "origin" if _FROM.search(before) else "destination"
    if label == "currency_name" and intent == "qa_currency":
        return "to_currency" if _TO.search(before) and not before.startswith(("in", "to", "into")) else "from_currency"
    if intent == "email_sendemail" and label in ("person", "relation", "email_address"):
        return "recipient"
    if intent == "email_querycontact" and label in ("person", "relation"):
        return "who"
    if label == "relation":
        return "person"
    ignored = {"media_type": ("play_audiobook", "play_podcasts", "play_music"), "device_type": ("iot_coffee", "iot_hue_lightoff", "iot_hue_lighton", "iot_hue_lightup", "iot_hue_lightdim"),
               "transport_type": ("transport_taxi",), "player_setting": ("play_audiobook", "play_music", "play_podcasts")}  # fmt: skip
    return None if intent in ignored.get(label, ()) else label


def dress(text: str, values: Mapping[str, Any], rng: random.Random, share: float = 0.4) -> str:
    """A spoken request now and then as it would be typed: a capital, ``I``, a full stop or question mark; values stay as they are."""
    if rng.random() >= share or not text or text != text.lower():
        return text
    spoken = [str(value).lower() for value in values.values()]
    first = text if any(text.startswith(value) for value in spoken) else text[0].upper() + text[1:]
    written = re.sub(r"\bi('m|'d|'ll|'ve)?\b", lambda match: "I" + (match[1] or ""), first)
    asks = re.match(r"(what|when|where|who|how|is|are|do|does|did|can|could|will|would|which|why)\b", text)
    return written + ("" if rng.random() < 0.4 or written[-1] in ".?!" else "?" if asks else ".")
