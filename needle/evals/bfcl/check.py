"""The leaderboard's verdict on an answer, rule by rule as its own checker gives it (a test holds the two equal).

Only *equals an accepted value* is asked, never *valid under the schema*: enums, ranges and patterns do not count.
Strings are compared without case, blanks and the characters ``, . / - _ * ^``; an argument that the ground truth does
not list is wrong even at its default; an empty string among accepted values lets the argument be left out. Where the
ground truth has another type than the tool (the name of a variable, mostly), a value of that type is compared as it
is. In parallel categories each due call takes the first fitting call that is left. Output that cannot be read counts
as abstaining there; ``official`` repeats that, and no other figure of this package does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from needle.evals.bfcl.literals import JAVA_TYPES, JAVASCRIPT_TYPES, read_java, read_javascript
from needle.tools.spec import ToolCall
from needle.traces.bfcl import LEFT_OUT

PYTHON_TYPES: dict[str, type] = {
    "string": str,
    "integer": int,
    "float": float,
    "boolean": bool,
    "array": list,
    "tuple": list,
    "dict": dict,
    "any": str,
}
_LANGUAGES = {"simple_java": (JAVA_TYPES, read_java), "simple_javascript": (JAVASCRIPT_TYPES, read_javascript)}
_COLLECTIONS = frozenset({"array", "tuple", "Array", "ArrayList"})
_BLANKS = str.maketrans("'", '"', " ,./-_*^")

Facts = Mapping[str, Any]
"""What scoring needs of a row: ``category``, ``truth`` (ground truth as published), and ``specs``, one per due call:
``{"name", "required": [...], "types": {parameter: [type, item type or null]}}``, or null for a tool not on offer. Rows
with an erratum have ``fixed``: the same as it should be, or null.
"""


def official(facts: Facts, calls: Sequence[ToolCall] | None) -> bool:
    """The leaderboard's verdict on ``calls``; None is output that could not be read, which it takes for abstaining."""
    category = facts["category"]
    if "irrelevance" in category:
        return not calls
    if not calls:
        return False
    return category == "live_relevance" or _matches(facts, calls)


def fixed(facts: Facts, calls: Sequence[ToolCall] | None) -> bool | None:
    """The verdict by the same rules with the errata; None for a row that no answer can meet."""
    mended = facts.get("fixed", {})
    return None if mended is None else official({**facts, **mended}, calls)


def _matches(facts: Facts, calls: Sequence[ToolCall]) -> bool:
    truth, specs, category = facts["truth"], facts["specs"], facts["category"]
    if len(calls) != len(truth):
        return False
    left = list(calls)
    for due, spec in zip(truth, specs, strict=True):
        ((_, accepted),) = due.items()
        fit = next((place for place, call in enumerate(left) if call_fits(call, accepted, spec, category)), None)
        if fit is None:
            return False
        del left[fit]
    return True


def call_fits(call: ToolCall, accepted: Mapping[str, Any], spec: Mapping[str, Any] | None, category: str) -> bool:
    """Whether one call meets one due call: name, required arguments, every argument given, every one left out."""
    if spec is None or call.name != spec["name"] or any(name not in call.arguments for name in spec["required"]):
        return False
    for name, value in call.arguments.items():
        if name not in spec["types"] or name not in accepted:
            return False
        if not argument_fits(value, accepted[name], spec["types"][name], category):
            return False
    return all(name in call.arguments or LEFT_OUT in values for name, values in accepted.items())


def argument_fits(value: Any, accepted: Sequence[Any], kind: Sequence[str | None], category: str) -> bool:
    """Whether ``value`` is accepted for a parameter of type ``kind`` (type name, item type name or None)."""
    name, item = str(kind[0]), kind[1] if kind[0] in _COLLECTIONS else None
    if category in _LANGUAGES:
        types, read = _LANGUAGES[category]
        if type(value) is not str:
            return False
        value = read(value, name, item)
    else:
        types = PYTHON_TYPES
        if name == "float" and type(value) is int:
            try:
                value = float(value)
            except OverflowError:
                return False
    expected, expected_item = types[name], types[item] if item else None
    fits, as_it_is = _type_fits(value, accepted, expected, expected_item)
    if not fits:
        return False
    if as_it_is:
        return value in accepted
    return _value_fits(value, accepted, expected, expected_item)


def _type_fits(value: Any, accepted: Sequence[Any], expected: type, item: type | None) -> tuple[bool, bool]:
    """Whether the type will do, and whether the value is then to be compared as it is."""
    listed = next((type(one) for one in accepted if one != LEFT_OUT), None)
    other = listed is not None and listed is not expected
    if type(value) is expected:
        return item is None or any(_items_fit(value, one, item) for one in accepted), other
    return listed is not None and type(value) is listed, True


def _items_fit(value: Sequence[Any], option: Any, item: type) -> bool:
    return type(option) is not list or all(_type_fits(one, option, item, None)[0] for one in value)


def _value_fits(value: Any, accepted: Sequence[Any], expected: type, item: type | None) -> bool:
    if expected is dict:
        return any(_object_fits(value, option) for option in accepted)
    if expected is list and item is dict:
        return any(
            len(value) == len(option) and all(map(_object_fits, value, option))
            for option in accepted
            if isinstance(option, (list, str))
        )
    if expected is str:
        return value in accepted or fold(value) in (fold(option) for option in accepted if type(option) is str)
    if expected is list:
        folded = _folded(value)
        return any(folded == _folded(option) for option in accepted if isinstance(option, (list, str)))
    return value in accepted


def _object_fits(value: Any, option: Any) -> bool:
    """One object against one accepted object, whose every key lists accepted values; deeper values as they are."""
    if not isinstance(value, dict) or not isinstance(option, dict):
        return False
    known = all(key in option and _fold_text(one) in _folded(option[key]) for key, one in value.items())
    return known and all(key in value or LEFT_OUT in values for key, values in option.items())


def fold(text: str) -> str:
    """The leaderboard's string rule: no blanks, no ``,./-_*^``, lower case, one kind of quotation mark."""
    return text.translate(_BLANKS).lower()


def _fold_text(value: Any) -> Any:
    return fold(value) if type(value) is str else value


def _folded(values: Sequence[Any]) -> list[Any]:
    """Texts folded, one level deep; the mark for *left out* is thereby an empty list."""
    return [_fold_text(value) for value in values]
