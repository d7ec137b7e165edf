"""CLINC150: choosing among many functions without arguments; requests outside of all of them become rows without a call.

File: ``data/data_full.json`` (parts with pairs of text and intent). The test parts, in scope and out of scope, are held out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from needle.corpora.catalogue import Options
from needle.corpora.functions import load_functions
from needle.corpora.toolsets import Assembler, Item
from needle.traces import Trace

CHAT = frozenset(["greeting", "goodbye", "thank_you", "yes", "no", "maybe", "are_you_a_bot", "how_old_are_you", "what_is_your_name", "who_made_you", "who_do_you_work_for", "do_you_have_pets", "what_are_your_hobbies", "where_are_you_from", "meaning_of_life"])
"""Intents that ask for nothing."""


def rows(root: Path, options: Options) -> Iterator[Trace]:
    """Rows of the training and validation parts."""
    functions = load_functions("clinc150")
    data = json.loads((root / "data" / "data_full.json").read_text(encoding="utf-8"))
    items = []
    for part in ("train", "val", "oos_train", "oos_val"):
        for number, (text, intent) in enumerate(data[part]):
            options.read += 1
            if intent in functions:
                items.append(Item(f"{part}/{number}", text, ((intent, {}),)))
            elif intent in CHAT or intent == "oos":
                items.append(Item(f"{part}/{number}", text, kind="chat" if intent in CHAT else "irrelevant"))
            else:
                options.dropped["intent without a function"] += 1
    yield from Assembler("clinc150", functions, items, options.mix, options.seed, options.dropped).rows()


def held_out(root: Path) -> Iterator[str]:
    """Requests of the test parts."""
    data = json.loads((root / "data" / "data_full.json").read_text(encoding="utf-8"))
    yield from (text for part in ("test", "oos_test") for text, _ in data[part])
