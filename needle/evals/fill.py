"""Arguments by plain extraction: listed values that are mentioned, numbers in order, quoted and capitalised spans.

This is what the floors fill in. It is meant to be simple, not good: a model that cannot beat it has learnt nothing
about arguments.
"""

from __future__ import annotations

import re
from typing import Any

from needle.evals.causes import NUMBER_WORDS, words
from needle.evals.match import local_schema
from needle.tools.spec import ToolSpec

_NUMBER = re.compile(r"(?<![\w.,])-?(?:\d{1,3}(?:,\d{3}){1,3}|\d{1,15})(?:\.\d{1,9})?(?![\d.,]*\d)")
_QUOTED = re.compile(r"[\"“«']([^\"“”«»']+)[\"”»'](?!\w)")
_CAPITALISED = re.compile(r"(?<![.!?] )(?<!^)\b[A-Z][\w&'-]*(?: [A-Z][\w&'-]*)*")
_LAST_PHRASE = re.compile(
    r".*\b(?:to|for|at|in|on|from|about|called|named|of|with|the|my)\s+(.+?)[.?!]*$", re.IGNORECASE | re.DOTALL
)
_FORMATS = {
    "date": re.compile(r"\d{4}-\d\d-\d\d"),
    "time": re.compile(r"\d\d?:\d\d"),
    "email": re.compile(r"\S+@\S+\.\w+"),
}
_NEGATIVE = frozenset({"off", "no", "not", "disable", "without", "stop", "don", "dont", "never"})


class Extractor:
    """What one request offers, handed out in order; each span and number is given once."""

    def __init__(self, query: str) -> None:
        self.query = query
        self.words = words(query)
        self.text = " " + " ".join(self.words) + " "
        self.numbers = [float(token.replace(",", "")) for token in _numbers(query)]
        self.spans = [*_QUOTED.findall(query), *_CAPITALISED.findall(query)]

    def fill(self, tool: ToolSpec) -> dict[str, Any]:
        """Arguments for ``tool``: required ones first, optional ones only where the request seems to offer a value."""
        return self._object(tool.parameters, tool.parameters)

    def _object(self, schema: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
        properties = schema.get("properties") or {}
        required = [key for key in schema.get("required") or () if key in properties]
        found: dict[str, Any] = {}
        for key in [*required, *(key for key in properties if key not in required)]:
            value = self._value(local_schema(properties[key], root), root, key in required)
            if value is not None:
                found[key] = value
        return {key: found[key] for key in properties if key in found}

    def _value(self, schema: dict[str, Any], root: dict[str, Any], required: bool) -> Any:
        listed = schema.get("enum")
        kind = schema.get("type")
        if listed:
            return self._listed(listed, required)
        if kind == "boolean":
            return not _NEGATIVE.intersection(self.words) if required else None
        if kind in ("integer", "number"):
            return self._number(kind, required)
        if kind == "array":
            return self._array(local_schema(schema.get("items"), root), root, required)
        if kind == "object":
            return self._object(schema, root) if required else None
        return self._string(schema, required)

    def _listed(self, listed: list[Any], required: bool) -> Any:
        said = [value for value in listed if value is not None and self.mentions(value)]
        return max(said, key=lambda value: len(str(value))) if said else (listed[0] if required else None)

    def mentions(self, value: Any) -> bool:
        """Whether the words of ``value`` stand together in the request."""
        spelled = " ".join(words(str(value).replace("_", " ")))
        return bool(spelled) and f" {spelled} " in self.text

    def _number(self, kind: str, required: bool) -> float | int | None:
        if not self.numbers:
            return (0 if kind == "integer" else 0.0) if required else None
        number = self.numbers.pop(0)
        return int(number) if kind == "integer" or number.is_integer() else number

    def _array(self, items: dict[str, Any], root: dict[str, Any], required: bool) -> list[Any] | None:
        if items.get("enum"):
            found: list[Any] = [value for value in items["enum"] if self.mentions(value)]
        elif items.get("type") in ("integer", "number"):
            found = [self._number(items["type"], True) for _ in range(len(self.numbers))]
        else:
            only = self._value(items, root, required)
            found = [] if only is None else [only]
        return found if found or required else None

    def _string(self, schema: dict[str, Any], required: bool) -> str | None:
        shape = _FORMATS.get(schema.get("format", ""))
        if shape:
            match = shape.search(self.query)
            return match.group() if match else (self.query if required else None)
        if self.spans and required:
            return self.spans.pop(0).strip()
        if not required:
            return None
        phrase = _LAST_PHRASE.match(self.query)
        return phrase.group(1) if phrase else self.query


def _numbers(query: str) -> list[str]:
    spelled = " ".join(str(NUMBER_WORDS.get(word.casefold(), word)) for word in query.split())
    return _NUMBER.findall(spelled)
