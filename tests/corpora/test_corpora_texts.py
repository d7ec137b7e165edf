"""Texts for the tokenizer: every toolset once, every request and call as they are rendered."""

from __future__ import annotations

from pathlib import Path

import pytest

from needle.corpora.texts import file_texts, trace_texts
from needle.errors import UserError
from needle.tools import ToolCall, ToolSpec
from needle.traces import Trace

TOOL = ToolSpec(
    "note",
    "Keep a note.",
    {"type": "object", "properties": {"text": {"type": "string", "description": "what to keep"}}},
)


def test_a_toolset_gives_its_texts_once_and_each_row_its_request_and_calls() -> None:
    rows = [
        Trace(str(n), f"keep {word}", (TOOL,), (ToolCall("note", {"text": word}),))
        for n, word in enumerate(("milk", "naïve"))
    ]
    assert list(trace_texts(rows)) == [
        "note Keep a note.",
        "text what to keep",
        "keep milk",
        'note{"text":"milk"}',
        "keep naïve",
        'note{"text":"naïve"}',
    ]


def test_a_call_of_an_unknown_tool_gives_its_text_too() -> None:
    assert list(trace_texts([Trace("0", "x", (), (ToolCall("gone", {"a": [1]}),))])) == ["x", 'gone{"a":[1]}']


def test_plain_text_is_read_by_lines_up_to_a_limit(tmp_path: Path) -> None:
    file = tmp_path / "text.txt"
    file.write_bytes(b"one\ntwo\nbroken \xff\nfour\n")
    assert list(file_texts([file])) == ["one\n", "two\n", "broken \ufffd\n", "four\n"]
    assert list(file_texts([file, file], limit=8)) == ["one\n", "two\n"] * 2


def test_a_missing_text_file_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone\.txt: no such text file"):
        list(file_texts([tmp_path / "gone.txt"]))
