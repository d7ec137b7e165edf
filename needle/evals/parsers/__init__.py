"""Parsers: what a model wrote, read in its own dialect, strictly. Which one was used is part of every result.

    parse_output('<tool_call>{"name": "ping", "arguments": {}}</tool_call>', "hermes", tools)

``auto`` takes the dialect whose marks the text carries. A reply in plain words calls nothing: in the chat dialects
that is how a model abstains, so it counts as abstaining, and how often that happened is reported; ``json`` allows no
words at all. Anything that tries to call and cannot be read is malformed, and never an abstention.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from needle.errors import UserError
from needle.evals.parse import Unreadable, as_result, read_call_list
from needle.evals.parsers.functiongemma import START as GEMMA_START
from needle.evals.parsers.functiongemma import read_functiongemma
from needle.evals.parsers.hermes import read_hermes
from needle.evals.parsers.openai import looks_like_openai, read_openai
from needle.evals.parsers.pythonic import LFM_START, read_lfm, read_pythonic
from needle.evals.parsers.words import is_reply, without_thinking
from needle.tools.caller import CallResult
from needle.tools.spec import ToolCall, ToolSpec

AUTO, NATIVE = "auto", "native"
"""``auto`` looks at the text; ``native`` is a caller that reads its own output (students, endpoints, baselines)."""

_CALL_HEAD = re.compile(r"\[\s*[A-Za-z_][\w.]*\s*\(")


def _read_json(text: str, tools: Sequence[ToolSpec]) -> list[ToolCall]:
    return read_call_list(text)


def _read_auto(text: str, tools: Sequence[ToolSpec]) -> list[ToolCall]:
    body = without_thinking(text)
    return PARSERS[dialect_of(body, tools)](body, tools)


PARSERS: dict[str, Callable[[str, Sequence[ToolSpec]], list[ToolCall]]] = {
    AUTO: _read_auto,
    "json": _read_json,
    "hermes": read_hermes,
    "pythonic": read_pythonic,
    "functiongemma": read_functiongemma,
    "lfm": read_lfm,
    "openai": read_openai,
}
"""Name -> reader; a reader raises ``Unreadable`` for what is no answer in its dialect."""


def dialect_of(text: str, tools: Sequence[ToolSpec] = ()) -> str:
    """The dialect whose marks ``text`` carries. Words alone count as ``hermes``, where they are an abstention."""
    body = text.strip()
    marks = (("<tool_call", "hermes"), ("</tool_call", "hermes"), (LFM_START, "lfm"), (GEMMA_START, "functiongemma"))
    for mark, name in marks:
        if mark in body:
            return name
    if body.startswith("{") and looks_like_openai(body):
        return "openai"
    if _CALL_HEAD.match(body) or (body.startswith("[") and any(f"{tool.name}(" in body for tool in tools)):
        return "pythonic"
    return "hermes" if is_reply(body, tools) else "json"


def parser_named(name: str) -> str:
    """``name`` if there is such a parser. Raises ``UserError`` otherwise."""
    if name not in PARSERS:
        raise UserError(f"--parser {name}: choose one of {', '.join(PARSERS)}")
    return name


def parse_output(text: str, parser: str = AUTO, tools: Sequence[ToolSpec] = ()) -> CallResult:
    """Read ``text`` with a parser of ``PARSERS``; what is unreadable carries a format code in ``error``.

    ``tools`` are those on offer: their names tell a call from prose, and restore names that a dialect cannot write.
    """
    read = PARSERS[parser_named(parser)]
    return as_result(lambda whole: read(whole, tools), text)


__all__ = ["AUTO", "NATIVE", "PARSERS", "Unreadable", "dialect_of", "is_reply", "parse_output", "parser_named"]
