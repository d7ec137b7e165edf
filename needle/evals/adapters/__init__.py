"""Adapters: anything that answers becomes a ``Caller``, without an entry in any registry.

``cmd:`` a program over stdin and stdout, ``py:`` a Python function, ``hf:`` a Hugging Face model with its chat
template, ``replay:`` saved outputs. ``open_adapter`` makes them from such a string; ``needle.models`` knows the rest.
"""

from __future__ import annotations

from collections.abc import Sequence

from needle.errors import UserError
from needle.evals.adapters.text import TextCaller
from needle.evals.parsers import AUTO, parser_named
from needle.tools.caller import Caller
from needle.traces.trace import Trace

PREFIXES = ("cmd:", "py:", "hf:", "replay:")
"""How the strings begin that ``open_adapter`` takes."""


def open_adapter(model: str, *, traces: Sequence[Trace] = (), parser: str = AUTO) -> Caller:
    """The caller that ``model`` names, e.g. ``cmd:./my-model --fast``. ``traces`` are the rows to be answered.

    Raises ``UserError`` when it cannot be opened, or when ``parser`` is none.
    """
    prefix, _, rest = model.partition(":")
    if f"{prefix}:" not in PREFIXES or not rest.strip():
        raise UserError(f"{model}: write {', '.join(f'{one}...' for one in PREFIXES)}")
    parser_named(parser)
    if prefix == "cmd":
        from needle.evals.adapters.command import CommandCaller

        return CommandCaller(rest, parser=parser)
    if prefix == "py":
        from needle.evals.adapters.function import open_function

        return open_function(rest, parser=parser)
    if prefix == "hf":
        from needle.evals.adapters.huggingface import HuggingFaceCaller

        return HuggingFaceCaller.from_pretrained(rest, parser=parser)
    from needle.evals.adapters.replay import ReplayCaller

    return ReplayCaller(rest, traces, parser=parser)


__all__ = ["PREFIXES", "TextCaller", "open_adapter"]
