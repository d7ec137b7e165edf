"""Ways of saying numbers, amounts, times, dates and durations, from the test cases of Recognizers-Text and Duckling.

The cases give a text and its value ("half past eight in the morning": 08:30; "two weeks": 1,209,600 seconds). Here each is put
into requests to small typed functions, so that a model learns the value, not only to copy. Only readings that a person would call certain are
used: times that name the half of the day, dates with the day of reference given as a fact.
"""

from __future__ import annotations

import datetime
import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from needle.corpora.catalogue import Options
from needle.corpora.functions import Function, load_functions
from needle.corpora.toolsets import Assembler, Item
from needle.traces import Trace

FRAMES: dict[str, tuple[tuple[str, str], ...]] = {
    "integer": (("set_counter", "set the counter to {}"), ("order_items", "order {} of those"), ("set_limit", "the limit should be {}"), ("set_counter", "make the count {}"), ("order_items", "i need {} pieces"), ("roll", "give me {} random numbers")),
    "number": (("set_limit", "change the limit to {}"), ("convert_length", "convert {} meters to feet"), ("set_limit", "cap it at {}"), ("square_root", "what is the square root of {}"), ("square_root", "square root of {} please")),
    "ordinal": (("open_page", "open the {} page"), ("pick_result", "take the {} result"), ("pick_result", "play the {} one"), ("open_page", "go to the {} page")),
    "percent": (("set_brightness", "dim the lights to {}"), ("set_volume", "volume at {}"), ("set_brightness", "brightness {}"), ("add_tip", "add a tip of {}"), ("set_volume", "turn it to {}")),
    "money": (("pay", "send Anna {}"), ("pay", "pay {} to Bob"), ("set_budget", "set my budget to {}"), ("log_expense", "i spent {} on lunch"), ("set_budget", "i can spend {}"), ("log_expense", "note an expense of {}")),
    "temperature": (("set_temperature", "set the thermostat to {}"), ("set_temperature", "make it {}"), ("preheat_oven", "preheat the oven to {}"), ("preheat_oven", "oven at {}")),
    "time": (("set_alarm", "wake me up {}"), ("set_alarm", "alarm {}"), ("book_table", "a table {}"), ("order_taxi", "i need a taxi {}"), ("order_taxi", "send a cab {}"), ("book_table", "can we come {}")),
    "date": (("book_flight", "i fly {}"), ("book_flight", "book my flight, i leave {}"), ("schedule_visit", "schedule the visit {}"), ("schedule_visit", "i will come {}"), ("set_deadline", "the deadline is {}"), ("set_deadline", "make it due {}")),
    "duration": (("start_timer", "set a timer for {}"), ("start_timer", "{} timer"), ("snooze", "snooze for {}"), ("pause_notifications", "no notifications for {}"), ("snooze", "wake me again in {}"), ("pause_notifications", "mute everything for {}")),
    "phone": (("call_number", "call {}"), ("call_number", "dial {}"), ("send_text", "text {} that i'm here"), ("save_number", "save the number {}")),
    "email": (("send_mail", "write to {}"), ("send_mail", "email {} please"), ("subscribe", "sign up {} for the newsletter")),
    "url": (("open_page_at", "open {}"), ("bookmark", "bookmark {}"), ("check_site", "is {} down")),
}  # fmt: skip
"""Kind of form to (function, frame)."""
USES = 3
"""Requests made of one form."""
_HALF = re.compile(r"\b[ap] ?\.? ?m\b|morning|evening|afternoon|night|noon|\b(?:0\d|1[3-9]|2[0-3]):\d\d", re.IGNORECASE)
_UNITS = {"Dollar": "USD", "United States dollar": "USD", "Euro": "EUR", "British pound": "GBP", "Pound": "GBP", "Japanese yen": "JPY", "Chinese yuan": "CNY", "Indian rupee": "INR", "EUR": "EUR", "GBP": "GBP", "INR": "INR", "JPY": "JPY", "CNY": "CNY"}


