"""MultiWOZ 2.1, validation and test dialogues: what tourists ask of a city's information desk.

Files: ``data/multiwoz/{val,test}.json.zip`` (turns with dialogue acts). Turns are used that name their subject and say all values of one subject.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from needle.corpora.catalogue import Options
from needle.corpora.functions import load_functions
from needle.corpora.toolsets import Assembler, Item
from needle.traces import Trace

NAMED = {
    "Restaurant": r"restaurant|food|eat|din(e|ing|ner)|lunch|table|place serving", "Hotel": r"hotel|guest ?house|stay|lodging|accommodation|room|sleep",
    "Train": r"train", "Attraction": r"attraction|museum|park|college|theat|cinema|nightclub|pool|places? to (go|see|visit)|church|entertainment|architecture|boat|sport|concert|gallery", "Taxi": r"taxi|cab|car\b|ride",
}  # fmt: skip
"""Subject to words that name it in a turn."""
BOOKING = frozenset(("People", "Day", "Time", "Stay"))
_BACK = re.compile(r"\b(it|there|that|those|them|same|this|one of|second|either|instead|actually)\b", re.IGNORECASE)


def rows(root: Path, options: Options) -> Iterator[Trace]:
    """Rows of both parts that the pack holds."""
    functions = load_functions("multiwoz")
    items: dict[str, Item] = {}
    for part in ("val", "test"):
        with zipfile.ZipFile(root / "data" / "multiwoz" / f"{part}.json.zip") as archive:
            dialogues = json.loads(archive.read(archive.namelist()[0]))
        for name, dialogue in dialogues.items():
            for number, turn in enumerate(dialogue["log"][::2]):
                options.read += 1
                item = _item(f"{part}/{name}/{number}", number, turn)
                if isinstance(item, str):
                    options.dropped[item] += 1
                else:
                    items.setdefault(item.text.lower(), item)
    yield from Assembler("multiwoz", functions, list(items.values()), options.mix, options.seed, options.dropped).rows()


def _item(item_id: str, number: int, turn: Mapping[str, Any]) -> Item | str:
    acts = {act: slots for act, slots in turn.get("dialog_act", {}).items() if act.split("-")[0] in NAMED}
    text = _readable(turn["text"])
    if not acts and any(act.startswith("general-") for act in turn.get("dialog_act", {})) and len(text) < 80:
        return Item(item_id, text, kind="chat")
    if len(acts) != 1 or not next(iter(acts)).endswith("-Inform"):
        return "no request, or several subjects"
    domain = next(iter(acts)).split("-")[0]
    if not re.search(NAMED[domain], text, re.IGNORECASE) or (number and _BACK.search(text)):
        return "subject of an earlier turn"
    values: dict[str, Any] = {}
    for slot, value in next(iter(acts.values())):
        if slot == "none" or value in ("none", "?", "dontcare", "do nt care", "do n't care"):
            continue
        said = value.lower() == "yes" if slot in ("Parking", "Internet") else _span(text, value)
        if said in (None, False) or slot in values:
            return "value in other words"
        values[slot] = said
    booking = BOOKING & values.keys() and domain in ("Restaurant", "Hotel")
    if not values or (booking and values.keys() - BOOKING - {"Name"}):
        return "search and booking in one"
    return Item(item_id, text, ((f"{domain}-{'book' if booking else 'find'}", values),))


def _span(text: str, value: str) -> str | None:
    match = re.search(rf"(?<!\w){re.escape(_readable(value))}(?!\w)", text, re.IGNORECASE)
    return match[0] if match else None


def _readable(text: str) -> str:
    text = re.sub(r"\s+([,.?!;:])", r"\1", " ".join(text.split()))
    return re.sub(r"\s+(n't|'s|'m|'re|'ve|'ll|'d)\b", r"\1", text).replace("do n't", "don't").replace(" nt ", "n't ")
