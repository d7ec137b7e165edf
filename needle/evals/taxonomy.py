"""Every way in which an answer can be wrong, as one ordered list of stable codes.

A row reports every code that applies; its *first cause* is the earliest of them in this order, which runs from the
outside in: transport, format, decision, number of calls, order, tool, schema, argument, cause of a wrong value, data.
"""

from __future__ import annotations

from collections.abc import Iterable

CODES: dict[str, str] = {
    "infra_error": "the endpoint or adapter failed, not the model",
    "empty_output": "nothing came back",
    "truncated": "the output stops in the middle",
    "malformed_json": "the output cannot be read",
    "wrong_envelope": "readable, but not in the shape of calls",
    "trailing_text": "text beside the calls",
    "duplicate_key": "one argument given twice",
    "over_call": "called although no tool fits",
    "under_call": "no call although one is due",
    "should_ask": "called although a required value is missing from the request",
    "too_few_calls": "fewer calls than due",
    "too_many_calls": "more calls than due",
    "repeated_call": "the same call twice",
    "wrong_order": "the right calls in another order",
    "near_tool": "a tool's name differing only in case or separators",
    "unknown_tool": "a tool that is not on offer",
    "wrong_tool": "a tool on offer, but not the one that is due",
    "missing_required": "a required argument is missing",
    "unknown_param": "an argument that the tool does not have",
    "wrong_type": "an argument of the wrong type",
    "enum_violation": "a value outside the listed ones",
    "out_of_range": "a number, length or count outside its limits",
    "pattern_or_format": "a string that breaks its pattern or format",
    "nested_schema": "a combination of schemas that is not met",
    "null_for_required": "null where a value is required",
    "extra_optional": "an optional argument that is not asked for",
    "missing_optional": "an argument that the request states is left out",
    "wrong_value": "a value that differs from the right one",
    "swapped_args": "the value belongs to another argument of the call",
    "cross_call": "the value belongs to another call of the answer",
    "wrong_form": "the right value in another form (case, punctuation, numeral, type)",
    "wrong_span": "from the request, but the wrong or a partial span",
    "ungrounded_value": "not in the request, not a default, not a listed value",
    "default_equivalent": "a default spelled out or left out: right, only recorded",
    "gold_suspect": "the gold calls break their own schemas",
}
"""Code -> what it means, in order of cause."""

NOT_ERRORS = frozenset({"default_equivalent", "gold_suspect"})
"""Codes that describe a row without being a mistake of the model."""

FORMAT_CODES = ("empty_output", "truncated", "malformed_json", "wrong_envelope", "trailing_text", "duplicate_key")
"""Codes that may open ``CallResult.error``, as in ``"truncated: the answer does not end"``."""

_RANK = {code: rank for rank, code in enumerate(CODES)}


def rank(code: str) -> int:
    """Place of a code in the order of cause."""
    return _RANK[code]


def in_order(codes: Iterable[str]) -> tuple[str, ...]:
    """The codes without repeats, in order of cause."""
    return tuple(sorted(set(codes), key=rank))


def first_cause(codes: Iterable[str]) -> str | None:
    """Earliest code that is a mistake, or None."""
    return next((code for code in in_order(codes) if code not in NOT_ERRORS), None)


def format_code(error: str, raw: str) -> str:
    """Format code of unreadable output: the one that opens ``error``, else by whether anything came back."""
    head = error.split(":", 1)[0].strip()
    if head in FORMAT_CODES:
        return head
    return "malformed_json" if raw.strip() else "empty_output"