def rows(root: Path, options: Options) -> Iterator[Trace]:
    """Rows of one of the two sources, by what the folder holds."""
    functions = load_functions("forms")
    rng = random.Random(f"{options.seed}/{root.name}")
    forms = list(dict.fromkeys(_recognizers(root / "Specs") if (root / "Specs").is_dir() else _duckling(root / "examples.jsonl")))
    items: dict[str, Item] = {}
    for number, (kind, text, value, today) in enumerate(forms):
        options.read += 1
        frames = FRAMES[kind]
        for key, frame in rng.sample(frames, 1 if kind == "phone" else min(USES, len(frames))):
            item = _item(f"{root.name}/{number}", key, kind, frame, text, json.loads(value), today, functions)
            if isinstance(item, str):
                options.dropped[item] += 1
            else:
                items.setdefault(item.text.lower(), item)
    yield from Assembler(root.name.split("_")[0], functions, list(items.values()), options.mix, options.seed, options.dropped).rows()


def _item(item_id: str, key: str, kind: str, frame: str, text: str, value: Any, today: str, functions: dict[str, Function]) -> Item | str:
    preposition = ""
    if kind == "time" and not re.match(r"(at|around|by|in|this|tonight|noon|midnight)\b", text, re.IGNORECASE):
        preposition = "at "
    if kind == "date" and re.match(r"(the |\d|mon|tue|wed|thu|fri|sat|sun|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)", text, re.IGNORECASE):
        preposition = "on "
    said = frame.format(preposition + text) if not (kind == "date" and "deadline is" in frame) else frame.format(text)
    slots = {slot.key for slot in functions[key].slots}
    values: dict[str, Any] = {name: item for name, item in value.items() if name in slots}
    if not values:
        return "form without an argument"
    others = {"Anna": "to", "Bob": "to", "lunch": "what", "i'm here": "message"}
    values |= {slot: word for word, slot in others.items() if slot in slots and word in frame}
    return Item(item_id, said, ((key, values),), system=f"Today is {datetime.date.fromisoformat(today):%A}, {today}." if kind == "date" else None)


def _recognizers(root: Path) -> Iterator[tuple[str, str, str, str]]:
    """(kind, text, value as JSON, day of reference) of the English cases with one certain result."""
    readers = {"DateTime/English/TimeParser": _time, "DateTime/English/DateParser": _date, "DateTime/English/DurationParser": _duration, "Number/English/NumberModel": _number, "Number/English/PercentModel": _percent, "Number/English/OrdinalModel": _ordinal,
               "NumberWithUnit/English/CurrencyModel": _money, "NumberWithUnit/English/TemperatureModel": _temperature, "Sequence/English/PhoneNumberModel": _copied("phone"), "Sequence/English/EmailModel": _copied("email"), "Sequence/English/URLModel": _copied("url")}  # fmt: skip
    for name, read in readers.items():
        path = root / f"{name}.json"
        cases = json.loads(path.read_text(encoding="utf-8-sig")) if path.is_file() else []
        for case in cases:
            results = case.get("Results") or []
            if len(results) != 1 or len(results[0]["Text"]) > 40:
                continue
            start = case["Input"].lower().find(results[0]["Text"].lower())
            text = case["Input"][start : start + len(results[0]["Text"])] if start >= 0 else results[0]["Text"]
            reference = str((case.get("Context") or {}).get("ReferenceDateTime", ""))[:10]
            made = read(" ".join(text.split()), results[0], reference)
            if made:
                yield made[0], " ".join(text.split()), json.dumps(made[1]), reference


def _time(text: str, result: dict[str, Any], reference: str) -> tuple[str, dict[str, Any]] | None:
    found = ((result.get("Value") or {}).get("FutureResolution") or {}).get("time")
    return ("time", {"time": found[:5]}) if found and _HALF.search(text) and len(found) >= 5 else None


def _date(text: str, result: dict[str, Any], reference: str) -> tuple[str, dict[str, Any]] | None:
    value = result.get("Value") or {}
    future = (value.get("FutureResolution") or {}).get("date")
    if not future or not reference or future < reference or not re.fullmatch(r"\d{4}-\d\d-\d\d", future) or re.fullmatch(r"[\d/.\-, ]+", text):
        return None
    return "date", {"date": future}


