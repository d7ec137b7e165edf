"""Answers as they are decided: tokens of a decoding step become pieces of calls."""

from __future__ import annotations

from collections.abc import Sequence

from tokenizers import Tokenizer

from needle.student import tokenizer as vocabulary
from needle.student.decoding import Told
from needle.student.tokenizer import SPECIAL_IDS
from needle.tools import Delta, ToolSpec
from needle.tools.caller import Watch

_CALL = SPECIAL_IDS[vocabulary.CALL]
_ENDS = {SPECIAL_IDS[mark] for mark in (vocabulary.EOS, vocabulary.NONE)}
HALF = "\ufffd"
"""What a decoder shows for a character of which some bytes are still to come."""


class CallReader:
    """Reads one answer token by token. The pieces of a call, joined, are its name and its arguments as JSON text."""

    def __init__(self, tokenizer: Tokenizer, tools: Sequence[ToolSpec]) -> None:
        self._tokenizer, self._names = tokenizer, [tool.name for tool in tools]
        self._place = -1
        self._ids: list[int] = []
        self._name: str | None = None
        self._told = 0

    def feed(self, tokens: Sequence[int]) -> list[Delta]:
        """The pieces that further tokens decide; none while a name or a character is half written."""
        pieces: list[Delta] = []
        for token in tokens:
            if token == _CALL:
                pieces += self._piece()
                self._place, self._ids, self._name, self._told = self._place + 1, [], None, 0
            elif token not in _ENDS and self._place >= 0:
                self._ids.append(token)
        return pieces + self._piece()

    def _piece(self) -> list[Delta]:
        if not self._ids:
            return []
        text = self._tokenizer.decode(self._ids, skip_special_tokens=False)
        if text.endswith(HALF):
            return []
        name = None
        if self._name is None:
            if "{" not in text:
                return []
            known = [one for one in self._names if text.startswith(one + "{")]
            self._name = name = max(known, key=len) if known else text.split("{", 1)[0]
            self._told = len(name)
        new = text[self._told :]
        self._told = len(text)
        return [Delta(self._place, name, new)] if new or name else []


def teller(tokenizer: Tokenizer, toolsets: Sequence[Sequence[ToolSpec]], places: Sequence[int], watch: Watch) -> Told:
    """What turns the steps of a batch into pieces for ``watch``; row ``i`` answers request ``places[i]``."""
    readers = [CallReader(tokenizer, tools) for tools in toolsets]

    def told(row: int, tokens: list[int]) -> None:
        for piece in readers[row].feed(tokens):
            watch(places[row], piece)

    return told
