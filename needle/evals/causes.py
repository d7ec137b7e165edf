"""Why is a value wrong? Looks for it in the other arguments, the other calls, other spellings, and the request."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from needle.evals.match import local_schema, same_value
from needle.tools.spec import ToolCall
from needle.traces.trace import Trace

_WORD = re.compile(r"[^\W_]+(?:\.\d+)?")
NUMBER_WORDS: dict[str, int] = {
    word: number
    for number, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
        "seventeen eighteen nineteen twenty".split()
    )
} | {
    word: 10 * tens
    for tens, word in enumerate("thirty forty fifty sixty seventy eighty ninety hundred".split(), start=3)
}
"""English numerals that people write out, by word."""
_FILLER = frozenset({"a", "an", "the", "my", "our"})


def words(value: Any) -> list[str]:
    """Lower-case words and numerals of a value, number words as digits, whole floats as integers, accents kept."""
    if isinstance(value, bool) or value is None:
        return [str(value).lower()]
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, dict):
        return [word for item in value.values() for word in words(item)]
    if isinstance(value, list):
        return [word for item in value for word in words(item)]
    found = _WORD.findall(unicodedata.normalize("NFC", str(value)).casefold())
    return [str(NUMBER_WORDS.get(word, word)) for word in found]


def canonical(value: Any) -> str:
    """Value as words without case, punctuation, articles and type: equal for two forms of the same value."""
    return " ".join(word for word in words(value) if word not in _FILLER)


@lru_cache(maxsize=256)
def _present(text: str) -> frozenset[str]:
    """Words of a request; the values of one row are looked for in the same one."""
    return frozenset(words(text))


def grounded(value: Any, trace: Trace) -> bool:
    """Whether every word of the value stands in the request, its facts or the earlier turns."""
    told = [trace.query, trace.system or "", *(str(message.get("content") or "") for message in trace.messages)]
    present = _present(" ".join(told))
    return all(word in present for word in words(value))


def value_cause(
    trace: Trace,
    index: int,
    name: str,
    got: Any,
    expected: Sequence[Any],
    schema: dict[str, Any],
    root: dict[str, Any],
) -> str | None:
    """One code for a wrong or unasked value of argument ``name`` of gold call ``index``, or None when nothing stands
    out.

    ``expected`` holds the accepted values (none for an argument that should be absent); a listed value, a boolean or
    the default is never "ungrounded", since it needs no words in the request.
    """
    form = canonical(got)
    if expected and form and any(form == canonical(value) for value in expected):
        return "wrong_form"
    gold: ToolCall = trace.calls[index]
    if _belongs(got, (value for key, value in gold.arguments.items() if key != name)):
        return "swapped_args"
    if _belongs(
        got, (value for place, call in enumerate(trace.calls) if place != index for value in call.arguments.values())
    ):
        return "cross_call"
    schema = local_schema(schema, root)
    listed = schema.get("enum") or local_schema(schema.get("items"), root).get("enum")
    if listed or isinstance(got, bool) or got is None or same_value(got, schema.get("default", ...)):
        return None
    return "wrong_span" if form and grounded(got, trace) else "ungrounded_value"


def _belongs(got: Any, values: Any) -> bool:
    return (
        not isinstance(got, bool) and got not in (None, "", [], {}) and any(same_value(got, value) for value in values)
    )
