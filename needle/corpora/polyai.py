"""PolyAI's Banking77 (which function) and Restaurant-8k (a table reservation with date, time, people and name).

Files: ``banking_data/{train,test}.csv``, ``span_extraction/restaurant8k/{train_*,test}.json``. Intents of Banking77 that only a
banker tells apart are left out. Of Restaurant-8k those turns are used that ask for a reservation or give two of its values.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from needle.corpora.catalogue import Options
from needle.corpora.functions import Function, Slot, load_functions
from needle.corpora.toolsets import Assembler, Item
from needle.traces import Trace

RESERVE = Function(
    "reserve",
    "restaurant",
    ("book table", "reserve table", "make reservation", "create booking", "restaurant reservation"),
    ("Book a table at the restaurant.", "Reserve a table.", "Make or complete a restaurant reservation."),
    (
        Slot("people", ("people", "party size", "guests", "number of people"), ("How many people, as said.", "Size of the party.")),
        Slot("date", ("date", "day", "reservation date"), ("Day as said.", "For which day.")),
        Slot("time", ("time", "at", "reservation time"), ("Time of the reservation.", "When the table is wanted."), "time"),
        Slot("first_name", ("first name", "given name"), ("First name for the booking.",)),
        Slot("last_name", ("last name", "surname", "family name"), ("Last name for the booking.",)),
    ),
)
COUNTED = Function(
    "reserve_counted", "restaurant", RESERVE.names, RESERVE.descriptions,
    tuple(Slot("people", ("people", "party size", "guests"), ("Number of people.", "How many guests."), "integer", limits=(1, 60)) if slot.key == "people" else slot for slot in RESERVE.slots),
    frozenset(("reserve",)),
)  # fmt: skip
"""The same with the number of people as a number, for turns that give one."""
OTHERS = (
    Function("cancel_booking", "restaurant", ("cancel booking", "cancel reservation"), ("Cancel a reservation.",), (Slot("last_name", ("last name", "name"), ("Name of the booking.",)),)),
    Function("get_menu", "restaurant", ("get menu", "show menu"), ("Show the menu of the restaurant.",), ()),
    Function("get_opening_hours", "restaurant", ("get opening hours", "opening hours"), ("Tell when the restaurant is open.",), (Slot("date", ("day", "date"), ("Which day.",)),)),
)
"""Functions of a restaurant that stand beside; nobody asks for them here."""
_ASKS = re.compile(r"\b(book|booking|reserv\w+|table|seat\w*|party|dinner|lunch|space|spot)\b", re.IGNORECASE)
_OLD = re.compile(r"\b(cancel|change|already|i have an?|i've)\b", re.IGNORECASE)


def rows(root: Path, options: Options) -> Iterator[Trace]:
    """Rows of both sets, with toolsets across them."""
    functions = {**load_functions("banking77"), RESERVE.key: RESERVE, COUNTED.key: COUNTED} | {one.key: one for one in OTHERS}
    items = []
    for number, row in enumerate(_banking(root, "train")):
        options.read += 1
        if row["category"] in functions:
            items.append(Item(f"banking/{number}", " ".join(row["text"].split()), ((row["category"], {}),)))
        else:
            options.dropped["intent that only a banker tells apart"] += 1
    for path in sorted((root / "span_extraction" / "restaurant8k").glob("train_*.json")):
        for number, row in enumerate(json.loads(path.read_text(encoding="utf-8"))):
            options.read += 1
            item = _reservation(f"{path.stem}/{number}", row)
            if isinstance(item, str):
                options.dropped[item] += 1
            else:
                items.append(item)
    yield from Assembler("polyai", functions, items, options.mix, options.seed, options.dropped).rows()


def held_out(root: Path) -> Iterator[str]:
    """Texts of both test parts (short answers such as "for two" are in every part)."""
    yield from (row["text"] for row in _banking(root, "test"))
    for row in json.loads((root / "span_extraction" / "restaurant8k" / "test.json").read_text(encoding="utf-8")):
        if len(row["userInput"]["text"].split()) > 4:
            yield row["userInput"]["text"]


def _banking(root: Path, part: str) -> Iterator[dict[str, str]]:
    with (root / "banking_data" / f"{part}.csv").open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def _reservation(item_id: str, row: Mapping[str, Any]) -> Item | str:
    text = row["userInput"]["text"]
    values: dict[str, str] = {}
    for label in row.get("labels", ()):
        span = label["valueSpan"]
        value = text[span.get("startIndex", 0) : span["endIndex"]].strip(" .,!?")
        if label["slot"] in values:
            return "two values for one argument"
        values[label["slot"]] = value
    if not values or (len(values) < 2 and not _ASKS.search(text)):
        return "not a request for a reservation"
    if _OLD.search(text):
        return "about an earlier reservation"
    people = re.fullmatch(r"(?:for |party of )?(\d+|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|fifteen|twenty)(?: (?:people|persons|of us|guests|adults))?", values.get("people", ""), re.IGNORECASE)
    if people and sum(map(ord, item_id)) % 2:
        return Item(item_id, text, (("reserve_counted", values | {"people": people[1]}),))
    return Item(item_id, text, (("reserve", values),))
