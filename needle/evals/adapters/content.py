"""Endpoints whose server passes the model's dialect through as text: its ``content`` is read with a parser."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from needle.evals.adapters.text import Output, TextCaller
from needle.evals.parsers.openai import content_of
from needle.tools.caller import Caller, CallResult, Request


class ContentCaller(TextCaller):
    """Another caller's completions, with calls read out of the text where the server found none."""

    def __init__(self, inner: Caller, parser: str) -> None:
        self.inner, self.parser = inner, parser
        self.name = inner.name
        self.settings: dict[str, Any] = dict(getattr(inner, "settings", {})) | {"content": True}
        self.concurrency = getattr(inner, "concurrency", 1)

    def show_prompt(self, request: Request) -> str:
        """What is sent."""
        show = getattr(self.inner, "show_prompt", None)
        return show(request) if show else request.query

    def write(self, requests: Sequence[Request]) -> list[Output]:
        """One output a request."""
        return [_output(result) for result in self.inner.answer(requests)]


def _output(result: CallResult) -> Output:
    details: dict[str, Any] = {"seconds": result.seconds, "usage": result.usage, "confidence": result.confidence}
    if result.infra_error or result.error:
        return Output(result.raw, failure=result.error if result.infra_error else None, error=result.error, **details)
    text = content_of(result.raw)
    return Output(text, None, **details) if text and not result else Output(result.raw, list(result), **details)