def _duration(text: str, result: dict[str, Any], reference: str) -> tuple[str, dict[str, Any]] | None:
    seconds = ((result.get("Value") or {}).get("FutureResolution") or {}).get("duration")
    if not seconds or not str(seconds).isdigit() or not 0 < int(seconds) <= 14 * 86400:
        return None
    return "duration", {"seconds": int(seconds)} | ({"minutes": int(seconds) // 60} if int(seconds) % 60 == 0 else {})


def _number(text: str, result: dict[str, Any], reference: str) -> tuple[str, dict[str, Any]] | None:
    value = (result.get("Resolution") or {}).get("value")
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    if number.is_integer() and 0 < number < 10**9:
        return "integer", {"value": int(number)}
    return ("number", {"value": number}) if 0 < number < 10**9 and len(str(value)) < 12 else None


def _percent(text: str, result: dict[str, Any], reference: str) -> tuple[str, dict[str, Any]] | None:
    value = str((result.get("Resolution") or {}).get("value", "")).rstrip("%")
    return ("percent", {"percent": int(value)}) if value.isdigit() and int(value) <= 100 and not text.lower().startswith("per") else None


def _ordinal(text: str, result: dict[str, Any], reference: str) -> tuple[str, dict[str, Any]] | None:
    value = str((result.get("Resolution") or {}).get("value", ""))
    return ("ordinal", {"value": int(value)}) if value.isdigit() and 0 < int(value) < 10000 else None


def _money(text: str, result: dict[str, Any], reference: str) -> tuple[str, dict[str, Any]] | None:
    resolution = result.get("Resolution") or {}
    try:
        amount = float(resolution.get("value"))
    except (TypeError, ValueError):
        return None
    unit = _UNITS.get(str(resolution.get("unit")))
    return ("money", {"amount": int(amount) if amount.is_integer() else amount, "currency": unit}) if unit and amount > 0 else None


def _temperature(text: str, result: dict[str, Any], reference: str) -> tuple[str, dict[str, Any]] | None:
    resolution = result.get("Resolution") or {}
    if not re.fullmatch(r"-?\d+(\.\d+)?", str(resolution.get("value"))) or resolution.get("unit") not in ("C", "F"):
        return None
    value = float(resolution["value"])
    return "temperature", {"value": int(value) if value.is_integer() else value, "unit": {"C": "celsius", "F": "fahrenheit"}[resolution["unit"]]}


def _copied(kind: str) -> Any:
    return lambda text, result, reference: (kind, {kind: text})


def _duckling(path: Path) -> Iterator[tuple[str, str, str, str]]:
    """The same for Duckling's examples, whose values are kept in its source notation."""
    units = {"Second": 1, "Minute": 60, "Hour": 3600, "Day": 86400, "Week": 604800}
    for line in path.read_text(encoding="utf-8").strip().split("\n"):
        case = json.loads(line)
        dim, text, value = case["dim"], case["text"], case["value"]
        if value == "=":  # only that the text is of this kind, or that it is none
            continue
        if dim == "Duration" and (match := re.fullmatch(r"\(DurationData (\d+) (\w+)\)", value)) and match[2] in units:
            seconds = int(match[1]) * units[match[2]]
            yield "duration", text, json.dumps({"seconds": seconds} | ({"minutes": seconds // 60} if seconds % 60 == 0 else {})), ""
        elif dim == "AmountOfMoney" and (match := re.fullmatch(r"\(simple (\w+) ([\d.e]+)\)", value)) and match[1] in _UNITS:
            amount = float(match[2])
            yield "money", text, json.dumps({"amount": int(amount) if amount.is_integer() else amount, "currency": _UNITS[match[1]]}), ""
        elif dim == "Numeral" and (match := re.fullmatch(r"\(?(?:simple )?([\d.e]+)\)?", value)):
            number = float(match[1])
            yield ("integer" if number.is_integer() else "number"), text, json.dumps({"value": int(number) if number.is_integer() else number}), ""
        elif dim == "Ordinal" and (match := re.fullmatch(r"\(?(?:OrdinalData )?(\d+)\)?", value)):
            yield "ordinal", text.removeprefix("the "), json.dumps({"value": int(match[1])}), ""
        elif dim == "Temperature" and (match := re.fullmatch(r"\(simple (Celsius|Fahrenheit) (-?\d+)\)", value)):
            yield "temperature", text, json.dumps({"value": int(match[2]), "unit": match[1].lower()}), ""
        elif dim in ("PhoneNumber", "Email", "Url") and 4 < len(text) < 40:
            kind = {"PhoneNumber": "phone", "Email": "email", "Url": "url"}[dim]
            yield kind, text, json.dumps({kind: text}), ""
