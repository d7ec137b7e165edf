"""Bot Framework language-understanding files: calendar, mail, to-do, places, news and general requests; chit-chat as rows without a call.

Files: ``.lu`` below ``Skills`` and ``LU`` (``## Intent`` and ``- text with {Slot=value}``), ``Chitchat.qna``. Pieces of an address
that stand side by side are one value. Patterns (``^``, ``[optional]``, ``{Slot}`` without a value) are left out.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from needle.corpora.catalogue import Options
from needle.corpora.functions import load_functions
from needle.corpora.hwu64 import dress
from needle.corpora.toolsets import Assembler, Item
from needle.traces import Trace

CHAT = frozenset(("Confirm", "Reject", "ConfirmMessages"))
_SLOT = re.compile(r"\{@?(\w+)=([^{}]*)\}")
_GAP = re.compile(r"(,? |, ?|,? (in|and|at|near|of) (the )?)")


def rows(root: Path, options: Options) -> Iterator[Trace]:
    """Rows of all skills together, with toolsets across them."""
    functions = load_functions("botframework_lu")
    rng = random.Random(options.seed)
    items: dict[str, Item] = {}
    for name, intent, line in _utterances(root):
        options.read += 1
        if intent in CHAT:
            if not re.search(r"[\[\]^{}|]", line):
                items.setdefault(line.lower(), Item(name, line, kind="chat"))
            continue
        text, values, reason = _read(line)
        if reason is None and intent not in functions:
            reason = "intent without a function"
        if reason is None:
            slots = {slot.key for slot in functions[intent].slots}
            required = {slot.key for slot in functions[intent].slots if slot.required}
            unnamed = "ContactName" in slots - values.keys() and re.search(r"\b(with|to) [a-z]+", text) is not None
            reason = "label that the function has no argument for" if values.keys() - slots else "essential value not labelled" if required - values.keys() or unnamed else None
            reason = "too short to ask for something" if len(text.split()) < 2 else reason
        if reason:
            options.dropped[reason] += 1
        elif text.lower() in items:
            options.dropped["same text as another request"] += 1
        else:
            items[text.lower()] = Item(name, dress(text, values, rng), ((intent, values),))
    yield from Assembler("botframework_lu", functions, list(items.values()), options.mix, options.seed, options.dropped).rows()


def _utterances(root: Path) -> Iterator[tuple[str, str, str]]:
    """(file and line, intent, text); questions of the chit-chat files come as intent ``Confirm``, which asks for nothing."""
    for path in sorted(root.rglob("*.lu")):
        intent = ""
        for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), start=1):
            if line.startswith("## "):
                intent = line[3:].strip()
            elif line.startswith("@"):
                intent = ""
            elif line.startswith("- ") and intent:
                yield f"{path.stem}/{number}", intent, " ".join(line[2:].split())
    for path in sorted(root.rglob("Chitchat.qna"))[:1]:
        question = False
        for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), start=1):
            question = line.startswith("## ?") or (question and line.startswith("- "))
            if question:
                yield f"{path.stem}/{number}", "Confirm", " ".join(line.removeprefix("## ?").removeprefix("-").split())


def _read(line: str) -> tuple[str, dict[str, Any], str | None]:
    """Plain text and slot values of a labelled line, or why it cannot be used."""
    if re.search(r"[\[\]^|]", line) or re.search(r"\{[^{}=]*\}|\{[^{}]*\{", line):
        return line, {}, "pattern or nested label"
    text, spans = "", []
    last = 0
    for match in _SLOT.finditer(line):
        text += line[last : match.start()]
        spans.append((match[1], len(text), len(text) + len(match[2])))
        text += match[2]
        last = match.end()
    text += line[last:]
    values: dict[str, Any] = {}
    placed: dict[str, tuple[int, int]] = {}
    for slot, start, end in spans:
        if slot in placed:
            before = placed[slot]
            if not _GAP.fullmatch(text[before[1] : start]) or slot not in ("Address", "TaskContent"):
                return text, {}, "two values for one argument"
            start = before[0]
        placed[slot] = (start, end)
        values[slot] = text[start:end].strip().strip(".,?!")
    return text, {slot: value for slot, value in values.items() if value}, None
