"""Other ways to say the same calls, for rows whose values can be found in the request: quoted values, identifiers for
values, and one command over several values ("lock the garage and the back door").

Each function gives the row itself where it cannot be sure that the label stays right.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from needle.corpora.augment import free_strings, shape_of
from needle.tools import ToolCall, is_valid
from needle.traces import Trace

QUOTES = ("'{}'", "'{}'", '"{}"', '"{}"', "`{}`", "“{}”", "‘{}’")
OF_TIME = re.compile(r"date|time|day|when|month|year|hour|week|lang|currency|country", re.IGNORECASE)
"""Names of parameters whose values are no free choice."""
WORDS = re.compile(r"[A-Z]?[a-z]+")
SPREAD = ("{0} and {1}", "{0} and {1}", "{0}, {1} and {2}", "{0}, {1}, and {2}", "{0} as well as {1}", "{0} & {1}")


def quoted(trace: Trace, rng: random.Random) -> Trace:
    """The row with its copied texts in quotes, as people write names and texts to technical tools; the calls stay without."""
    style, query = rng.choice(QUOTES), trace.query
    for _, _, value in free_strings(trace):
        if not re.search(r"['\"`’“”]", value) and query.count(value) == 1 and not re.search(rf"['\"`’“]{re.escape(value)}|{re.escape(value)}['’]", query):
            query = query.replace(value, style.format(value))
    return replace(trace, query=query)


def identified(trace: Trace, rng: random.Random) -> Trace:
    """The row with one short copied text swapped for a made-up identifier (``orderTotal``, ``red_bus_7``, ``data/menu.csv``), made of words of its tools."""
    short = [(index, key, value) for index, key, value in free_strings(trace) if len(value.split()) <= 3 and not re.search(r"\d", value) and not OF_TIME.search(key)]
    pool = sorted({word.lower() for tool in trace.tools for name in (tool.name, *tool.properties) for word in WORDS.findall(name) if len(word) > 2})
    if trace.alternatives or not short or len(pool) < 4:
        return trace
    index, key, value = rng.choice(short)
    leaves = [leaf for call in trace.calls for leaf in map(str, call.arguments.values())]
    if trace.query.count(value) != 1 or sum(value.lower() in leaf.lower() for leaf in leaves) != 1:
        return trace
    fresh = _identifier(rng.sample(pool, rng.randint(2, 3)), rng)
    return _with(trace, trace.query.replace(value, fresh), index, key, fresh)


def spread(trace: Trace, values: Mapping[tuple[str, str], Sequence[Any]], rng: random.Random) -> Trace:
    """A row with one call as two or three calls that differ in one argument, said once: "a timer for 5 and 9 minutes".

    ``values``: what each argument has in the rows beside, from ``spread_values``. Names, codes, whole numbers and listed values only: a text may itself contain an "and".
    """
    if len(trace.calls) != 1 or trace.alternatives or trace.system or trace.messages:
        return trace
    call, schemas = trace.calls[0], next(tool.properties for tool in trace.tools if tool.name == trace.calls[0].name)
    keys = [key for key, value in call.arguments.items() if _spreads(value, schemas.get(key) or {}, trace.query)]
    if not keys:
        return trace
    key = rng.choice(keys)
    form = rng.choice(SPREAD)
    fit = [value for value in values.get((call.name, key), ()) if value != call.arguments[key] and str(value).lower() not in trace.query.lower() and _alike(value, call.arguments[key])]
    wanted = form.count("{") - 1
    if len(fit) < wanted:
        return trace
    chosen = [call.arguments[key], *rng.sample(fit, wanted)]
    query = re.sub(whole(chosen[0]), lambda _: form.format(*chosen), trace.query)
    calls = tuple(ToolCall(call.name, {**call.arguments, key: value}) for value in chosen)
    made = replace(trace, query=query, calls=calls, kind="parallel")
    return made if is_valid(made.calls, made.tools) else trace


def spread_values(traces: Sequence[Trace]) -> dict[tuple[str, str], list[Any]]:
    """What each argument (tool, key) of rows that share a toolset is given, each value once."""
    found: dict[tuple[str, str], list[Any]] = {}
    for trace in traces:
        for call in trace.calls:
            for key, value in call.arguments.items():
                mine = found.setdefault((call.name, key), [])
                if isinstance(value, str | int) and not isinstance(value, bool) and value not in mine:
                    mine.append(value)
    return found


def whole(value: Any) -> str:
    """Pattern of a value in a request, no part of a longer word, number, price, time or range."""
    return rf"(?<![\w.,:/$€£'’-]){re.escape(str(value))}(?![\w:/'’-]|[.,]\d|\s*%|\s*(?:st|nd|rd|th|am|pm|a\.m|p\.m|o'clock)\b)"


def _spreads(value: Any, schema: dict[str, Any], query: str) -> bool:
    """Whether a value stands once in the request, as a whole, and is of a kind that can be counted up."""
    if isinstance(value, bool) or not isinstance(value, str | int) or schema.get("type") not in ("string", "integer", "number"):
        return False
    listed = schema.get("enum")
    sure = len(listed) > 3 if listed else isinstance(value, int) or (not schema.keys() & {"format", "pattern", "const"} and shape_of(value)[:4] in ("code", "name"))
    return sure and len(re.findall(whole(value), query)) == 1


def _alike(one: Any, other: Any) -> bool:
    return type(one) is type(other) and (isinstance(one, int) or shape_of(one) == shape_of(other))


def _identifier(words: Sequence[str], rng: random.Random) -> str:
    style = rng.choice(("camel", "camel", "snake", "snake", "pascal", "upper", "kebab", "number", "path", "dotted"))
    if style in ("camel", "pascal"):
        return "".join(word if style == "camel" and not place else word.capitalize() for place, word in enumerate(words))
    if style == "path":
        return "/".join(words) + rng.choice((".csv", ".json", ".txt", ".py", ".yaml", ""))
    text = {"kebab": "-", "dotted": "."}.get(style, "_").join(words)
    return text.upper() if style == "upper" else f"{text}_{rng.randint(1, 99)}" if style == "number" else text


def _with(trace: Trace, query: str, index: int, key: str, value: Any) -> Trace:
    calls = tuple(ToolCall(call.name, {**call.arguments, key: value}) if place == index else call for place, call in enumerate(trace.calls))
    made = replace(trace, query=query, calls=calls)
    return made if is_valid(made.calls, made.tools) else trace
