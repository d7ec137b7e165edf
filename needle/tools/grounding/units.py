"""Units of measure: which one a stretch of a request has, which one a parameter wants, and the number that follows.

"for five minutes" and a parameter ``timeout_s`` make 300; the same words and ``minutes`` make 5. A parameter says its
unit in its name (``_ms``, ``weight_kg``) or in its description ("in seconds"); one that does not may mean any.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

_TABLE = {
    "time": {
        "ms|millisecond|msec": 0.001, "s|sec|second|sek|secs": 1, "min|minute|m|mins": 60, "h|hour|hr|hrs|hourly": 3600,
        "day|d|daily": 86400, "week|wk|weekly": 604800, "fortnight": 1209600, "month|mo": 2629800, "quarter": 7889400,
        "year|yr|annual|a": 31557600, "decade": 315576000,
    },
    "length": {
        "nm|nanometre|nanometer": 1e-9, "µm|um|micron|micrometre|micrometer": 1e-6, "mm|millimetre|millimeter": 0.001,
        "cm|centimetre|centimeter": 0.01, "m|metre|meter": 1, "km|kilometre|kilometer|k|klick": 1000, "inch|in|inche": 0.0254,
        "ft|foot|feet": 0.3048, "yd|yard": 0.9144, "mile|mi": 1609.344,
    },
    "mass": {"µg|mcg|microgram": 1e-9, "mg|milligram": 1e-6, "g|gram|gramme": 0.001, "kg|kilo|kilogram": 1, "t|ton|tonne": 1000,
             "oz|ounce": 0.0283495, "lb|lbs|pound": 0.453592, "stone": 6.35029},
    "volume": {"µl|ul|microlitre|microliter": 1e-6, "ml|millilitre|milliliter|cc": 0.001, "cl": 0.01, "dl": 0.1,
               "l|litre|liter": 1, "gallon|gal": 3.78541, "pint": 0.473176, "cup": 0.24},
    "money": {"cent|ct|c|pence|penny|p|centime|rappen|minor": 0.01, "euro|eur|€|dollar|usd|$|buck|pound|gbp|£|quid|franc|chf|"
              "krona|kr|sek|major": 1, "grand|k": 1000},
    "share": {"percent|%|pct|per cent|percentage|prozent": 0.01, "fraction|ratio|share|decimal": 1, "bp|bps|basis point": 0.0001},
    "data": {"byte|b": 1, "kb|kilobyte": 1e3, "mb|megabyte|meg": 1e6, "gb|gigabyte|gig": 1e9, "tb|terabyte": 1e12,
             "kib": 1024, "mib": 1048576, "gib": 1073741824},
    "rate": {"hz|hertz": 1, "khz|kilohertz": 1e3, "mhz|megahertz": 1e6, "ghz|gigahertz": 1e9},
    "power": {"mw|milliwatt": 0.001, "w|watt": 1, "kw|kilowatt": 1e3, "megawatt": 1e6},
    "energy": {"j|joule": 1, "kj|kilojoule": 1e3, "wh": 3600, "kwh|kilowatt hour": 3.6e6, "kcal": 4184, "cal": 4.184},
    "voltage": {"mv|millivolt": 0.001, "v|volt": 1, "kv|kilovolt": 1e3},
    "current": {"ma|milliamp": 0.001, "amp|ampere": 1},
    "pressure": {"pa|pascal": 1, "hpa|mbar|millibar": 100, "kpa|kilopascal": 1e3, "bar": 1e5, "psi": 6894.76, "mpa": 1e6, "atm": 101325},
    "angle": {"deg|degree|°": 1, "rad|radian": 57.29577951308232},
    "degree": {"c|°c|celsius|centigrade": 1, "f|°f|fahrenheit": 2, "kelvin": 3},
    "speed": {"km/h|kmh|kph": 1 / 3.6, "m/s|ms-1": 1, "mph": 0.44704, "knot|kn": 0.514444},
}  # fmt: skip
"""Dimension -> names of a unit -> size in the dimension's base unit (temperatures: a number that names the scale)."""

