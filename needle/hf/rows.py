"""Traces as the token ids of a causal model: the prompt as evaluation asks it, and the answer, which alone is trained
on.

Prompt and answer are tokenised apart, as they are when the model is used: what it reads ends where the prompt ends.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from needle.errors import UserError
from needle.tools.chat import PLAIN, TEMPLATE, answer_of, prompt_of, template_knows_tools, template_writes_calls
from needle.traces import Trace

MASKED = -100
"""Label of a token that is not trained on."""


@dataclass(frozen=True)
class ChatRow:
    """One trace as the model reads and writes it."""

    prompt: tuple[int, ...]
    """Token ids up to where the answer begins."""
    answer: tuple[int, ...]
    """Token ids of the answer, the mark that ends the turn last."""

    @property
    def ids(self) -> tuple[int, ...]:
        """Both together."""
        return self.prompt + self.answer

    @property
    def labels(self) -> list[int]:
        """The next token at each place of the answer; the prompt is masked."""
        return [MASKED] * len(self.prompt) + list(self.answer)

    @property
    def key(self) -> str:
        """Name of the row's tokens (24 hex digits)."""
        return hashlib.blake2b(repr((self.prompt, self.answer)).encode(), digest_size=12).hexdigest()


class Renderer:
    """Traces to rows of one tokenizer. ``too_long`` counts those that do not fit and were left out whole."""

    def __init__(self, tokenizer: Any, context: int, ends: Sequence[int]) -> None:
        """``context``: most tokens of a row; ``ends``: tokens at which the model stops writing."""
        self.tokenizer, self.context = tokenizer, context
        self.ends = frozenset(ends) | {tokenizer.eos_token_id} - {None}
        if not self.ends:
            raise UserError("the model has no token that ends an answer (eos_token); give its tokenizer one")
        self.style = TEMPLATE if template_knows_tools(tokenizer) else PLAIN
        self.as_tool_calls = self.style == TEMPLATE and template_writes_calls(tokenizer)
        self.too_long = 0

    def row(self, trace: Trace) -> ChatRow:
        """The trace as token ids, cut after the mark that ends the turn."""
        prompt = self._ids(prompt_of(self.tokenizer, trace.request, self.style))
        answer = self._ids(answer_of(self.tokenizer, trace.request, trace.calls, self.style, self.as_tool_calls))
        end = max((place for place, token in enumerate(answer) if token in self.ends), default=None)
        if end is None:
            return ChatRow(prompt, (*answer, self.tokenizer.eos_token_id or min(self.ends)))
        return ChatRow(prompt, answer[: end + 1])

    def rows(self, traces: Sequence[Trace]) -> list[ChatRow]:
        """All that fit. Raises ``UserError`` when none does."""
        made = [self.row(trace) for trace in traces]
        kept = [row for row in made if len(row.ids) <= self.context]
        self.too_long += len(made) - len(kept)
        if not kept:
            raise UserError(
                f"no trainable row: {len(traces)} traces given, {self.too_long} longer than the context of "
                f"{self.context:,} tokens"
            )
        return kept

    def _ids(self, text: str) -> tuple[int, ...]:
        return tuple(self.tokenizer(text, add_special_tokens=False)["input_ids"])
