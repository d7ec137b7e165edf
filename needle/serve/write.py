"""A ``CallResult`` as a chat completion: one object, or the chunks of a stream as the OpenAI SDK expects them."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any, Protocol

from needle.serve.errors import ApiError
from needle.serve.read import Question
from needle.tools import FREE, CallResult, Choice, Delta, ToolCall


class Writer(Protocol):
    """Writes the answer to one question, whole or as server-sent events. One writer writes one answer."""

    def whole(self, result: CallResult) -> dict[str, Any]:
        """The answer as one object."""

    def start(self, calls: bool) -> Iterator[str]:
        """The first events; ``calls``: whether any call will follow."""

    def piece(self, delta: Delta) -> Iterator[str]:
        """The events of one piece."""

    def end(self, result: CallResult) -> Iterator[str]:
        """The last events."""

    def failed(self, error: ApiError) -> Iterator[str]:
        """The last events when something goes wrong after the first ones."""


class ChatWriter:
    """``chat.completion``, or its chunks; ``needle`` beside the standard fields holds confidence and evidence."""

    def __init__(self, question: Question, model: str) -> None:
        self._question, self._model = question, model
        self._filter = Kept(question)
        self._id, self._created = f"chatcmpl-{secrets.token_hex(12)}", int(time.time())

    def whole(self, result: CallResult) -> dict[str, Any]:
        """The answer as one ``chat.completion``."""
        calls = [
            {"id": new_call_id(), "type": "function", "function": {"name": call.name, "arguments": arguments_of(call)}}
            for call in chosen(self._question, result)
        ]
        message = {"role": "assistant", "content": None if calls else "", "tool_calls": calls}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish(bool(calls))}
        return {**self._head("chat.completion"), "choices": [choice], "usage": _usage(result), **extra(result)}

    def start(self, calls: bool) -> Iterator[str]:
        """The role of who speaks."""
        yield self._chunk({"role": "assistant", "content": None if calls else ""})

    def piece(self, delta: Delta) -> Iterator[str]:
        """The name of a call when it begins, then the pieces of its arguments."""
        index = self._filter.place(delta)
        if index is None:
            return
        if delta.name is not None:
            opening = {"id": new_call_id(), "type": "function", "function": {"name": delta.name, "arguments": ""}}
            yield self._chunk({"tool_calls": [{"index": index, **opening}]})
        if delta.arguments:
            yield self._chunk({"tool_calls": [{"index": index, "function": {"arguments": delta.arguments}}]})

    def end(self, result: CallResult) -> Iterator[str]:
        """Why it ended, usage if asked for, done."""
        finish = _finish(bool(chosen(self._question, result)))
        yield self._chunk({}, finish, **extra(result))
        if self._question.include_usage:
            yield event({**self._head("chat.completion.chunk"), "choices": [], "usage": _usage(result)})
        yield "data: [DONE]\n\n"

    def failed(self, error: ApiError) -> Iterator[str]:
        """The error, as the SDK raises it."""
        yield event(error.body())

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self._id, "object": kind, "created": self._created, "model": self._model}

    def _chunk(self, delta: dict[str, Any], finish: str | None = None, **more: Any) -> str:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        last = {"usage": None} if self._question.include_usage else {}
        return event({**self._head("chat.completion.chunk"), "choices": [choice], **last, **more})


class Kept:
    """Which pieces belong to calls that were asked for, of a caller that does not look at the choice."""

    def __init__(self, question: Question) -> None:
        self._choice = _choice(question)
        self._places: dict[int, int] = {}

    def place(self, delta: Delta) -> int | None:
        """Place of the piece's call among those that are kept; None when it is left out."""
        wanted = delta.name is not None and self._choice.only in (None, delta.name)
        if wanted and (self._choice.most is None or len(self._places) < self._choice.most):
            self._places[delta.call] = len(self._places)
        return self._places.get(delta.call)


def chosen(question: Question, calls: Sequence[ToolCall]) -> Sequence[ToolCall]:
    """The calls that were asked for, of a caller that does not look at the choice (a baseline, some endpoints)."""
    choice = _choice(question)
    return [call for call in calls if choice.only in (None, call.name)][: choice.most]


def _choice(question: Question) -> Choice:
    return FREE if question.request is None else question.request.choice


def arguments_of(call: ToolCall) -> str:
    """The arguments as text."""
    return json.dumps(call.arguments, ensure_ascii=False)


def new_call_id() -> str:
    """A name for one call."""
    return f"call_{secrets.token_hex(12)}"


def extra(result: CallResult) -> dict[str, Any]:
    """The field ``needle``: what the model knows of its answer beside the calls."""
    found: dict[str, Any] = {}
    if result.confidence is not None:
        found |= {"confidence": result.confidence, "calibrated": result.calibrated}
    if result.unsure:
        found["unsure"] = True
    if result.answered_by is not None:
        found["answered_by"] = result.answered_by
    if result.offered is not None:
        found["offered"] = list(result.offered)
    if result.evidence:
        found["evidence"] = [asdict(span) for span in result.evidence]
    return {"needle": found} if found else {}


def event(data: dict[str, Any], name: str | None = None) -> str:
    """One server-sent event."""
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(data, ensure_ascii=False, separators=(',', ':'))}\n\n"


def _finish(calls: bool) -> str:
    return "tool_calls" if calls else "stop"


def _usage(result: CallResult) -> dict[str, int]:
    read, written = (result.usage.get(name, 0) for name in ("prompt_tokens", "completion_tokens"))
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
