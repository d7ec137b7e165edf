"""Requests that lack a required value, made from verified ones: the value is cut out, so the label is certain.

    cut_value("set an alarm for 7 am called gym", (17, 21))      # "set an alarm called gym"

After Magnet's Split (arXiv 2503.07826) and When2Call (2504.18851).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from needle.teacher.embedded.text import locate
from needle.tools.arguments import flat_arguments, schema_at
from needle.tools.spec import ToolCall, ToolSpec

LEAD = re.compile(
    r"(?:,? (?:to|at|for|in|on|of|with|by|from|called|named|saying|that says|titled|labelled|as|into|onto|until|till|"
    r"before|after|about|near|under|is|set to|down to|up to|around|the|a|an|my|every|each|number|item))+ ?[\"'“]?$",
    re.IGNORECASE,
)
"""Words that introduce a value and go with it."""
TAIL = re.compile(
    r"^[\"'”]?(?: ?%| ?°C?| (?:percent|degrees?|minutes?|mins?|hours?|seconds?|days?|km|kg|euros?|dollars?|pounds?|"
    r"people|times|am|pm|o'?clock|in the (?:morning|afternoon|evening)|at night|room|speaker)\b)*",
    re.IGNORECASE,
)
"""Units and parts of the day that go with a value."""
ALONE = re.compile(r"[,;:]?\s*(?:\b(?:and|then|also|plus|but)\b)?\s*$", re.IGNORECASE)


def cut_value(request: str, span: tuple[int, int]) -> str | None:
    """The request without the value at a span; None where the rest would be no sentence.

    A value that words introduce ("at 7 am") goes with them; one that a verb takes directly ("add milk to the list") gives
    way to "something". None too where the value is said again, or where less than two words would stay.
    """
    before, value, after = request[: span[0]], request[span[0] : span[1]], request[span[1] :]
    if len(value.strip()) < 1 or re.search(rf"(?<!\w){re.escape(value)}(?!\w)", before + " | " + after, re.IGNORECASE):
        return None
    after = after[TAIL.match(after).end() :]  # type: ignore[union-attr]  # it matches the empty text too
    if lead := LEAD.search(before):
        rest = before[: lead.start()] + after
        if re.search(r"\b(?:and|,)\s*$", before[: lead.start()]) or re.match(r"\s*(?:,(?! ?(?:thanks|thank you|please))|and)\s", after):
            return None  # one of several: the list would not stand without it
    elif value[0].isdigit() or not re.search(r"\w $", before):
        return None
    else:
        rest = f"{before}something{after}"
    rest = re.sub(r"\s+([,.?!])", r"\1", re.sub(r"\s{2,}", " ", rest)).strip()
    return rest if len(rest.split()) >= 2 and rest[-1] not in ",:;" else None


def cut_positive(
    request: str,
    calls: Sequence[ToolCall],
    tools: Sequence[ToolSpec],
    path: str,
    spans: Mapping[str, tuple[int, int]],
) -> str | None:
    """A verified request of one call without the value of a required argument; None where it cannot be cut.

    Args:
        request: the verified request.
        calls: its one call.
        tools: the tools on offer.
        path: dotted path of the argument.
        spans: where the verification found the values, by ``0.path``.
    """
    values = dict(flat_arguments(calls[0].arguments))
    if len(calls) != 1 or path not in values:
        return None
    schema = schema_at(next(tool for tool in tools if tool.name == calls[0].name).parameters, path)
    value = values[path][0] if isinstance(values[path], list) and len(values[path]) == 1 else values[path]
    schema = schema.get("items") or schema if isinstance(values[path], list) else schema
    span = spans.get(f"0.{path}") or locate(value, schema, request)
    rest = cut_value(request, span) if span else None
    return rest if rest and locate(value, schema, rest) is None else None
