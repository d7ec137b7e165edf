"""A reply in words, told apart from an attempt to call."""

from __future__ import annotations

import re
from collections.abc import Sequence

from needle.evals.parse import Unreadable
from needle.tools.spec import ToolCall, ToolSpec

_THINKING = re.compile(r"^\s*<think>.*?</think>\s*", re.DOTALL)
_STRUCTURE = re.compile(r"[{}\[\]]|<[|/a-z]|\|>|```")
_NO_TEXT = re.compile("[\ufffd\x00-\x08\x0e-\x1f]")
"""Bytes that are no UTF-8, and control characters: noise, as untrained models write it."""
_WORD = re.compile(r"[^\W\d_]{2,}")


def without_thinking(text: str) -> str:
    """``text`` without a leading ``<think>`` block, which reasoning models write before they answer."""
    return _THINKING.sub("", text)


def is_reply(text: str, tools: Sequence[ToolSpec] = ()) -> bool:
    """Whether ``text`` is plain words: at least two, no noise, nothing like structure, no tool of ``tools`` called."""
    return (
        len(_WORD.findall(text)) >= 2
        and not _STRUCTURE.search(text)
        and not _NO_TEXT.search(text)
        and not any(f"{tool.name}(" in text for tool in tools)
    )


def no_call(text: str, tools: Sequence[ToolSpec], due: str) -> list[ToolCall]:
    """No call for a reply in words. Raises ``Unreadable`` when the text is empty or tries to call in another shape;
    ``due`` names the shape that was due.
    """
    if not text.strip():
        raise Unreadable("empty_output: nothing came back")
    if not is_reply(text, tools):
        raise Unreadable(f"wrong_envelope: neither words nor {due}")
    return []
