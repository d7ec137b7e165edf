"""Home LLM's piles: patterns of requests to a home, filled with its device names, and requests that name a device themselves.

Files: ``data/piles/english/pile_of_{templated_actions,specific_actions,device_names,durations}.csv``, ``pile_of_todo_items.txt``.
A pattern is filled several times; of the specific requests those are used that say the device's name in its own words.
"""

from __future__ import annotations

import csv
import random
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from needle.corpora.catalogue import Options
from needle.corpora.functions import load_functions
from needle.corpora.toolsets import Assembler, Item
from needle.traces import Trace

FILLINGS = 12
"""Requests made of each pattern."""
COLORS = "red|green|blue|yellow|purple|orange|pink|white|teal|turquoise|warm white|lavender".split("|")
FAN_MODES = ("low", "medium", "high", "auto")
HVAC_MODES = ("heat", "cool", "auto", "off", "dry", "fan only")
_BLANK = re.compile(r"<(device_name|brightness|color|duration|fan_mode|humidity|hvac_mode|temp_c|temp_f|todo)(\d?)>")
_NUMBERS = {"brightness": (1, 100), "humidity": (20, 70), "temp_c": (15, 28), "temp_f": (58, 84)}
_SETS = {"brightness": "light.set_brightness", "color": "light.set_color"}
"""What ``turn_on`` of a light means when a pattern has such a blank."""


def rows(root: Path, options: Options) -> Iterator[Trace]:
    """Rows over all devices together."""
    folder = root / "data" / "piles" / "english"
    functions = load_functions("home_llm")
    rng = random.Random(options.seed)
    items: dict[str, Item] = {}
    for item in (*_patterns(folder, rng, options), *_specific(folder, options)):
        if any(key not in functions for key, _ in item.calls):
            options.dropped["action without a function"] += 1
        elif item.text.lower() in items:
            options.dropped["request that came before"] += 1
        else:
            items[item.text.lower()] = item
    yield from Assembler("home_llm", functions, list(items.values()), options.mix, options.seed, options.dropped).rows()


def _patterns(folder: Path, rng: random.Random, options: Options) -> Iterator[Item]:
    words: dict[str, list[str]] = defaultdict(list)
    for row in _read(folder / "pile_of_device_names.csv"):
        words[row["device_name"].partition(".")[0]].append(row["description"].strip())
    banks = {
        "duration": [row["name"].strip().lower() for row in _read(folder / "pile_of_durations.csv")],
        "todo": [line.strip() for line in (folder / "pile_of_todo_items.txt").read_text(encoding="utf-8").splitlines() if line.strip()],
        "color": COLORS, "fan_mode": FAN_MODES, "hvac_mode": HVAC_MODES,
    }  # fmt: skip
    for number, row in enumerate(_read(folder / "pile_of_templated_actions.csv")):
        for filling in range(FILLINGS):
            options.read += 1
            yield _filled(f"patterns/{number}/{filling}", row, words, banks, rng)


def _filled(item_id: str, row: Mapping[str, str], words: Mapping[str, list[str]], banks: Mapping[str, Any], rng: random.Random) -> Item:
    """A pattern with its blanks filled, and the calls that it means."""
    kinds, services = row["device_type"].split("|"), row["service"].split("|")
    names = [rng.choice(words[kind]) for kind in kinds]
    values: list[dict[str, Any]] = [{} for _ in kinds]
    calls = [f"{kind}.{service}" for kind, service in zip(kinds, services, strict=True)]

    def fill(match: re.Match[str]) -> str:
        blank, place = match[1], int(match[2] or 1) - 1
        if blank == "device_name":
            values[place]["name"] = names[place]
            return names[place]
        value = rng.randint(*_NUMBERS[blank]) if blank in _NUMBERS else rng.choice(banks[blank])
        values[0]["temperature" if blank.startswith("temp") else blank] = value
        calls[0] = _SETS.get(blank, calls[0])
        return str(value)

    text = _BLANK.sub(fill, row["phrase"].strip(' "'))
    return Item(item_id, text, tuple(zip(calls, values, strict=True)))


def _specific(folder: Path, options: Options) -> Iterator[Item]:
    """Requests that name their device: its name as they write it, without the kind of device where they leave that out."""
    for number, row in enumerate(_read(folder / "pile_of_specific_actions.csv")):
        options.read += 1
        wanted = r"[ '’]?".join(map(re.escape, re.sub(r"_\d+$", "", row["device_name"]).split("_")))
        found = re.search(rf"\b{wanted}\b", row["phrase"], re.IGNORECASE)
        if found:
            yield Item(f"specific/{number}", row["phrase"].strip(), ((row["service_name"], {"name": found[0]}),))
        else:
            options.dropped["device in other words"] += 1


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file) if all(row.get(name) for name in list(row)[:2])]
