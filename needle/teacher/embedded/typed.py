"""Values whose form the schema fixes: numbers in range, times, dates, addresses, patterns, and values that it names."""

from __future__ import annotations

import datetime
import random
import re
from typing import Any

from needle.teacher.embedded import lexicon
from needle.tools.described import described

FIRST_DAY = datetime.date(2026, 12, 1)
"""Dates are drawn from the 400 days after it (a fixed day keeps the output a function of the seed alone)."""


CODES = frozenset("number id code reference ref sku serial ticket booking".split())
"""Words of a parameter's name that make its values codes."""
CURRENCIES = ("EUR", "USD", "GBP", "CHF", "SEK", "JPY", "INR", "CAD", "AUD", "PLN", "NOK", "BRL")


def typed_number(schema: dict[str, Any], name: tuple[str, ...], kind: str, rng: random.Random) -> int | float:
    """A number as people use them: round steps, rarely the far end of a long range."""
    low = schema.get("minimum", schema.get("exclusiveMinimum", -1) + 1 if "exclusiveMinimum" in schema else 1)
    guess = (
        2000 if "amount" in name or "price" in name else 30 if {"temperature", "celsius", "degrees"} & set(name) else 60
    )
    high = schema.get(
        "maximum", schema["exclusiveMaximum"] - 1 if "exclusiveMaximum" in schema else max(guess, low * 4)
    )
    low, high = min(low, high), max(low, high)
    step = schema.get("multipleOf") or (rng.choice((1, 5, 5, 10)) if high - low >= 20 else 1)
    if high - low > 120 and low >= 0 and rng.random() < 0.8:  # people rarely use the far end of a long range
        high = max(low, low + (high - low) // 5)
    if step >= 1 or "multipleOf" in schema:
        first = -(-low // step) * step
        value = first + step * rng.randint(0, max(0, int((high - first) // step)))
        value = round(value, 4) if low <= value <= high else low
    else:
        value = low
    if (
        kind == "number"
        and "multipleOf" not in schema
        and high - low <= 100
        and rng.random() < 0.25
        and value + 0.5 <= high
    ):
        value += 0.5
    return int(value) if value == int(value) else value


def typed_string(schema: dict[str, Any], name: tuple[str, ...], rng: random.Random) -> str | None:
    """A string whose form the schema fixes, or its description tells: a time, a date, an address; None for free text."""
    if told := described(schema):
        return told.write(typed_string({**schema, "format": told.format}, name, rng) or "")
    form = schema.get("format") or ""
    text = f"{schema.get('description', '')} {schema.get('pattern', '')}"
    hour = rng.randrange(6, 23) if rng.random() < 0.85 else rng.randrange(24)
    time = f"{hour:02d}:{rng.choice((0, 0, 0, 15, 30, 30, 45, 5, 20, 50)):02d}"
    day = (FIRST_DAY + datetime.timedelta(days=rng.randrange(400))).isoformat()
    if form == "date-time":
        return f"{day}T{time}:00"
    if form == "time" or (not form and re.search(r"HH:MM(?!:SS)", text)):
        return time
    if form == "date" or (not form and "YYYY-MM-DD" in text):
        return day
    person, word = rng.choice(lexicon.NAMES).lower(), rng.choice(lexicon.WORDS)
    if form == "email" or (not form and name[-1:] == ("email",)):
        return f"{person}@{word}.example"
    if form in ("uri", "url") or (not form and name[-1:] in (("url",), ("link",))):
        return f"https://{word}.example/{rng.choice(lexicon.WORDS)}"
    if form == "ipv4":
        return f"10.0.{rng.randrange(256)}.{rng.randrange(1, 255)}"
    if form == "hostname":
        return f"{word}.example"
    if form == "uuid":
        digits = f"{rng.getrandbits(128):032x}"
        return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
    if form == "duration":
        return None
    if name[-1:] == ("currency",) and fits(currency := rng.choice(CURRENCIES), schema):
        return currency
    if "pattern" in schema:
        return _from_pattern(schema["pattern"], rng)
    return coded(schema, name, rng)


def coded(schema: dict[str, Any], name: tuple[str, ...], rng: random.Random) -> str | None:
    """A number or code as printed on orders and invoices: like the one that the description shows, with other digits;
    None for parameters of another name."""
    if not CODES & set(name[-2:]) or {"phone", "color", "postal", "country", "language", "promo"} & set(name):
        return None
    shown = re.search(r"\b(?=[\w-]*\d)[A-Z]{1,4}[-_]?\d{2,8}\b", schema.get("description", ""))
    if shown:
        return re.sub(r"\d", lambda _: str(rng.randrange(1, 10)), shown[0])
    letters = "".join(rng.choice("ABCDEFGHKLMNPRSTVWXZ") for _ in range(rng.randint(1, 3)))
    digits = str(rng.randrange(100, 10 ** rng.randint(3, 6)))
    return rng.choice(
        (f"{letters}-{digits}", f"{letters}{digits}", digits, f"{letters}-{rng.randint(2024, 2027)}-{digits[:3]}")
    )


def _from_pattern(pattern: str, rng: random.Random) -> str | None:
    """A string for simple patterns (literals, classes such as ``[A-Z]`` and ``\\d``, counts); None where it needs
    more."""
    made = []
    body = pattern.removeprefix("^").removesuffix("$")
    for atom, low, high in re.findall(r"(\\d|\[[^\]]+\]|\\.|[^\\()|*+?{}\[\].^$])(?:\{(\d+)(?:,(\d+))?\})?", body):
        count = rng.randint(int(low), int(high or low)) if low else 1
        for _ in range(count):
            if atom == r"\d" or atom in ("[0-9]", r"[\d]"):
                made.append(str(rng.randrange(10)))
            elif atom.startswith("["):
                made.append(
                    rng.choice(
                        "ABCDEFGHJKLMNPRSTUVWXYZ"
                        if "A-Z" in atom
                        else "abcdefghkmnprstuvwxyz"
                        if "a-z" in atom
                        else atom[1]
                    )
                )
            else:
                made.append(atom[-1])
    text = "".join(made)
    return text if re.search(pattern, text) else None


def examples(schema: dict[str, Any]) -> list[str]:
    """Values that the schema itself names: ``examples``, and "e.g. kitchen, living room" in the description."""
    named = [item for item in schema.get("examples") or () if isinstance(item, str)]
    match = re.search(
        r"(?:e\.g\.|for example|such as|for instance)[:,]?\s+([^().;]+)", schema.get("description", ""), re.IGNORECASE
    )
    if match:
        parts = re.split(r",\s*(?:or |and )?|\s+or\s+|\s+and\s+", match[1])
        named += [part.strip(" '\"`") for part in parts if 1 < len(part.strip(" '\"`")) <= 40]
    return named


def fits(value: str, schema: dict[str, Any]) -> bool:
    """Whether a text has the length and the pattern that a schema asks for."""
    if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", 80):
        return False
    try:
        return re.search(schema["pattern"], value) is not None if "pattern" in schema else True
    except re.error:
        return True