SHORT = frozenset("kg mg ml cl dl cm mm km hz kw kb mb gb hr".split())
"""Two letters that, as the whole name of a parameter, can only be a unit."""
Unit = tuple[str, float]
"""Dimension and size."""
_BY_NAME: dict[str, list[Unit]] = {}
for _dimension, _units in _TABLE.items():
    for _names, _size in _units.items():
        for _name in _names.split("|"):
            _BY_NAME.setdefault(_name.casefold(), []).append((_dimension, _size))
_SPELLED = sorted(_BY_NAME, key=len, reverse=True)
_PARTS = re.compile(r"[A-Z]?[a-z°µ%]+|[A-Z]+(?![a-z])")
_SAID_IN = re.compile(r"(?:\bin |\(|^|, )((?:whole |full )?[a-zµ°%€$£/]+)")
_LONG_WORD = re.compile(r"[a-z%µ°]{3,}|%")
AFTER = re.compile(r"[ -]?(?:(?:" + "|".join(map(re.escape, _SPELLED)) + r")(?:s|e|es|en)?(?![\w])|[%€$£°])", re.IGNORECASE)
"""A unit that follows a number."""


def units_named(word: str) -> list[Unit]:
    """Units that a word may be, its plural included."""
    word = word.casefold().strip(" -.")
    for form in (word, word.removesuffix("s"), word.removesuffix("es"), word.removesuffix("en")):
        if form in _BY_NAME:
            return _BY_NAME[form]
    return []


def units_after(text: str, end: int) -> tuple[list[Unit], int]:
    """Units said right after a number that ends at ``end``, or right before it (``€5``), and where they end."""
    match = AFTER.match(text, end)
    if match:
        return units_named(match[0]), match.end()
    return [], end


@lru_cache(maxsize=8192)
def _named_in(name: str, description: str) -> tuple[Unit, ...]:
    parts = [part.casefold() for part in _PARTS.findall(name)]
    if "per" in parts:  # hours_per_day counts hours
        parts = parts[: parts.index("per")]
        if len(parts) == 1 and (units := units_named(parts[0])):
            return tuple(units)
    for part in reversed(parts[1:]):  # a unit stands at the end: weight_kg, timeoutMs
        if units := units_named(part):
            return tuple(units)
    if len(parts) == 1 and (len(parts[0]) > 2 or parts[0] in SHORT) and (units := units_named(parts[0])):
        return tuple(units)
    text = description.lower()
    found: list[Unit] = []
    for word in _SAID_IN.findall(text):
        found += units_named(word.removeprefix("whole ").removeprefix("full "))
    if not found:
        for word in _LONG_WORD.findall(text):
            found += [unit for unit in units_named(word) if unit[0] != "length" or word != "meter"]
    return tuple(dict.fromkeys(found))


def units_of_parameter(name: str, schema: dict[str, Any]) -> tuple[Unit, ...]:
    """Units that a parameter may want by its name and description; empty when it does not say."""
    units = _named_in(name, str(schema.get("description") or ""))
    top = schema.get("maximum", schema.get("exclusiveMaximum"))
    if isinstance(top, int | float) and top <= 1 and schema.get("type") == "number":
        return (*units, ("share", 1.0))
    return units


def converted(value: float, said: Unit, wanted: Unit) -> float | None:
    """A number in another unit of its dimension; None across dimensions."""
    if said[0] != wanted[0]:
        return None
    if said[0] == "degree":
        celsius = {1: value, 2: (value - 32) / 1.8, 3: value - 273.15}[int(said[1])]
        return {1: celsius, 2: celsius * 1.8 + 32, 3: celsius + 273.15}[int(wanted[1])]
    return value * said[1] / wanted[1]


def sizes(dimension: str) -> list[float]:
    """Sizes of all units of a dimension."""
    return list(_TABLE[dimension].values()) if dimension != "degree" else [1, 2, 3]
