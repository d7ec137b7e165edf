"""A ``CallResult`` as a chat completion: one object, or the chunks of a stream as the OpenAI SDK expects them."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from needle.serve.read import Question
from needle.tools import CallResult, Choice, ToolCall


def completion(question: Question, result: CallResult, model: str) -> dict[str, Any]:
    """The answer as one ``chat.completion``; ``needle`` beside the standard fields holds confidence and evidence."""
    calls = _calls(question, result)
    message = {"role": "assistant", "content": None if calls else "", "tool_calls": calls}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish(calls)}
    return {**_head("chat.completion", model), "choices": [choice], "usage": _usage(result), **_extra(result)}


def events(question: Question, result: CallResult, model: str) -> Iterator[str]:
    """The answer as server-sent events: role, each call (name, then arguments), finish, usage if asked for, done."""
    head, calls = _head("chat.completion.chunk", model), _calls(question, result)
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": None if calls else ""}]
    for index, call in enumerate(calls):
        opening = {**call, "function": {**call["function"], "arguments": ""}}
        deltas += [{"tool_calls": [{"index": index, **opening}]}]
        deltas += [{"tool_calls": [{"index": index, "function": {"arguments": call["function"]["arguments"]}}]}]
    last = {"usage": None} if question.include_usage else {}
    for delta in deltas:
        yield _event({**head, "choices": [_piece(delta, None)], **last})
    yield _event({**head, "choices": [_piece({}, _finish(calls))], **last, **_extra(result)})
    if question.include_usage:
        yield _event({**head, "choices": [], "usage": _usage(result)})
    yield "data: [DONE]\n\n"


def _head(kind: str, model: str) -> dict[str, Any]:
    return {"id": f"chatcmpl-{secrets.token_hex(12)}", "object": kind, "created": int(time.time()), "model": model}


def _calls(question: Question, result: CallResult) -> list[dict[str, Any]]:
    kept = result if question.request is None else _chosen(result, question.request.choice)
    return [
        {
            "id": f"call_{secrets.token_hex(12)}",
            "type": "function",
            "function": {"name": call.name, "arguments": json.dumps(call.arguments, ensure_ascii=False)},
        }
        for call in kept
    ]


def _chosen(calls: Sequence[ToolCall], choice: Choice) -> Sequence[ToolCall]:
    """The calls that were asked for, of a caller that does not look at the choice (a baseline, some endpoints)."""
    return [call for call in calls if choice.only in (None, call.name)][: choice.most]


def _finish(calls: list[dict[str, Any]]) -> str:
    return "tool_calls" if calls else "stop"


def _usage(result: CallResult) -> dict[str, int]:
    read, written = (result.usage.get(name, 0) for name in ("prompt_tokens", "completion_tokens"))
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


def _extra(result: CallResult) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if result.confidence is not None:
        found["confidence"] = result.confidence
    if result.evidence:
        found["evidence"] = [asdict(span) for span in result.evidence]
    return {"needle": found} if found else {}


def _piece(delta: dict[str, Any], finish: str | None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}


def _event(chunk: dict[str, Any]) -> str:
    return f"data: {json.dumps(chunk, ensure_ascii=False, separators=(',', ':'))}\n\n"
