"""MultiDoGO: customers of six businesses, as they type; turns that open a task become calls, greetings and thanks none.

Files: ``data/paper_splits/splits_annotated_at_turn_level/DOMAIN/{train,dev,test}.tsv``, tab-separated with ordinary quoting;
``slot-labels`` has a label a word. Turns with as many labels as words are used; runs of one label are one value.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from needle.corpora.catalogue import Options
from needle.corpora.functions import Function, load_functions
from needle.corpora.toolsets import Assembler, Item
from needle.traces import Trace

FOLDER = Path("data", "paper_splits", "splits_annotated_at_turn_level")
CHAT = {"openinggreeting": 400, "closinggreeting": 400, "thankyou": 500, "rejection": 400, "confirmation": 300}
"""Intents that ask for nothing, and the most turns of each and a domain that are used."""


def rows(root: Path, options: Options) -> Iterator[Trace]:
    """Rows of the training and development turns."""
    functions = load_functions("multidogo")
    items: dict[str, Item] = {}
    counts: dict[tuple[str, str], int] = {}
    for domain, part, number, turn in _turns(root, ("train", "dev")):
        options.read += 1
        intent, text = turn["intent"] or "", " ".join(turn["utterance"].split())
        if intent in CHAT:
            counts[domain, intent] = counts.get((domain, intent), 0) + 1
            if counts[domain, intent] <= CHAT[intent] and len(text.split()) > 1:
                items.setdefault(text.lower(), Item(f"{domain}/{part}/{number}", text, kind="chat"))
            continue
        values, reason = _values(turn, f"{domain}/{intent}", functions)
        if reason is None and text.lower() in items:
            reason = "same text as another turn"
        if reason:
            options.dropped[reason] += 1
        else:
            items[text.lower()] = Item(f"{domain}/{part}/{number}", text, ((f"{domain}/{intent}", values),))
    yield from Assembler("multidogo", functions, list(items.values()), options.mix, options.seed, options.dropped).rows()


def held_out(root: Path) -> Iterator[str]:
    """Test turns that open a task (short replies such as "yes" are in every part)."""
    for _, _, _, turn in _turns(root, ("test",)):
        if len(turn["utterance"].split()) > 4:
            yield turn["utterance"]


def _turns(root: Path, parts: tuple[str, ...]) -> Iterator[tuple[str, str, int, dict[str, str]]]:
    for path in sorted((root / FOLDER).glob("*/*.tsv")):
        if path.stem in parts:
            with path.open(encoding="utf-8", newline="") as file:
                for number, turn in enumerate(csv.DictReader(file, delimiter="\t")):
                    yield path.parent.name, path.stem, number, turn


def _values(turn: Mapping[str, str], key: str, functions: Mapping[str, Function]) -> tuple[dict[str, Any], str | None]:
    """Slot values of a turn, or why it is not used."""
    if turn["intent"] == "contentonly":
        return {}, "answers a question of the agent"
    if "<div>" in (turn["intent"] or ""):
        return {}, "several intents in one turn"
    if key not in functions:
        return {}, "intent without a function"
    words, labels = turn["utterance"].split(), (turn["slot-labels"] or "").split()
    if len(words) != len(labels):
        return {}, "labels do not fit the words"
    if len(words) < 3:
        return {}, "too short to ask for something"
    slots = {slot.key: slot for slot in functions[key].slots}
    values: dict[str, Any] = {}
    for label, run in groupby(zip(words, labels, strict=True), key=lambda pair: pair[1]):
        if label == "O":
            continue
        if label not in slots:
            return {}, "label that the function has no argument for"
        text = " ".join(word for word, _ in run).strip(".,!?")
        if slots[label].many:
            values[label] = [*values.get(label, ()), text]
        elif label in values:
            return {}, "two values for one argument"
        else:
            values[label] = text
    essential = {slot.key for slot in slots.values() if slot.required}
    return values, "essential value not labelled" if essential - values.keys() else None
